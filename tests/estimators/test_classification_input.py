"""What InfiniteNetClassifier takes, what it refuses and in which words, and the state a failure leaves behind."""

import numpy as np
import pandas
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError

from infwidth import InfiniteNetClassifier
from infwidth.networks import MLP

X, y = (a[::2] for a in load_iris(return_X_y=True))
NEW = load_iris().data[1::10]
N = len(y)


def spoiled(array, value):
    array = np.array(array, copy=True)
    array[-1] = value
    return array


def assert_probabilities(model, inputs, n_classes):
    """Everything that the model says is a number, and its probabilities are some."""
    proba = model.predict_proba(inputs)
    assert proba.shape == (len(inputs), n_classes)
    assert np.all(proba >= 0)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    for values in (model.predict_log_proba(inputs), model.loo_decision_function(), model.evidence_):
        assert np.isfinite(values).all()
    return proba


# Data that are small or degenerate

unlearned_and_learned = pytest.mark.parametrize(
    "model",
    [
        InfiniteNetClassifier(optimizer=None),
        InfiniteNetClassifier(optimizer=None, limit="ntk", calibration=None),
        InfiniteNetClassifier(MLP(1, "erf", ard=True), random_state=0),
        InfiniteNetClassifier(MLP(1), optimizer="loo", limit="ntk", random_state=0),
    ],
    ids=["unlearned", "uncalibrated ntk", "learned", "learned ntk"],
)


@unlearned_and_learned
@pytest.mark.parametrize(("rows", "n_classes"), [([0, 40], 2), ([0, 1, 40, 41], 2), ([0, 40, 70], 3)], ids=str)
def test_few_rows(model, rows, n_classes):
    proba = assert_probabilities(model.fit(X[rows], y[rows]), X, n_classes)
    assert_array_equal(model.predict(X[rows]), y[rows])
    assert_allclose(model.class_prior_, 1.0 / n_classes)
    assert np.ptp(proba, axis=0).min() > 0.01  # something was learned


@unlearned_and_learned
def test_a_class_of_one_row(model):
    label = np.where(np.arange(N) == 3, 7, y)
    proba = assert_probabilities(model.fit(X, label), X, 4)
    assert_allclose(model.class_prior_[3], 1 / N)
    assert np.argmax(proba[:, 3]) == 3
    assert proba[[0, 30, 60], 3].max() < 0.3


def test_many_classes():
    random = np.random.default_rng(0)
    centers, label = random.normal(size=(100, 12)), np.tile(np.arange(100), 2)
    inputs = centers[label] + 0.1 * random.normal(size=(200, 12))
    model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    assert_probabilities(model, inputs, 100)
    new = centers + 0.1 * random.normal(size=(100, 12))
    assert model.score(new, np.arange(100)) > 0.95
    assert model.evidence_[0] > 0.5 * 200 * np.log(1 / 100)  # half of what is to be known


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_a_rare_class(limit):
    random = np.random.default_rng(0)
    label = np.r_[np.zeros(300, dtype=int), np.ones(5, dtype=int)]
    inputs = random.normal(size=(305, 5)) + label[:, None]
    model = InfiniteNetClassifier(optimizer=None, limit=limit).fit(inputs, label)
    assert_probabilities(model, inputs, 2)
    new = np.r_[random.normal(size=(600, 5)), 1.0 + random.normal(size=(10, 5))]
    rare = model.predict_proba(new)[:, 1]
    assert 0.5 < rare.mean() / model.class_prior_[1] < 2.0
    assert rare[600:].mean() > 2.0 * rare[:600].mean()


@unlearned_and_learned
def test_value_of_a_constant_feature_does_not_matter(model):
    def with_column(A, value):
        return np.c_[A, np.full(len(A), value)]

    plain = clone(model).fit(with_column(X, 1.0), y)
    expected = assert_probabilities(plain, with_column(NEW, 1.0), 3)
    assert plain.score(with_column(X, 1.0), y) > 0.9
    for value in (0.0, 7.3, 1e9):
        proba = clone(model).fit(with_column(X, value), y).predict_proba(with_column(NEW, value))
        assert_allclose(proba, expected, rtol=1e-6)


@pytest.mark.parametrize("optimizer", [None, "lml"])
def test_inputs_that_say_nothing_leave_the_prior(optimizer):
    label = np.repeat([0, 1], [6, 14])
    model = InfiniteNetClassifier(optimizer=optimizer, random_state=0).fit(np.ones((20, 2)), label)
    assert_allclose(model.predict_proba(np.ones((1, 2)))[0], model.class_prior_, atol=0.1)


@unlearned_and_learned
def test_contradictory_rows_share_the_probability(model):
    inputs, label = np.repeat(X[::5], 2, axis=0), np.tile([0, 1], len(X[::5]))
    proba = assert_probabilities(model.fit(inputs, label), inputs, 2)
    assert_allclose(proba, 0.5, atol=0.02)
    assert model.evidence_[0] < -len(label) * np.log(2) * 0.9


@unlearned_and_learned
def test_zero_rows_are_inputs_like_others(model):
    assert_probabilities(model.fit(np.r_[X, np.zeros((3, 4))], np.r_[y, 0, 1, 2]), np.zeros((1, 4)), 3)


def test_size_of_features_does_not_matter():
    plain, large, small = (InfiniteNetClassifier(optimizer=None).fit(scale * X, y) for scale in (1.0, 1e8, 1e-8))
    assert_allclose(large.predict_log_proba(1e8 * NEW), plain.predict_log_proba(NEW), rtol=1e-6)
    assert_allclose(small.predict_log_proba(1e-8 * NEW), plain.predict_log_proba(NEW), rtol=1e-6)


def test_huge_features_as_they_are():
    model = InfiniteNetClassifier(MLP(1, "rbf"), optimizer=None, feature_scaling=None).fit(1e8 * X, y)
    assert_probabilities(model, 1e8 * X, 3)
    model = InfiniteNetClassifier(optimizer=None, feature_scaling=None).fit(1e8 * np.r_[X, X], np.r_[y, y])
    assert model.jitter_ == 0.0  # equal rows are one
    assert_probabilities(model, 1e8 * X, 3)
    with pytest.raises(ValueError, match=r"features are too large for this network.*StandardScaler"):
        model.fit(1e160 * X, y)


def test_lists_and_other_types_are_taken():
    expected = InfiniteNetClassifier(optimizer=None).fit(X, y).predict_log_proba(NEW)
    taken = [(X.tolist(), y.tolist()), (np.asfortranarray(X), y.astype(float)), (X.astype(object), y.astype(np.int8))]
    for inputs, label in taken:
        model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
        assert_allclose(model.predict_log_proba(NEW.tolist()), expected, rtol=1e-10)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model.fit(X, y[:, None])
    assert_allclose(model.predict_log_proba(NEW), expected, rtol=1e-10)


def test_column_names():
    names = ["a", "b", "c", "d"]
    frame, label = pandas.DataFrame(X, columns=names), pandas.Series(y, dtype="category")
    model = InfiniteNetClassifier(optimizer=None).fit(frame, label, sample_weight=pandas.Series(np.ones(N)))
    assert_array_equal(model.feature_names_in_, names)
    assert_array_equal(model.classes_, [0, 1, 2])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict_proba(frame[names[::-1]])


# Without noise


DISTINCT = np.unique(X, axis=0, return_index=True)[1]


def test_noise_of_zero_interpolates():
    model = InfiniteNetClassifier(optimizer=None, noise_variance=0, calibration=None).fit(X[DISTINCT], y[DISTINCT])
    assert model.jitter_ == 0.0
    assert_allclose(model.predict_proba(X), softmax(np.eye(3)[y], axis=1), rtol=1e-7)
    calibrated = InfiniteNetClassifier(optimizer=None, noise_variance=0).fit(X[DISTINCT], y[DISTINCT])
    assert_probabilities(calibrated, NEW + 0.01, 3)
    assert calibrated.evidence_[0] > model.evidence_[0]


@pytest.mark.parametrize("activation", ["relu", "erf", "rbf"])
@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_calibration_without_noise_is_sure_of_training_rows(activation, limit):
    model = InfiniteNetClassifier(MLP(1, activation), limit=limit, optimizer=None, noise_variance=0)
    model.fit(X[DISTINCT], y[DISTINCT])
    assert model.jitter_ == 0.0
    proba = assert_probabilities(model, X, 3)
    assert model.score(X, y) == 1.0
    assert proba[np.arange(N), y].min() > 0.99


@pytest.mark.parametrize("row", range(0, 70, 10))
def test_contradictory_rows_without_noise_share(row):
    inputs, label = np.r_[X[DISTINCT], X[[row]]], np.r_[y[DISTINCT], (y[row] + 1) % 3]
    model = InfiniteNetClassifier(optimizer=None, noise_variance=0, calibration=None).fit(inputs, label)
    proba = assert_probabilities(model, X[[row]], 3)[0]
    assert_allclose(proba[[y[row], (y[row] + 1) % 3]], np.exp(0.5) / (2 * np.exp(0.5) + 1), rtol=1e-3)
    others = np.arange(len(X))[DISTINCT[row != DISTINCT]]
    assert_allclose(model.predict_proba(X[others]), softmax(np.eye(3)[y[others]], axis=1), rtol=1e-3)


# Data that are refused

BAD_DATA = [
    ("one class", X, np.ones(N), ValueError, r"the rows in use have one class only, 1.0: a classifier needs two"),
    ("one name", X, np.full(N, "red"), ValueError, "one class only, red: .* two classes or more"),
    ("one row", X[:1], y[:1], ValueError, "one class only"),
    ("numbers", X, X[:, 0] + 0.5, ValueError, "Unknown label type: continuous"),
    ("two outputs", X, np.c_[y, y], ValueError, r"y should be a 1d array, got an array of shape \(75, 2\)"),
    ("one-hot", X, np.eye(3)[y], ValueError, r"y should be a 1d array, got an array of shape \(75, 3\)"),
    ("nan in y", X, spoiled(y.astype(float), np.nan), ValueError, "Input y contains NaN"),
    ("no target", X, None, ValueError, "requires y"),
    ("too few targets", X, y[:-1], ValueError, "inconsistent numbers of samples"),
    ("nan in X", spoiled(X, np.nan), y, ValueError, "Input X contains NaN"),
    ("infinity in X", spoiled(X, np.inf), y, ValueError, "Input X contains infinity"),
    ("sparse X", scipy.sparse.csr_matrix(X), y, TypeError, "dense data is required"),
    ("one-dimensional X", X[:, 0], y, ValueError, "Expected 2D array"),
    ("no rows", X[:0], y[:0], ValueError, "0 sample"),
]


@pytest.mark.parametrize(
    ("inputs", "target", "error", "match"), [c[1:] for c in BAD_DATA], ids=[c[0] for c in BAD_DATA]
)
def test_data_that_are_refused(inputs, target, error, match):
    with pytest.raises(error, match=match):
        InfiniteNetClassifier(optimizer=None).fit(inputs, target)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(N), "[Ss]ample weights"),
        ((y == 1).astype(float), "the rows in use have one class only, .*1.*two classes or more"),
        (spoiled(np.ones(N), -1.0), "Negative values in data passed to `sample_weight`"),
        (spoiled(np.ones(N), np.nan), "sample_weight contains NaN"),
        (np.ones(N - 1), "sample_weight.shape"),
        (spoiled(np.ones(N), 1e-320), "weight is so small"),
    ],
    ids=["all zero", "one class left", "negative", "nan", "too few", "denormal"],
)
def test_weights_that_are_refused(weight, match):
    with pytest.raises(ValueError, match=match):
        InfiniteNetClassifier(optimizer=None).fit(X, y, sample_weight=weight)


ASK = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize(
    ("new", "match"),
    [
        (NEW[:, :-1], "X has 3 features, but InfiniteNetClassifier is expecting 4 features"),
        (spoiled(NEW, np.nan), "Input X contains NaN"),
        (spoiled(NEW, 1e300), "row 14 with itself is not finite.*Scale the features"),
        (NEW[:0], "0 sample"),
    ],
    ids=["features", "nan", "overflow", "no rows"],
)
def test_new_rows_that_are_refused(ask, new, match):
    model = InfiniteNetClassifier(optimizer=None).fit(X, y)
    with pytest.raises(ValueError, match=match):
        getattr(model, ask)(new)


# Parameters that are refused

BAD_PARAMETERS = [
    ({"limit": "NTK"}, ValueError, "limit must be 'nngp' or 'ntk', got 'NTK'"),
    ({"limit": None}, ValueError, "limit must be 'nngp' or 'ntk', got None"),
    ({"calibration": "sigmoid"}, ValueError, "calibration must be 'loo' or None, got 'sigmoid'"),
    ({"calibration": True}, ValueError, "calibration must be 'loo' or None, got True"),
    ({"optimizer": "adam"}, ValueError, "optimizer must be 'lml', 'loo', a callable or None, got 'adam'"),
    ({"network": "mlp"}, TypeError, "network must be a network .* got 'mlp'"),
    ({"noise_variance": -0.1}, ValueError, "noise_variance is a variance.*0 or larger, got -0.1"),
    ({"noise_variance": 0, "optimizer": "lml"}, ValueError, "noise_variance is a variance.*positive.*got 0"),
    ({"feature_scaling": "minmax"}, ValueError, "feature_scaling must be .*'standard'.* got 'minmax'"),
    *(
        ({"class_weight": {0: value}}, ValueError, "class_weight must be positive and finite for every class")
        for value in (0.0, -1.0, np.inf, np.nan)
    ),
    ({"class_weight": {9: 2.0}}, ValueError, r"The classes, \[0, 1, 2\], are not in class_weight"),
    ({"class_weight": "heavy"}, ValueError, "'class_weight' parameter.*'balanced'.*Got 'heavy'"),
    ({"class_weight": 3.0}, ValueError, "'class_weight' parameter.*Got 3.0"),
    ({"max_memory": "lots"}, ValueError, "max_memory must be a positive number of bytes or text.*got 'lots'"),
]


@pytest.mark.parametrize(("parameters", "error", "match"), BAD_PARAMETERS, ids=[str(p[0]) for p in BAD_PARAMETERS])
def test_parameters_that_are_refused(parameters, error, match):
    with pytest.raises(error, match=match):
        InfiniteNetClassifier(**({"optimizer": None} | parameters)).fit(X, y)


# Failures of fit


@pytest.mark.parametrize(("optimizer", "n_models"), [(None, 1), ("lml", 5)])
def test_too_little_memory_is_said_before_any_kernel(no_kernels, optimizer, n_models):
    no_kernels()
    needed = 8 * N**2 * (n_models + 2)  # and leave-one-out
    for max_memory in ("1KB", needed - 1):
        with pytest.raises(MemoryError, match=f"{N} rows needs {needed:,} bytes.*raise max_memory"):
            InfiniteNetClassifier(optimizer=optimizer, max_memory=max_memory).fit(X, y)
    with pytest.raises(AssertionError, match="the kernel was computed"):
        InfiniteNetClassifier(optimizer=optimizer, max_memory=needed).fit(X, y)


@pytest.mark.parametrize("ask", [*ASK, "loo_decision_function"])
def test_unfitted_model(ask):
    model = InfiniteNetClassifier(optimizer=None, max_memory=10)

    def answer():
        return getattr(model, ask)(*(() if ask.startswith("loo") else (NEW,)))

    with pytest.raises(NotFittedError):
        answer()
    with pytest.raises(MemoryError):
        model.fit(X, y)
    with pytest.raises(NotFittedError):  # a fit that failed is none
        answer()
    model.set_params(max_memory=None).fit(X, y)
    before = answer()
    assert np.isfinite(before).all()
    with pytest.raises(ValueError, match="one class only"):
        model.fit(X, np.zeros(N))
    assert_allclose(answer(), before, rtol=1e-15)  # the model of before, classes and all
