"""InfiniteNetClassifier against the public regressors, against refitting, and against itself."""

import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor, _base
from infwidth._inference import classes, posterior, search, selection
from infwidth._preprocessing import transform
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP

LOADERS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
SCALINGS = {"StandardScaler": "standard", "WeightedPowerTransformer": "power"}
REGRESSORS = {"nngp": NNGPRegressor, "ntk": NTKRegressor}
as_given = {"optimizer": None, "feature_scaling": None}

X, y = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
NEW = 1.5 * make_classification(30, 6, n_informative=4, n_classes=3, random_state=1)[0]  # some outside the data
NETWORK = MLP(1, "erf", ard=True)


def every(step, name, start=0):
    """Each ``step``-th row of a data set, standardised."""
    inputs, label = LOADERS[name](return_X_y=True)
    return StandardScaler().fit_transform(inputs)[start::step], label[start::step]


def numbers(model):
    """What a fitted model says about the new rows and about its own."""
    return [model.predict_log_proba(NEW), model.loo_decision_function_, model.class_prior_, model.evidence_]


def assert_same(model, other, rtol=1e-8):
    for actual, expected in zip(numbers(model), numbers(other), strict=True):
        assert_allclose(actual, expected, rtol=rtol, atol=rtol)


@pytest.fixture(scope="module")
def averaged():
    """The default: learned networks, averaged."""
    return InfiniteNetClassifier(random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def learned():
    """One learned network."""
    return InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)


# The second path to the same numbers: public regressors on the coded classes

WEIGHTS = {"unweighted": None, "weighted": lambda n: np.arange(n) % 5 / 2.0, "repeated": lambda n: np.arange(n) % 4}


@pytest.fixture(params=["breast_cancer", "iris"])
def rows(request):
    """Two and three classes; training rows and new ones, half of them farther away."""
    inputs, label = every({"breast_cancer": 15, "iris": 4}[request.param], request.param)
    new = every(40 if request.param == "breast_cancer" else 20, request.param, start=1)[0]
    return inputs, label, np.r_[new, 3.0 * new]


@pytest.fixture(params=WEIGHTS)
def weight(request, rows):
    return WEIGHTS[request.param] and WEIGHTS[request.param](len(rows[0])).astype(float)


@pytest.fixture(params=["nngp", "ntk"])
def pair(request, rows):
    """A classifier and the regressor of its latent values, with input variances that differ."""
    network = MLP(2, "erf", weight_variance=1.5, input_variance=np.linspace(0.5, 2.0, rows[0].shape[1]))
    options = {**as_given, "noise_variance": 0.3}
    regressors = {
        "nngp": NNGPRegressor(network, normalize_y=False, **options),
        "ntk": NTKRegressor(network, normalize_y=False, posterior="ntkgp", **options),
    }
    return InfiniteNetClassifier(network, limit=request.param, **options), regressors[request.param]


def decision(model, mean, std, unit, distance=0.0):
    """The classifier's decision function, given the mean and the std of the latent values."""
    coding, (_, part, _) = model._coding, model._mixture.components[0]
    score_std = coding.score_std(np.sqrt(std**2 + model.noise_variance))
    log_proba = part.calibration.log_proba(coding.scores(mean), score_std, std**2 / unit + distance)
    return log_proba[:, 1] - log_proba[:, 0] if len(model.classes_) == 2 else log_proba


def test_predictions_equal_those_of_regressors(rows, weight, pair):
    """Leave-one-out by fitting again without the row, or with one less of it; new rows by one fit."""
    inputs, label, new = rows
    model, regressor = pair
    model.fit(inputs, label, sample_weight=weight)
    targets = model._coding.targets(label)
    weight = np.ones(len(label)) if weight is None else weight
    used = weight > 0

    def latent(row, others):
        without = clone(regressor).fit(inputs, targets, sample_weight=others)
        std = without.predict_std(inputs[[row]], include_noise=False)
        return np.append(without.predict(inputs[[row]])[0], std[0, 0])

    one_less = [
        np.where(np.arange(len(label)) == row, np.maximum(weight - 1.0, 0.0), weight) for row in range(len(label))
    ]
    mean, std = np.split([latent(row, others) for row, others in enumerate(one_less)], [-1], axis=1)
    other_inputs = [np.where((inputs == inputs[row]).all(axis=1), 0.0, weight) for row in range(len(label))]
    alone = np.array([latent(row, others)[-1] for row, others in enumerate(other_inputs)])
    std, unit = std[:, 0], np.average((alone**2 + model.noise_variance)[used], weights=weight[used])
    low, high = inputs[used].min(axis=0), inputs[used].max(axis=0)
    spread = np.cov(inputs.T, aweights=weight, ddof=0).diagonal()
    relevance = model.network.input_variance / (model.network.input_variance @ spread)

    def distance(points):  # Σ v_f excess² / Σ v_f var_f
        return (np.maximum(points - high, 0.0) + np.maximum(low - points, 0.0)) ** 2 @ relevance

    assert_allclose(
        model.loo_decision_function_, decision(model, mean, std, unit, distance(inputs)), rtol=1e-7, atol=1e-9
    )
    regressor.fit(inputs, targets, sample_weight=weight)
    mean, std = regressor.predict(new), regressor.predict_std(new, include_noise=False)[:, 0]
    assert 0 < np.count_nonzero(distance(new)) < len(new)
    assert_allclose(model.decision_function(new), decision(model, mean, std, unit, distance(new)), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_without_calibration_softmax_of_scores(rows, limit):
    """Centred one-hot targets lead to the same scores."""
    inputs, label, new = rows
    model = InfiniteNetClassifier(limit=limit, calibration=None, **as_given).fit(inputs, label)
    options = {"posterior": "ntkgp"} if limit == "ntk" else {}
    one_hot = (label[:, None] == model.classes_) - model.class_prior_
    regressor = REGRESSORS[limit](normalize_y=False, **options, **as_given).fit(inputs, one_hot)
    scores = model.class_prior_ + regressor.predict(new)
    assert_allclose(model.predict_proba(new), softmax(scores, axis=1), rtol=1e-8)
    scores = log_softmax(model.class_prior_ + regressor.loo_predict()[0], axis=1)
    expected = scores if len(model.classes_) > 2 else scores[:, 1] - scores[:, 0]
    assert_allclose(model.loo_decision_function_, expected, rtol=1e-8)


def test_average_of_networks(averaged):
    """Each prediction is the average over models of one network each."""
    model, weights = averaged, averaged.network_weights_
    parts = [
        InfiniteNetClassifier(
            candidate.optimum.network,
            noise_variance=candidate.optimum.noise_variance,
            feature_scaling=SCALINGS[type(scaler).__name__],
            optimizer=None,
        ).fit(X, y)
        for candidate, (_, _, scaler) in zip(model._learned[1], model._mixture.components, strict=False)
    ]
    assert len(parts) == np.count_nonzero(weights) > 2
    assert_allclose(weights.sum(), 1.0)
    assert np.all(np.diff(weights) <= 0)
    assert np.all(np.diff(model.evidence_) <= 0)
    assert np.ptp(weights[: len(parts)]) > 0.01  # not a plain average
    assert_allclose([part.evidence_[0] for part in parts], model.evidence_[: len(parts)], rtol=1e-7)
    for ask in (lambda m: m.predict_proba(NEW), lambda m: np.exp(m.loo_decision_function_)):
        expected = sum(w * ask(part) for w, part in zip(weights, parts, strict=False))
        assert_allclose(ask(model), expected, rtol=1e-6)
    assert [part.network_ for part in parts] == model.networks_[: len(parts)]
    assert model.network_ == model.networks_[0]
    assert model.noise_variance_ == parts[0].noise_variance_


def best_alone(monkeypatch, compared_rows):
    monkeypatch.setattr(_base, "AVERAGED_ROWS", len(X) - 1)
    monkeypatch.setattr(InfiniteNetClassifier, "_compared_rows", compared_rows)
    return InfiniteNetClassifier(random_state=0).fit(X, y)


def test_the_best_alone_on_many_rows(monkeypatch, averaged):
    best = best_alone(monkeypatch, len(X))
    assert best.networks_ == averaged.networks_
    assert_allclose(best.evidence_, averaged.evidence_)
    assert best.network_weights_.tolist() == [1.0] + [0.0] * (len(best.networks_) - 1)
    ((weight, part, scaler),) = best._mixture.components
    assert weight == 1.0
    same = averaged._mixture.components[0][1]
    expected = same.log_proba(transform(scaler, NEW), averaged._box.outside(NEW))
    assert_allclose(best.predict_log_proba(NEW), expected, rtol=1e-9)
    assert_allclose(part.leave_one_out(), best.loo_decision_function_)
    assert np.abs(best.predict_proba(NEW) - averaged.predict_proba(NEW)).max() > 0.01
    fewer = best_alone(monkeypatch, len(X) - 1)
    assert len(fewer.networks_) == len(_base.default_networks()) < len(best.networks_)


def test_on_many_rows_a_network_with_one_input_variance_is_a_finalist(monkeypatch):
    for name, rows in {"SCREENING_ROWS": 20, "RELEVANCE_ROWS": 30, "WHOLE_ROWS": 40, "BLOCK_ROWS": 30}.items():
        monkeypatch.setattr(selection, name, rows)
    monkeypatch.setattr(_base, "AVERAGED_ROWS", 40)
    monkeypatch.setattr(InfiniteNetClassifier, "_compared_rows", 40)
    model = InfiniteNetClassifier(random_state=0).fit(X, y)
    assert sorted(np.ndim(network.input_variance) for network in model.networks_) == [0, 1]
    assert model.network_weights_.tolist() == [1.0, 0.0]
    assert np.diff(model.evidence_) <= 0
    alone = InfiniteNetClassifier(MLP(1, "erf"), random_state=0).fit(X, y)  # has no other kind
    assert [np.ndim(network.input_variance) for network in alone.networks_] == [0]


@pytest.mark.parametrize("weight", [None, np.arange(60) % 4 / 3], ids=["unweighted", "weighted"])
def test_evidence_is_the_loss_of_leave_one_out(weight):
    model = InfiniteNetClassifier(optimizer=None).fit(X, y, sample_weight=weight)
    proba = np.exp(model.loo_decision_function_)
    assert_allclose(model.evidence_, [-log_loss(y, proba, normalize=False, sample_weight=weight)])
    assert model.network_weights_.tolist() == [1.0]


def test_many_rows_are_calibrated_on_a_sample(monkeypatch):
    inputs, label = make_classification(1500, 6, n_informative=4, n_classes=3, random_state=0)
    monkeypatch.setattr(classes, "CALIBRATION_ROWS", 700)
    model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    log_proba = model.loo_decision_function_  # of all rows
    own = log_proba[np.arange(1500), label]
    sample = model._labels.group >= 750  # two tiles
    assert_allclose(model.evidence_[0], 2.0 * own[sample].sum(), rtol=1e-9)
    assert_allclose(model.evidence_[0], own.sum(), rtol=0.2)
    monkeypatch.setattr(classes, "CALIBRATION_ROWS", 1500)
    whole = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    assert_allclose(whole.evidence_[0], whole.loo_decision_function_[np.arange(1500), label].sum(), rtol=1e-9)
    assert_allclose(model.predict_proba(NEW), whole.predict_proba(NEW), atol=0.05)
    assert np.abs(model.predict_proba(NEW) - whole.predict_proba(NEW)).max() > 1e-4


# Probabilities


def test_answers_agree(averaged):
    proba, log_proba = averaged.predict_proba(NEW), averaged.predict_log_proba(NEW)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    assert_allclose(np.log(proba), log_proba, rtol=1e-12, atol=1e-12)
    assert_allclose(averaged.decision_function(NEW), log_proba)
    assert_array_equal(averaged.predict(NEW), averaged.classes_[np.argmax(proba, axis=1)])
    assert averaged.loo_decision_function_.shape == (len(X), 3)


def test_two_classes_have_log_odds():
    inputs, label = every(6, "breast_cancer")
    model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    proba = model.predict_proba(inputs)
    assert_allclose(model.decision_function(inputs), np.log(proba[:, 1] / proba[:, 0]), rtol=1e-6)
    assert_array_equal(model.predict(inputs), model.decision_function(inputs) > 0)
    assert model.loo_decision_function_.shape == label.shape


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
@pytest.mark.parametrize("network", [*_base.default_networks(), None], ids=str)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_far_away_the_prior(limit, network, share):
    inputs, label = make_classification(80, 6, n_informative=4, weights=[share], flip_y=0.0, random_state=0)
    options = {"optimizer": None} if network is not None else {"random_state": 0}
    model = InfiniteNetClassifier(network, limit=limit, **options).fit(inputs, label)
    assert_allclose(model.class_prior_, np.bincount(label) / len(label), rtol=1e-12)
    assert np.abs(model.predict_proba(inputs) - model.class_prior_).mean() > 0.1
    direction = np.random.default_rng(0).normal(size=(200, 6)) * inputs.std(axis=0)
    for distance in (1e3, 1e6, 1e30):
        far = model.predict_proba(distance * direction)
        assert np.abs(far - model.class_prior_).max() < 0.05


def test_far_away_the_prior_where_features_are_warped():
    """Yeo-Johnson powers below 0 are bounded above: a skewed feature is never far away after them."""
    random = np.random.default_rng(0)
    inputs = np.exp(1.5 * random.normal(size=(120, 4)))
    label = (np.log(inputs[:, 0]) + 0.3 * random.normal(size=120) > 0).astype(int)
    far = 1e6 * inputs.std(axis=0) * np.abs(random.normal(size=(20, 4)))
    model = InfiniteNetClassifier(optimizer=None, feature_scaling="power").fit(inputs, label)
    assert np.abs(model.predict_proba(far) - model.class_prior_).max() < 0.05


@pytest.mark.parametrize("unit", [1e-4, 1e3])
def test_units_of_features_belong_to_the_input_variance(unit):
    """Without scaling, features in other units with the input variance in theirs are the same kernel."""
    new = np.r_[X, 3.0 * X, 1e3 * X]
    plain = InfiniteNetClassifier(MLP(2, "erf", input_variance=2.0), **as_given).fit(X, y)
    other = InfiniteNetClassifier(MLP(2, "erf", input_variance=2.0 / unit**2), **as_given).fit(unit * X, y)
    assert_allclose(other.loo_decision_function_, plain.loo_decision_function_, rtol=1e-6)
    assert_allclose(other.predict_log_proba(unit * new), plain.predict_log_proba(new), rtol=1e-6)


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "wine"])
def test_calibration_lowers_the_loss_on_new_rows(name):
    inputs, label = LOADERS[name](return_X_y=True)
    train = np.random.default_rng(0).permutation(len(label)) < min(400, len(label) // 2)
    losses = [
        log_loss(label[~train], model.fit(inputs[train], label[train]).predict_proba(inputs[~train]))
        for model in (InfiniteNetClassifier(optimizer=None, calibration=kind) for kind in ("loo", None))
    ]
    assert losses[0] < 0.5 * losses[1]


@pytest.mark.parametrize(("name", "least"), [("iris", 0.93), ("wine", 0.97), ("breast_cancer", 0.95), ("digits", 0.95)])
def test_accuracy_and_loss(name, least):
    inputs, label = LOADERS[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(label))
    train, test = np.split(order, [600 if name == "digits" else len(label) // 2])
    model = InfiniteNetClassifier(random_state=0).fit(inputs[train], label[train])
    assert model.score(inputs[test], label[test]) > least
    loss = log_loss(label[test], model.predict_proba(inputs[test]))
    expected = -model.evidence_[0] / len(train)  # what leave-one-out foretells
    assert 0.3 * expected < loss < 3.0 * expected


# Symmetries


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
    own = np.repeat(weighted.loo_decision_function_, weight, axis=0)
    assert_allclose(own, repeated.loo_decision_function_, rtol=1e-6)


def test_row_of_weight_zero_is_dropped():
    weight = np.arange(60) % 3 / 2.0
    used, wild, other = weight > 0, X.copy(), y.copy()
    wild[~used], other[~used] = 1e3 + X[~used], 7  # a class of no row in use
    model = InfiniteNetClassifier(optimizer=None).fit(wild, other, sample_weight=weight)
    without = InfiniteNetClassifier(optimizer=None).fit(X[used], y[used], sample_weight=weight[used])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_allclose(model.predict_log_proba(NEW), without.predict_log_proba(NEW), rtol=1e-9)
    assert_allclose(model.loo_decision_function_[used], without.loo_decision_function_, rtol=1e-9)
    assert_allclose(model.loo_decision_function_[~used], without.decision_function(wild[~used]), rtol=1e-9)


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
    assert np.abs(model.loo_decision_function_ - explicit.loo_decision_function_).max() > 0.01
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
    assert_allclose(swapped.loo_decision_function_, -model.loo_decision_function_, rtol=1e-8)


def test_order_of_rows_does_not_matter():
    order, weight = np.random.default_rng(0).permutation(len(X)), np.linspace(0.0, 2.0, len(X))
    plain = InfiniteNetClassifier(optimizer=None).fit(X, y, weight)
    shuffled = InfiniteNetClassifier(optimizer=None).fit(X[order], y[order], weight[order])
    assert_allclose(shuffled.predict_log_proba(NEW), plain.predict_log_proba(NEW), rtol=1e-8)
    assert_allclose(shuffled.loo_decision_function_, plain.loo_decision_function_[order], rtol=1e-8)


def test_predictions_do_not_depend_on_blocks(monkeypatch, averaged):
    expected = numbers(averaged)[0]
    monkeypatch.setattr(posterior, "BLOCK_BYTES", 8 * len(X) * 7)  # 7 new rows at a time
    monkeypatch.setattr(posterior, "MEAN_ROWS", 7)
    assert_allclose(averaged.predict_log_proba(NEW), expected, rtol=1e-10)
    one_by_one = np.concatenate([averaged.predict_log_proba(row[None]) for row in NEW])
    assert_allclose(one_by_one, expected, rtol=1e-10)


def test_number_of_threads_does_not_matter(learned):
    for n_jobs in (1, 2):
        assert_same(InfiniteNetClassifier(NETWORK, random_state=0, n_jobs=n_jobs).fit(X, y), learned, rtol=1e-6)


# Learning, and options


@pytest.mark.parametrize(("limit", "kernel"), [("nngp", NNGPKernel), ("ntk", NTKKernel)])
def test_limit_is_the_kernel(limit, kernel):
    model = InfiniteNetClassifier(NETWORK, limit=limit, random_state=0).fit(X, y)
    assert type(model.kernel_) is kernel
    assert_allclose(model.kernel_(NEW), getattr(model.network_, limit)(NEW), rtol=1e-12)
    assert model.network_ != NETWORK
    assert_allclose(model.feature_relevance_, model.network_.input_variance / model.network_.input_variance.sum())
    network, noise_variance = model.network_, model.noise_variance_
    fixed = InfiniteNetClassifier(network, limit=limit, noise_variance=noise_variance, **as_given)
    fixed.fit(model.feature_scaler_.transform(X), y)  # conditioned with the kernel that was learned
    expected = fixed.predict_log_proba(model.feature_scaler_.transform(NEW))
    assert_allclose(model.predict_log_proba(NEW), expected, rtol=1e-6)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_learning_raises_the_evidence_of_the_regression(limit):
    """Each objective is best for the variances that were learned by it, on the coded classes."""
    models = {
        optimizer: InfiniteNetClassifier(
            NETWORK, limit=limit, optimizer=optimizer, feature_scaling="standard", prior_std=None
        ).fit(X, y)
        for optimizer in ("lml", "loo")
    }
    targets = models["lml"]._coding.targets(y)
    options = {"posterior": "ntkgp"} if limit == "ntk" else {}
    evidence, density = {}, {}
    for optimizer, model in models.items():
        options |= {"noise_variance": model.noise_variance_, "normalize_y": False, "optimizer": None}
        regressor = REGRESSORS[limit](model.network_, **options).fit(X, targets)
        evidence[optimizer] = regressor.log_marginal_likelihood_value_
        density[optimizer] = norm.logpdf(targets, *regressor.loo_predict()).sum()
    assert evidence["lml"] > evidence["loo"] + 0.1
    assert density["loo"] > density["lml"] + 0.1


def test_an_optimizer_of_ones_own():
    ends = []

    def optimizer(obj_func, initial_theta, bounds):
        value, gradient = obj_func(initial_theta)
        ends.append(initial_theta - 0.01 * gradient)
        return ends[-1], value

    model = InfiniteNetClassifier(NETWORK, optimizer=optimizer, feature_scaling="standard").fit(X, y)
    theta = {len(end): end for end in ends}[len(model.kernel_.theta) + 1]
    assert len(ends) == len(model.networks_) == 2  # with one common input variance, and with six
    assert_allclose(model.kernel_.theta, theta[:-1])
    assert_allclose(model.noise_variance_, np.exp(theta[-1]), rtol=1e-3)


def test_warm_start(monkeypatch):
    calls, evaluate = [], search.Objective.evaluate
    monkeypatch.setattr(search.Objective, "evaluate", lambda *args: calls.append(args) or evaluate(*args))
    model = InfiniteNetClassifier(NETWORK, warm_start=True, random_state=0)
    counts = []
    for limit in ("nngp", "nngp", "ntk"):  # what was learned belongs to its limit
        before = len(calls)
        model.set_params(limit=limit).fit(X, y)
        counts.append(len(calls) - before)
        fresh = InfiniteNetClassifier(NETWORK, limit=limit, random_state=0).fit(X, y)
        assert_allclose(model.predict_proba(NEW), fresh.predict_proba(NEW), atol=1e-3)
        assert model.converged_
    assert counts[1] < 0.3 * min(counts[0], counts[2])


def test_a_limit_of_time_ends_learning(averaged):
    model = InfiniteNetClassifier(random_state=0, max_optimizer_time=1e-6)
    with pytest.warns(ConvergenceWarning, match="larger max_optimizer_time"):
        model.fit(X, y)
    assert averaged.converged_
    assert not model.converged_
    assert len(model.networks_) < len(averaged.networks_)
    assert np.isfinite(model.predict_log_proba(NEW)).all()
    assert model.score(X, y) > 0.6


def test_verbose_tells_what_is_learned(capsys):
    model = InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=True).fit(X, y)
    out, err = capsys.readouterr()
    lines = re.findall(r"MLP\(.*?\): evidence -\d+\.\d\d of 60 rows\n", out, re.DOTALL)
    assert len(lines) == len(model.networks_)
    assert "".join(lines) == out
    assert "Cholesky factorisation" in err


# In scikit-learn's company


@pytest.mark.parametrize("model", ["averaged", "learned"])
def test_pickle_and_clone(model, request):
    model = request.getfixturevalue(model)
    again = pickle.loads(pickle.dumps(model))
    assert_same(again, model, rtol=1e-13)
    assert_array_equal(again.predict(NEW), model.predict(NEW))
    copy = clone(again)
    assert not hasattr(copy, "classes_")
    assert copy.get_params().keys() == model.get_params().keys()
    assert copy.network == model.network


def test_fit_leaves_parameters_and_data_alone():
    network = MLP(1, "erf", input_variance=np.linspace(0.5, 1.5, X.shape[1]))
    model = InfiniteNetClassifier(network, optimizer=None, class_weight={0: 2.0}, random_state=0)
    before, network_before, data = model.get_params(), clone(network), [X.copy(), y.copy(), np.ones(60)]
    for array in data:
        array.flags.writeable = False
    model.fit(*data)
    after = model.get_params()
    assert all(after[name] is before[name] for name in before)
    assert network == network_before
    expected = model.predict_log_proba(NEW)
    network.input_variance[:] = 7.0  # the fitted model has its own
    assert_array_equal(model.predict_log_proba(NEW), expected)


def test_pipeline():
    wild = X * np.logspace(-6, 6, X.shape[1]) + 3.0
    inside = InfiniteNetClassifier(optimizer=None).fit(wild, y)
    pipeline = make_pipeline(StandardScaler(), InfiniteNetClassifier(optimizer=None)).fit(wild, y)
    assert_allclose(pipeline.predict_proba(wild), inside.predict_proba(wild), rtol=1e-6)
    assert_array_equal(pipeline.classes_, inside.classes_)
    weight = np.linspace(0.1, 2.0, 60)
    pipeline.fit(wild, y, infinitenetclassifier__sample_weight=weight)
    assert np.all(pipeline.predict_proba(wild) != inside.predict_proba(wild))


def test_grid_search():
    grid = {"network__depth": [1, 3], "limit": ["nngp", "ntk"], "calibration": ["loo", None]}
    model = InfiniteNetClassifier(MLP(), optimizer=None)
    found = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss", error_score="raise").fit(X, y)
    assert len(np.unique(found.cv_results_["mean_test_score"].round(12))) == 8  # each parameter reached the model
    assert found.best_params_["calibration"] == "loo"
    assert found.best_estimator_.network_.depth == found.best_params_["network__depth"]
    by_hand = clone(model).set_params(**found.best_params_).fit(X, y)
    assert_allclose(found.predict_proba(NEW), by_hand.predict_proba(NEW))


def test_cross_validation():
    inputs, label = every(1, "wine")
    assert cross_val_score(InfiniteNetClassifier(optimizer=None), inputs, label, cv=5).min() > 0.9


def test_meta_estimators():
    inputs, label = every(1, "iris")
    train, new = slice(0, None, 2), inputs[1::2]
    model = InfiniteNetClassifier(optimizer=None).fit(inputs[train], label[train])
    others = LogisticRegression().fit(inputs[train], label[train])
    voting = VotingClassifier([("net", clone(model)), ("line", LogisticRegression())], voting="soft")
    voting.fit(inputs[train], label[train])
    assert_allclose(voting.predict_proba(new), (model.predict_proba(new) + others.predict_proba(new)) / 2)
    calibrated = CalibratedClassifierCV(InfiniteNetClassifier(optimizer=None, calibration=None), cv=3)
    calibrated.fit(inputs[train], label[train])
    assert calibrated.score(new, label[1::2]) > 0.9
    raw = clone(model).set_params(calibration=None).fit(inputs[train], label[train])
    losses = [log_loss(label[1::2], m.predict_proba(new)) for m in (calibrated, raw)]
    assert losses[0] < losses[1]
