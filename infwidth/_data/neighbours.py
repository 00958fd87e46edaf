"""The nearest training rows of many queries."""

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from infwidth._data.cells import Cells
from infwidth._runtime.threads import thread_count

NEGLIGIBLE = 1e-12  # share of the variance below which a feature moves no distance
FEW_ROWS = 2048  # so few that a tree is quick in any dimension
TREE_DIMENSION = 4.5  # beyond, cells are quicker


class NeighbourIndex:
    """Training rows, kept so that the nearest of them are found quickly.

    Distances are Euclidean. The answers depend on neither the number of threads nor on what else is asked for at
    the same time.

    ===================================  ==============================================
    2,048 rows, or up to 4.5 dimensions  a k-d tree, exact
    more, up to max(65,536, 256 k)       all rows, exact
    still more                           the rows of the nearest cells, as many as that
    ===================================  ==============================================

    Dimensions are those that the rows fill (see `dimension`), not the number of features. The candidates of 10⁶
    normal rows hold all of the nearest 50, 150 and 400 in 6 dimensions, more than 99.5 % of them in 10, and 84, 79 and
    84 % in 20, where what is found reaches 1 to 1.5 % farther than the nearest do.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        The rows; features are on their final scale. Those with a negligible share of the variance are dropped.
    n_jobs : int, default=None
        Threads; None for as many as BLAS may use.

    Attributes
    ----------
    features : ndarray of int
        Places of the features that distances are made of.
    """

    def __init__(self, X: np.ndarray, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs
        self._n = len(X)
        self.features = varying(X)
        X = np.ascontiguousarray(X[:, self.features])
        few = len(X) <= FEW_ROWS or dimension(X) <= TREE_DIMENSION
        self._method: Tree | Cells = Tree(X) if few else Cells(X, thread_count(n_jobs))

    def query(self, X: np.ndarray, k: int) -> np.ndarray:
        """Return the indices of the ``k`` rows that are nearest to each row of ``X``, in increasing order.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
        k : int
            At most the number of rows, else a ValueError is raised.

        Returns
        -------
        ndarray of shape (n_queries, k)
        """
        if not 1 <= k <= self._n:
            raise ValueError(f"k={k} neighbours of {self._n} rows: k must be between 1 and the number of rows.")
        found = self._method.query(np.ascontiguousarray(X[:, self.features]), k, thread_count(self.n_jobs))
        found.sort(axis=1)
        return found


class Tree:
    """A k-d tree."""

    def __init__(self, X: np.ndarray) -> None:
        self._tree = KDTree(X, leafsize=40)

    def query(self, X: np.ndarray, k: int, n_threads: int) -> np.ndarray:
        """Return the ``k`` nearest rows of each query."""
        return self._tree.query(X, np.arange(1, k + 1), workers=n_threads)[1]


def varying(X: np.ndarray) -> np.ndarray:
    """Return the sorted places of the features that move distances, one at least."""
    variance = np.var(X, axis=0)
    return np.flatnonzero((variance > NEGLIGIBLE * variance.sum()) | (np.arange(len(variance)) == variance.argmax()))


def dimension(X: np.ndarray) -> float:
    """Return the power of the distance with which the number of neighbours grows; 0 where rows are equal."""
    some = X[:: -(-len(X) // 2**16)]
    squared = np.partition(cdist(some[:: -(-len(some) // 64)], some, "sqeuclidean"), (64, 512), axis=1)
    near, far = squared[:, 64], squared[:, 512]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.median(np.where(near > 0.0, 2.0 * np.log(512 / 64) / np.log(far / near), 0.0)))
