"""What an activation must bring: its function, and how its dual is computed.

A *dual activation* is the pair of maps

    T(q1, q2, c) = E φ(u) φ(v),    Ṫ(q1, q2, c) = E φ'(u) φ'(v),    (u, v) ~ N(0, [[q1, c], [c, q2]]).

Everything that depends on one input only is computed per row, in NumPy, O(n): that is ``rows``. What is
left for a pair is one small function of the covariance c and the coefficients of the two rows: ``pair``,
compiled by numba into the fused pass. Ṫ = ∂T/∂c (Price's theorem), and the diagonal never comes from ``pair``.
"""

from collections.abc import Callable
from functools import cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.jit import inline, jit

N_COEFFICIENTS = 3  # numbers a row brings to `pair`
_SMALLEST = 1e-307
N_PARAMETERS = 6  # numbers an activation brings to `pair`


Numbers = tuple[float, ...]  # of a row, or of an activation
Curvature = tuple[float, float, float, float, float, float, float]
PairDual = Callable[[float, Numbers, Numbers, Numbers], tuple[float, float]]
PairCurvature = Callable[[float, Numbers, Numbers, Numbers], Curvature]


class Rows(NamedTuple):
    """What ``rows`` returns for n variances q: all arrays of shape (n,)."""

    coefficients: tuple[np.ndarray, ...]  # at most N_COEFFICIENTS arrays
    value: np.ndarray  # T(q, q, q)
    derivative: np.ndarray  # Ṫ(q, q, q)


class Family(NamedTuple):
    """One closed form shared by the activations that differ in parameters only.

    Attributes
    ----------
    name : str
    rows : callable, (q, p) -> Rows
        Coefficients and diagonal values for the variances q, shape (n,).
    pair : numba function, (c, i, j, p) -> (T, Ṫ)
        Dual of one pair from its covariance, both rows' coefficients and the parameters p.
    curvature : numba function, (c, i, j, p) -> (T, Ṫ, T̈, ∂T/∂q1, ∂T/∂q2, ∂Ṫ/∂q1, ∂Ṫ/∂q2)
        What gradients need, T̈ = ∂Ṫ/∂c.
    degree : callable p -> float, optional
        n where φ(λx) = λⁿ φ(x) for λ > 0: T(q, q, q) is a multiple of qⁿ then, and Ṫ(q, q, q) of qⁿ⁻¹.
    n_linear : int, default=0
        T and Ṫ are affine in the first so many numbers of p, and the coefficients do not depend on these.
    """

    name: str
    rows: Callable[[np.ndarray, np.ndarray], Rows]
    pair: PairDual
    curvature: PairCurvature
    degree: Callable[[np.ndarray], float] | None = None
    n_linear: int = 0

    def row_slopes(self, q: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return d/dq of T(q, q, q) and of Ṫ(q, q, q), shape (n,)."""
        rows = self.rows(q, p)
        if self.degree is not None:
            n, inverse = self.degree(p), np.divide(1.0, q, out=np.zeros_like(q), where=q > 0)
            return n * rows.value * inverse, (n - 1.0) * rows.derivative * inverse
        return self._diagonal_slopes(rows.coefficients, q, p)

    def _diagonal_slopes(
        self, coefficients: tuple[np.ndarray, ...], q: np.ndarray, p: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """By the chain rule: Ṫ + 2 ∂T/∂q1 and T̈ + 2 ∂Ṫ/∂q1 at (q, q, q)."""
        value, derivative = np.empty_like(q), np.empty_like(q)
        c = [*coefficients, *[np.zeros_like(q)] * (N_COEFFICIENTS - len(coefficients))]
        _compile_diagonal(self.curvature)(q, *c, tuple(p), value, derivative)
        return value, derivative


@cache
def _compile_diagonal(curvature: PairCurvature) -> Callable[..., None]:
    @jit
    def loop(
        q: np.ndarray,
        r0: np.ndarray,
        r1: np.ndarray,
        r2: np.ndarray,
        p: Numbers,
        value: np.ndarray,
        derivative: np.ndarray,
    ) -> None:
        for m in range(q.size):
            row = (r0[m], r1[m], r2[m])
            both = curvature(q[m], row, row, p)
            value[m] = both[1] + 2.0 * both[3]
            derivative[m] = both[2] + 2.0 * both[5]

    return loop


class BaseActivation(BaseEstimator):
    """Base of the activations: plain parameters, a function and its derivative, and a dual.

    A new activation states its ``family`` and the numbers that family needs. A new family is three
    functions in a module of this package.
    """

    family: Family
    learnable: tuple[str, ...] = ()  # names of the parameters that can be learned
    has_ntk = True  # False where φ' is not a function, so that E φ'(u)φ'(v) does not exist

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        no_floating_point_errors(cls)

    def dual_parameters(self) -> tuple[float, ...]:
        """Return the numbers that ``family`` needs, at most ``N_PARAMETERS`` floats."""
        raise NotImplementedError

    def slopes(self) -> dict[str, tuple[float, ...]]:
        """Return, by the name of each learnable parameter, the derivatives of log b², where φ(x) becomes φ(bx), and of
        the first ``n_linear`` numbers of the family, with respect to it: tuples of 1 + ``n_linear`` floats.
        """
        return {}

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """φ(x), elementwise."""
        raise NotImplementedError

    def derivative(self, x: npt.ArrayLike) -> np.ndarray:
        """φ'(x), elementwise."""
        raise NotImplementedError

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self.get_params() == other.get_params()

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.get_params().items()))))


@inline
def homogeneous(
    c: float, i: float, j: float, degree: float, value: float, derivative: float, second: float
) -> Curvature:
    """Return what ``curvature`` returns, by Euler's identity 2q ∂T/∂q = nT - cṪ; i and j are 1/q of the rows."""
    a = 0.5 * (degree * value - c * derivative)
    b = 0.5 * ((degree - 1.0) * derivative - c * second)
    return value, derivative, second, a * i, a * j, b * i, b * j


def positive(activation: BaseActivation, name: str) -> float:
    """Return the named parameter of an activation as a float, or raise if it is not a positive number."""
    value = finite(activation, name)
    if value <= 0:
        raise ValueError(f"{type(activation).__name__}: {name} must be positive, got {value}.")
    return value


def finite(activation: BaseActivation, name: str) -> float:
    """Return the named parameter of an activation as a float, or raise if it is not a finite number."""
    value = getattr(activation, name)
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else np.nan
    if not np.isfinite(number):
        raise ValueError(f"{type(activation).__name__}: {name} must be a finite number, got {value!r}.")
    return number


def root_and_inverse(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return √q and 1/√q, both 0 where q is too small for the inverse of a product of two.

    A zero row is uncorrelated with every row.
    """
    root = np.sqrt(np.where(q > _SMALLEST, q, 0.0))
    return root, np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
