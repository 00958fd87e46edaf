"""Targets of which few differ: the noise does not vanish for the sake of equal numbers."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from infwidth import NNGPRegressor, NTKRegressor
from infwidth._data.targets import least_noise
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP


def one_in_a_hundred(n, rng):
    X, y = rng.standard_normal((n, 4)), np.zeros(n)
    y[::100] = 1.0
    return X, y


def zero_inflated(n, rng):
    X = rng.standard_normal((n, 5))
    return X, rng.poisson(np.exp(0.8 * X[:, 0] - 0.5 * X[:, 1])) * (rng.random(n) > 0.95).astype(float)


def of_a_rule(n, rng):
    X = rng.standard_normal((n, 5))
    return X, (X[:, 0] * X[:, 1] > 1.0).astype(float)


def gain(model, table, n, seed):
    """Mean log density of new rows, less that of a normal distribution with the mean and the std of y."""
    X, y = table(n + 1000, np.random.default_rng(seed))
    mean, std = model.fit(X[:n], y[:n]).predict(X[n:], return_std=True)
    return np.mean(norm.logpdf(y[n:], mean, std) - norm.logpdf(y[n:], y[:n].mean(), y[:n].std()))


@pytest.mark.parametrize(
    "ask",
    [
        NNGPRegressor,
        partial(NNGPRegressor, MLP(2, ard=True), optimizer="loo"),
        partial(NTKRegressor, posterior="ntkgp"),
    ],
    ids=["nngp", "loo", "ntk"],
)
@pytest.mark.parametrize(("table", "n"), [(one_in_a_hundred, 100), (one_in_a_hundred, 300), (zero_inflated, 300)])
@pytest.mark.parametrize("seed", [0, 2])
def test_not_much_worse_than_a_constant(ask, table, n, seed):
    """Without a bound it is 10 to 100,000 worse; a loss of less than 1 is a model that has learned from too few."""
    assert gain(ask(random_state=0), table, n, seed) > -1.0


def test_a_rule_is_still_found():
    assert gain(NNGPRegressor(random_state=0), of_a_rule, 300, 0) > 0.8


def test_the_bound_is_the_variance_over_the_rows_that_differ():
    y, one = np.zeros(50), np.ones(50)
    y[:4] = [1.0, 2.0, -3.0, 1.0]
    assert_allclose(least_noise(y, one), y.var() / 4)
    assert_allclose(least_noise(10.0 * y + 7.0, one), 100.0 * y.var() / 4)
    weight = np.where(np.arange(50) < 4, 10.0, 1.0)  # the rows that differ, ten times
    repeated = np.repeat(y, weight.astype(int))
    assert_allclose(least_noise(y, weight), repeated.var() / 40)
    assert least_noise(np.arange(50.0), one) == least_noise(one, one) == 0.0
    assert least_noise(np.repeat([0.0, 1.0], 25), one) == 0.0  # no more than half


def test_each_output_has_its_bound():
    rng = np.random.default_rng(0)
    X, few = one_in_a_hundred(100, rng)
    model = NNGPRegressor(MLP(1, "rbf")).fit(X, np.c_[few, np.sin(X[:, 0]), np.ones(100)])
    assert model.noise_variance_[0] >= 1.0  # the variance of y, over one row
    assert model.noise_variance_[1] == model.noise_variance_[2] < 0.01
    given = NNGPRegressor(MLP(1, "rbf"), noise_variance=1e-6, optimizer=None).fit(X, few)
    assert given.noise_variance_ == 1e-6


def test_evidence_of_equal_targets_weighs_less():
    X, y = zero_inflated(300, np.random.default_rng(0))
    model = NNGPRegressor(random_state=0).fit(X, y)
    merits = model.evidence_ - [len(NNGPKernel(network).theta) for network in model.networks_]
    informative = (np.count_nonzero(y) + 1) / 300
    assert informative < 0.2
    used = model.network_weights_ > 0
    assert np.ptp(merits[used]) > 0.1
    logs = np.log(model.network_weights_[used])
    assert_allclose(logs - logs[0], informative * (merits[used] - merits[0]) / 10, rtol=1e-9, atol=1e-12)
