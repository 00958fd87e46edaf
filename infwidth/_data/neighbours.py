"""The nearest training rows of many queries."""

import numpy as np
from scipy.spatial import KDTree

from infwidth._runtime.threads import thread_count

NEGLIGIBLE = 1e-12  # share of the variance below which a feature moves no distance


class NeighbourIndex:
    """Training rows, kept so that the nearest of them are found quickly.

    Distances are Euclidean. The answers depend on neither the number of threads nor on what else is asked for at
    the same time.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        The rows; features are on their final scale. Those with a negligible share of the variance are dropped.
    n_jobs : int, default=None
        Threads; None for as many as BLAS may use.
    """

    def __init__(self, X: np.ndarray, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs
        self._features = varying(X)
        self._tree = KDTree(X[:, self._features], leafsize=40)

    def query(self, X: np.ndarray, k: int) -> np.ndarray:
        """Return the indices of the ``k`` rows that are nearest to each row of ``X``, in no particular order.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
        k : int

        Returns
        -------
        ndarray of shape (n_queries, k)
        """
        if not 1 <= k <= self._tree.n:
            raise ValueError(f"k={k} neighbours of {self._tree.n} rows: k must be between 1 and the number of rows.")
        _, nearest = self._tree.query(X[:, self._features], np.arange(1, k + 1), workers=thread_count(self.n_jobs))
        return nearest


def varying(X: np.ndarray) -> np.ndarray:
    """Return the sorted places of the features that move distances, one at least."""
    variance = np.var(X, axis=0)
    return np.flatnonzero((variance > NEGLIGIBLE * variance.sum()) | (np.arange(len(variance)) == variance.argmax()))
