"""Rows that are added to a fitted model, against a model that is given all of them with the same variances."""

from copy import deepcopy
from functools import cache, partial, partialmethod

import numpy as np
import pytest
from ntk_cases import close, everything
from numpy.testing import assert_array_equal
from scipy.linalg import LinAlgWarning
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError

from infwidth import NNGPRegressor, NTKRegressor
from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.tiles import TILE
from infwidth.networks import MLP

X, y = make_friedman1(100, n_features=5, noise=0.3, random_state=0)
X[70:80] = X[:10]  # equal rows, in other calls
NEW = make_friedman1(12, n_features=5, random_state=1)[0]
Y = np.c_[y, np.sin(y) + 100.0 * X[:, 0]]
WEIGHT = np.arange(1, 101) % 4 / 2.0
CALLS = [slice(0, 60), slice(60, 61), slice(61, 75), slice(75, 100)]
NETWORK = MLP(1, "erf")
EXACT = {
    "learned": NNGPRegressor(NETWORK),
    "leave-one-out": NNGPRegressor(NETWORK, optimizer="loo", prior_std=0.5, feature_scaling="power"),
    "ard": NNGPRegressor(MLP(1, ard=True), feature_scaling="standard"),
    "as given": NNGPRegressor(NETWORK, optimizer=None, feature_scaling=None, normalize_y=False),
    "ntkgp": NTKRegressor(NETWORK, posterior="ntkgp"),
    "ensemble": NTKRegressor(NETWORK),
    "time": NTKRegressor(NETWORK, optimizer=None, training_time=20.0),
    "validation": NTKRegressor(NETWORK, optimizer=None, training_time="validation", random_state=0),
    "steps": NTKRegressor(NETWORK, optimizer=None, training_time=20.0, learning_rate=0.5, momentum=0.5),
}
NEIGHBOURS = {
    "neighbours": NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=20),
    "neighbours, ntkgp": NTKRegressor(NETWORK, optimizer=None, posterior="ntkgp", solver="neighbours", n_neighbours=20),
}
TARGETS = {"one output": (y, None), "one column": (Y[:, :1], WEIGHT), "two outputs": (Y, None), "weights": (Y, WEIGHT)}
exact = pytest.mark.parametrize("name", EXACT)
models = pytest.mark.parametrize("name", EXACT | NEIGHBOURS)
targets = pytest.mark.parametrize("case", TARGETS)


@cache
def grown(name, case="one output", n_calls=None):
    """A model that has learned from the rows of the first call, and was given those of the others."""
    return called((EXACT | NEIGHBOURS)[name], *TARGETS[case], CALLS[:n_calls])


def called(model, target, weight=None, calls=CALLS):
    model = clone(model)
    for rows in calls:
        model.partial_fit(X[rows], target[rows], None if weight is None else weight[rows])
    return model


def given_all(model, target, weight=None, rows=slice(None)):
    """A new model with the variances and the scalings of one, given all rows: in the units of that one's inside."""
    options = {"feature_scaling": None, "normalize_y": False, "optimizer": None}
    if isinstance(model, NTKRegressor):
        options["training_time"] = model.training_time_
    given = clone(model).set_params(network=model.network_, noise_variance=model.noise_variance_, **options)
    weight = None if weight is None else weight[rows]
    return given.fit(scaled(model, X[rows]), (target[rows] - model.y_mean_) / model.y_std_, weight)


def scaled(model, inputs):
    return inputs if model.feature_scaler_ is None else model.feature_scaler_.transform(inputs)


def in_units_of(model, given):
    """Mean, standard deviations, covariance and leave-one-out of the other, as this one gives them."""
    mean, cov = given.predict(scaled(model, NEW), return_cov=True)
    std, latent = (given.predict_std(scaled(model, NEW), noise) for noise in (True, False))
    unit = model.y_std_ if mean.ndim == 2 else model.y_std_[0]
    answers = [mean * unit + model.y_mean_, std * unit, latent * unit, cov * unit**2]
    if has_leave_one_out(model):
        for noise in (True, False):
            mean, std = given.loo_predict(noise)
            answers += [mean * unit + model.y_mean_, std * unit]
    return answers


def has_leave_one_out(model):
    ended = np.isinf(getattr(model, "training_time_", np.inf)) and getattr(model, "learning_rate", None) is None
    return ended or getattr(model, "posterior", "") == "ntkgp"


def answers(model):
    """The same of the model itself."""
    mean, cov = model.predict(NEW, return_cov=True)
    found = [mean, model.predict_std(NEW), model.predict_std(NEW, include_noise=False), cov]
    return found + ([*model.loo_predict(), *model.loo_predict(include_noise=False)] if has_leave_one_out(model) else [])


@models
@targets
def test_all_answers_are_those_given_all_rows(name, case):
    model, (target, weight) = grown(name, case), TARGETS[case]
    for mine, expected in zip(answers(model), in_units_of(model, given_all(model, target, weight)), strict=True):
        assert mine.shape == expected.shape
        close(mine, expected)


@models
@targets
def test_samples(name, case):
    model, (target, weight) = grown(name, case), TARGETS[case]
    samples = model.sample_y(NEW[:4], 3, random_state=0)
    expected = given_all(model, target, weight).sample_y(scaled(model, NEW[:4]), 3, random_state=0)
    unit = model.y_std_ if target.ndim == 1 else model.y_std_[:, None]
    close(samples, expected * unit + model.y_mean_.reshape(unit.shape), rtol=1e-7)


@models
@pytest.mark.parametrize("case", ["one output", "two outputs"])
def test_what_was_learned_stays(name, case):
    first, model = grown(name, case, n_calls=1), grown(name, case)
    assert model.network_ == first.network_
    for kept in ("noise_variance_", "evidence_", "network_weights_", "y_mean_", "y_std_", "solver_", "converged_"):
        assert_array_equal(getattr(model, kept), getattr(first, kept))
    assert getattr(model, "training_time_", None) == getattr(first, "training_time_", None)
    assert_array_equal(scaled(model, NEW), scaled(first, NEW))


@exact
@targets
def test_evidence_is_that_of_all_rows(name, case):
    model, (target, weight) = grown(name, case), TARGETS[case]
    given = given_all(model, target, weight)
    close(model.log_marginal_likelihood_value_, given.log_marginal_likelihood_value_)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    close(value, given.log_marginal_likelihood_value_)
    close(gradient, given.log_marginal_likelihood(eval_gradient=True)[1], rtol=1e-7)
    close(model.feature_relevance_, given.feature_relevance_)


@pytest.mark.parametrize("name", ["time", "ensemble"])
def test_training_of_all_rows(name):
    model = grown(name)
    given = given_all(model, y)
    stages = zip(
        model.staged_predict(NEW, [1.0, 50.0]), given.staged_predict(scaled(model, NEW), [1.0, 50.0]), strict=True
    )
    for mine, expected in stages:
        close(mine, expected * model.y_std_ + model.y_mean_)
    close(model.training_loss([1.0, 50.0]), given.training_loss([1.0, 50.0]) * model.y_std_**2)
    close(model.max_learning_rate(), given.max_learning_rate(), rtol=1e-6)


@pytest.mark.parametrize("kind", [NNGPRegressor, NTKRegressor])
@targets
def test_averaged_networks(kind, case):
    target, weight = TARGETS[case]
    model = called(kind(random_state=0), target, weight)
    weights = model.network_weights_[model.network_weights_ > 0]
    components = model._mixture.components
    assert len(weights) == len(components) > 1
    unit = model.y_std_ if target.ndim == 2 else model.y_std_[0]
    means, squares = [], []
    for component in components:
        options = {"optimizer": None, "feature_scaling": None, "normalize_y": False}
        part = kind(component.model.network, noise_variance=component.noise_variance, **options)
        part.fit(component.scaler.transform(X), (target - model.y_mean_) / model.y_std_, weight)
        laws = [part.predict(component.scaler.transform(NEW), return_std=True), part.loo_predict()]
        means.append([mean * unit + model.y_mean_ for mean, _ in laws])
        squares.append([(std * unit) ** 2 + mean**2 for (_, std), mean in zip(laws, means[-1], strict=True)])
    for place, mine in enumerate((model.predict(NEW, return_std=True), model.loo_predict())):
        mean = np.tensordot(weights, [own[place] for own in means], 1)
        second = np.tensordot(weights, [own[place] for own in squares], 1)
        close(mine[0], mean)
        close(mine[1], np.sqrt(second - mean**2), rtol=1e-7)


@exact
@pytest.mark.parametrize("tile", [7, 60, 64])
def test_results_do_not_depend_on_tiles(name, tile, monkeypatch):
    expected = everything(grown(name, "weights"), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))
    monkeypatch.setattr(Cholesky, "appended", partialmethod(Cholesky.appended, tile=tile))
    for mine, whole in zip(everything(called(EXACT[name], Y, WEIGHT), NEW), expected, strict=True):
        close(mine, whole)


def test_one_row_at_a_time_makes_no_tiles_of_one_row():
    calls = [slice(row, row + 1) for row in range(100)]
    model = called(EXACT["as given"], y, calls=calls)
    assert len(X) < TILE
    assert model._mixture.components[0].posterior.tiles.n_blocks == 1
    for mine, expected in zip(answers(model), in_units_of(model, given_all(model, y)), strict=True):
        close(mine, expected)


def test_nothing_is_factored_again(monkeypatch):
    model = deepcopy(grown("learned", n_calls=1))
    monkeypatch.setattr(Cholesky, "of", None)
    assert np.isfinite(model.partial_fit(X[60:], y[60:]).predict(NEW)).all()


def test_equal_rows_without_noise_take_jitter():
    model = NNGPRegressor(NETWORK, noise_variance=0.0, optimizer=None).fit(X[:40], y[:40])
    assert model.jitter_ == 0.0
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        model.partial_fit(X[40:90], y[40:90])
    assert model.jitter_ > 0.0
    with pytest.warns(LinAlgWarning):
        given = given_all(model, y, rows=slice(90))
    close(given.jitter_, model.jitter_)
    close(model.predict(NEW), in_units_of(model, given)[0], rtol=1e-6)
    jitter = model.jitter_
    model.partial_fit(X[90:], y[90:])
    assert model.jitter_ == jitter


def test_a_constant_output_begins_to_vary():
    target = Y.copy()
    target[:60, 1] = 7.0
    model = called(EXACT["learned"], target)
    for mine, expected in zip(answers(model), in_units_of(model, given_all(model, target)), strict=True):
        close(mine, expected)


@models
def test_a_first_call_is_a_fit(name):
    fitted = clone((EXACT | NEIGHBOURS)[name]).fit(X[CALLS[0]], y[CALLS[0]])
    for mine, expected in zip(answers(grown(name, n_calls=1)), answers(fitted), strict=True):
        assert_array_equal(mine, expected)


# What goes wrong

NOT_A_NUMBER = np.full(5, np.nan)
FAILURES = {
    "features": (ValueError, "X has 4 features, but NNGPRegressor is expecting 5", X[:5, :4], Y[:5], {}),
    "outputs": (ValueError, "y has 1 outputs, but NNGPRegressor was fitted with 2", X[:5], y[:5], {}),
    "NaN in X": (ValueError, "Input X contains NaN", np.full((5, 5), np.nan), Y[:5], {}),
    "NaN in y": (ValueError, "Input y contains NaN", X[:5], np.c_[y[:5], NOT_A_NUMBER], {}),
    "text": (ValueError, "y has text", X[:5], np.full((5, 2), "high"), {}),
    "lengths": (ValueError, "inconsistent numbers of samples", X[:5], Y[:4], {}),
    "no row": (ValueError, "0 sample", X[:0], Y[:0], {}),
    "parameter": (ValueError, "n_restarts_optimizer must be", X[:5], Y[:5], {"n_restarts_optimizer": -1}),
    "memory": (
        MemoryError,
        "adding 5 rows, 105 in all, needs .* Nothing was allocated",
        X[:5],
        Y[:5],
        {"max_memory": 99},
    ),
    "too large": (ValueError, "features are too large for this network", np.full((5, 5), 1e200), Y[:5], {}),
}


@pytest.mark.parametrize(("kind", "match", "inputs", "target", "parameters"), FAILURES.values(), ids=FAILURES)
def test_a_call_that_fails_loses_nothing(kind, match, inputs, target, parameters):
    model = deepcopy(grown("as given", "two outputs"))
    before, attributes = answers(model), dict(vars(model))
    original = {name: getattr(model, name) for name in parameters}
    with pytest.raises(kind, match=match):
        model.set_params(**parameters).partial_fit(inputs, target)
    model.set_params(**original)
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert vars(model).keys() == attributes.keys()
    for mine, expected in zip(answers(model), before, strict=True):
        assert_array_equal(mine, expected)


@pytest.mark.parametrize(("weight", "match"), [(np.zeros(5), "zero"), (-np.ones(5), "Negative")])
def test_weights_that_make_no_sense(weight, match):
    model = deepcopy(grown("as given"))
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X[:5], y[:5], weight)
    assert len(model.loo_predict()[0]) == len(X)


def test_a_first_call_that_fails_leaves_nothing():
    model = NNGPRegressor(NETWORK, max_memory=99)
    with pytest.raises(MemoryError):
        model.partial_fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
