"""Blocks of neighbouring rows: a part of the data that is as dense as the whole."""

import numpy as np


def neighbouring_blocks(X: np.ndarray, size: int) -> list[np.ndarray]:
    """Halve the rows at the median of the widest feature, again and again, down to blocks of at most ``size`` rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    size : int

    Returns
    -------
    list of ndarray
        Sorted places of the rows of each block; they differ in length by one at most.
    """
    blocks = [np.arange(len(X))]
    while len(blocks[0]) > size:
        blocks = [half for rows in blocks for half in _halves(X, rows)]
    return [np.sort(rows) for rows in blocks]


def _halves(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper half of the rows; the larger first, so that the first block is the largest."""
    widest = np.argmax(np.var(X[rows], axis=0))
    ordered = rows[np.argsort(X[rows, widest], kind="stable")]
    middle = (len(rows) + 1) // 2
    return ordered[:middle], ordered[middle:]
