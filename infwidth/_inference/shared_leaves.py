"""Which rows are predicted together: those that share most of their neighbours, where that costs less."""

import numpy as np

from infwidth._data.leaves import halves, leaves
from infwidth._inference.leaf_pass import Leaves

MOST = 128  # rows of a leaf
PAIR = 100.0  # cost of an entry of the kernel, in multiplications

Leaf = tuple[np.ndarray, np.ndarray]  # rows that are asked for, and the training rows that they are given


def planned(X: np.ndarray, found: np.ndarray, training: np.ndarray | None = None, *, n_more: int = 0) -> Leaves:
    """Return the leaves that solve for all rows at the least cost, halving sets of rows again and again.

    Parameters
    ----------
    X : ndarray of shape (m, n_features)
        The rows that are asked for.
    found : ndarray of int, shape (m, n_neighbours)
        The neighbours of each.
    training : ndarray of int, shape (m,), optional
        Their indices, where they are training rows themselves.
    n_more : int, default=0
        Number of other rows that each leaf is given as well.
    """
    plan = [leaf for rows in leaves(X, MOST) for leaf in _cheapest(X, rows, found, n_more)[1]] if len(X) else []
    asked, given = [rows for rows, _ in plan], [own for _, own in plan]
    places = [] if training is None else [np.searchsorted(own, training[rows]) for rows, own in plan]
    own = np.empty(len(X), int) if places else np.empty(0, int)
    for rows, place in zip(asked, places, strict=False):
        own[rows] = place
    return Leaves(_joined(asked), _edges(asked), _joined(given), _edges(given), own)


def most_given(n: int, m: int) -> int:
    """Return how many rows a leaf of ``planned`` m rows is given at most, all included, where one row is given n.

    A leaf costs no more than its rows would alone.
    """
    return int(np.cbrt(3.0 * min(m, MOST) * _cost(n, 1)))


def _cheapest(X: np.ndarray, rows: np.ndarray, found: np.ndarray, n_more: int) -> tuple[float, list[Leaf]]:
    """Return the cost of the cheapest leaves of some rows, and those: one for all, or those of both halves."""
    given = np.unique(found[rows])
    together = _cost(len(given) + n_more, len(rows))
    least_apart = 2.0 * _cost(found.shape[1] + n_more, len(rows) / 2)
    if len(rows) == 1 or together <= least_apart:
        return together, [(rows, given)]
    parts = [_cheapest(X, half, found, n_more) for half in halves(X, rows)]
    apart = sum(cost for cost, _ in parts)
    return (together, [(rows, given)]) if together <= apart else (apart, [leaf for _, own in parts for leaf in own])


def _cost(n: int, m: float) -> float:
    """Return multiplications of a leaf of m rows that are given n: the factor, the solution, the kernels."""
    return n**3 / 3 + n**2 * m + PAIR * (n**2 / 2 + n * m)


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, int), *arrays])


def _edges(arrays: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *map(len, arrays)])
