"""Joint samples given neighbours: leaf after leaf, against the exact law."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import KDTree

from infwidth import NNGPRegressor, NTKRegressor
from infwidth._inference import leaf_samples
from infwidth._inference.leaf_samples import NUGGET, coarse_to_fine
from infwidth._inference.shared_leaves import MOST
from infwidth.networks import MLP

rng = np.random.default_rng(0)
X, NEW = rng.standard_normal((500, 3)), rng.standard_normal((300, 3))
Y = np.stack([np.sin(X.sum(axis=1)), X[:, 0] ** 2], axis=1) + 0.1 * rng.standard_normal((500, 2))
WEIGHT = rng.uniform(0.5, 1.5, 500)
NETWORK = MLP(depth=2, activation="erf")


def given_neighbours(kind=NNGPRegressor, network=NETWORK, **options):
    return kind(network, optimizer=None, solver="neighbours", **options)


def law_of(model, inputs):
    """The mean, shape (m, n_outputs), and the covariance of each output: those of the map of normals to samples."""
    posterior, new = model._mixture.components[0].posterior, model._mixture.components[0].scaled(inputs)
    m, n_outputs = len(new), posterior.Y.shape[1]
    normals = np.zeros((m, n_outputs, m + 1))
    for output in range(n_outputs):
        normals[:, output, :m] = np.eye(m)
    posterior.sampler(posterior.source.rows(new)).draw(normals)
    mean = normals[:, :, m]
    roots = normals[:, :, :m] - mean[:, :, None]
    return posterior, new, mean, [roots[:, output] @ roots[:, output].T for output in range(n_outputs)]


@pytest.mark.parametrize("kind", [NNGPRegressor, lambda *a, **o: NTKRegressor(*a, posterior="ntkgp", **o)])
@pytest.mark.parametrize("noise_variance", [0.1, [0.1, 1e-3]])
def test_given_all_rows_the_law_is_exact(kind, noise_variance):
    """300 rows make four leaves, each given all training rows and all rows before; the nugget is all that differs."""
    model = given_neighbours(kind, n_neighbours=500, noise_variance=noise_variance).fit(X, Y, WEIGHT)
    posterior, new, mean, covariances = law_of(model, NEW)
    exact_mean, exact = posterior.mean_and_covariances(new)
    assert_allclose(mean, exact_mean, atol=1e-9)
    nugget = NUGGET * np.maximum(posterior.source.diagonal(posterior.source.rows(new)), posterior._unit)
    for covariance, group in zip(covariances, posterior.groups.group, strict=True):
        assert_allclose(covariance, exact[group] + np.diag(nugget), atol=1e-11)


SMOOTH_AND_ROUGH = [(1, "erf", 400), (2, "rbf", 400), (2, "relu", 100), (8, "relu", 200)]


@pytest.mark.parametrize(("d", "activation", "n_neighbours"), SMOOTH_AND_ROUGH)
def test_near_the_exact_law(d, activation, n_neighbours):
    """Smooth processes are the hard ones: leaves contradict each other, and nothing may enlarge that."""
    own = np.random.default_rng(0)
    inputs, new = own.uniform(-1, 1, (3000, d)), own.uniform(-1, 1, (600, d))
    targets = np.sin(3 * inputs @ own.standard_normal(d)) + 0.1 * own.standard_normal(3000)
    network, options = MLP(1, activation, input_variance=5.0), {"noise_variance": 0.01}
    model = given_neighbours(network=network, n_neighbours=n_neighbours, **options).fit(inputs, targets)
    exact = NNGPRegressor(network, optimizer=None, solver="cholesky", **options).fit(inputs, targets)
    posterior, scaled, mean, (covariance,) = law_of(model, new)
    predicted, variance = posterior.mean_and_variance(scaled)
    exact_mean, (exact_covariance,) = exact._mixture.components[0].posterior.mean_and_covariances(scaled)
    ratio = np.sqrt(np.diag(covariance) / variance[:, 0])
    apart = np.linalg.norm(mean - exact_mean) / np.linalg.norm(predicted - exact_mean)
    off = np.linalg.norm(covariance - exact_covariance) / np.linalg.norm(exact_covariance)
    left, right = np.repeat(np.arange(600), 3), KDTree(new).query(new, 4)[1][:, 1:].ravel()
    increments = [np.mean(c[left, left] + c[right, right] - 2 * c[left, right]) for c in (covariance, exact_covariance)]
    assert 0.95 < np.median(ratio) < 1.02
    assert ratio.max() < 1.15
    assert apart < 1.0
    assert off < 0.35
    assert 0.95 < np.sqrt(increments[0] / increments[1]) < 1.15


def test_leaves_are_drawn_coherently(monkeypatch):
    """Rows in different leaves vary together; without those drawn before they would not."""
    line = np.linspace(-1, 1, 2000)[:, None]
    model = given_neighbours(n_neighbours=100, noise_variance=0.1).fit(line, np.sin(3 * line[:, 0]))
    new = np.linspace(-1, 1, 1000)[:, None]

    def largest_step():
        latent = model.sample_y(new, 20, random_state=0, include_noise=False)
        return np.abs(np.diff(latent, axis=0)).max() / model.predict_std(new, include_noise=False).mean()

    coherent = largest_step()
    nothing = np.empty(0, int), np.empty(0)
    monkeypatch.setattr(leaf_samples.LeafSampler, "_near", lambda self, leaf: nothing)
    assert coherent < 0.5
    assert largest_step() > 2.0


def test_few_near_rows_are_drawn_from_their_covariances():
    model = given_neighbours(n_neighbours=100).fit(X, Y)
    near = X[:1] + 0.01 * rng.standard_normal((10, 3))
    posterior, scaled = model._mixture.components[0].posterior, model._mixture.components[0].scaled(near)
    mean, (covariance,) = posterior.mean_and_covariances(scaled)
    normals = np.random.RandomState(0).standard_normal((10, 2, 4))
    root = np.linalg.cholesky(covariance + posterior.noise_variance[0] * np.eye(10))
    expected = mean[:, :, None] + np.einsum("ij,jkl->ikl", root, normals)
    assert_allclose(posterior.sample(scaled, 4, np.random.RandomState(0), include_noise=True), expected, rtol=1e-9)


def test_equal_rows_have_equal_values_but_for_noise():
    model = given_neighbours(n_neighbours=50).fit(X, Y)
    place = rng.integers(0, 300, 700)
    samples = model.sample_y(NEW[place], 3, random_state=0, include_noise=False)
    first = samples[np.unique(place, return_index=True)[1]]
    assert_array_equal(samples, first[np.unique(place, return_inverse=True)[1]])
    assert len(np.unique(samples[:, 0, 0])) == len(np.unique(place))
    noisy = model.sample_y(NEW[place], 3, random_state=0)
    noise = (noisy - samples) / (model.y_std_ * np.sqrt(model.noise_variance_))[:, None]
    assert_allclose([noise.mean(), noise.std()], [0.0, 1.0], atol=5 / np.sqrt(noise.size))


def test_same_samples_on_any_number_of_threads():
    one, two = (given_neighbours(n_neighbours=30, n_jobs=n_jobs).fit(X, Y) for n_jobs in (1, 2))
    assert_array_equal(one.sample_y(NEW, 3, random_state=0), two.sample_y(NEW, 3, random_state=0))


def test_batches_change_nothing(monkeypatch):
    model = given_neighbours(n_neighbours=30).fit(X, Y)
    expected = model.sample_y(NEW, 2, random_state=0)
    monkeypatch.setattr(leaf_samples, "WINDOW", 1)
    monkeypatch.setattr(leaf_samples, "BEFORE", 7)
    assert_allclose(model.sample_y(NEW, 2, random_state=0), expected, rtol=1e-9)


def test_far_away_samples_are_those_of_the_prior():
    model = given_neighbours(network=MLP(1, "rbf", bias_variance=0.0), n_neighbours=20, normalize_y=False)
    model.set_params(feature_scaling=None).fit(X, Y)
    far = 100.0 + 10.0 * rng.standard_normal((MOST + 1, 3))
    posterior, new, mean, covariances = law_of(model, far)
    assert_allclose(mean, 0.0, atol=1e-9)
    for covariance in covariances:
        assert_allclose(np.diag(covariance), posterior.source.diagonal(posterior.source.rows(new)), rtol=1e-9)


def test_coarse_to_fine():
    assert_array_equal(coarse_to_fine(1), [0])
    assert_array_equal(coarse_to_fine(8), [0, 4, 2, 6, 1, 5, 3, 7])


def test_rows_that_all_are_one():
    model = given_neighbours(n_neighbours=30).fit(X, Y)
    samples = model.sample_y(np.repeat(NEW[:1], MOST + 1, axis=0), 2, random_state=0, include_noise=False)
    assert_array_equal(samples, np.repeat(samples[:1], MOST + 1, axis=0))
