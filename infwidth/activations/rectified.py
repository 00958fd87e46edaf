"""Piecewise linear, step and squared rectifiers: the arc-cosine kernels (Cho & Saul 2009).

With ρ = c/√(q1 q2), a = |ρ|, κ_n = J_n/π and their tails at -a (maths 2.1 and 2.3; see ``_vector_math``):

    κ₀(a) = 1 - κ₀(-a),    κ₁(a) = a + κ₁(-a),    κ₂(a) = 1 + 2a² - κ₂(-a).
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from infwidth._runtime.jit import inline
from infwidth.activations._vector_math import (
    EQUAL,
    arccosine_tail_0,
    arccosine_tail_1,
    arccosine_tail_2,
    arcsin,
    one_minus_square,
    within,
)
from infwidth.activations.base import (
    BaseActivation,
    Curvature,
    Family,
    Numbers,
    Rows,
    finite,
    homogeneous,
    root_and_inverse,
)


def _rectifier_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    root, inverse = root_and_inverse(q)
    slope = p[0] + p[1]
    return Rows((inverse, root), slope * q, np.full_like(q, slope))


@inline
def _rectifier_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = g|x| + h x with p = (g², h²): T = √(q1q2) [g² (a + 2κ₁(-a)) + h² ρ] (maths 3.1)."""
    scale, inverse = i[1] * j[1], i[0] * j[0]
    rho = c * inverse
    u = max(scale - abs(c), 0.0) * inverse  # the subtraction is exact near |ρ| = 1
    u = u if u > EQUAL else 0.0  # equal rows: Ṫ has √u
    a = 1.0 - u
    root = math.sqrt(u)
    value = scale * (p[0] * (2.0 * arccosine_tail_1(u, root)) + (p[0] * a + p[1] * rho))
    signed = p[0] if rho >= 0 else -p[0]
    derivative = (p[1] + signed) - 2.0 * signed * arccosine_tail_0(u, root)
    return value, derivative


def _step_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    inverse = root_and_inverse(q)[1]
    return Rows((inverse,), np.where(q > 0, p[0] + p[1], p[1]), np.full_like(q, np.nan))


@inline
def _step_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = g sign(x) + m with p = (g², m²): T = m² + g² (2/π) arcsin ρ (maths 3.3). Ṫ does not exist."""
    return p[1] + p[0] * (2.0 / math.pi) * arcsin(within(c * (i[0] * j[0]), 1.0)), math.nan


def _squared_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    root, inverse = root_and_inverse(q)
    return Rows((inverse, root), 1.5 * q * q, 2.0 * q)


@inline
def _squared_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = max(x, 0)²: T = ½ q1 q2 κ₂(ρ), Ṫ = 2 √(q1 q2) κ₁(ρ) (maths 3.2)."""
    rho = within(c * (i[0] * j[0]), 1.0)
    a = abs(rho)
    u = 1.0 - a
    root = math.sqrt(u)
    scale = i[1] * j[1]
    tail = arccosine_tail_2(u, root)
    kappa = 1.0 + 2.0 * a * a - tail if rho > 0 else tail
    return 0.5 * scale * scale * kappa, 2.0 * scale * (max(rho, 0.0) + arccosine_tail_1(u, root))


@inline
def _rectifier_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """T̈ = g² (2/π) / √(q1q2 - c²), which is integrable but unbounded at ρ = 1: √(1-ρ²) is clipped at 1.5e-8."""
    inverse = i[0] * j[0]
    value, derivative = _rectifier_pair(c, i, j, p)
    second = p[0] * (2.0 / math.pi) * inverse / math.sqrt(one_minus_square(c * inverse))
    return homogeneous(c, i[0] * i[0], j[0] * j[0], 1.0, value, derivative, second)


@inline
def _step_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """The slope g² (2/π) / √(q1q2 - c²) of T, clipped as above, in the place of Ṫ, and 0 for equal rows; no more."""
    inverse = i[0] * j[0]
    value = _step_pair(c, i, j, p)[0]
    rho = within(c * inverse, 1.0)
    slope = p[0] * (2.0 / math.pi) * inverse / math.sqrt(one_minus_square(rho)) if abs(rho) < 1.0 else 0.0
    return homogeneous(c, i[0] * i[0], j[0] * j[0], 0.0, value, slope, math.nan)


@inline
def _squared_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """T̈ = 2κ₀(ρ)."""
    rho = c * (i[0] * j[0])
    value, derivative = _squared_pair(c, i, j, p)
    tail = arccosine_tail_0(1.0 - min(abs(rho), 1.0), math.sqrt(1.0 - min(abs(rho), 1.0)))
    second = 2.0 * (1.0 - tail if rho > 0 else tail)
    return homogeneous(c, i[0] * i[0], j[0] * j[0], 2.0, value, derivative, second)


RECTIFIER = Family("rectifier", _rectifier_rows, _rectifier_pair, _rectifier_curvature, lambda p: 1.0, n_linear=2)
STEP = Family("step", _step_rows, _step_pair, _step_curvature, lambda p: 0.0)
SQUARED_RECTIFIER = Family("squared_rectifier", _squared_rows, _squared_pair, _squared_curvature, lambda p: 2.0)


class _Rectifier(BaseActivation):
    """φ(x) = a min(x, 0) + b max(x, 0)."""

    family = RECTIFIER

    def _slopes(self) -> tuple[float, float]:
        raise NotImplementedError

    def dual_parameters(self) -> tuple[float, ...]:
        a, b = self._slopes()
        return ((b - a) / 2) ** 2, ((a + b) / 2) ** 2

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        a, b = self._slopes()
        return a * np.minimum(x, 0) + b * np.maximum(x, 0)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        a, b = self._slopes()
        return np.where(np.greater(x, 0), b, a) + 0.5 * (b - a) * np.equal(x, 0)


class ReLU(_Rectifier):
    """φ(x) = max(x, 0); E φφ is half the arc-cosine kernel of order 1 (Cho & Saul 2009)."""

    def _slopes(self) -> tuple[float, float]:
        return 0.0, 1.0


class LeakyReLU(_Rectifier):
    """φ(x) = max(x, 0) + slope · min(x, 0).

    Parameters
    ----------
    slope : float, default=0.01
        Slope for negative inputs; 0 is ReLU, 1 the identity.
    """

    learnable = ("slope",)

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def slopes(self) -> dict[str, tuple[float, ...]]:
        return {"slope": (0.0, 0.5 * (self.slope - 1.0), 0.5 * (self.slope + 1.0))}

    def _slopes(self) -> tuple[float, float]:
        return finite(self, "slope"), 1.0


class Abs(_Rectifier):
    """φ(x) = |x|."""

    def _slopes(self) -> tuple[float, float]:
        return -1.0, 1.0


class Sign(BaseActivation):
    """φ(x) = sign(x). It has an NNGP kernel and no NTK: its derivative is not a function."""

    family = STEP
    has_ntk = False

    def dual_parameters(self) -> tuple[float, ...]:
        return 1.0, 0.0

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.sign(x)


class RectifiedPower(BaseActivation):
    """φ(x) = max(x, 0)^power: twice E φφ is the arc-cosine kernel of that order (Cho & Saul 2009).

    Parameters
    ----------
    power : {0, 1, 2}, default=2
        0 is the unit step (½ at 0), which has an NNGP kernel and no NTK; 1 is ReLU.
    """

    def __init__(self, power: Literal[0, 1, 2] = 2) -> None:
        self.power = power

    def _power(self) -> int:
        if self.power not in (0, 1, 2):
            raise ValueError(f"RectifiedPower: power must be 0, 1 or 2, got {self.power!r}.")
        return int(self.power)

    @property
    def family(self) -> Family:  # type: ignore[override]  # it follows from the power
        """The closed form for this power."""
        return (STEP, RECTIFIER, SQUARED_RECTIFIER)[self._power()]

    @property
    def has_ntk(self) -> bool:  # type: ignore[override]  # so does it
        return self._power() > 0

    def dual_parameters(self) -> tuple[float, ...]:
        return ((0.25, 0.25), (0.25, 0.25), ())[self._power()]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.maximum(x, 0) ** self._power() if self._power() else np.heaviside(x, 0.5)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        if not self.has_ntk:
            raise NotImplementedError("the derivative of the unit step is not a function.")
        return 2 * np.maximum(x, 0) if self._power() == 2 else np.heaviside(x, 0.5)
