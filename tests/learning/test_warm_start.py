"""A warm start: learning goes on from what the last fit learned of the same network."""

import numpy as np
import pytest
from learning_cases import NETWORK, SCALINGS, X, fit_counted, y
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning

from infwidth import NNGPRegressor
from infwidth.activations import LeakyReLU
from infwidth.networks import MLP
from infwidth.networks.theta import theta_of

# --- a warm start


@pytest.mark.parametrize("network", [NETWORK, None], ids=["one network", "average"])
def test_warm_start_on_the_same_data(evaluated, network):
    model = NNGPRegressor(network, warm_start=True, random_state=0)
    first = fit_counted(model, evaluated, X, y)
    cold = NNGPRegressor(network, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), cold.predict(X), rtol=1e-9)  # there was nothing to start from
    learned, noise, mean = model.networks_, model.noise_variance_, model.predict(X)
    for _ in range(2):  # the prior stays where it was, so nothing drifts
        again = fit_counted(model, evaluated, X, y)
        assert len(again) < 0.3 * len(first)  # those that were only screened go on
        assert_allclose(model.noise_variance_, noise, rtol=0.02)
        assert_allclose(model.predict(X), mean, rtol=1e-3)
        assert len(model.networks_) == len(learned)
        assert model.converged_
    assert again[0][0].activation == learned[0].activation


def test_warm_start_on_more_data(evaluated):
    """Data that arrive in parts: learning goes on from the last part."""
    more, target = make_friedman1(80, n_features=6, noise=0.3, random_state=0)
    model = NNGPRegressor(NETWORK, warm_start=True).fit(more[:60], target[:60])
    learned, noise = model.network_, model.noise_variance_
    warm = fit_counted(model, evaluated, more, target)
    assert_allclose(theta_of(warm[0][0]), theta_of(learned), rtol=1e-14, atol=1e-14)  # exp(log v) is v to rounding
    assert_allclose(warm[0][1], noise)
    cold = NNGPRegressor(NETWORK)
    assert len(warm) < len(fit_counted(cold, evaluated, more, target))
    as_before = {
        "noise_variance": noise,
        "optimizer": None,
        "feature_scaling": SCALINGS[type(model.feature_scaler_).__name__],
    }
    before = NNGPRegressor(learned, **as_before).fit(more, target)
    assert model.log_marginal_likelihood_value_ > before.log_marginal_likelihood_value_ + 0.1


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ({}, (X[:, :4], y)),
        ({"network": MLP(2, "erf", ard=True)}, (X, y)),
        ({"network": MLP(1, "erf")}, (X, y)),
        ({"network": None}, (X, y)),
        ({"feature_scaling": "standard"}, (X, y)),
        ({"warm_start": False}, (X, y)),
    ],
    ids=["features", "network", "ard", "default networks", "scaling", "cold"],
)
def test_what_is_learned_belongs_to_its_origin(evaluated, change, data):
    model = NNGPRegressor(NETWORK, warm_start=True, random_state=0).fit(X, y)
    again = fit_counted(model.set_params(**change), evaluated, *data)
    fresh = fit_counted(clone(model), evaluated, *data)
    assert len(again) == len(fresh)
    assert again[0] == fresh[0]


def test_a_network_that_is_changed_in_place_is_another_network(evaluated):
    model = NNGPRegressor(MLP(1, LeakyReLU(0.1)), warm_start=True, feature_scaling="standard").fit(X, y)
    again = fit_counted(model.set_params(network__activation__slope=0.5), evaluated, X, y)
    assert again[0][0].activation == LeakyReLU(0.5)
    assert_allclose(again[0][1], model.noise_variance)


def test_warm_start_after_a_fit_that_learned_nothing(evaluated):
    model = NNGPRegressor(NETWORK, optimizer=None, warm_start=True).fit(X, y)
    again = fit_counted(model.set_params(optimizer="lml"), evaluated, X, y)
    assert len(again) == len(fit_counted(NNGPRegressor(NETWORK), evaluated, X, y))
    assert np.size(model.network_.input_variance) == X.shape[1]


def test_a_clone_has_learned_nothing_and_a_failed_fit_forgets_nothing(evaluated):
    model = NNGPRegressor(NETWORK, warm_start=True)
    first = fit_counted(model, evaluated, X, y)
    assert len(fit_counted(clone(model), evaluated, X, y)) == len(first)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    assert model.score(X, y) > 0.9
    assert len(fit_counted(model, evaluated, X, y)) < len(first)


def test_a_warm_start_without_time_keeps_what_was_learned():
    model = NNGPRegressor(NETWORK, warm_start=True).fit(X, y)
    learned = model.network_
    with pytest.warns(ConvergenceWarning):
        model.set_params(max_optimizer_time=1e-9).fit(X, y)
    assert model.network_ == learned
    assert not model.converged_
