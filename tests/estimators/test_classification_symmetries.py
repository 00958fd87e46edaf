"""InfiniteNetClassifier against itself: weights, names and order of classes, blocks, threads."""

import numpy as np
import pytest
from classification_cases import NETWORK, NEW, X, as_given, assert_same, numbers, y
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_wine, make_classification
from sklearn.metrics import log_loss
from sklearn.utils import compute_sample_weight

from infwidth import InfiniteNetClassifier
from infwidth.networks import MLP


@pytest.mark.parametrize("options", [{}, as_given, {"limit": "ntk"}], ids=str)
@pytest.mark.parametrize(
    "class_weight", [None, {0: 0.3, 1: 2.0, 2: 1.0}, "balanced"], ids=["plain", "class_weight", "balanced"]
)
def test_integer_weights_equal_repeated_rows(options, class_weight):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    model = InfiniteNetClassifier(**{"optimizer": None, **options}, class_weight=class_weight)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = model.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for place in (0, 2, 3):
        assert_allclose(numbers(weighted)[place], numbers(repeated)[place], rtol=1e-6)
    own = np.repeat(weighted.loo_decision_function(), weight, axis=0)
    assert_allclose(own, repeated.loo_decision_function(), rtol=1e-6)


def test_row_of_weight_zero_is_dropped():
    weight = np.arange(60) % 3 / 2.0
    used, wild, other = weight > 0, X.copy(), y.copy()
    wild[~used], other[~used] = 1e3 + X[~used], 7  # a class of no row in use
    model = InfiniteNetClassifier(optimizer=None).fit(wild, other, sample_weight=weight)
    without = InfiniteNetClassifier(optimizer=None).fit(X[used], y[used], sample_weight=weight[used])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_allclose(model.predict_log_proba(NEW), without.predict_log_proba(NEW), rtol=1e-9)
    assert_allclose(model.loo_decision_function()[used], without.loo_decision_function(), rtol=1e-9)
    assert_allclose(model.loo_decision_function()[~used], without.decision_function(wild[~used]), rtol=1e-9)


@pytest.mark.parametrize("copies", [1.5, 10.0, "rows"])
def test_repeated_rows_do_not_foretell_one_another(copies):
    """New rows are no copies of old ones: equal rows are left out together."""
    inputs, label = load_wine(return_X_y=True)
    train, new = (inputs[::2], label[::2]), (inputs[1::2], label[1::2])
    model = InfiniteNetClassifier(MLP(2, "erf"))
    if copies == "rows":
        model.fit(np.repeat(train[0], 2, axis=0), np.repeat(train[1], 2))
    else:
        model.fit(*train, sample_weight=np.full(len(train[1]), copies))
    assert model.score(*new) > 0.95
    assert log_loss(new[1], model.predict_proba(new[0])) < 0.15


def test_class_weights_multiply_sample_weights():
    weight, factor = np.linspace(0.0, 1.0, 60), np.array([0.2, 0.7, 1.0])
    model = InfiniteNetClassifier(optimizer=None, class_weight=dict(enumerate(factor))).fit(X, y, weight)
    assert_same(model, InfiniteNetClassifier(optimizer=None).fit(X, y, weight * factor[y]))
    assert_allclose(model.class_prior_, np.bincount(y, weight * factor[y]) / (weight @ factor[y]))


def test_balanced_classes():
    inputs, label = make_classification(80, 6, n_informative=4, weights=[0.8], flip_y=0.0, random_state=0)
    model = InfiniteNetClassifier(optimizer=None, calibration=None, class_weight="balanced").fit(inputs, label)
    weight = compute_sample_weight("balanced", label)
    explicit = InfiniteNetClassifier(optimizer=None, calibration=None).fit(inputs, label, weight)
    plain = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    assert_allclose(model.class_prior_, 0.5)
    assert_allclose(model.predict_log_proba(NEW), explicit.predict_log_proba(NEW), rtol=1e-10)
    # A class weight is not a number of rows: nothing remains of a row that is left out.
    assert np.abs(model.loo_decision_function() - explicit.loo_decision_function()).max() > 0.01
    far = 1e6 * NEW
    balanced = model.set_params(calibration="loo").fit(inputs, label)
    assert_allclose(balanced.predict_proba(far), 0.5, atol=0.01)
    assert_allclose(plain.predict_proba(far), np.tile(plain.class_prior_, (len(NEW), 1)), atol=0.01)
    assert np.mean(balanced.predict(NEW)) > np.mean(plain.predict(NEW))  # more of the rare class


@pytest.mark.parametrize(
    "names",
    [["a", "b", "c"], ["2", "31", "4"], np.array(["x", "yy", "zzz"], dtype=object), [-1.0, 0.0, 1e6], [5, 7, 11]],
    ids=str,
)
def test_names_of_classes_do_not_matter(names, learned):
    names = np.asarray(names)
    model = InfiniteNetClassifier(NETWORK, random_state=0).fit(X, names[y])
    assert_same(model, learned, rtol=1e-12)
    assert model.classes_.dtype == names.dtype
    assert_array_equal(model.classes_, names)
    assert_array_equal(model.predict(NEW), names[learned.predict(NEW)])
    assert model.score(X, names[y]) == learned.score(X, y)


def test_booleans_are_classes():
    model = InfiniteNetClassifier(optimizer=None).fit(X, y > 0)
    assert_same(model, InfiniteNetClassifier(optimizer=None).fit(X, (y > 0).astype(int)), rtol=1e-12)
    assert model.predict(NEW).dtype == bool


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 0, 1]], ids=str)
def test_order_of_classes_permutes_columns(order, learned):
    model = InfiniteNetClassifier(NETWORK, random_state=0).fit(X, np.argsort(order)[y])  # class c was class order[c]
    for actual, expected in zip(numbers(model)[:3], numbers(learned)[:3], strict=True):
        assert_allclose(actual, expected[..., order], rtol=1e-5, atol=1e-6)
    assert_allclose(model.evidence_, learned.evidence_, rtol=1e-6)


def test_two_classes_swapped():
    model = InfiniteNetClassifier(optimizer=None).fit(X, y > 0)
    swapped = InfiniteNetClassifier(optimizer=None).fit(X, y == 0)
    assert_allclose(swapped.decision_function(NEW), -model.decision_function(NEW), rtol=1e-8)
    assert_allclose(swapped.loo_decision_function(), -model.loo_decision_function(), rtol=1e-8)


def test_order_of_rows_does_not_matter():
    order, weight = np.random.default_rng(0).permutation(len(X)), np.linspace(0.0, 2.0, len(X))
    plain = InfiniteNetClassifier(optimizer=None).fit(X, y, weight)
    shuffled = InfiniteNetClassifier(optimizer=None).fit(X[order], y[order], weight[order])
    assert_allclose(shuffled.predict_log_proba(NEW), plain.predict_log_proba(NEW), rtol=1e-8)
    assert_allclose(shuffled.loo_decision_function(), plain.loo_decision_function()[order], rtol=1e-8)


def test_predictions_do_not_depend_on_blocks(in_batches, averaged):
    expected = numbers(averaged)[0]
    in_batches(n_bytes=8 * len(X) * 7, mean_rows=7)  # 7 new rows at a time
    assert_allclose(averaged.predict_log_proba(NEW), expected, rtol=1e-10)
    one_by_one = np.concatenate([averaged.predict_log_proba(row[None]) for row in NEW])
    assert_allclose(one_by_one, expected, rtol=1e-10)


def test_number_of_threads_does_not_matter(learned):
    for n_jobs in (1, 2):
        assert_same(InfiniteNetClassifier(NETWORK, random_state=0, n_jobs=n_jobs).fit(X, y), learned, rtol=1e-6)
