"""The elementary functions of the inner loops against extended precision: a few units in the last place."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from infwidth._runtime.jit import jit
from infwidth.activations import _vector_math

EPS = np.finfo(float).eps
ULPS = 4  # allowed, relative to the result

NEAR_ONE = 1.0 - np.geomspace(2.0**-53, 0.5, 400)  # where arcsin and arccos bend
UNIT = np.unique(np.concatenate([np.linspace(0.0, 1.0, 2001), np.geomspace(1e-300, 0.5, 400), NEAR_ONE]))
SIGNED = np.concatenate([-UNIT[::-1], UNIT])
EXPONENTS = np.concatenate([np.linspace(-708.0, 709.78, 5001), np.geomspace(1e-300, 1.0, 200)])
NEGATIVE = -np.concatenate([np.geomspace(1e-300, 708.0, 2000), np.linspace(0.0, 40.0, 2001)])


def compiled(name):
    """Compile one function over an array, as the loops of the activations do."""
    function = getattr(_vector_math, name)

    @jit
    def loop(x, result):
        for i in range(x.size):
            result[i] = function(x[i])

    return over_arrays(loop)


def over_arrays(loop):
    def call(x):
        x = np.atleast_1d(np.asarray(x, dtype=float))
        result = np.empty_like(x)
        loop(x, result)
        return result

    return call


@jit
def _tail_0(u, result):
    for i in range(u.size):
        result[i] = _vector_math.arccosine_tail_0(u[i], math.sqrt(u[i]))


@jit
def _tail_1(u, result):
    for i in range(u.size):
        result[i] = _vector_math.arccosine_tail_1(u[i], math.sqrt(u[i]))


@jit
def _tail_2(u, result):
    for i in range(u.size):
        result[i] = _vector_math.arccosine_tail_2(u[i], math.sqrt(u[i]))


TAILS = [over_arrays(loop) for loop in (_tail_0, _tail_1, _tail_2)]


@pytest.fixture(scope="module")
def functions():
    return {name: compiled(name) for name in ("arcsin", "arccos", "one_minus_square", "exp", "expm1")}


def assert_ulps(result, expected):
    """Compare with a reference of extended precision; underflow may be as coarse as the smallest normal number."""
    error = np.abs(result - expected)
    allowed = ULPS * EPS * np.abs(expected) + np.finfo(float).tiny
    worst = int(np.argmax(error - allowed))
    assert np.all(error <= allowed), f"entry {worst}: {result[worst]!r} instead of {expected[worst]!r}"


def extended(x):
    return np.asarray(x, dtype=np.longdouble)


def half_angle(u):
    """arcsin √(u/2) = ½ arccos(1 - u), without the cancellation."""
    return np.arcsin(np.sqrt(extended(u) / 2))


def series(x, term):
    """Σ term(k, x): the closed forms cancel where u is small, their series do not."""
    return sum(term(k, x) for k in range(1, 25))


def test_arcsin(functions):
    assert_ulps(functions["arcsin"](SIGNED), np.arcsin(extended(SIGNED)))


def test_arccos(functions):
    """arccos z = 2 arcsin √((1-z)/2): right to the last digits also where it vanishes."""
    assert_ulps(functions["arccos"](SIGNED), 2 * half_angle(1 - extended(SIGNED)))


@pytest.mark.parametrize("beyond", [1.0, 1.0 + EPS, 2.0, math.inf])
def test_inverse_functions_clip(functions, beyond):
    values = [-beyond, beyond]
    assert_array_equal(functions["arcsin"](values), [-math.pi / 2, math.pi / 2])
    assert_array_equal(functions["arccos"](values), [math.pi, 0.0])


def test_zeros_keep_their_sign(functions):
    result = functions["arcsin"]([0.0, -0.0])
    assert_array_equal(result, [0.0, 0.0])
    assert_array_equal(np.signbit(result), [False, True])
    assert_array_equal(functions["arccos"]([0.0, -0.0]), [math.pi / 2, math.pi / 2])


def test_one_minus_square(functions):
    z = extended(SIGNED)
    expected = (1 - z) * (1 + z)
    inside = np.abs(SIGNED) < 1
    assert_ulps(functions["one_minus_square"](SIGNED)[inside], expected[inside])


@pytest.mark.parametrize("z", [1.0, -1.0, 1.5, -math.inf])
def test_one_minus_square_is_never_zero(functions, z):
    largest_below_one = 1.0 - 2.0**-53
    assert_array_equal(functions["one_minus_square"](z), functions["one_minus_square"](largest_below_one))
    assert 0 < functions["one_minus_square"](z)[0] < 3e-16


def test_exp(functions):
    assert_ulps(functions["exp"](EXPONENTS), np.exp(extended(EXPONENTS)))


def test_expm1(functions):
    assert_ulps(functions["expm1"](NEGATIVE), np.expm1(extended(NEGATIVE)))


def test_exponentials_at_the_ends(functions):
    smallest = math.exp(-708.0)
    assert_ulps(functions["exp"]([-708.1, -1e5, -math.inf]), np.full(3, smallest))
    assert_array_equal(functions["exp"]([709.79, 1e5, math.inf]), [math.inf] * 3)
    assert_array_equal(functions["exp"]([0.0, -0.0]), [1.0, 1.0])
    assert_array_equal(functions["expm1"]([0.0, -0.0]), [0.0, 0.0])
    assert_array_equal(functions["expm1"]([-708.1, -1e5, -math.inf]), [-1.0] * 3)


@pytest.mark.parametrize("name", ["arcsin", "arccos", "one_minus_square", "exp", "expm1"])
def test_nan_stays_nan(functions, name):
    """Alone, and in a row that the compiler vectorises: min and max of the two kinds treat NaN differently."""
    for n in (1, 67):
        assert_array_equal(functions[name](np.full(n, math.nan)), np.full(n, math.nan))


def test_arccosine_tail_0():
    assert_ulps(TAILS[0](UNIT), 2 * half_angle(UNIT) / extended(np.pi))


def test_arccosine_tail_1():
    """sin t - t cos t = Σ (-1)^{k+1} 2k t^{2k+1} / (2k+1)!, t = arccos(1 - u)."""

    def term(k, t):
        return (-1) ** (k + 1) * 2 * k * t ** (2 * k + 1) / extended(math.factorial(2 * k + 1))

    assert_ulps(TAILS[1](UNIT), series(2 * half_angle(UNIT), term) / extended(np.pi))


def test_arccosine_tail_2():
    """t (1 + 2 cos² t) - 3 sin t cos t = Σ (-1)^k (k-1) (2t)^{2k+1} / (2k+1)!, t = arccos(1 - u)."""

    def term(k, s):
        return (-1) ** k * (k - 1) * s ** (2 * k + 1) / extended(math.factorial(2 * k + 1))

    assert_ulps(TAILS[2](UNIT), series(4 * half_angle(UNIT), term) / extended(np.pi))


def test_arccosine_tails_at_the_ends():
    """κ_n(0) = J_n(π/2) / π = 1/2, 1/π, 1/2 (Cho & Saul 2009), and κ_n(-1) = 0."""
    for tail, at_zero in zip(TAILS, [0.5, 1 / math.pi, 0.5], strict=True):
        assert_ulps(tail([1.0]), np.array([at_zero]))
        assert_array_equal(tail([0.0]), [0.0])
        assert_array_equal(tail([math.nan]), [math.nan])


def test_polynomial_needs_two_coefficients():
    with pytest.raises(ValueError, match="a polynomial needs two coefficients at least"):
        _vector_math._polynomial((1.0,))
