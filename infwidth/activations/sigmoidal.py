"""Scaled and shifted error functions: erf and the normal cdf (Williams 1996)."""

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from infwidth._runtime.jit import inline
from infwidth.activations._vector_math import arcsin, one_minus_square, within
from infwidth.activations.base import BaseActivation, Curvature, Family, Numbers, Rows


def _erf_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    """At c = q, z = 2b²q/(1 + 2b²q) and √(1 - z²) = √(1 + 4b²q)/(1 + 2b²q), with no cancellation."""
    height, offset, b2 = p[:3]
    x = 2.0 * b2 * q
    root = np.sqrt(1.0 + 2.0 * x)
    value = offset + height * (2.0 / np.pi) * np.arctan2(x, root)
    return Rows((np.sqrt(2.0 * b2 / (1.0 + x)), np.sqrt(q)), value, height * b2 * (4.0 / np.pi) / root)


@inline
def _erf_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = a erf(bx) + m with p = (a², m², b²), z = 2b²c/√((1+2b²q1)(1+2b²q2)) (maths 3.4).

    T = m² + a² (2/π) arcsin z, and Ṫ = ∂T/∂c.
    """
    scale = i[0] * j[0]
    z = within(c, i[1] * j[1]) * scale
    value = p[1] + p[0] * (2.0 / math.pi) * arcsin(z)
    derivative = p[0] * (2.0 / math.pi) * scale / math.sqrt(one_minus_square(z))
    return value, derivative


@inline
def _erf_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """With a_i² = 2b²/(1+2b²q): T̈ = Ṫ z a_i a_j / (1-z²), ∂T/∂q = -½ c a_i² Ṫ, ∂Ṫ/∂q = -½ a_i² Ṫ / (1-z²)."""
    c = within(c, i[1] * j[1])
    value, derivative = _erf_pair(c, i, j, p)
    scale, a, b = i[0] * j[0], i[0] * i[0], j[0] * j[0]
    z = c * scale
    ratio = derivative / one_minus_square(z)
    slope = -0.5 * c * derivative
    return value, derivative, z * scale * ratio, slope * a, slope * b, -0.5 * ratio * a, -0.5 * ratio * b


ERF = Family("erf", _erf_rows, _erf_pair, _erf_curvature)


class Erf(BaseActivation):
    """φ(x) = erf(x), close to tanh(2x/√π) (Williams 1996)."""

    family = ERF

    def dual_parameters(self) -> tuple[float, ...]:
        return 1.0, 0.0, 1.0

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return special.erf(x)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return 2.0 / np.sqrt(np.pi) * np.exp(-np.square(x))


class NormalCDF(BaseActivation):
    """φ(x) = Φ(x) = ½ + ½ erf(x/√2), the cumulative distribution function of a standard normal."""

    family = ERF

    def dual_parameters(self) -> tuple[float, ...]:
        return 0.25, 0.25, 0.5

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return special.ndtr(x)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return np.exp(-0.5 * np.square(x)) / np.sqrt(2.0 * np.pi)
