"""Gradients of kernels and of evidence: the adjoint pass and the tangents against finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth import NNGPRegressor
from infwidth._data.data import Data
from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._engine.gradient import program_gradient
from infwidth._engine.tangent import tangents
from infwidth._inference.posterior import Posterior
from infwidth._learning.evidence import leave_one_out_density, log_marginal_likelihood
from infwidth._learning.objective import Objective
from infwidth._linalg.tiles import LowerTiles
from infwidth.activations import ACTIVATIONS, Exp, Gaussian, LeakyReLU, Monomial, RectifiedPower, Sin
from infwidth.networks import MLP, Activation, Dense, Sequential
from infwidth.networks.theta import theta_directions, theta_gradient, theta_of, with_theta

N_FEATURES = 3
OBJECTS = [  # Exp(0.3) stands for "exp": two layers of e^x change too fast for finite differences
    *(activation for name, activation in ACTIVATIONS.items() if name != "exp"),
    LeakyReLU(0.4),
    Monomial(3),
    RectifiedPower(0),
    Sin(1.3, 0.4),
    Gaussian(0.5),
    Exp(0.3),
]
CASES = [(a, limit) for a in OBJECTS for limit in ("nngp", "ntk") if a.has_ntk or limit == "nngp"]


def inputs(n, seed=0):
    return 0.7 * np.random.default_rng(seed).standard_normal((n, N_FEATURES))


def symmetric(n, seed=1):
    M = np.random.default_rng(seed).standard_normal((n, n))
    return M + M.T


def as_tiles(A, tile):
    tiles = LowerTiles(len(A), tile)
    for i in range(tiles.n_blocks):
        for j in range(i + 1):
            tiles[i, j][:] = A[tiles.rows(i), tiles.rows(j)]
    return tiles


def adjoint(network, X, M, limit, tile=1024, n_jobs=None):
    """∂/∂theta of Σ_ij M_ij K_ij."""
    engine = KernelEngine(network.lower(X.shape[1]), ntk=limit == "ntk", n_jobs=n_jobs)
    source = ProgramSource(engine, engine.rows(X), limit)
    return theta_gradient(network, program_gradient(source, as_tiles(M, tile)))


def differences(function, theta, step=1e-3):
    """Central differences of fourth order."""
    steps = step * np.eye(len(theta))
    return np.array(
        [
            (8 * (function(theta + h) - function(theta - h)) - function(theta + 2 * h) + function(theta - 2 * h))
            / (12 * step)
            for h in steps
        ]
    )


def network_of(activation):
    """A network whose every variance, and every parameter of the activation, is in theta."""
    return MLP(
        2,
        activation,
        weight_variance=0.9,
        bias_variance=0.2,
        input_variance=[0.5, 1.0, 1.5],
        output_variance=1.3,
        learn_activation=bool(getattr(activation, "learnable", ())),
    )


@pytest.mark.parametrize(("activation", "limit"), CASES, ids=str)
def test_adjoint_of_every_activation(activation, limit):
    X, network, M = inputs(30), network_of(activation), symmetric(30)
    expected = differences(lambda theta: np.sum(M * getattr(with_theta(network, theta), limit)(X)), theta_of(network))
    assert_allclose(adjoint(network, X, M, limit), expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(("activation", "limit"), CASES, ids=str)
def test_tangents_of_every_activation(activation, limit):
    X, network, M = inputs(12), network_of(activation), symmetric(12)
    program = network.lower(N_FEATURES)
    directions = theta_directions(network, N_FEATURES)
    tensor = tangents(program, X, directions, ntk=limit == "ntk")
    assert_allclose(np.einsum("ij,ijp->p", M, tensor), adjoint(network, X, M, limit), rtol=1e-10, atol=1e-11)
    assert_allclose(tensor, tensor.transpose(1, 0, 2), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
@pytest.mark.parametrize(
    "network",
    [
        MLP(3),
        MLP(2, "erf", bias_variance=0.0, input_variance=[0.5, 0.0, 2.0]),
        MLP(1, "sin", parametrization="standard", width=5, input_variance=1.2),
        Sequential(
            [
                Dense(weight_variance=[0.5, 1.0, 2.0], bias_variance=0.1),
                Activation("gelu"),
                Dense(weight_variance=1.2, bias_variance=0.3, trainable=False),
                Activation(),
                Dense(weight_variance=1.1, bias_variance=0.0),
            ]
        ),
        Sequential(
            [
                Dense(weight_variance=1.0, bias_variance=0.1),
                Dense(weight_variance=0.8, bias_variance=0.2),
                Activation("erf"),
                Dense(weight_variance=1.5, bias_variance=0.1),
            ]
        ),
        Sequential(
            [
                Dense(weight_variance=1.0, bias_variance=0.1),
                Activation(LeakyReLU(0.2), learn=True),
                Dense(),
                Activation(Sin(0.8, 0.3), learn=True),
                Dense(),
                Activation(Gaussian(0.4)),
                Dense(),
            ]
        ),
    ],
    ids=["tied", "zeros", "standard", "frozen", "linear", "activations"],
)
def test_adjoint_of_every_network(network, limit):
    X, M = inputs(30), symmetric(30)
    expected = differences(lambda theta: np.sum(M * getattr(with_theta(network, theta), limit)(X)), theta_of(network))
    assert_allclose(adjoint(network, X, M, limit), expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(
    "network",
    [
        MLP(3),
        MLP(2, "erf", bias_variance=0.0, input_variance=[0.5, 0.7, 2.0], output_variance=0.6),
        MLP(1, "sin", parametrization="standard", width=5, input_variance=1.2),
        Sequential([Dense(trainable=False), Activation("erf"), Dense(trainable=False), Activation(), Dense()]),
        Sequential([Dense(parametrization="standard", width=4), Activation(), Dense(parametrization="standard")]),
    ],
    ids=["tied", "array", "standard", "frozen", "standard layers"],
)
def test_directions_are_derivatives_of_the_program(network):
    """Each entry of theta moves the numbers of dense layers, and the logarithms of the input variances."""
    theta, n = theta_of(network), N_FEATURES

    def numbers(theta):
        program = with_theta(network, theta).lower(n)
        dense = [operation.parameters() for operation in program.operations[::2]]
        return np.concatenate([*dense, 2.0 * np.log(program.input_scale)])

    directions = theta_directions(network, n)
    assert len(directions) == len(theta)
    found = [np.append(direction.operations[::2].ravel(), direction.log_input) for direction in directions]
    assert_allclose(found, differences(numbers, theta), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("tile", [7, 64, 150, 1024])
def test_adjoint_does_not_depend_on_tiles(tile):
    X, network, M = inputs(300), network_of("relu"), symmetric(300)
    assert_allclose(adjoint(network, X, M, "ntk", tile), adjoint(network, X, M, "ntk", 300), rtol=1e-11)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_adjoint_is_the_same_again_and_on_any_number_of_threads(limit, monkeypatch):
    """To the last bit: what the threads find is added in one order, whoever comes first."""
    monkeypatch.setattr("infwidth._engine.gradient.PANEL", 8)
    n = 700
    X, network, M = inputs(n), network_of("relu"), symmetric(n)

    def gradient(n_jobs):
        return adjoint(network, X, M, limit, tile=256, n_jobs=n_jobs)

    alone = gradient(1)
    for _ in range(8):
        assert_array_equal(gradient(2), alone)
    assert_array_equal(gradient(5), alone)


def test_a_fit_is_the_same_again():
    X = inputs(700)
    y = np.sin(X).sum(axis=1) + 0.1 * np.random.default_rng(2).standard_normal(700)
    models = [
        NNGPRegressor(MLP(ard=True), n_jobs=2, random_state=0, max_optimizer_samples=400).fit(X, y) for _ in range(3)
    ]
    for other in models[1:]:
        assert other.network_ == models[0].network_
        assert other.noise_variance_ == models[0].noise_variance_
        assert_array_equal(other.predict(X[:50]), models[0].predict(X[:50]))


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
@pytest.mark.parametrize("activation", ["relu", "abs", "erf", "gelu"])
def test_duplicate_antiparallel_and_zero_rows(activation, limit):
    """The pair formulas are singular there; the gradient is that of rows which are duplicates at every variance."""
    X = inputs(20)
    X[3], X[5], X[7] = X[2], -X[4], 0.0
    network, M = network_of(activation), symmetric(20)
    expected = differences(
        lambda theta: np.sum(M * getattr(with_theta(network, theta), limit)(X)), theta_of(network), step=2e-2
    )
    rtol = 2e-6 if limit == "ntk" and activation in ("relu", "abs") else 1e-6
    assert_allclose(adjoint(network, X, M, limit), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


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
    assert_allclose(np.sum(evidence(as_tiles(A, tile), Y).tiles.dense() * change), slope, rtol=1e-8)


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
    actual = objective.evaluate(network, noise_variance)[1]
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
