"""Gradients of kernels: the adjoint pass and the tangents against finite differences."""

import numpy as np
import pytest
from gradient_cases import N_FEATURES, as_tiles, differences, inputs, network_of, symmetric
from numpy.testing import assert_allclose, assert_array_equal

from infwidth import NNGPRegressor
from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._engine.gradient import program_gradient
from infwidth._engine.tangent import tangents
from infwidth.activations import ACTIVATIONS, Exp, Gaussian, LeakyReLU, Monomial, RectifiedPower, Sin
from infwidth.networks import MLP, Activation, Dense, Sequential
from infwidth.networks.theta import theta_directions, theta_gradient, theta_of, with_theta

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


def adjoint(network, X, M, limit, tile=1024, n_jobs=None):
    """∂/∂theta of Σ_ij M_ij K_ij."""
    engine = KernelEngine(network.lower(X.shape[1]), ntk=limit == "ntk", n_jobs=n_jobs)
    source = ProgramSource(engine, engine.rows(X), limit)
    return theta_gradient(network, network.lowered(X.shape[1]), program_gradient(source, as_tiles(M, tile)))


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
