"""What an activation must bring: its function, and how its dual is computed.

A *dual activation* is the pair of maps

    T(q1, q2, c) = E φ(u) φ(v),    Ṫ(q1, q2, c) = E φ'(u) φ'(v),    (u, v) ~ N(0, [[q1, c], [c, q2]]).

Everything that depends on one input only is computed per row, in NumPy, O(n): that is ``rows``. What is
left for a pair is one small function of the covariance c and the coefficients of the two rows: ``pair``,
compiled by numba into the fused pass. Ṫ = ∂T/∂c (Price's theorem), and the diagonal never comes from ``pair``.
"""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

N_COEFFICIENTS = 3  # numbers a row brings to `pair`
_SMALLEST = 1e-307
N_PARAMETERS = 6  # numbers an activation brings to `pair`


class Rows(NamedTuple):
    """What ``rows`` returns for n variances q: all arrays of shape (n,)."""

    coefficients: tuple  # at most N_COEFFICIENTS arrays
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
    """

    name: str
    rows: Callable
    pair: Callable


class BaseActivation(BaseEstimator):
    """Base of the activations: plain parameters, a function and its derivative, and a dual.

    A new activation states its ``family`` and the numbers that family needs. A new family is a pair of
    functions in a module of this package.
    """

    family: Family
    has_ntk = True  # False where φ' is not a function, so that E φ'(u)φ'(v) does not exist

    def dual_parameters(self):
        """Return the numbers that ``family`` needs, at most ``N_PARAMETERS`` floats."""
        raise NotImplementedError

    def __call__(self, x):
        """φ(x), elementwise."""
        raise NotImplementedError

    def derivative(self, x):
        """φ'(x), elementwise."""
        raise NotImplementedError

    def __eq__(self, other):
        return type(self) is type(other) and self.get_params() == other.get_params()

    def __hash__(self):
        return hash((type(self), tuple(sorted(self.get_params().items()))))


def positive(activation, name):
    """Return the named parameter of an activation as a float, or raise if it is not a positive number."""
    value = finite(activation, name)
    if value <= 0:
        raise ValueError(f"{type(activation).__name__}: {name} must be positive, got {value}.")
    return value


def finite(activation, name):
    """Return the named parameter of an activation as a float, or raise if it is not a finite number."""
    value = getattr(activation, name)
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else np.nan
    if not np.isfinite(number):
        raise ValueError(f"{type(activation).__name__}: {name} must be a finite number, got {value!r}.")
    return number


def root_and_inverse(q):
    """Return √q and 1/√q, both 0 where q is too small for the inverse of a product of two.

    A zero row is uncorrelated with every row.
    """
    root = np.sqrt(np.where(q > _SMALLEST, q, 0.0))
    return root, np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
