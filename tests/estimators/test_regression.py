"""NNGPRegressor against scikit-learn's Gaussian process, and its samples and units."""

import numpy as np
import pytest
from nngp_cases import NETWORKS, NEW, XM, YM, X, as_given, close, everything, targets, y
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP

networks = pytest.mark.parametrize("network", NETWORKS, ids=["erf", "relu", "sequential"])


# The posterior


@networks
def test_posterior_equals_sklearn(network):
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.3, **as_given).fit(X, y)
    observed = GaussianProcessRegressor(NNGPKernel(network) + WhiteKernel(0.3), alpha=0, optimizer=None).fit(X, y)
    latent = GaussianProcessRegressor(NNGPKernel(network), alpha=0.3, optimizer=None).fit(X, y)
    mean, std = observed.predict(NEW, return_std=True)
    close(model.predict(NEW), mean)
    close(model.predict(NEW, return_std=True)[1], std)
    close(model.predict(NEW, return_cov=True)[1], observed.predict(NEW, return_cov=True)[1])
    close(model.predict_std(NEW, include_noise=False), latent.predict(NEW, return_std=True)[1])
    close(model.log_marginal_likelihood(), observed.log_marginal_likelihood_value_)
    assert model.log_marginal_likelihood_value_ == model.log_marginal_likelihood()


@networks
def test_scaling_inside_equals_scaling_by_hand(network):
    scaler, target_scaler = StandardScaler().fit(X), StandardScaler().fit(y[:, None])
    location, scale = target_scaler.mean_[0], target_scaler.scale_[0]
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.3).fit(X, y)
    reference = GaussianProcessRegressor(NNGPKernel(network) + WhiteKernel(0.3), alpha=0, optimizer=None)
    reference.fit(scaler.transform(X), (y - location) / scale)
    mean, cov = reference.predict(scaler.transform(NEW), return_cov=True)
    close(model.predict(NEW), location + scale * mean)
    close(model.predict(NEW, return_cov=True)[1], scale**2 * cov)
    close(model.predict_std(NEW), scale * np.sqrt(np.diag(cov)))
    close(model.log_marginal_likelihood(), reference.log_marginal_likelihood_value_)


def test_several_outputs_equal_sklearn():
    model = NNGPRegressor(NETWORKS[0], optimizer=None, noise_variance=0.2, feature_scaling=None).fit(
        XM[:15] / 100, YM[:15]
    )
    reference = GaussianProcessRegressor(
        NNGPKernel(NETWORKS[0]) + WhiteKernel(0.2), alpha=0, optimizer=None, normalize_y=True
    ).fit(XM[:15] / 100, YM[:15])
    mean, std = reference.predict(XM[15:] / 100, return_std=True)
    close(model.predict(XM[15:] / 100), mean)
    close(model.predict(XM[15:] / 100, return_std=True)[1], std)
    close(model.predict(XM[15:] / 100, return_cov=True)[1], reference.predict(XM[15:] / 100, return_cov=True)[1])
    close(model.log_marginal_likelihood(), reference.log_marginal_likelihood_value_)


def test_more_rows_than_a_tile():
    pixels, digit = load_digits(return_X_y=True)
    pixels, rows, new = pixels / 16, slice(0, 1100), slice(1100, 1150)
    model = NNGPRegressor(MLP(depth=2), optimizer=None, noise_variance=0.3, **as_given).fit(pixels[rows], digit[rows])
    assert model._mixture.components[0].posterior.tiles.n_blocks == 2
    reference = GaussianProcessRegressor(NNGPKernel(MLP(depth=2)), alpha=0.3, optimizer=None)
    mean, std = reference.fit(pixels[rows], digit[rows]).predict(pixels[new], return_std=True)
    close(model.predict(pixels[new]), mean)
    close(model.predict_std(pixels[new], include_noise=False), std)


def test_std_with_noise_and_without():
    model = NNGPRegressor(optimizer=None, noise_variance=0.4).fit(XM, YM)
    with_noise, without = model.predict_std(XM), model.predict_std(XM, include_noise=False)
    close(with_noise**2, without**2 + 0.4 * model.y_std_**2)
    close(with_noise, model.predict(XM, return_std=True)[1])


def test_diagonal_of_the_covariance_is_the_variance():
    for target in (YM[:, 0], YM):
        model = NNGPRegressor(optimizer=None).fit(XM, target)
        cov, std = model.predict(XM, return_cov=True)[1], model.predict_std(XM)
        close(np.einsum("ii...->i...", cov), std**2)
        assert_allclose(cov, np.swapaxes(cov, 0, 1), rtol=1e-10)


# Shapes and units of the target


@pytest.mark.parametrize("normalize_y", [True, False])
def test_each_output_is_its_own_model(normalize_y):
    model = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM)
    results = everything(model, XM[:7])
    samples = model.sample_y(XM[:7], 5, random_state=0)
    assert [r.shape for r in results] == [(7, 3)] * 3 + [(7, 7, 3)] + [(20, 3)] * 4
    assert samples.shape == (7, 3, 5)
    likelihood = 0.0
    for output in range(3):
        single = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM[:, output])
        column = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM[:, [output]])
        likelihood += single.log_marginal_likelihood()
        for result, own, own_column in zip(
            results, everything(single, XM[:7]), everything(column, XM[:7]), strict=True
        ):
            assert own.shape == result.shape[:-1]
            assert own_column.shape == (*own.shape, 1)
            close(result[..., output], own)
            close(own_column[..., 0], own)
        own, own_column = single.sample_y(XM[:7], 5, random_state=0), column.sample_y(XM[:7], 5, random_state=0)
        assert own.shape == (7, 5)
        close(own_column, own[:, None, :])
    close(model.log_marginal_likelihood(), likelihood)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@targets
def test_results_are_in_units_of_the_target(factor, target):
    plain, scaled = (
        NNGPRegressor(optimizer=None).fit(XM, target),
        NNGPRegressor(optimizer=None).fit(XM, factor * target),
    )
    for power, a, b in zip(
        [1, 1, 1, 2, 1, 1, 1, 1], everything(plain, XM[:7]), everything(scaled, XM[:7]), strict=True
    ):
        close(b, factor**power * a)
    close(scaled.sample_y(XM[:3], 4, random_state=0), factor * plain.sample_y(XM[:3], 4, random_state=0))
    close(scaled.log_marginal_likelihood(), plain.log_marginal_likelihood())


# Samples


@pytest.mark.parametrize("include_noise", [True, False])
def test_moments_of_samples(include_noise):
    n_samples = 20_000
    model = NNGPRegressor(optimizer=None, noise_variance=0.3).fit(XM[:12], YM[:12])
    mean, cov = model.predict(XM[12:16], return_cov=True)
    if not include_noise:
        cov = cov - 0.3 * model.y_std_**2 * np.eye(4)[:, :, None]
    samples = model.sample_y(XM[12:16], n_samples, random_state=0, include_noise=include_noise)
    for output in range(3):
        own, C = samples[:, output], cov[:, :, output]
        variance = np.diag(C)
        assert np.all(np.abs(own.mean(axis=1) - mean[:, output]) < 5 * np.sqrt(variance / n_samples))
        error = np.sqrt((np.outer(variance, variance) + C**2) / n_samples)  # of a sample covariance (Isserlis)
        assert np.all(np.abs(np.cov(own) - C) < 5 * error)
    correlation = np.corrcoef(samples[0])  # outputs are independent
    assert np.all(np.abs(correlation[np.triu_indices(3, 1)]) < 5 / np.sqrt(n_samples))


def test_samples_are_reproducible():
    model = NNGPRegressor(optimizer=None, random_state=3).fit(X, y)
    first = model.sample_y(NEW, 2, random_state=0)
    close(model.sample_y(NEW, 2, random_state=0), first)
    close(model.sample_y(NEW, 2), model.sample_y(NEW, 2, random_state=3))
    assert np.all(model.sample_y(NEW, 2) != first)
    assert np.all(first[:, 0] != first[:, 1])


def test_samples_of_a_function_agree_where_inputs_do():
    model = NNGPRegressor(optimizer=None).fit(X, y)
    samples = model.sample_y(np.r_[NEW, NEW], 3, random_state=0, include_noise=False)  # a singular covariance
    close(samples[: len(NEW)], samples[len(NEW) :], rtol=1e-5)
    assert np.isfinite(samples).all()
