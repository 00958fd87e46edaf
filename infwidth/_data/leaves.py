"""Leaves of a tree that halves the rows: neighbours, each leaf as dense as the whole."""

import numpy as np


def leaves(X: np.ndarray, size: int) -> list[np.ndarray]:
    """Halve the rows at the median of the widest feature, again and again, down to leaves of at most ``size`` rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    size : int

    Returns
    -------
    list of ndarray
        Sorted indices of the rows of each leaf; they differ in length by one at most.
    """
    found = [np.arange(len(X))]
    while len(found[0]) > size:
        found = [half for rows in found for half in halves(X, rows)]
    return [np.sort(rows) for rows in found]


def halves(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper half of some rows; the larger first, so that the first leaf is the largest."""
    widest = np.argmax(np.var(X[rows], axis=0))
    ordered = rows[np.argsort(X[rows, widest], kind="stable")]
    middle = (len(rows) + 1) // 2
    return ordered[:middle], ordered[middle:]
