"""Networks: their kernels against published numbers and a direct recursion, and what must not change them."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from infwidth._engine.engine import PANEL, KernelEngine
from infwidth._engine.forward import CHUNK
from infwidth.activations import LeakyReLU
from infwidth.networks import MLP, Activation, Dense, Sequential

ROWS = np.array([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]])  # inputs of the golden values
FIXTURES = {  # activation, depth, bias variance: first rows of K and Θ, weight variance 2
    ("relu", 1, 0.01): ([1.02, 0.69714553, 0.0411619143], [2.03, 1.1280565444, -0.1279839065]),
    ("relu", 3, 0.01): ([1.04, 0.8140169302, 0.5353516884], [4.1, 2.0361176311, 0.7128128048]),
    ("relu", 3, 0.0): ([1.0, 0.7753124348, 0.5020113067], [4.0, 1.9522866852, 0.6614967881]),
    ("erf", 1, 0.01): ([0.9428940496, 0.5394848439, -0.6910160494], [2.0885289089, 1.1017624258, -1.4726565311]),
    ("erf", 3, 0.01): ([0.9060422907, 0.4672325517, -0.572587983], [4.8565838622, 1.9514351991, -2.6824425194]),
    ("gelu", 1, 0.01): ([0.8701763692, 0.5441058226, -0.1082759402], [1.7922230724, 0.9873732629, -0.2632872115]),
    ("gelu", 3, 0.01): ([0.6058264608, 0.3965234757, 0.154355947], [2.6417068076, 1.2575638458, 0.1364876612]),
}
STANDARD = {  # depth: first row of Θ of a ReLU network of width 512
    1: [261.56, 178.0395140793, 9.020271778],
    2: [523.68, 325.3230846873, 94.0795260424],
}
DIGITS = 5.1e-11  # half a unit of the last printed digit

X = np.random.default_rng(0).standard_normal((20, 4))
Y = np.random.default_rng(1).standard_normal((7, 4))
EDGES = sorted({1, 2, *(n + k for n in (PANEL, CHUNK) for k in (-1, 0, 1))})  # of panels of rows, chunks of columns


def relu_duals(q1, q2, c):
    s = np.sqrt(q1 * q2)
    theta = np.arccos(np.clip(c / s, -1, 1))
    return s * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi), (np.pi - theta) / (2 * np.pi)


def erf_duals(q1, q2, c):
    s2 = (1 + 2 * q1) * (1 + 2 * q2)
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt(s2)), 4 / np.pi / np.sqrt(s2 - 4 * c**2)


DUALS = {"relu": relu_duals, "erf": erf_duals}


def recursion(A, B, layers):
    """K and Θ layer by layer (maths 1.5 and 1.6): Θ ← w Ṫ Θ, and + K if the layer is trainable."""
    Z = np.vstack([A, B])
    K, T = Z @ Z.T / Z.shape[1], np.zeros((len(Z), len(Z)))
    for layer in layers:
        if isinstance(layer, Activation):
            q = np.diag(K)
            K, slope = DUALS[layer.activation](q[:, None], q, K)
            T = slope * T
        else:
            K = layer.weight_variance * K + layer.bias_variance
            T = layer.weight_variance * T + layer.trainable * K
    return K[: len(A), len(A) :], T[: len(A), len(A) :]


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


# Numbers


@pytest.mark.parametrize(("activation", "depth", "bias"), FIXTURES)
def test_fixtures(activation, depth, bias):
    network = MLP(depth, activation, bias_variance=bias)
    for kernel, expected in zip(network.kernels(ROWS), FIXTURES[activation, depth, bias], strict=True):
        assert_allclose(kernel[0], expected, rtol=0, atol=DIGITS)


@pytest.mark.parametrize("depth", STANDARD)
def test_standard_parametrization(depth):
    network = MLP(depth, bias_variance=0.01, parametrization="standard", width=512)
    assert_allclose(network.ntk(ROWS)[0], STANDARD[depth], rtol=0, atol=DIGITS)
    assert_array_equal(network.nngp(ROWS), MLP(depth, bias_variance=0.01).nngp(ROWS))


def test_standard_parametrization_depends_on_the_width_before():
    def layers(first, last, **options):
        standard = {"parametrization": "standard", **options}
        return Sequential([Dense(width=first, **standard), Activation(), Dense(width=last, **standard)])

    assert_array_equal(layers(64, None).ntk(X), layers(64, 7).ntk(X))
    T = (layers(64, None).nngp(X) - 0.1) / 2.0  # K = b + w T
    assert_allclose(layers(64, None).ntk(X) - layers(16, None).ntk(X), 48 * T, rtol=1e-11)  # Θ = n T + 1 + w Ṫ Θ'
    without = layers(64, None, bias_variance=0.0)
    assert_allclose(without.ntk([[1.0, 0.0]]), [[64 * 0.5 + 1.0]])  # T = ½ of K⁰ = 1, Θ⁰ = x·x = 1, w Ṫ = 1


@pytest.mark.parametrize("first_trained", range(5))
def test_frozen_layers_leave_the_sum(first_trained):
    """Θ is a sum over layers, from L' on when those before are frozen (maths 1.6); K is not changed."""
    layers = [Dense(weight_variance=1.5, bias_variance=0.2, trainable=first_trained == 0)]
    for place, (w, b) in enumerate([(2.0, 0.1), (0.7, 0.0), (1.2, 0.3)], start=1):
        layers += [
            Activation("relu" if place < 3 else "erf"),
            Dense(weight_variance=w, bias_variance=b, trainable=place >= first_trained),
        ]
    K, T = Sequential(layers).kernels(X, Y)
    expected_K, expected_T = recursion(X, Y, layers)
    assert_allclose(K, expected_K, rtol=1e-12)
    assert_allclose(T, expected_T, rtol=1e-11, atol=1e-13)
    if first_trained == 3:
        assert_array_equal(T, K)  # only the last layer is trained: NTK = NNGP
    if first_trained == 4:
        assert_array_equal(T, np.zeros_like(K))


def test_any_layer_can_be_frozen():
    layers = [
        Dense(weight_variance=1.5, bias_variance=0.2),
        Activation("erf"),
        Dense(weight_variance=2.0, bias_variance=0.1, trainable=False),
        Activation("relu"),
        Dense(weight_variance=0.7, bias_variance=0.4),
    ]
    assert_allclose(Sequential(layers).ntk(X, Y), recursion(X, Y, layers)[1], rtol=1e-11, atol=1e-13)


def test_input_variances_scale_the_features():
    v = np.array([0.5, 0.0, 2.0, 3.0])
    one_each, scaled = MLP(input_variance=v), MLP(input_variance=1.0)
    for kernel, expected in zip(one_each.kernels(X), scaled.kernels(X * np.sqrt(v)), strict=True):
        assert_allclose(kernel, expected, rtol=1e-12)
    assert_array_equal(MLP(input_variance=[2.0] * 4).ntk(X), MLP().ntk(X))
    assert_array_equal(one_each.nngp(X), one_each.nngp(X + np.array([0.0, 5.0, 0.0, 0.0])))


@pytest.mark.parametrize("name", ["input_variance", "output_variance"])
def test_variances_that_are_none_are_the_weight_variance(name):
    assert_array_equal(MLP(weight_variance=1.3).ntk(X), MLP(weight_variance=1.3, **{name: 1.3}).ntk(X))
    assert not np.allclose(MLP(weight_variance=1.3).ntk(X), MLP(weight_variance=1.3, **{name: 1.0}).ntk(X))


def test_output_variance_scales_all_but_the_bias():
    for kernel, doubled in zip(MLP(output_variance=2.0).kernels(X), MLP(output_variance=4.0).kernels(X), strict=True):
        assert_allclose(doubled - 0.1, 2 * (kernel - 0.1), rtol=1e-12)


def test_zero_row_without_biases():
    for kernel in MLP(bias_variance=0.0).kernels(np.vstack([np.zeros(4), X])):
        assert_array_equal(kernel[0], np.zeros(21))
        assert np.all(np.isfinite(kernel))


# One result, many ways


@pytest.mark.parametrize("n", EDGES)
def test_sizes_around_the_edges_of_blocks(n):
    network = MLP(depth=2, activation="erf")
    A = np.random.default_rng(n).standard_normal((n, 3))
    expected = recursion(A, A, network.sequential().layers)
    for kernel, matrix, limit in zip(network.kernels(A), expected, ("nngp", "ntk"), strict=True):
        assert_allclose(kernel, matrix, rtol=1e-11, atol=1e-14)
        assert_array_equal(kernel, kernel.T)
        assert_array_equal(network.diag(A, limit), np.diag(kernel))


@pytest.mark.parametrize(("n", "m"), [(1, 1), *zip(EDGES, EDGES[::-1], strict=True)])
def test_cross_sizes_around_the_edges_of_blocks(n, m):
    network = MLP(depth=2, activation="relu")
    A, B = (np.random.default_rng(seed).standard_normal((size, 3)) for seed, size in enumerate((n, m)))
    for kernel, expected in zip(network.kernels(A, B), recursion(A, B, network.sequential().layers), strict=True):
        assert_allclose(kernel, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "sin"])
@pytest.mark.parametrize("n", [30, PANEL + CHUNK + 1])
def test_one_kernel_or_both_and_cross_or_symmetric(activation, n):
    network = MLP(depth=3, activation=activation)
    A = np.random.default_rng(0).standard_normal((n, 5))
    K, T = network.kernels(A)
    assert_allclose(network.nngp(A), K, rtol=1e-14)
    assert_array_equal(network.ntk(A), T)
    for cross, symmetric in zip(network.kernels(A, A), (K, T), strict=True):
        assert_allclose(off_diagonal(cross), off_diagonal(symmetric), rtol=1e-12)
        assert_allclose(np.diag(cross), np.diag(symmetric), rtol=2e-7)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_one_thread_and_two_agree_to_the_last_bit(activation):
    program = MLP(activation=activation).lower(5)
    A = np.random.default_rng(0).standard_normal((3 * PANEL + CHUNK, 5))
    results = []
    for n_jobs in (1, 2, 3):
        engine = KernelEngine(program, ntk=True, n_jobs=n_jobs)
        rows = engine.rows(A)
        results.append(
            [*engine.symmetric(rows, nngp=True, ntk=True), *engine.cross(rows, rows, nngp=True, ntk=True)],
        )
    for one, two, three in zip(*results, strict=True):
        assert_array_equal(one, two)
        assert_array_equal(one, three)
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            assert_array_equal(MLP(activation=activation).ntk(A), results[0][1])


@settings(deadline=None, max_examples=60)
@given(
    A=arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(-3, 3, width=32)),
    activation=st.sampled_from(["relu", "erf", "gelu", "abs", "cos"]),
    depth=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_properties(A, activation, depth, seed):
    """Symmetric, positive semidefinite, within Cauchy and Schwarz's bound, and the same in any order of rows."""
    network = MLP(depth, activation)
    order = np.random.default_rng(seed).permutation(len(A))
    for kernel, reordered in zip(network.kernels(A), network.kernels(A[order]), strict=True):
        assert_array_equal(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel)[0] >= -1e-7 * np.trace(kernel)
        assert np.all(kernel**2 <= (1 + 1e-6) * np.outer(np.diag(kernel), np.diag(kernel)))
        assert_allclose(reordered, kernel[order][:, order], rtol=1e-6, atol=1e-7 * np.max(kernel))
    assert np.linalg.eigvalsh(network.nngp(A))[0] >= -1e-12 * np.trace(network.nngp(A))


def test_order_of_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(len(X))
    for kernel, reordered in zip(MLP().kernels(X), MLP().kernels(X[order]), strict=True):
        assert_allclose(reordered, kernel[order][:, order], rtol=1e-13)


# Networks as objects


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 3, "activation": "gelu", "weight_variance": 1.5, "bias_variance": 0.0},
        {"depth": 1, "input_variance": np.array([1.0, 2.0, 0.0, 3.0]), "output_variance": 0.5},
        {"activation": LeakyReLU(0.2), "parametrization": "standard", "width": 100},
    ],
)
def test_mlp_is_a_sequential(options):
    network = MLP(**options)
    layers = network.sequential().layers
    assert len(layers) == 2 * network.depth + 1
    for ours, theirs in zip(network.kernels(X, Y), Sequential(layers).kernels(X, Y), strict=True):
        assert_array_equal(ours, theirs)


def test_mlp_written_out():
    network = MLP(2, "erf", weight_variance=1.5, bias_variance=0.2, input_variance=0.7, output_variance=3.0)
    layers = [
        Dense(weight_variance=0.7, bias_variance=0.2),
        Activation("erf"),
        Dense(weight_variance=1.5, bias_variance=0.2),
        Activation("erf"),
        Dense(weight_variance=3.0, bias_variance=0.2),
    ]
    assert network.sequential() == Sequential(layers)


NETWORKS = [
    MLP(),
    MLP(3, LeakyReLU(0.2), input_variance=np.array([1.0, 2.0, 3.0, 4.0]), output_variance=0.5),
    Sequential(
        [
            Dense(weight_variance=[1.0, 2.0, 0.5, 1.0], bias_variance=0.1),
            Activation(LeakyReLU(0.3)),
            Dense(weight_variance=1.5, bias_variance=0.0, trainable=False),
        ]
    ),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
class TestObjects:
    def test_copies_are_equal_and_independent(self, network):
        K = network.nngp(X)
        for copy in (clone(network), pickle.loads(pickle.dumps(network))):
            assert copy == network
            assert copy is not network
            assert_array_equal(copy.nngp(X), K)
            name = next(name for name in copy.get_params() if name.endswith("weight_variance"))
            copy.set_params(**{name: 77.0})
            assert copy != network
        assert_array_equal(network.nngp(X), K)

    def test_is_not_hashable(self, network):
        with pytest.raises(TypeError, match="unhashable"):
            hash(network)

    def test_variances(self, network):
        """Those that are set, by parameter name; a copy with others leaves the network alone."""
        variances = network.hyperparameters()
        assert all(value is not None for value in variances.values())
        assert variances.keys() <= network.get_params().keys()
        assert network.with_hyperparameters(**variances) == network
        doubled = {name: np.multiply(2.0, value) for name, value in variances.items()}
        other = network.with_hyperparameters(**doubled)
        assert isinstance(other, type(network))
        for name, value in network.hyperparameters().items():
            assert_array_equal(value, variances[name])
            assert_array_equal(other.hyperparameters()[name], doubled[name])


def test_variances_of_an_mlp():
    network = MLP(input_variance=[1.0, 2.0], bias_variance=0.0)
    assert network.hyperparameters() == {"input_variance": [1.0, 2.0], "weight_variance": 2.0, "bias_variance": 0.0}


def test_parameters_of_a_sequential():
    network = Sequential([Dense(weight_variance=1.5), Activation(LeakyReLU(0.3)), Dense()])
    parameters = network.get_params()
    assert parameters["layers__0__weight_variance"] == 1.5
    assert parameters["layers__1__activation__slope"] == 0.3
    assert list(network.get_params(deep=False)) == ["layers"]
    assert network.set_params(layers__1__activation__slope=0.4, layers__2__bias_variance=0.0) is network
    assert network == Sequential([Dense(weight_variance=1.5), Activation(LeakyReLU(0.4)), Dense(bias_variance=0.0)])
    network.set_params(layers=[Dense(), Activation("erf"), Dense()], layers__1__activation="gelu")
    assert network == Sequential([Dense(), Activation("gelu"), Dense()])
