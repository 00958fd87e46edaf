"""The nearest training rows of many queries."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from infwidth._data.leaves import leaves
from infwidth._runtime.threads import blas_threads, for_each, thread_count

NEGLIGIBLE = 1e-12  # share of the variance below which a feature moves no distance
FEW_ROWS = 2048  # so few that a tree is quick in any dimension
TREE_DIMENSION = 6  # beyond, a tree visits most of its leaves
CELL_ROWS = 512
LEAST, EACH = 2**16, 256  # candidates at least, and for each neighbour
FIRST = 16  # candidates for each neighbour, from the nearest cells, that show how far it may be
WORK_SPACE = 2**22  # numbers at a time and thread


class NeighbourIndex:
    """Training rows, kept so that the nearest of them are found quickly.

    Distances are Euclidean. The answers depend on neither the number of threads nor on what else is asked for at
    the same time.

    ==================================  ====================================================================
    2,048 rows, or up to 6 dimensions   a k-d tree, exact
    more, up to max(65,536, 256 k)      matrix products with all rows, exact
    still more                          matrix products with the rows of the nearest cells, as many as that
    ==================================  ====================================================================

    Dimensions are those that the rows fill (see `dimension`), not the number of features. The candidates of 10⁶
    normal rows hold 99 % of the nearest 50, 150 and 400 in 10 dimensions, and 80, 75 and 80 % in 20, where what is
    found reaches 1 to 2 % farther than the nearest do.

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
        self._method: Tree | Cells = Tree(X) if few else Cells(X)

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


class Cells:
    """Cells of neighbouring rows, of which a query looks at the nearest.

    A product of matrices in float32 bounds the squared distances of the rows of a cell from below,
    |x - r|² ≥ (1 - ε) (|x|² + |r|²) - 2 x·r with ε above all rounding errors. Few rows are within the limit that the
    nearest cells set; of these, distances in float64 decide.
    """

    def __init__(self, X: np.ndarray) -> None:
        cells = leaves(X, CELL_ROWS)
        n_cells, size, d = len(cells), len(cells[0]), X.shape[1]
        self._shrink = 1.0 - (d + 4) * np.finfo(np.float32).eps
        self._rows = np.full((n_cells, size), -1)
        self._X = np.full((n_cells, size, d), np.inf)  # where a cell has no row, this one is far away
        self._centres = np.empty((n_cells, d))
        self._factors = np.zeros((n_cells, d + 2, size), np.float32)
        self._factors[:, d] = 1e37  # again far away; infinity would make NaN
        self._factors[:, d + 1] = 1.0
        for cell, rows in enumerate(cells):
            self._rows[cell, : len(rows)] = rows
            self._X[cell, : len(rows)] = X[rows]
            # An outlier moves the mean away from the other rows of its cell, and their bounds would be loose.
            self._centres[cell] = np.median(X[rows], axis=0)
            offsets = X[rows] - self._centres[cell]
            self._factors[cell, :d, : len(rows)] = offsets.T
            self._factors[cell, d, : len(rows)] = self._shrink * np.sum(offsets**2, axis=1)

    def query(self, X: np.ndarray, k: int, n_threads: int) -> np.ndarray:
        """Return the ``k`` nearest rows of each query, among those of its nearest cells."""
        n_cells, size = self._rows.shape
        n_probes = min(n_cells, -(-max(LEAST, EACH * k) // size))
        found = np.empty((len(X), k), np.intp)

        def work(batch: np.ndarray) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # queries too far away for float32
                found[batch] = self._nearest(X[batch], n_probes, k)

        batch_size = max(1, WORK_SPACE // (n_probes * X.shape[1] + FIRST * k))
        with blas_threads(1):
            for_each(work, leaves(X, batch_size) if len(X) else [], n_threads)
        return found

    def _nearest(self, X: np.ndarray, n_probes: int, k: int) -> np.ndarray:
        # Near cells are the same for near queries, so each is multiplied with many at once.
        squared = cdist(X, self._centres, "sqeuclidean")  # row by row: ties do not depend on the other queries
        probes = np.argsort(squared, axis=1)[:, :n_probes]
        limits = self._limits(X, squared, probes, k)
        size = self._rows.shape[1]
        found = []
        for cell, queries, _, bounds in self._tiles(X, squared, probes):
            within = np.flatnonzero(~(bounds > limits[queries, None]))  # NaN is within
            found.append((queries[within // size], cell * size + within % size))
        queries, places = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        order = np.argsort(queries, kind="stable")
        groups = np.split(places[order], np.searchsorted(queries[order], np.arange(1, len(X))))
        return np.array([self._first(x, group, k) for x, group in zip(X, groups, strict=True)])

    def _limits(self, X: np.ndarray, squared: np.ndarray, probes: np.ndarray, k: int) -> np.ndarray:
        """Return squared distances within which each query has ``k`` rows for sure."""
        size = self._rows.shape[1]
        probes = probes[:, : -(-FIRST * k // size)]
        bounds = np.empty((*probes.shape, size), np.float32)
        for _, queries, ranks, tile in self._tiles(X, squared, probes):
            bounds[queries, ranks] = tile
        limits = np.empty(len(X))
        for query, x in enumerate(X):
            ranks, columns = np.divmod(np.argpartition(bounds[query], k - 1, axis=None)[:k], size)
            limits[query] = self._squared(x, probes[query, ranks] * size + columns).max()
        return np.nextafter(limits.astype(np.float32), np.float32(np.inf))

    def _tiles(
        self, X: np.ndarray, squared: np.ndarray, probes: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield each cell that is probed, by which queries, as which of their cells, and the bounds of its rows."""
        d = X.shape[1]
        pairs = np.argsort(probes, axis=None, kind="stable")
        queries, ranks = np.divmod(pairs, probes.shape[1])
        cells = probes[queries, ranks]
        factors = np.empty((len(pairs), d + 2), np.float32)
        factors[:, :d] = -2.0 * (X[queries] - self._centres[cells])
        factors[:, d] = 1.0
        factors[:, d + 1] = self._shrink * squared[queries, cells]
        edges = np.flatnonzero(np.diff(cells, prepend=-1, append=-1))
        for start, stop in pairwise(edges):
            these = slice(start, stop)
            yield cells[start], queries[these], ranks[these], factors[these] @ self._factors[cells[start]]

    def _squared(self, x: np.ndarray, places: np.ndarray) -> np.ndarray:
        offsets = self._X.reshape(-1, len(x))[places] - x
        return np.einsum("ij,ij->i", offsets, offsets)

    def _first(self, x: np.ndarray, places: np.ndarray, k: int) -> np.ndarray:
        """Return the ``k`` rows at ``places`` that are nearest to ``x``, of equally near ones the first."""
        squared, rows = self._squared(x, places), self._rows.ravel()[places]
        farthest = np.partition(squared, k - 1)[k - 1]
        nearer = rows[squared < farthest]
        return np.concatenate([nearer, np.sort(rows[squared == farthest])[: k - len(nearer)]])


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
