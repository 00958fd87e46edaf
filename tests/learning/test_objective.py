"""Evidence, and what learning climbs: values against the posterior, gradients against finite differences."""

import numpy as np
import pytest
from gradient_cases import N_FEATURES, as_tiles, differences, inputs, network_of, symmetric
from numpy.testing import assert_allclose

from infwidth._data.data import Data
from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._inference.posterior import Posterior
from infwidth._learning.evidence import leave_one_out_density, log_marginal_likelihood
from infwidth._learning.objective import Objective
from infwidth.networks import MLP
from infwidth.networks.theta import theta_of, with_theta


@pytest.mark.parametrize("evidence", [log_marginal_likelihood, leave_one_out_density])
@pytest.mark.parametrize("tile", [13, 1024])
def test_evidence_and_its_matrix(evidence, tile):
    """dL = Σ M_ij dA_ij for a symmetric change of A."""
    n, rng = 40, np.random.default_rng(0)
    A = rng.standard_normal((n, n))
    A, Y, change = A @ A.T / n + np.eye(n), rng.standard_normal((n, 2)), symmetric(n)

    def value(step):
        return evidence(as_tiles(A + step * change, tile), Y).value

    slope = (8 * (value(1e-4) - value(-1e-4)) - value(2e-4) + value(-2e-4)) / 12e-4
    assert_allclose(np.sum(evidence(as_tiles(A, tile), Y).derivative().dense() * change), slope, rtol=1e-8)


def test_values_of_the_evidence():
    X, Y = inputs(25), np.random.default_rng(3).standard_normal((25, 2))
    engine = KernelEngine(MLP().lower(N_FEATURES))
    source = ProgramSource(engine, engine.rows(X), "nngp")
    posterior = Posterior(source, Y, np.array([0.3]), np.ones(25))
    A = MLP().nngp(X) + 0.3 * np.eye(25)
    assert_allclose(
        log_marginal_likelihood(as_tiles(A, 10), Y).value, posterior.log_marginal_likelihoods().sum(), rtol=1e-12
    )
    mean, latent = posterior.leave_one_out(free_mean=True)
    density = -0.5 * np.log(2 * np.pi * (latent + 0.3)) - 0.5 * (Y - mean) ** 2 / (latent + 0.3)
    assert_allclose(leave_one_out_density(as_tiles(A, 10), Y).value, density.sum(), rtol=1e-12)


@pytest.mark.parametrize("n_noises", [1, 2, 4])
@pytest.mark.parametrize("evidence", [log_marginal_likelihood, leave_one_out_density])
def test_objective_gradient(evidence, n_noises):
    """With nuggets that follow the kernel, row weights, and four outputs that share noise variances or do not."""
    rng = np.random.default_rng(0)
    scatter = rng.uniform(0.0, 1.0, (40, n_noises))
    data = Data(inputs(40), rng.standard_normal((40, 4)), rng.uniform(0.5, 3.0, 40), scatter)
    network, noise_variance = network_of("relu"), np.geomspace(0.2, 0.02, n_noises)
    objective, p = Objective([data], "nngp", evidence, nuggets=(1e-3,)), len(theta_of(network))

    def value(theta):
        return objective.evaluate(with_theta(network, theta[:p]), np.exp(theta[p:]))[0]

    theta = np.append(theta_of(network), np.log(noise_variance))
    expected = differences(value, theta)
    alone, (found, actual, _) = objective.value(network, noise_variance), objective.evaluate(network, noise_variance)
    assert alone == found
    assert_allclose(actual, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("evidence", [log_marginal_likelihood, leave_one_out_density])
def test_objective_is_the_sum_over_outputs(evidence):
    rng = np.random.default_rng(0)
    X, Y, weight = inputs(40), rng.standard_normal((40, 3)), rng.uniform(0.5, 3.0, 40)
    scatter, noise_variance = rng.uniform(0.0, 1.0, (40, 3)), np.array([0.3, 0.01, 0.1])
    value, gradient, _ = Objective([Data(X, Y, weight, scatter)], "nngp", evidence).evaluate(MLP(), noise_variance)
    single = [
        Objective([Data(X, Y[:, [k]], weight, scatter[:, [k]])], "nngp", evidence).evaluate(MLP(), noise_variance[[k]])
        for k in range(3)
    ]
    assert_allclose(value, sum(own for own, _, _ in single), rtol=1e-12)
    assert_allclose(gradient[:-3], sum(own[:-1] for _, own, _ in single), rtol=1e-10)
    assert_allclose(gradient[-3:], [own[-1] for _, own, _ in single], rtol=1e-12)


def test_weights_are_repeated_rows_to_the_evidence():
    """Also where their targets differ."""
    X, rng = inputs(15), np.random.default_rng(0)
    rows = np.repeat(np.arange(15), np.arange(15) % 3 + 1)
    targets = rng.standard_normal((len(rows), 2))
    for noise_variance in (np.array([0.3]), np.array([0.3, 0.02])):
        data = Data(X[rows], targets, np.ones(len(rows)), np.zeros((len(rows), len(noise_variance))))
        merged = data.merged()[0]
        assert len(merged.Y) == 15
        one, other = (
            Objective([case], "nngp", log_marginal_likelihood, nuggets=(0.0,)).evaluate(MLP(), noise_variance)
            for case in (data, merged)
        )
        assert_allclose(one[0], other[0], rtol=1e-11)
        assert_allclose(one[1], other[1], rtol=1e-9)
