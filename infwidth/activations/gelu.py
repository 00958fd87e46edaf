"""The Gaussian error linear unit (Tsuchida et al. 2020)."""

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from infwidth._runtime.jit import inline
from infwidth.activations._vector_math import arccos, below_one, one_minus_square, within
from infwidth.activations.base import BaseActivation, Curvature, Family, Numbers, Rows


def _gelu_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    root = np.sqrt(1.0 + 2.0 * q)
    angle = 0.25 + np.arctan2(q, root) / (2.0 * np.pi)
    value = q * (q / (np.pi * (1.0 + q) * root) + angle)
    derivative = angle + q / (2.0 * np.pi * root) * (1.0 / (1.0 + 2.0 * q) + 2.0 / (1.0 + q))
    return Rows((1.0 / np.sqrt(1.0 + q), q / np.sqrt(1.0 + q), np.sqrt(q)), value, derivative)


@inline
def _gelu_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = xΦ(x), maths 3.8, written in z = c/√((1+q1)(1+q2)), where atan2(c, δ) = arcsin z.

    With α = 1/(1+q1), β = 1/(1+q2): 1/δ² = αβ/(1-z²) and (1-P)/P1 + 1 = α + β - αβ + αβ.
    """
    scale, c = i[0] * j[0], within(c, i[2] * j[2])
    z = below_one(c * scale)  # clipped once: T is insensitive to z only where all its terms share it
    rest = one_minus_square(z)
    root = math.sqrt(rest)
    angle = arccos(-z)
    value = (z * z * scale / root + i[1] * j[1] * root + c * angle) * (0.5 / math.pi)
    slope = (z / root) * (scale * scale / rest + i[0] * i[0] + j[0] * j[0])
    return value, (angle + slope) * (0.5 / math.pi)


@inline
def _gelu_slopes(
    c: float,
    z: float,
    root: float,
    scale: float,
    alpha: float,
    a_i: float,
    h_i: float,
    h_j: float,
    total: float,
) -> tuple[float, float]:
    """∂T/∂q1 and ∂Ṫ/∂q1: the formulas of ``_gelu_pair``, differentiated; ``total`` is αβ/(1-z²) + α + β."""
    w = z / root
    value = -alpha * w * z * scale * (3.0 + w * w) + a_i * (1.0 + alpha) * h_j * root + alpha * w * (h_i * h_j * z - c)
    square = scale * scale / (root * root)
    derivative = -alpha * w * (1.0 + total / (root * root)) - 2.0 * w * alpha * (square * (1.0 + w * w) + alpha)
    return value * (0.25 / math.pi), derivative * (0.25 / math.pi)


@inline
def _gelu_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    c = within(c, i[2] * j[2])
    value, derivative = _gelu_pair(c, i, j, p)
    scale, alpha, beta = i[0] * j[0], i[0] * i[0], j[0] * j[0]
    z = c * scale
    rest = one_minus_square(z)
    root = math.sqrt(rest)
    total = scale * scale / rest + alpha + beta
    second = 1.0 + (total + 2.0 * z * z * scale * scale / rest) / rest
    t_i, d_i = _gelu_slopes(c, z, root, scale, alpha, i[0], i[1], j[1], total)
    t_j, d_j = _gelu_slopes(c, z, root, scale, beta, j[0], j[1], i[1], total)
    return value, derivative, second * scale / root * (0.5 / math.pi), t_i, t_j, d_i, d_j


GELU_FAMILY = Family("gelu", _gelu_rows, _gelu_pair, _gelu_curvature)


class GELU(BaseActivation):
    """φ(x) = x Φ(x), with Φ the standard normal cdf (Tsuchida et al. 2020)."""

    family = GELU_FAMILY

    def dual_parameters(self) -> tuple[float, ...]:
        return ()

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.asarray(x) * special.ndtr(x)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return special.ndtr(x) + np.asarray(x) * np.exp(-0.5 * np.square(x)) / np.sqrt(2.0 * np.pi)
