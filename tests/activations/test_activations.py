"""The contract of the activations: one class of tests that every activation must pass.

A new activation is covered once it stands in ``ACTIVATIONS``, or by one line in ``PARAMETRISED``. Duals are
evaluated as a user would, by networks with one hidden layer, and compared with two-dimensional quadrature of the
activation's own function.
"""

import pickle
from contextlib import suppress
from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

import infwidth.activations
from infwidth.activations import (
    ACTIVATIONS,
    RBF,
    Abs,
    ActivationName,
    Cos,
    Exp,
    Gaussian,
    LeakyReLU,
    Monomial,
    RectifiedPower,
    Sin,
    get_activation,
)
from infwidth.networks import MLP, Activation, Dense, Sequential

PARAMETRISED = [
    LeakyReLU(0.3),
    LeakyReLU(-0.5),
    Sin(1.7, 0.4),
    RBF(1.3),
    Gaussian(0.4),
    Exp(0.5),
    *[Monomial(degree) for degree in (1, 3, 4, 5)],
    *[RectifiedPower(power) for power in (0, 1)],
]
CASES = [*ACTIVATIONS.values(), *PARAMETRISED]
WITH_NTK = [activation for activation in CASES if activation.has_ntk]
WITHOUT_NTK = [activation for activation in CASES if not activation.has_ntk]
PERIODIC = [activation for activation in CASES if isinstance(activation, (Sin, Cos, RBF))]
# A quadrature cannot follow a period that is short compared with the variance, and exp overflows.
STEADY = [activation for activation in CASES if activation not in PERIODIC and not isinstance(activation, Exp)]

PAIRS = np.array(  # q1, q2, ρ
    [(1, 1, 0.5), (1, 4, 0.35), (0.3, 2, -0.8), (1.5, 1.5, 0.99), (2, 0.5, -0.999), (0.7, 1, 0.05), (1e-4, 1, 0.6)]
)
HUGE_PAIRS = np.array(
    [(1e8, 1e8, 0.5), (1e8, 1.0, 0.9), (1e8, 1e-8, -0.3), (1e16, 1e16, -0.8), (1e16, 1.0, 0.9), (1e16, 1e16, 0.5)]
)
EPS = np.finfo(float).eps
COVARIANCE_ERROR = 8 * EPS  # relative, of an inner product of a few terms
ANGLE_ERROR = np.sqrt(2 * COVARIANCE_ERROR)  # what that makes of a correlation of ±1

MATH_VALUES = {  # golden values: T and Ṫ at A = (1, 1, 0.5), then at B = (1, 4, 0.7)
    "relu": [0.3044988905, 1 / 3, 0.5130131364, 0.3069092087],
    LeakyReLU(0.1): [0.2966441013, 0.37, 0.4855406405, 0.3485964591],
    Abs(): [0.7179955621, 1 / 3, 1.3520525455, 0.2276368346],
    "sign": [1 / 3, None, None, None],
    "erf": [0.2163468959, 0.4501581581, 0.1736706537, 0.2544444348],
    "normal_cdf": [0.2902153116, 0.0821872592, 0.2855246994, 0.0516095263],
    "sin": [0.1917002498, 0.4148304099, 0.0622683421, 0.1030305461],
    "cos": [0.4148304099, 0.1917002498, 0.1030305461, 0.0622683421],
    RBF(0.5): [0.6065306597, 0.6065306597, 0.1652988882, 0.1652988882],
    Exp(1.0): [4.4816890703, 4.4816890703, 24.5325301971, 24.5325301971],
    Gaussian(1.0): [0.3535533906, 0.0883883476, 0.1998401917, 0.0223463473],
    "gelu": [0.2272949150, 0.3422672425, 0.3987187945, 0.3146121757],
    Monomial(2): [1.5, 2.0, 4.98, 2.8],
    Monomial(3): [5.25, 13.5, 27.258, 44.82],
    RectifiedPower(2): [0.7067483358, 1.2179955621, 2.1545789087, None],
}


def gauss_panels(edges, n_nodes):
    """Nodes and weights of Gauss-Legendre quadrature on the panels between the edges."""
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


def graded(levels):
    """Edges from 0 to 1, ever closer to 0."""
    return np.append(0.0, 4.0 ** np.arange(-levels, 1))


def expectation(f, s1, s2, theta, levels=2):
    """E f(u) f(v) for standard deviations s1, s2 and correlation cos θ, by quadrature in polar coordinates.

    u = s1 r cos α, v = s2 r cos(α - θ): what f does at 0 happens on four rays, where panels end, so all integrands
    are smooth. ``levels`` refines the panels at the rays and at the origin, for an f that is sharp compared with s.
    """
    rays = np.sort(np.mod([np.pi / 2, -np.pi / 2, theta + np.pi / 2, theta - np.pi / 2], 2 * np.pi))
    starts, widths = rays, np.diff(rays, append=rays[0] + 2 * np.pi)
    half = graded(levels) / 2
    unit, weights = gauss_panels(np.concatenate([half, 1 - half[-2::-1]]), 16)
    alpha = (starts[:, None] + widths[:, None] * unit).ravel()
    r, w = gauss_panels(np.concatenate([graded(levels), np.arange(2.0, 15.0)]), 12)
    product = f(s1 * np.cos(alpha)[:, None] * r) * f(s2 * np.cos(alpha - theta)[:, None] * r)
    return (widths[:, None] * weights).ravel() @ product @ (w * r * np.exp(-(r**2) / 2)) / (2 * np.pi)


def expectations(f, pairs, levels=2):
    return np.array([expectation(f, np.sqrt(q1), np.sqrt(q2), np.arccos(rho), levels) for q1, q2, rho in pairs])


def one_layer(activation, *, last_trainable=True):
    """For two features: K = T of Σ_f x_f y_f, and Θ = Ṫ Σ_f x_f y_f without the last layer's own term."""
    return Sequential(
        [
            Dense(weight_variance=2.0, bias_variance=0.0),
            Activation(activation),
            Dense(weight_variance=1.0, bias_variance=0.0, trainable=last_trainable),
        ]
    )


def duals(activation, pairs):
    """T and Ṫ (None if it does not exist) of pairs (q1, q2, ρ), ρ not 0: from rows with these inner products."""
    q1, q2, rho = np.transpose(pairs)
    s1, s2 = np.sqrt(q1), np.sqrt(q2)
    X, Y = np.stack([s1, 0 * s1], 1), np.stack([rho * s2, np.sqrt((1 - rho) * (1 + rho)) * s2], 1)
    value = np.diag(one_layer(activation).nngp(X, Y))
    if not get_activation(activation).has_ntk:
        return value, None
    return value, np.diag(one_layer(activation, last_trainable=False).ntk(X, Y)) / (rho * s1 * s2)


def row_duals(activation, q):
    """T(q, q, q) and Ṫ(q, q, q) as the diagonals of the kernels have them."""
    rows = activation.family.rows(np.asarray(q, dtype=float), np.array(activation.dual_parameters()))
    return rows.value, rows.derivative


def geometric_mean(activation, q1, q2):
    """√(T(q1, q1, q1) T(q2, q2, q2)): what the rounding of T(q1, q2, c) is relative to."""
    return np.sqrt(row_duals(activation, q1)[0]) * np.sqrt(row_duals(activation, q2)[0])


def check_parallel_rows(activation, size, levels=2):
    """Duplicate, scaled and antiparallel rows, up to what the error of the covariance does to the quadrature."""
    X = size * np.array([[0.7, -0.4]])
    s = np.linalg.norm(X)
    for factor, theta, turned in ((1.0, 0.0, ANGLE_ERROR), (2.0, 0.0, ANGLE_ERROR), (-1.0, np.pi, np.pi - ANGLE_ERROR)):
        exact, felt = (expectation(activation, s, abs(factor) * s, angle, levels) for angle in (theta, turned))
        allowed = 1e-12 * geometric_mean(activation, s**2, (factor * s) ** 2) + 2 * np.abs(exact - felt)
        assert np.abs(one_layer(activation).nngp(X, factor * X) - exact) <= allowed


def check_duplicate_rows(activation, size):
    """Off the diagonal as on it; by Price's theorem an error of c is felt as Ṫ dc."""
    X = size * np.random.default_rng(0).standard_normal((100, 5))
    network = one_layer(activation)
    K, q = network.diag(X), np.sum(X**2, axis=1) * 2 / 5
    if not activation.has_ntk:
        assert_allclose(np.diag(network.nngp(X, X)), K, rtol=ANGLE_ERROR)
        return
    felt = COVARIANCE_ERROR * q * row_duals(activation, q)[1]
    assert np.all(np.abs(np.diag(network.nngp(X, X)) - K) <= 1e-14 * K + felt)
    condition = size**2  # of Ṫ, in order of magnitude, where φ bends at a scale of 1
    assert_allclose(np.diag(network.ntk(X, X)), network.diag(X, "ntk"), rtol=max(2e-7, 100 * EPS * condition))


@pytest.mark.parametrize("activation", CASES, ids=repr)
class TestContract:
    def test_duals_are_expectations(self, activation):
        value, derivative = duals(activation, PAIRS)
        error = np.abs(value - expectations(activation, PAIRS))
        assert np.all(error <= 1e-12 * geometric_mean(activation, *PAIRS.T[:2]))
        if activation.has_ntk:
            assert_allclose(derivative, expectations(activation.derivative, PAIRS), rtol=1e-11)

    def test_rows_are_expectations(self, activation):
        """In one dimension, with a panel that ends at 0."""
        z, w = gauss_panels(np.arange(-14.0, 15.0), 24)
        w = w * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        q = np.array([1e-4, 0.3, 1.0, 4.0])
        value, derivative = row_duals(activation, q)
        assert_allclose(value, activation(np.sqrt(q)[:, None] * z) ** 2 @ w, rtol=1e-13)
        if activation.has_ntk:
            assert_allclose(derivative, activation.derivative(np.sqrt(q)[:, None] * z) ** 2 @ w, rtol=1e-13)

    def test_positive_semidefinite_and_symmetric(self, activation):
        X = np.random.default_rng(0).standard_normal((40, 3))
        network = one_layer(activation)
        for kernel in (network.nngp, network.ntk) if activation.has_ntk else (network.nngp,):
            matrix = kernel(X)
            assert_array_equal(matrix, matrix.T)
            eigenvalues = np.linalg.eigvalsh(matrix)
            assert eigenvalues[0] > -1e-14 * eigenvalues[-1]

    @pytest.mark.parametrize("size", [1e-150, 1e-8, 1.0])
    def test_parallel_rows(self, activation, size):
        check_parallel_rows(activation, size)

    @pytest.mark.parametrize("size", [1e-150, 1e-8, 1.0])
    def test_duplicate_rows(self, activation, size):
        check_duplicate_rows(activation, size)

    @pytest.mark.parametrize("size", [1e-155, 1e-160, 1e-170])
    def test_variance_underflows(self, activation, size):
        X = np.random.default_rng(0).standard_normal((10, 3))
        X[:5] *= size
        network = one_layer(activation)
        assert np.all(np.isfinite(network.nngp(X)))
        if activation.has_ntk:
            assert np.all(np.isfinite(network.ntk(X)))

    def test_zero_row(self, activation):
        """E φ(0) φ(v), and no NTK since there is nothing to learn from."""
        X = np.array([[0.0, 0.0], [0.6, -0.3], [1e-150, 1e-150]])
        expected = [expectation(activation, 0.0, s, np.pi / 2) for s in np.linalg.norm(X, axis=1)]
        assert_allclose(one_layer(activation).nngp(X)[0], expected, rtol=1e-13, atol=1e-15)
        if activation.has_ntk:
            assert_array_equal(one_layer(activation, last_trainable=False).ntk(X)[0], np.zeros(3))

    def test_rows_of_variance_zero(self, activation):
        value, derivative = row_duals(activation, [0.0, 1e-40])
        assert_allclose(value[0], activation(0.0) ** 2, rtol=1e-14)
        if activation.has_ntk:
            assert_allclose(derivative[0], derivative[1], rtol=1e-14, atol=1e-20)

    def test_is_a_value(self, activation):
        names = vars(infwidth.activations)
        for copy in (clone(activation), pickle.loads(pickle.dumps(activation)), eval(repr(activation), names)):
            assert copy == activation
            assert hash(copy) == hash(activation)
            assert repr(copy) == repr(activation)
        assert activation != object()
        assert sum(activation == other for other in CASES) == 1
        assert get_activation(activation) is activation


@pytest.mark.parametrize("activation", WITH_NTK, ids=repr)
class TestDerivative:
    def test_derivative_is_the_slope(self, activation):
        x = np.linspace(-3.0, 3.0, 60)  # without 0
        slope = (activation(x + 1e-5) - activation(x - 1e-5)) / 2e-5
        assert_allclose(activation.derivative(x), slope, rtol=1e-8, atol=1e-8)
        assert activation.derivative([1, 2]).shape == activation([1, 2]).shape == (2,)

    def test_price_theorem(self, activation):
        """∂T/∂c = Ṫ, by differences of fourth order."""
        q1, q2, rho = pairs = PAIRS[[0, 1, 2, 5]].T
        step = 1e-3
        shifted = [duals(activation, np.stack([q1, q2, rho + k * step], 1))[0] for k in (-2, -1, 1, 2)]
        slope = np.dot([1 / 12, -2 / 3, 2 / 3, -1 / 12], shifted) / (step * np.sqrt(q1 * q2))
        assert_allclose(duals(activation, pairs.T)[1], slope, rtol=1e-8)


@pytest.mark.parametrize("activation", STEADY, ids=repr)
class TestHugeRows:
    def test_duals_are_expectations(self, activation):
        """To what an angle and a standard deviation of 1e8 leave of the quadrature's precision."""
        value, derivative = duals(activation, HUGE_PAIRS)
        assert_allclose(value, expectations(activation, HUGE_PAIRS, levels=13), rtol=1e-8)
        if activation.has_ntk:
            expected = expectations(activation.derivative, HUGE_PAIRS[:3], levels=13)
            scale = np.sqrt(np.prod([row_duals(activation, q)[1] for q in HUGE_PAIRS[:3, :2].T], axis=0))
            assert np.all(np.abs(derivative[:3] - expected) <= 1e-8 * np.abs(expected) + 1e-11 * scale)

    @pytest.mark.parametrize("size", [1e4, 1e8])
    def test_parallel_rows(self, activation, size):
        check_parallel_rows(activation, size, levels=13)

    @pytest.mark.parametrize("size", [1e4, 1e8])
    def test_duplicate_rows(self, activation, size):
        check_duplicate_rows(activation, size)


@pytest.mark.parametrize("size", [1e4, 1e8])
@pytest.mark.parametrize("activation", PERIODIC, ids=repr)
def test_huge_rows_of_a_periodic_activation(activation, size):
    """Other rows have independent, uniform phases; and rounding takes no entry past the bound of φ²."""
    phases = np.linspace(0.0, 2 * np.pi, 64, endpoint=False)
    squared_scale = activation.dual_parameters()[0 if isinstance(activation, RBF) else 1]
    values = activation(phases / np.sqrt(squared_scale))
    X = size * np.random.default_rng(0).standard_normal((20, 5))
    network = one_layer(activation)
    K = network.nngp(X)
    assert_allclose(K[~np.eye(20, dtype=bool)], np.mean(values) ** 2, atol=1e-15)
    assert_allclose(np.diag(K), np.mean(values**2), rtol=1e-13)
    largest = np.max(np.abs(network.nngp(X, np.vstack([X, -X]))))
    assert largest <= (1 + 1e-13) * np.max(values**2)


def test_exp_overflows_with_a_sentence():
    """E φ(u)² = exp(2q), for duplicate rows on the diagonal and beside it."""
    network = one_layer("exp")
    assert np.all(np.isfinite(network.nngp(np.full((2, 2), np.sqrt(708.9 / 4)))))
    with suppress(ValueError):  # exp(709.5) is below the largest number, but not by much: either is right
        assert np.all(np.isfinite(network.nngp(np.full((2, 2), np.sqrt(709.5 / 4)))))
    with pytest.raises(ValueError, match="is not finite: its features are too large"):
        network.nngp(np.full((2, 2), np.sqrt(710.0 / 4)))


@pytest.mark.parametrize("activation", MATH_VALUES, ids=str)
def test_values_of_the_mathematics_page(activation):
    expected = [np.nan if number is None else number for number in MATH_VALUES[activation]]
    value, derivative = duals(activation, [(1.0, 1.0, 0.5), (1.0, 4.0, 0.35)])
    computed = np.ravel(np.transpose([value, np.full(2, np.nan) if derivative is None else derivative]))
    stated = np.isfinite(expected)
    assert_allclose(computed[stated], np.array(expected)[stated], rtol=0, atol=1e-10)  # a unit of the last digit


@pytest.mark.parametrize("activation", WITHOUT_NTK, ids=repr)
def test_no_ntk(activation):
    network = MLP(depth=1, activation=activation)
    X = np.eye(2)
    assert np.all(np.isfinite(network.nngp(X)))
    for call in (network.ntk, network.kernels, lambda X: network.diag(X, "ntk")):
        with pytest.raises(ValueError, match=r"has no neural tangent kernel.*Use the NNGP kernel"):
            call(X)
    with pytest.raises(NotImplementedError):
        activation.derivative(X)


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        *[(LeakyReLU(slope), "slope") for slope in (np.nan, np.inf, None, "steep", [0.1, 0.2])],
        *[(Sin(scale), "scale") for scale in (np.nan, None, "wide")],
        *[(Sin(1.0, phase), "phase") for phase in (-np.inf, "late")],
        *[(Exp(scale), "scale") for scale in (np.nan, "wide")],
        *[(RBF(gamma), "gamma") for gamma in (0.0, -1.0, np.inf, "auto")],
        *[(Gaussian(rate), "rate") for rate in (0.0, -1.0, np.nan, None)],
        *[(Monomial(degree), "degree") for degree in (0, 6, 1.5, "2", None)],
        *[(RectifiedPower(power), "power") for power in (-1, 3, 0.5, "1", None)],
    ],
    ids=repr,
)
def test_bad_parameter(activation, name):
    with pytest.raises(ValueError, match=rf"^{type(activation).__name__}: {name} must be .*got"):
        MLP(activation=activation).nngp([[1.0]])


def test_named_activations_are_not_shared():
    """Or setting a parameter of one would change what the name means everywhere."""
    for name in ACTIVATIONS:
        assert get_activation(name) is not get_activation(name)
        assert get_activation(name) == get_activation(name)


def test_type_checkers_know_all_names():
    assert get_args(ActivationName) == tuple(ACTIVATIONS)


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown activation 'mish'; the names are") as error:
        MLP(activation="mish").nngp([[1.0]])
    assert all(name in str(error.value) for name in ACTIVATIONS)


@pytest.mark.parametrize("activation", [None, 3, LeakyReLU, np.tanh])
def test_neither_a_name_nor_an_activation(activation):
    with pytest.raises(TypeError, match=r"must be a name or an object of infwidth.activations"):
        MLP(activation=activation).nngp([[1.0]])
