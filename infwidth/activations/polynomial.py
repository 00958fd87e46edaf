"""Powers of the input: duals that are polynomials in the correlation."""

from math import comb, factorial
from typing import Literal

import numpy as np
import numpy.typing as npt

from infwidth._runtime.jit import inline
from infwidth.activations._vector_math import within
from infwidth.activations.base import BaseActivation, Curvature, Family, Numbers, Rows, homogeneous, root_and_inverse

MAX_DEGREE = 5


def _double_factorial(n: int) -> int:
    return 1 if n <= 0 else n * _double_factorial(n - 2)


def _degree(p: np.ndarray) -> int:
    return max(k for k in range(MAX_DEGREE + 1) if p[k])


def _polynomial_rows(q: np.ndarray, p: np.ndarray) -> Rows:
    degree = _degree(p)
    root, inverse = root_and_inverse(q)
    slope = sum(k * p[k] for k in range(MAX_DEGREE + 1))
    coefficients = (inverse, root**degree, root ** (degree - 1))
    return Rows(coefficients, sum(p) * q**degree, slope * q ** (degree - 1))


@inline
def _polynomial_pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    """φ(x) = xⁿ: T = √(q1q2)ⁿ Σ_k p_k ρ^k, and by Price's theorem Ṫ = √(q1q2)^{n-1} Σ_k k p_k ρ^{k-1}."""
    rho = within(c * (i[0] * j[0]), 1.0)
    value = p[0] + rho * (p[1] + rho * (p[2] + rho * (p[3] + rho * (p[4] + rho * p[5]))))
    slope = p[1] + rho * (2.0 * p[2] + rho * (3.0 * p[3] + rho * (4.0 * p[4] + rho * (5.0 * p[5]))))
    return (i[1] * j[1]) * value, (i[2] * j[2]) * slope


@inline
def _polynomial_curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    """T̈ = √(q1q2)^{n-2} Σ_k k(k-1) p_k ρ^{k-2}; the last power is the row's third coefficient over √q."""
    inverse = i[0] * j[0]
    rho = within(c * inverse, 1.0)
    value, derivative = _polynomial_pair(c, i, j, p)
    second = 2.0 * p[2] + rho * (6.0 * p[3] + rho * (12.0 * p[4] + rho * 20.0 * p[5]))
    second = (i[2] * j[2]) * inverse * second
    degree = 1.0
    for k in range(2, 6):
        degree = float(k) if p[k] > 0 else degree
    return homogeneous(c, i[0] * i[0], j[0] * j[0], degree, value, derivative, second)


POLYNOMIAL = Family("polynomial", _polynomial_rows, _polynomial_pair, _polynomial_curvature, _degree)


class Monomial(BaseActivation):
    """φ(x) = x^degree.

    Parameters
    ----------
    degree : {1, 2, 3, 4, 5}, default=2
    """

    family = POLYNOMIAL

    def __init__(self, degree: Literal[1, 2, 3, 4, 5] = 2) -> None:
        self.degree = degree

    def _degree(self) -> int:
        if self.degree not in range(1, MAX_DEGREE + 1):
            raise ValueError(f"Monomial: degree must be 1, 2, 3, 4 or 5, got {self.degree!r}.")
        return int(self.degree)

    def dual_parameters(self) -> tuple[float, ...]:
        """p_k = k! (C(n, k) (n-k-1)!!)² for n - k even: Hermite coefficients of xⁿ (maths 3.10)."""
        n = self._degree()
        return tuple(
            float(factorial(k) * (comb(n, k) * _double_factorial(n - k - 1)) ** 2)
            if k <= n and (n - k) % 2 == 0
            else 0.0
            for k in range(MAX_DEGREE + 1)
        )

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.power(x, self._degree())

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return self._degree() * np.power(x, self._degree() - 1)


class Identity(BaseActivation):
    """φ(x) = x: the limit of a deep linear network."""

    family = POLYNOMIAL

    def dual_parameters(self) -> tuple[float, ...]:
        return 0.0, 1.0, 0.0, 0.0, 0.0, 0.0

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        return np.asarray(x)

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        return np.ones_like(x)
