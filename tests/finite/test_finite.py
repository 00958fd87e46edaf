"""Finite random networks: exact gradients, and kernels and training that converge to those of infinite width.

A kernel of width N is off by O(1/N) on average and scatters by O(1/√N) from network to network. So the mean of n
networks has a bias that is about √(n/N) of its standard error: with n < N/20 it may be neglected beside the
tolerance of five standard errors.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth.activations import ACTIVATIONS, LeakyReLU, RectifiedPower, Sin
from infwidth.finite import FiniteNetwork
from infwidth.networks import MLP, Activation, Dense, Sequential

W, B = 0.4, 0.1  # weight and bias variances; small, for the tails of exp
X = np.array([[1.0, 0.0, 0.5], [0.6, 0.8, -0.5], [-0.9, 0.1, -0.4], [0.0, 0.0, 0.0]])
CASES = [*ACTIVATIONS.values(), LeakyReLU(-0.5), Sin(1.7, 0.4), RectifiedPower(0)]
WITH_NTK = [activation for activation in CASES if activation.has_ntk]
DEEP = Sequential(  # a frozen layer, a linear one, no biases, and two activations
    [
        Dense(weight_variance=1.5, bias_variance=0.2),
        Activation("erf"),
        Dense(weight_variance=2.0, bias_variance=0.0),
        Dense(weight_variance=0.7, bias_variance=0.1, trainable=False),
        Activation("relu"),
        Dense(weight_variance=1.2, bias_variance=0.3),
    ]
)
NETWORKS = {
    "depth 1": MLP(1, "erf"),
    "depth 3": MLP(3, "relu", bias_variance=0.05),
    "no bias": MLP(2, "gelu", bias_variance=0.0),
    "first and last": MLP(2, "erf", weight_variance=1.4, input_variance=0.6, output_variance=0.9),
    "one a feature": MLP(1, "relu", input_variance=[0.5, 0.0, 3.0]),
    "standard": MLP(2, "erf", input_variance=0.8, parametrization="standard", width=250),
    "standard, another width": MLP(1, "relu", parametrization="standard", width=64),
    "standard, no bias": MLP(1, "relu", bias_variance=0.0, parametrization="standard", width=250),
    "layers": DEEP,
    "no hidden layer": Sequential([Dense(weight_variance=1.5, bias_variance=0.2)]),
}


def mlp(activation, depth=2):
    return MLP(depth, activation, weight_variance=W, bias_variance=B)


def assert_limit(samples, expected, *, scatter=0.1):
    """Compare the mean of finite networks' kernels, shape (n, rows, rows), with the kernel of the limit."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    size = np.sqrt(np.outer(*[np.diag(expected)] * 2))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= 5 * error + 1e-12 * size)
    assert np.all(error <= scatter * size)  # or nothing would be tested


# Kernels


@pytest.mark.parametrize("activation", CASES, ids=repr)
def test_nngp_of_every_activation(activation):
    finite = FiniteNetwork(mlp(activation), 400, n_features=3, n_networks=20, random_state=7)
    assert_limit(finite.empirical_nngp(X), mlp(activation).nngp(X), scatter=0.05)


@pytest.mark.parametrize("activation", WITH_NTK, ids=repr)
def test_ntk_of_every_activation(activation):
    finite = FiniteNetwork(mlp(activation), 250, n_features=3, n_networks=12, random_state=1)
    assert_limit(finite.empirical_ntk(X), mlp(activation).ntk(X))


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_of_networks(name):
    network = NETWORKS[name]
    finite = FiniteNetwork(network, 250, n_features=3, n_networks=12, random_state=0)
    assert_limit(finite.empirical_nngp(X), network.nngp(X))
    assert_limit(finite.empirical_ntk(X), network.ntk(X))


def test_scatter_falls_with_the_root_of_the_width():
    """By 4 from width 64 to 1024, to the precision of two standard deviations of 200 samples."""
    std = []
    for width in (64, 1024):
        finite = FiniteNetwork(mlp("erf", 1), width, n_features=3, n_networks=200, random_state=0)
        std.append(finite.empirical_ntk(X).std(axis=0))
    assert_allclose(np.log(std[0] / std[1]), np.log(4.0), atol=5 / np.sqrt(200))


def test_outputs_have_the_covariance_of_their_prior():
    network = NETWORKS["first and last"]
    finite = FiniteNetwork(network, 64, n_features=3, n_outputs=20, n_networks=100, random_state=0)
    f = finite.forward(X)
    assert f.shape == (100, 4, 20)
    assert_limit(f @ np.swapaxes(f, 1, 2) / 20, network.nngp(X))


@pytest.mark.parametrize("name", NETWORKS)
def test_cross_kernels(name):
    finite = FiniteNetwork(NETWORKS[name], 30, n_features=3, n_networks=2, random_state=0)
    for kernel in (finite.empirical_nngp, finite.empirical_ntk):
        assert_allclose(kernel(X, X[:2]), kernel(X)[:, :, :2], rtol=1e-12, atol=1e-14)


# Gradients


STEP = 1e-4


def shifted(finite, place, index, step):
    """Outputs with one entry of one array of weights or biases moved by ``step``."""
    arrays = [array for pair in zip(finite.weights_, finite.biases_, strict=True) for array in pair]
    old = arrays[place][index]
    arrays[place][index] = old + step
    f = finite.forward(X)
    arrays[place][index] = old
    return f


def differences(finite, scales):
    """∂f/∂θ by central differences of fourth order, shape (n, t, p); ``scales`` are the g of each array of entries."""
    columns = []
    for place, g in enumerate(scales):
        if np.all(g == 0):
            continue
        for index in np.ndindex(g.shape):
            f = [shifted(finite, place, index, STEP * k) for k in (-2, -1, 1, 2)]
            columns.append(g[index] / STEP * np.einsum("k,kit->it", [1 / 12, -2 / 3, 2 / 3, -1 / 12], f))
    return np.stack(columns, axis=-1)


def assert_exact_gradients(finite, scales, rtol=1e-8):
    J = finite.jacobian(X)
    expected = differences(finite, [np.broadcast_to(g, shape) for g, shape in scales])
    assert_allclose(J, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    assert_allclose(finite.empirical_ntk(X), np.einsum("itp,jtp->ij", J, J) / finite.n_outputs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", WITH_NTK, ids=repr)
def test_gradients_of_every_activation(activation):
    """With this seed no hidden value is within 0.007 of a kink, more than a difference moves it."""
    finite = FiniteNetwork(mlp(activation), 5, n_features=3, n_outputs=2, random_state=4)
    a, b, c = np.sqrt(W / 3), np.sqrt(W / 5), np.sqrt(B)
    scales = [(a, (3, 5)), (c, (1, 5)), (b, (5, 5)), (c, (1, 5)), (b, (5, 2)), (c, (1, 2))]
    assert_exact_gradients(finite, scales)


def test_gradients_of_frozen_layers_are_left_out():
    finite = FiniteNetwork(DEEP, (4, 5, 6), n_features=3, random_state=3)
    shapes = [(3, 4), (1, 4), (4, 5), (1, 5), (5, 6), (1, 6), (6, 1), (1, 1)]
    g = [np.sqrt(1.5 / 3), np.sqrt(0.2), np.sqrt(2.0 / 4), 0.0, 0.0, 0.0, np.sqrt(1.2 / 6), np.sqrt(0.3)]
    assert_exact_gradients(finite, list(zip(g, shapes, strict=True)))


def test_gradients_of_the_standard_parametrization():
    """Those of the weights themselves; at another width, of the improved parametrisation: g² = 8 / 4."""
    shapes = [(3, 4), (1, 4), (4, 1), (1, 1)]
    for width, g in ((4, 1.0), (8, np.sqrt(2.0))):
        network = MLP(1, "erf", parametrization="standard", width=width)
        finite = FiniteNetwork(network, 4, n_features=3, random_state=0)
        assert_exact_gradients(finite, list(zip((1.0, 1.0, g, 1.0), shapes, strict=True)))


def test_gradients_of_one_variance_a_feature():
    v = np.array([0.5, 0.0, 3.0])
    finite = FiniteNetwork(MLP(1, "erf", input_variance=v, bias_variance=0.0), 4, n_features=3, random_state=0)
    assert_array_equal(finite.weights_[0][1], np.zeros(4))
    scales = [(np.sqrt(v / 3)[:, None], (3, 4)), (0.0, (1, 4)), (np.sqrt(2.0 / 4), (4, 1)), (0.0, (1, 1))]
    assert_exact_gradients(finite, scales)  # there are no biases to differentiate by


# Training


ROWS, TARGETS, NEW = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, -1.0]), np.array([[-0.8, 0.6], [0.0, -1.2]])
PUBLISHED = {  # ½ mean squared error, weight variance 2.25, bias variance 0.01: mean and variance at NEW[0]
    1: ([-0.6660126504, 0.4829472556], [-0.370416664, 0.683226802]),
    10: ([-1.4721463752, 0.2202376098], [-1.5788584635, 0.209420426]),
}


def law(network, time):
    """Mean and standard deviation of the trained ensemble for the rows NEW (Lee et al. 2019, eqs. (14) and (15))."""
    Z = np.vstack([ROWS, NEW])
    K, T = network.kernels(Z)
    n = len(ROWS)
    values, vectors = np.linalg.eigh(T[:n, :n])
    A = T[n:, :n] @ vectors * (-np.expm1(-values * time / n) / values) @ vectors.T
    cov = K[n:, n:] + A @ K[:n, :n] @ A.T - A @ K[:n, n:] - K[n:, :n] @ A.T
    return A @ TARGETS, np.sqrt(np.diag(cov))


def erf_network(**options):
    return MLP(1, "erf", weight_variance=2.25, bias_variance=0.01, **options)


def last_layer_only():
    layers = erf_network().sequential().layers
    return Sequential([layers[0].set_params(trainable=False), *layers[1:]])


@pytest.mark.parametrize("time", PUBLISHED)
def test_law_of_training_has_the_published_values(time):
    for network, (mean, var) in zip((erf_network(), last_layer_only()), PUBLISHED[time], strict=True):
        got_mean, got_std = law(network, time)
        assert_allclose([got_mean[0], got_std[0] ** 2], [mean, var], rtol=1e-9)


@pytest.mark.parametrize("name", ["all layers", "last layer", "standard"])
def test_trained_ensemble_follows_the_law(name):
    """Mean and standard deviation of n networks to 4.5 standard errors, std/√n and std/√(2(n-1)).

    With steps of 0.05 descent is off the flow by at most 0.27 · 0.05 / time (Δ of (1 - x)^k and e^{-kx}).
    """
    n, width, rate = 120, 1024, 0.05
    network, rate = {
        "all layers": (erf_network(), rate),
        "last layer": (last_layer_only(), rate),
        "standard": (erf_network(parametrization="standard", width=width), rate / width),
    }[name]
    finite = FiniteNetwork(network, width, n_features=2, n_networks=n, random_state=0)
    steps = [0, 20, 200]
    f = finite.staged_forward(NEW, ROWS, TARGETS, learning_rate=rate, n_steps=steps)[..., 0]
    for stage, k in zip(f, steps, strict=True):
        mean, std = law(network, k * rate)
        assert np.all(np.abs(stage.mean(axis=0) - mean) <= 4.5 * std / np.sqrt(n))
        assert np.all(np.abs(stage.std(axis=0, ddof=1) - std) <= 4.5 * std / np.sqrt(2 * (n - 1)))


def test_each_wide_network_follows_its_linearisation():
    """f_t(x) = f_0(x) - A_t (f_0(X) - y), A_t of the infinite network: no scatter of f_0, so a far sharper test."""
    n, time = 40, 4.0
    network = erf_network()
    finite = FiniteNetwork(network, 2048, n_features=2, n_networks=n, random_state=1)
    f = finite.staged_forward(np.vstack([ROWS, NEW]), ROWS, TARGETS, learning_rate=0.02, n_steps=[0, 200])[..., 0]
    T = network.ntk(np.vstack([ROWS, NEW]))
    powers = np.linalg.matrix_power(np.eye(2) - 0.01 * T[:2, :2], 200)  # of descent itself, not of the flow
    A = T[2:, :2] @ np.linalg.solve(T[:2, :2], np.eye(2) - powers)
    error = f[1, :, 2:] - (f[0, :, 2:] - (f[0, :, :2] - TARGETS) @ A.T)
    assert np.all(np.abs(error.mean(axis=0)) <= 4.5 * error.std(axis=0, ddof=1) / np.sqrt(n))
    assert np.all(error.std(axis=0) < 0.06 * law(network, time)[1])


def small(network=DEEP, **options):
    return FiniteNetwork(network, **{"width": 20, "n_features": 3, "n_networks": 3, "random_state": 0, **options})


def test_a_step_follows_the_gradient():
    """∂L/∂θ = Jᵀ (f - y) / N; to first order the outputs move by -η J Jᵀ (f - y) / N, for N = 8 targets."""
    finite, rate = small(MLP(2, "erf"), n_networks=None, n_outputs=2), 1e-6
    y = np.random.default_rng(0).standard_normal((4, 2))
    J, f = finite.jacobian(X), finite.forward(X)
    expected = -rate * np.einsum("itp,jsp,js->it", J, J, f - y) / 8
    moved = finite.train(X, y, learning_rate=rate, n_steps=1).forward(X) - f
    assert_allclose(moved, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_training_goes_on_and_leaves_the_original():
    y = np.array([1.0, 0.0, -1.0, 0.5])
    finite = small()
    before = finite.forward(X)
    once = finite.train(X, y, n_steps=30, learning_rate=0.1)
    twice = finite.train(X, y, n_steps=10, learning_rate=0.1).train(X, y[:, None], n_steps=20, learning_rate=0.1)
    assert_array_equal(once.forward(X), twice.forward(X))
    stages = finite.staged_forward(X, X, y, n_steps=[0, 0, 30], learning_rate=0.1)
    assert_array_equal(stages, [before, before, once.forward(X)])
    assert_array_equal(finite.forward(X), before)
    assert np.mean((once.forward(X)[..., 0] - y) ** 2) < 0.5 * np.mean((before[..., 0] - y) ** 2)


def test_frozen_layers_stay():
    finite = small()
    trained = finite.train(X, np.ones(4), n_steps=5)
    moved = [np.any(a != b) for a, b in zip(finite.weights_, trained.weights_, strict=True)]
    assert moved == [True, True, False, True]
    assert not np.any(trained.biases_[1])  # a layer without biases gets none
    nothing = small(Sequential([Dense(trainable=False), Activation(), Dense(trainable=False)]))
    assert_array_equal(nothing.train(X, np.ones(4)).forward(X), nothing.forward(X))
    assert nothing.jacobian(X).shape == (3, 4, 1, 0)
    assert_array_equal(nothing.empirical_ntk(X), np.zeros((3, 4, 4)))


def test_networks_are_independent_of_their_number_in_a_block(monkeypatch):
    finite = small()
    expected = finite.train(X, np.ones(4), n_steps=20).forward(X)
    monkeypatch.setattr("infwidth.finite.network.BATCH", 100)
    assert_allclose(finite.train(X, np.ones(4), n_steps=20).forward(X), expected, rtol=1e-12)


def test_one_network_has_no_leading_axis():
    one = small(n_networks=None)
    for method in (one.forward, one.empirical_nngp, one.empirical_ntk, one.jacobian):
        assert_array_equal(method(X), getattr(small(n_networks=1), method.__name__)(X)[0])
    assert one.weights_[0].shape == (3, 20)
    assert one.biases_[0].shape == (1, 20)


def test_random_state_decides():
    assert_array_equal(small().forward(X), small().forward(X))
    assert np.all(small().forward(X) != small(random_state=1).forward(X))
    assert repr(small(MLP(), n_networks=3)) == "FiniteNetwork(MLP(), width=[20, 20], n_networks=3)"


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width of a layer must be a positive integer"),
        ({"width": 3.5}, "width of a layer must be a positive integer"),
        ({"width": [3, 4]}, "width has 2 numbers, but 3 dense layers"),
        ({"n_features": 0}, "n_features must be an integer, 1 or larger; got 0"),
        ({"n_outputs": 1.5}, "n_outputs must be an integer"),
        ({"n_networks": True}, "n_networks must be an integer"),
        ({"network": MLP(input_variance=[1.0, 2.0])}, r"but X has 3 features"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_not_a_network():
    with pytest.raises(TypeError, match=r"must be a network of infwidth.networks, .* got 'relu'"):
        small("relu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": -1}, "n_steps must be an integer, 0 or larger; got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ({"learning_rate": "fast"}, "learning_rate must be a positive number, got 'fast'"),
        ({"y": np.ones(3)}, r"y has shape \(3,\), but X has 4 rows, the networks 1 outputs"),
        ({"y": np.ones((4, 2))}, r"y has shape \(4, 2\)"),
        ({"y": [1.0, np.nan, 0.0, 0.0]}, "y contains NaN"),
        ({"X": X[:, :2]}, "X has 2 features, but the networks have 3"),
        ({"learning_rate": 1e4}, "training diverged with learning_rate=10000.0: it must be below"),
    ],
)
def test_bad_training(options, message):
    with pytest.raises(ValueError, match=message):
        small(MLP()).train(**{"X": X, "y": np.ones(4), **options})


@pytest.mark.parametrize("n_steps", [[], 3, [5, 3], [1.5]])
def test_bad_stages(n_steps):
    with pytest.raises(ValueError, match="n_steps must be"):
        small().staged_forward(X, X, np.ones(4), n_steps=n_steps)


@pytest.mark.parametrize("activation", [a for a in CASES if not a.has_ntk], ids=repr)
def test_no_derivative(activation):
    finite = small(mlp(activation))
    assert finite.forward(X).shape == (3, 4, 1)
    for call in (finite.empirical_ntk, finite.jacobian, lambda X: finite.train(X, np.ones(4))):
        with pytest.raises(ValueError, match="derivative is not a function"):
            call(X)
