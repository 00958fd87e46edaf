"""Weights of rows: what they mean, rows of next to no weight, no noise; and targets of any size."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import LinAlgWarning

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

X = np.random.default_rng(0).standard_normal((40, 3))
y = X[:, 0] + 0.1 * np.random.default_rng(1).standard_normal(40)
REGRESSORS = [
    NNGPRegressor(MLP(), optimizer=None),
    NTKRegressor(MLP(), optimizer=None),
    NTKRegressor(MLP(), posterior="ntkgp", optimizer=None),
]
regressors = pytest.mark.parametrize("model", REGRESSORS, ids=["nngp", "ensemble", "ntkgp"])


@regressors
@pytest.mark.parametrize("weight", [1e-3, 1e-8, 1e-16, 1e-100, 1e-200])
def test_leave_one_out_of_a_faint_row_is_refitting(model, weight):
    weights = np.where(np.arange(40) == 7, weight, 1.0)
    model.set_params(feature_scaling=None, normalize_y=False)
    mean, std = model.fit(X, y, sample_weight=weights).loo_predict(include_noise=False)
    rest = np.arange(40) != 7
    model.fit(X[rest], y[rest])
    assert_allclose(mean[7], model.predict(X[7:8])[0], rtol=1e-9)
    assert_allclose(std[7], model.predict_std(X[7:8], include_noise=False)[0], rtol=1e-7)


def test_leave_one_out_of_a_faint_row_of_a_classifier():
    weights = np.where(np.arange(40) == 7, 1e-200, 1.0)
    model = InfiniteNetClassifier(MLP(), optimizer=None).fit(X, y > 0, sample_weight=weights)
    assert_allclose(model.loo_decision_function()[7], model.decision_function(X[7:8])[0], rtol=1e-6)


@pytest.mark.parametrize("model", [*REGRESSORS, InfiniteNetClassifier(MLP(), optimizer=None)], ids=str)
@pytest.mark.parametrize("total", [1.0, 1000.0])
def test_weights_that_are_no_counts_are_reported(model, total):
    with pytest.warns(UserWarning, match=r"counts as w rows.*sample_weight \* len\(y\) / sample_weight.sum\(\)"):
        model.fit(X, y > 0, sample_weight=np.full(40, total / 40))


@regressors
def test_without_noise_weights_are_those_of_the_limit(model):
    """Two rows with equal inputs count as their weighted mean, jitter or not."""
    model.set_params(feature_scaling="standard", normalize_y=True, noise_variance=0.0)
    with pytest.warns(LinAlgWarning):
        model.fit([[1.0], [1.0], [2.0]], [0.0, 1.0, 1.0], sample_weight=[1.0, 9.0, 1.0])
    assert_allclose(model.predict([[1.0]]), 0.9, atol=1e-5)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    assert_allclose(value, model.log_marginal_likelihood(), rtol=1e-6)
    assert np.isfinite(gradient).all()
    assert gradient[-1] == 0.0
    model.set_params(noise_variance=0.1)


@regressors
@pytest.mark.parametrize("unit", [1e-280, 1e-165, 1e154, 1e280])
def test_targets_of_any_size(model, unit):
    model.set_params(feature_scaling="standard", normalize_y=True)
    expected = model.fit(X, y).predict(X, return_std=True)
    for ours, theirs in zip(model.fit(X, unit * y).predict(X, return_std=True), expected, strict=True):
        assert_allclose(ours / unit, theirs, rtol=1e-9)


@pytest.mark.parametrize("model", [REGRESSORS[0], REGRESSORS[2]], ids=["nngp", "ntkgp"])
def test_a_variance_is_never_below_rounding(model):
    model.set_params(feature_scaling="standard", normalize_y=True, noise_variance=0.0)
    _, std = model.fit(X, y).predict(X, return_std=True)
    _, covariance = model.predict(X, return_cov=True)
    assert np.all(std > 0)
    assert_allclose(np.sqrt(np.diag(covariance)), std, rtol=0.1, atol=1e-7)
    model.set_params(noise_variance=0.1)
