"""What NNGPRegressor takes, what it refuses and in which words, and the state a failure leaves behind."""

import sys
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgError, LinAlgWarning
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError

from infwidth import NNGPRegressor
from infwidth._engine.engine import ProgramSource
from infwidth._runtime import threads
from infwidth.networks import MLP

X, y = (a[:100] for a in load_diabetes(return_X_y=True))
NEW = load_diabetes().data[100:120]


def spoiled(array, value):
    array = array.copy()
    array[-1] = value
    return array


# Data that are small or degenerate


def test_one_row():
    model = NNGPRegressor(optimizer=None, noise_variance=0.2).fit(X[:1], y[:1])
    assert_allclose(model.predict(NEW), y[0], rtol=1e-12)
    mean, std = model.loo_predict()
    prior = model.network_.diag(np.zeros_like(X[:1]))  # a row alone is its own mean, and nothing is known without it
    assert_allclose(mean, y[0], rtol=1e-12)
    assert_allclose(std, np.sqrt(prior + 0.2), rtol=1e-12)


def test_one_row_by_hand():
    network = MLP(depth=1)
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.2, normalize_y=False, feature_scaling=None).fit(
        X[:1], y[:1]
    )
    weight = network.nngp(NEW, X[:1])[:, 0] / (network.diag(X[:1]) + 0.2)
    assert_allclose(model.predict(NEW), weight * y[0], rtol=1e-12)


def test_one_feature():
    model = NNGPRegressor(optimizer=None, noise_variance=0.2, normalize_y=False, feature_scaling=None).fit(X[:, :1], y)
    network = MLP()
    alpha = np.linalg.solve(network.nngp(X[:, :1]) + 0.2 * np.eye(len(X)), y)
    assert_allclose(model.predict(NEW[:, :1]), network.nngp(NEW[:, :1], X[:, :1]) @ alpha, rtol=1e-8)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e9])
def test_value_of_a_constant_feature_does_not_matter(constant):
    def with_column(A, value):
        return np.c_[A, np.full(len(A), value)]

    plain = NNGPRegressor(optimizer=None).fit(with_column(X, 1.0), y)
    model = NNGPRegressor(optimizer=None).fit(with_column(X, constant), y)
    assert_allclose(model.predict(with_column(NEW, constant)), plain.predict(with_column(NEW, 1.0)), rtol=1e-9)


def test_constant_target():
    model = NNGPRegressor(optimizer=None).fit(X, np.full(len(X), 3.7))
    mean, std = model.predict(NEW, return_std=True)
    assert_allclose(mean, 3.7, rtol=1e-12)
    assert np.all(std > np.sqrt(0.1))
    assert_allclose(model.loo_predict()[0], 3.7, rtol=1e-12)


def test_noise_of_zero_interpolates():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NNGPRegressor(optimizer=None, noise_variance=0).fit(X, y)
    assert model.jitter_ == 0.0
    assert_allclose(model.predict(X), y, rtol=1e-8)
    assert np.all(model.predict_std(X) < 1e-5 * model.predict_std(NEW).min())
    cov = model.predict(X, return_cov=True)[1]
    assert np.all(np.abs(cov) < 1e-9 * model.y_std_**2)


def test_duplicate_rows_without_noise_warn_and_interpolate():
    with pytest.warns(LinAlgWarning, match="added to its diagonal.*noise_variance"):
        model = NNGPRegressor(optimizer=None, noise_variance=0).fit(np.r_[X, X], np.r_[y, y])
    assert 0 < model.jitter_ < 1e-4
    assert_allclose(model.predict(X), y, rtol=1e-4)


@pytest.mark.parametrize("row", range(12))
def test_contradictory_targets_without_noise_warn_and_give_their_mean(row):
    doubled, targets = np.r_[X[:50], X[[row]]], np.r_[y[:50], y[row] + 100.0]
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        model = NNGPRegressor(optimizer=None, noise_variance=0).fit(doubled, targets)
    assert_allclose(model.predict(X[[row]]), y[row] + 50.0, rtol=1e-3)
    others = np.arange(50) != row
    assert_allclose(model.predict(X[:50][others]), y[:50][others], rtol=1e-3)


def test_zero_rows_are_inputs_like_others():
    with_zero = np.r_[X, np.zeros((1, X.shape[1]))]
    model = NNGPRegressor(optimizer=None, feature_scaling=None).fit(with_zero, np.r_[y, 100.0])
    assert np.isfinite(model.predict(with_zero, return_std=True)).all()


def test_lists_integers_and_float32_are_taken():
    expected = NNGPRegressor(optimizer=None).fit(X, y).predict(NEW)
    assert_allclose(
        NNGPRegressor(optimizer=None).fit(X.tolist(), y.tolist()).predict(NEW.tolist()), expected, rtol=1e-11
    )
    assert_allclose(NNGPRegressor(optimizer=None).fit(X, y.astype(int)).predict(NEW), expected, rtol=1e-11)
    columns = NNGPRegressor(optimizer=None).fit(np.asfortranarray(X), y).predict(np.asfortranarray(NEW))
    assert_allclose(columns, expected, rtol=1e-11)
    single = (
        NNGPRegressor(optimizer=None).fit(X.astype(np.float32), y.astype(np.float32)).predict(NEW.astype(np.float32))
    )
    assert single.dtype == np.float64
    assert_allclose(single, expected, rtol=1e-4)


def test_data_are_not_written_to():
    frozen_X, frozen_y, weight = X.copy(), y.copy(), np.linspace(0, 1, len(y))
    for array in (frozen_X, frozen_y, weight):
        array.flags.writeable = False
    NNGPRegressor(optimizer=None, feature_scaling=None, normalize_y=False).fit(frozen_X, frozen_y, weight).predict(
        frozen_X
    )
    assert_array_equal(frozen_X, X)


def test_column_names():
    names = load_diabetes().feature_names
    frame, new = pandas.DataFrame(X, columns=names), pandas.DataFrame(NEW, columns=names)
    model = NNGPRegressor(optimizer=None).fit(frame, pandas.Series(y), sample_weight=pandas.Series(np.ones(len(y))))
    assert_array_equal(model.feature_names_in_, names)
    assert_allclose(model.predict(new), NNGPRegressor(optimizer=None).fit(X, y).predict(NEW), rtol=1e-11)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(new[names[::-1]])


# Data that are refused

BAD_DATA = [
    ("nan in X", spoiled(X, np.nan), y, ValueError, "Input X contains NaN"),
    ("infinity in X", spoiled(X, np.inf), y, ValueError, "Input X contains infinity"),
    ("nan in y", X, spoiled(y, np.nan), ValueError, "Input y contains NaN"),
    ("infinity in y", X, spoiled(y, -np.inf), ValueError, "Input y contains infinity"),
    ("text in X", spoiled(X.astype(object), "red"), y, ValueError, r"X has text in columns .* \('red'\)"),
    ("text in y", X, spoiled(y.astype(object), "red"), ValueError, r"y has text \('red'\)"),
    ("sparse X", scipy.sparse.csr_matrix(X), y, TypeError, "dense data is required"),
    ("sparse y", X, scipy.sparse.csr_matrix(y[:, None]), TypeError, "dense"),
    ("complex X", X + 1j, y, ValueError, "Complex data not supported"),
    ("one-dimensional X", X[:, 0], y, ValueError, "Expected 2D array"),
    ("three-dimensional y", X, y[:, None, None], ValueError, "dim 3"),
    ("no rows", X[:0], y[:0], ValueError, "0 sample"),
    ("no features", X[:, :0], y, ValueError, "0 feature"),
    ("too few targets", X, y[:-1], ValueError, "inconsistent numbers of samples"),
    ("no target", X, None, ValueError, "requires y"),
]


@pytest.mark.parametrize(
    ("inputs", "target", "error", "match"), [c[1:] for c in BAD_DATA], ids=[c[0] for c in BAD_DATA]
)
def test_data_that_are_refused(inputs, target, error, match):
    with pytest.raises(error, match=match):
        NNGPRegressor(optimizer=None).fit(inputs, target)


@pytest.mark.parametrize(
    ("new", "match"),
    [
        (NEW[:, :-1], "X has 9 features, but NNGPRegressor is expecting 10 features"),
        (spoiled(NEW, np.nan), "Input X contains NaN"),
        (spoiled(NEW, np.inf), "Input X contains infinity"),
        (spoiled(NEW, 1e300), "row 19 with itself is not finite.*Scale the features"),
        (NEW[0], "Expected 2D array"),
        (NEW[:0], "0 sample"),
    ],
    ids=["features", "nan", "infinity", "overflow", "one-dimensional", "no rows"],
)
def test_new_rows_that_are_refused(new, match):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    for ask in (model.predict, model.predict_std, model.sample_y):
        with pytest.raises(ValueError, match=match):
            ask(new)


def test_features_too_large_for_the_network():
    with pytest.raises(ValueError, match=r"features are too large for this network.*StandardScaler"):
        NNGPRegressor(optimizer=None, feature_scaling=None).fit(1e160 * X, y)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(100), "weight"),
        (spoiled(np.ones(100), -1.0), "Negative values in data passed to `sample_weight`"),
        (spoiled(np.ones(100), np.nan), "sample_weight contains NaN"),
        (np.ones(99), "sample_weight.shape"),
        (np.ones((100, 2)), "[Ss]ample weights must be 1D"),
        (spoiled(np.ones(100), 1e-320), "weight is so small"),
    ],
    ids=["all zero", "negative", "nan", "too few", "two-dimensional", "denormal"],
)
def test_weights_that_are_refused(weight, match):
    with pytest.raises(ValueError, match=match):
        NNGPRegressor(optimizer=None).fit(X, y, sample_weight=weight)


# Parameters that are refused

BAD_PARAMETERS = [
    ({"network": "mlp"}, TypeError, r"network must be a network .* got 'mlp'"),
    ({"network": MLP}, TypeError, r"network must be a network .* got the class MLP"),
    ({"network": MLP(depth=0)}, ValueError, "depth is the number of hidden layers.*got 0"),
    ({"network": MLP(activation="rleu")}, ValueError, "unknown activation 'rleu'; the names are"),
    ({"network": MLP(weight_variance=-1.0)}, ValueError, "weight_variance is a variance"),
    ({"network": MLP(input_variance=np.ones(3))}, ValueError, "X has 10 features"),
    ({"noise_variance": -0.1}, ValueError, "noise_variance is a variance.*0 or larger, got -0.1"),
    ({"noise_variance": np.nan}, ValueError, "noise_variance is a variance.*got nan"),
    ({"noise_variance": None}, ValueError, "noise_variance is a variance.*got None"),
    ({"noise_variance": np.ones(100)}, ValueError, "noise_variance is a variance"),
    ({"feature_scaling": "minmax"}, ValueError, "feature_scaling must be .*'standard'.* got 'minmax'"),
    ({"feature_scaling": True}, ValueError, "feature_scaling must be .*got True"),
    ({"solver": "lu"}, ValueError, "solver must be .*'cholesky'.*got 'lu'"),
    ({"max_memory": "lots"}, ValueError, "max_memory must be a positive number of bytes or text.*got 'lots'"),
    ({"max_memory": -1}, ValueError, "max_memory must be .*got -1"),
    ({"n_jobs": 0}, ValueError, "n_jobs"),
    ({"n_jobs": 1.5}, (TypeError, ValueError), "n_jobs"),
    ({"n_jobs": "all"}, (TypeError, ValueError), "n_jobs"),
]


@pytest.mark.parametrize(("parameters", "error", "match"), BAD_PARAMETERS, ids=[str(p[0]) for p in BAD_PARAMETERS])
def test_parameters_that_are_refused(parameters, error, match, monkeypatch):
    monkeypatch.setattr(threads, "_limits", threads._BlasLimits())  # should a failure spoil them, then these
    with pytest.raises(error, match=match):
        NNGPRegressor(optimizer=None, **parameters).fit(X, y)
    NNGPRegressor(optimizer=None, n_jobs=2).fit(X, y)  # the process is as good as before


def test_std_and_covariance_together():
    model = NNGPRegressor(optimizer=None).fit(X, y)
    with pytest.raises(ValueError, match="return_std or for return_cov"):
        model.predict(NEW, return_std=True, return_cov=True)


def test_verbose_shows_the_progress_of_fit(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)  # lines, where tqdm is not installed
    NNGPRegressor(optimizer=None).fit(X, y)
    assert capsys.readouterr() == ("", "")
    NNGPRegressor(optimizer=None, verbose=True).fit(X, y)
    assert "Cholesky factorisation: 1/1" in capsys.readouterr().err


# Failures of fit


def test_too_little_memory_is_said_before_any_kernel(no_kernels):
    no_kernels()
    needed = 8 * len(X) ** 2
    with pytest.raises(MemoryError, match=f"100 rows needs {needed:,} bytes.*raise max_memory"):
        NNGPRegressor(optimizer=None, max_memory=needed - 1).fit(X, y)
    with pytest.raises(AssertionError, match="the kernel was computed"):
        NNGPRegressor(optimizer=None, max_memory=needed).fit(X, y)


def test_indefinite_kernel_names_the_noise(monkeypatch):
    def fill(self, tiles):
        for i0, j0, tile in tiles:
            tile[:] = -np.eye(*tile.shape) if i0 == j0 else 0.0

    monkeypatch.setattr(ProgramSource, "fill", fill)
    with (
        pytest.warns(LinAlgWarning, match="not positive definite"),
        pytest.raises(LinAlgError, match="raise noise_variance"),
    ):
        NNGPRegressor(optimizer=None, noise_variance=0.1).fit(X, y)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.predict(NEW),
        lambda model: model.predict_std(NEW),
        lambda model: model.sample_y(NEW),
        lambda model: model.loo_predict(),
        lambda model: model.log_marginal_likelihood(),
    ],
    ids=["predict", "predict_std", "sample_y", "loo_predict", "log_marginal_likelihood"],
)
def test_unfitted_model(ask):
    model = NNGPRegressor(optimizer=None, max_memory=10)
    with pytest.raises(NotFittedError):
        ask(model)
    with pytest.raises(MemoryError):
        model.fit(X, y)
    with pytest.raises(NotFittedError):  # a fit that failed is none
        ask(model)


def test_failed_fit_does_not_mix_two_models():
    model = NNGPRegressor(optimizer=None, max_memory=8 * len(X) ** 2).fit(X, y)
    expected = model.predict(NEW)
    with pytest.raises(MemoryError):
        model.fit(100.0 + 50.0 * np.r_[X, X], 1e3 * np.r_[y, y])
    try:
        actual = model.predict(NEW)
    except NotFittedError:
        return  # as good: there is no model then
    assert_allclose(actual, expected, rtol=1e-11)
