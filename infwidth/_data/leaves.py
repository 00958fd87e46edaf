"""Leaves of a tree that halves the rows: neighbours, each leaf as dense as the whole."""

import numpy as np

from infwidth._runtime.threads import for_each


def leaves(X: np.ndarray, size: int, n_threads: int = 1) -> list[np.ndarray]:
    """Halve the rows at the median of the widest feature, again and again, down to leaves of at most ``size`` rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    size : int
    n_threads : int, default=1

    Returns
    -------
    list of ndarray
        Sorted indices of the rows of each leaf; they differ in length by one at most.
    """
    found = [np.arange(len(X))]
    while len(found[0]) > size:
        found = halved(X, found, n_threads)
    return [np.sort(rows) for rows in found]


def halved(X: np.ndarray, wholes: list[np.ndarray], n_threads: int) -> list[np.ndarray]:
    """Return the halves of all, in the same order."""
    found = 2 * wholes  # to be overwritten

    def halve(place: int) -> None:
        found[2 * place : 2 * place + 2] = halves(X, wholes[place])

    for_each(halve, range(len(wholes)), n_threads)
    return found


def halves(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper half of some rows; the larger first, so that the first leaf is the largest."""
    widest = np.argmax(np.var(X[rows], axis=0))
    ordered = rows[np.argsort(X[rows, widest], kind="stable")]
    middle = (len(rows) + 1) // 2
    return ordered[:middle], ordered[middle:]
