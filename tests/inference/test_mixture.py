"""Averaged networks: every prediction of the mixture against its parts, fitted one by one."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from learning_cases import SCALINGS
from numpy.testing import assert_allclose
from sklearn.datasets import make_friedman1

from infwidth import NNGPRegressor
from infwidth._inference.conditioning import condition
from infwidth._learning.model import Model, merit
from infwidth.estimators import base
from infwidth.networks import MLP

X, y = make_friedman1(60, n_features=6, noise=0.3, random_state=0)
NEW = make_friedman1(20, n_features=6, random_state=1)[0]
WEIGHT = np.arange(60) % 4 / 2.0
CASES = {
    "one output": (y, None),
    "one column": (y[:, None], None),
    "two outputs": (np.c_[y, 3.0 * np.sin(X[:, 0]) + 100.0 * X[:, 1] + y**2 / 10.0], None),
    "weights": (y, WEIGHT),
}


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    """The model, and each of its parts as a model of its own."""
    target, weight = CASES[request.param]
    model = NNGPRegressor(random_state=0).fit(X, target, weight)
    parts = [part_of(component, network).fit(X, target, weight) for component, network in zip_parts(model)]
    assert len(parts) > 1
    return model, parts


def zip_parts(model):
    used = model.network_weights_ > 0
    networks = [network for network, own in zip(model.networks_, used, strict=True) if own]
    return zip(model._mixture.components, networks, strict=True)


def part_of(component, network):
    """An estimator of the network alone, with the component's noise and scaling of the features."""
    scaling = SCALINGS[type(component.scaler).__name__]
    return NNGPRegressor(
        network, noise_variance=component.noise_variance, feature_scaling=scaling, optimizer=None, random_state=0
    )


def pooled(model, means, variances):
    """Mean and variance of the mixture: E f, and E f² - (E f)²."""
    weights = model.network_weights_[model.network_weights_ > 0]
    means, second = np.array(means), np.array(variances) + np.square(means)
    mean = np.tensordot(weights, means, 1)
    return mean, np.tensordot(weights, second, 1) - mean**2


def test_weights(fitted):
    model, parts = fitted
    weights = model.network_weights_
    assert len(weights) == len(model.networks_) >= len(parts)
    assert_allclose(weights.sum(), 1.0)
    assert np.all(weights[: len(parts)] > 0)
    assert np.all(weights[len(parts) :] == 0)
    assert np.ptp(weights[: len(parts)]) > 0.01  # not a plain average


@pytest.mark.parametrize("include_noise", [True, False])
def test_mean_and_std(fitted, include_noise):
    model, parts = fitted
    means = [part.predict(NEW) for part in parts]
    variances = [part.predict_std(NEW, include_noise) ** 2 for part in parts]
    mean, variance = pooled(model, means, variances)
    assert_allclose(model.predict(NEW), mean, rtol=1e-9)
    std = model.predict_std(NEW, include_noise)
    assert_allclose(std, np.sqrt(variance), rtol=1e-7)
    assert model.predict(NEW).shape == std.shape == (len(NEW), *parts[0].predict(X).shape[1:])
    if include_noise:
        assert_allclose(np.array(model.predict(NEW, return_std=True)), [mean, np.sqrt(variance)], rtol=1e-7)


def test_covariance(fitted):
    model, parts = fitted
    predictions = [part.predict(NEW, return_cov=True) for part in parts]
    mean, covariance = model.predict(NEW, return_cov=True)
    weights = model.network_weights_[: len(parts)]
    expected = 0.0
    for weight, (own_mean, own) in zip(weights, predictions, strict=True):
        expected = expected + weight * (own + own_mean[:, None] * own_mean[None])
    expected = expected - mean[:, None] * mean[None]
    assert covariance.shape == (len(NEW), len(NEW), *mean.shape[1:])
    assert_allclose(covariance, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    variance = np.einsum("ii...->i...", covariance)
    assert_allclose(np.sqrt(variance), model.predict_std(NEW), rtol=1e-7)


@pytest.mark.parametrize("include_noise", [True, False])
def test_leave_one_out(fitted, include_noise):
    model, parts = fitted
    predictions = [part.loo_predict(include_noise) for part in parts]
    mean, variance = pooled(model, [part[0] for part in predictions], [part[1] ** 2 for part in predictions])
    own_mean, own_std = model.loo_predict(include_noise)
    assert_allclose(own_mean, mean, rtol=1e-8)
    assert_allclose(own_std, np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("include_noise", [True, False])
def test_samples(fitted, include_noise):
    """Moments of joint samples, within five standard errors of Gaussian ones."""
    model, n = fitted[0], 4000
    samples = model.sample_y(NEW[:3], n, random_state=0, include_noise=include_noise)
    mean, covariance = model.predict(NEW[:3], return_cov=True)
    assert samples.shape == (*mean.shape, n)
    shape = 3, -1, n
    samples, mean, covariance = samples.reshape(shape), mean.reshape(3, -1), covariance.reshape(3, 3, -1)
    if not include_noise:
        noise = sum(c.weight * c.noise_variance for c in model._mixture.components) * model.y_std_**2
        covariance = covariance - np.eye(3)[:, :, None] * noise
    std = np.sqrt(np.einsum("iio->io", covariance))
    assert np.all(np.abs(samples.mean(axis=-1) - mean) < 5 * std / np.sqrt(n))
    apart = (samples - mean[:, :, None]) / std[:, :, None]
    correlation = covariance / (std[:, None] * std[None])
    assert_allclose(np.einsum("iok,jok->ijo", apart, apart) / n, correlation, atol=5 * np.sqrt(2 / n))
    assert np.all(samples == model.sample_y(NEW[:3], n, 0, include_noise).reshape(shape))


def test_one_sample_is_a_function_of_one_network():
    """The same row twice in one draw has one value."""
    model = NNGPRegressor(random_state=0).fit(X, y)
    samples = model.sample_y(np.repeat(NEW[:1], 2, axis=0), 200, random_state=0, include_noise=False)
    assert_allclose(samples[0], samples[1], rtol=1e-5)


def test_pickle(fitted):
    model = fitted[0]
    again = pickle.loads(pickle.dumps(model))
    assert np.all(again.predict(NEW) == model.predict(NEW))
    assert np.all(again.predict_std(NEW) == model.predict_std(NEW))
    assert np.all(again.network_weights_ == model.network_weights_)


def test_the_best_alone_on_many_rows(monkeypatch):
    average = NNGPRegressor(random_state=0).fit(X, y)
    monkeypatch.setattr(base, "AVERAGED_ROWS", 59)
    best = NNGPRegressor(random_state=0).fit(X, y)
    assert best.networks_ == average.networks_
    assert_allclose(best.evidence_, average.evidence_)
    assert best.network_weights_.tolist() == [1.0] + [0.0] * (len(best.networks_) - 1)
    (component,) = best._mixture.components
    alone = part_of(component, best.networks_[0]).fit(X, y)
    assert_allclose(best.predict(NEW), alone.predict(NEW), rtol=1e-9)
    assert np.abs(best.predict(NEW) - average.predict(NEW)).max() > 1e-3


def test_a_given_network_is_alone():
    model = NNGPRegressor(MLP(1, "erf")).fit(X, y)
    assert len(model._mixture.components) == 1
    assert model.network_weights_[0] == 1.0
    unlearned = NNGPRegressor(optimizer=None).fit(X, y)
    assert unlearned.network_weights_.tolist() == [1.0]
    assert unlearned.networks_ == [MLP()]


@pytest.mark.parametrize("average", [True, False])
def test_all_rows_decide_on_the_order(average):
    """Whatever the subsets said: the posterior that is returned belongs to the network with the best merit."""
    models = [Model(place, 0, MLP(place + 1), 0.1) for place in range(3)]
    evidence = {"posterior 0": 5.0, "posterior 1": 12.0, "posterior 2": -80.0}
    task = SimpleNamespace(
        solver="cholesky",
        scalers=[None],
        informative=1.0,
        posterior=lambda model: f"posterior {model.architecture}",
        evidence=lambda posterior, model: evidence[posterior] if posterior[-1] == str(model.architecture) else np.nan,
        merit=merit,
    )
    ranked, values, weights, components = condition(models, task, average=average)
    posteriors = [component.posterior for component in components]
    assert [model.architecture for model in ranked] == [1, 0, 2]
    assert values.tolist() == [12.0, 5.0, -80.0]
    if average:
        assert posteriors == ["posterior 1", "posterior 0"]
        assert_allclose(weights, [1 / (1 + np.exp(-0.7)), 1 / (1 + np.exp(0.7)), 0.0])
    else:
        assert posteriors == ["posterior 1"]
        assert weights.tolist() == [1.0, 0.0, 0.0]
