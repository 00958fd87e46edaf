"""Sines, exponentials and Gaussians: duals built from exp and its inverse powers (maths 3.5 to 3.7)."""

import math

import numpy as np
import numpy.typing as npt

from infwidth._runtime.jit import inline
from infwidth.activations._vector_math import exp, expm1, one_minus_square, within
from infwidth.activations.base import BaseActivation, Curvature, Family, Numbers, Rows, finite, positive


def _sinusoid_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    s2, b2 = p[:2]
    decay = np.exp(-2.0 * b2 * q)
    sinh = -0.5 * np.expm1(-2.0 * b2 * q)
    return Rows((0.5 * b2 * q, np.sqrt(q)), sinh + s2 * decay, b2 * (sinh + (1.0 - s2) * decay))


@inline
def _sinusoid_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = sin(bx + φ₀) with p = (sin²φ₀, b²), m = b²(q1+q2)/2, x = b²c:

    T = e^{-m} sinh x + sin²φ₀ e^{-m-x},    Ṫ = b² (e^{-m} sinh x + cos²φ₀ e^{-m-x}).
    """
    x = p[1] * within(c, i[1] * j[1])
    m = i[0] + j[0]
    a = abs(x)
    sinh = np.copysign(-0.5 * exp(min(a - m, 0.0)) * expm1(-2.0 * a), x)
    decay = exp(min(-x - m, 0.0))
    return sinh + p[0] * decay, p[1] * (sinh + (1.0 - p[0]) * decay)


def _exponential_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    value = np.exp((p[0] + 2.0 * p[1]) * q)
    return Rows((p[1] * q, np.sqrt(q)), value, p[0] * value)


@inline
def _exponential_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """T = exp(βc + η q1 + η q2) with p = (β, η), Ṫ = βT."""
    x = p[0] * within(c, i[1] * j[1]) + (i[0] + j[0])
    value = exp(min(x, 0.0) if p[1] < 0 else x)  # E(u - v)² is not negative
    return value, p[0] * value


def _gaussian_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    a, root = 1.0 + 2.0 * p[0] * q, np.sqrt(1.0 + 4.0 * p[0] * q)
    value = 1.0 / root
    return Rows((1.0 / np.sqrt(a), np.sqrt(q)), value, 4.0 * p[0] ** 2 * q * value**3)


@inline
def _gaussian_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = e^{-rx²} with p = (r,), z = 2rc/√((1+2rq1)(1+2rq2)): T = D^{-1/2}, Ṫ = 4r²c D^{-3/2} (maths 3.7)."""
    scale, c = i[0] * j[0], within(c, i[1] * j[1])
    inverse = scale / math.sqrt(one_minus_square(2.0 * p[0] * c * scale))
    return inverse, 4.0 * p[0] * p[0] * c * (inverse * inverse * inverse)


@inline
def _sinusoid_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """T̈ = b⁴ T, and both T and Ṫ fall with q as e^{-b²q/2}."""
    value, derivative = _sinusoid_pair(c, i, j, p)
    t, d = -0.5 * p[1] * value, -0.5 * p[1] * derivative
    return value, derivative, p[1] * p[1] * value, t, t, d, d


@inline
def _exponential_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    value, derivative = _exponential_pair(c, i, j, p)
    t, d = p[1] * value, p[1] * derivative
    return value, derivative, p[0] * derivative, t, t, d, d


@inline
def _gaussian_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """∂T/∂q1 = -r (1+2rq2) T³ with 1+2rq2 = 1/j², and Ṫ = 4r²c T³."""
    c = within(c, i[1] * j[1])
    value, derivative = _gaussian_pair(c, i, j, p)
    r, cube = p[0], value * value * value
    t_i, t_j = -r * cube / (j[0] * j[0]), -r * cube / (i[0] * i[0])
    slope = 12.0 * r * r * c * value * value
    return value, derivative, 4.0 * r * r * cube + slope * derivative, t_i, t_j, slope * t_i, slope * t_j


SINUSOID = Family("sinusoid", _sinusoid_rows, _sinusoid_pair, _sinusoid_curvature, n_linear=1)
EXPONENTIAL = Family("exponential", _exponential_rows, _exponential_pair, _exponential_curvature)
GAUSSIAN = Family("gaussian", _gaussian_rows, _gaussian_pair, _gaussian_curvature)


def _scale_slope(scale: float) -> float:
    """Return ∂ log b² / ∂b. It is not used where b = 0, which is fixed."""
    return 2.0 / scale if scale else 0.0


class Sin(BaseActivation):
    """φ(x) = sin(scale · x + phase).

    Parameters
    ----------
    scale : float, default=1.0
    phase : float, default=0.0
    """

    family = SINUSOID
    learnable = ("scale", "phase")

    def __init__(self, scale: float = 1.0, phase: float = 0.0) -> None:
        self.scale = scale
        self.phase = phase

    def dual_parameters(self) -> tuple[float, ...]:
        return np.sin(finite(self, "phase")) ** 2, finite(self, "scale") ** 2

    def slopes(self) -> dict[str, tuple[float, ...]]:
        return {"scale": (_scale_slope(self.scale), 0.0), "phase": (0.0, np.sin(2.0 * self.phase))}

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.sin(self.scale * np.asarray(x) + self.phase)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return self.scale * np.cos(self.scale * np.asarray(x) + self.phase)


class Cos(BaseActivation):
    """φ(x) = cos(x)."""

    family = SINUSOID

    def dual_parameters(self) -> tuple[float, ...]:
        return 1.0, 1.0

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.cos(x)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return -np.sin(x)


class Exp(BaseActivation):
    """φ(x) = exp(scale · x). Its kernel grows as exp of a variance: use it on scaled inputs.

    Parameters
    ----------
    scale : float, default=1.0
    """

    family = EXPONENTIAL
    learnable = ("scale",)

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def slopes(self) -> dict[str, tuple[float, ...]]:
        return {"scale": (_scale_slope(self.scale),)}

    def dual_parameters(self) -> tuple[float, ...]:
        b2 = finite(self, "scale") ** 2
        return b2, b2 / 2

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.exp(self.scale * np.asarray(x))

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return self.scale * np.exp(self.scale * np.asarray(x))


class RBF(BaseActivation):
    """φ(x) = √2 sin(√(2γ) x + π/4), for which E φ(u)φ(v) = exp(-γ E (u - v)²).

    With one hidden layer the NNGP is the usual squared-exponential kernel.

    Parameters
    ----------
    gamma : float, default=0.5
        Positive. γ above.
    """

    family = EXPONENTIAL
    learnable = ("gamma",)

    def __init__(self, gamma: float = 0.5) -> None:
        self.gamma = gamma

    def slopes(self) -> dict[str, tuple[float, ...]]:
        return {"gamma": (1.0 / positive(self, "gamma"),)}

    def dual_parameters(self) -> tuple[float, ...]:
        gamma = positive(self, "gamma")
        return 2 * gamma, -gamma

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.sqrt(2.0) * np.sin(np.sqrt(2 * self.gamma) * np.asarray(x) + np.pi / 4)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        root = np.sqrt(2 * self.gamma)
        return np.sqrt(2.0) * root * np.cos(root * np.asarray(x) + np.pi / 4)


class Gaussian(BaseActivation):
    """φ(x) = exp(-rate · x²).

    Parameters
    ----------
    rate : float, default=1.0
        Positive.
    """

    family = GAUSSIAN
    learnable = ("rate",)

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def slopes(self) -> dict[str, tuple[float, ...]]:
        return {"rate": (1.0 / positive(self, "rate"),)}

    def dual_parameters(self) -> tuple[float, ...]:
        return (positive(self, "rate"),)

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.exp(-self.rate * np.square(x))

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return -2.0 * self.rate * np.asarray(x) * np.exp(-self.rate * np.square(x))
