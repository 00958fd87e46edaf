"""Cells of neighbouring rows, of which a query looks at the nearest."""

from itertools import pairwise

import numpy as np

from infwidth._data.cell_search import LARGEST, CellRows, nearest, numbers
from infwidth._data.leaves import leaves
from infwidth._runtime.threads import for_each

CELL_ROWS = 256
LEAST, EACH = 2**16, 256  # candidates at least, and for each neighbour
FIRST = 16  # candidates for each neighbour, from the nearest cells, that show how far it may be
WORK_SPACE = 2**22  # numbers at a time and thread


class Cells:
    """Cells of neighbouring rows, of which a query looks at the nearest.

    Products in float32 bound the squared distances of the rows of a cell from below,
    |x - r|² ≥ (1 - ε) (|x|² + |r|²) - 2 x·r with ε above all rounding errors, that of the limit among them. Few rows
    are within the limit that the nearest cells set; of these, distances in float64 decide.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    n_threads : int, default=1
        For this only, not for queries.
    """

    def __init__(self, X: np.ndarray, n_threads: int = 1) -> None:
        cells = leaves(X, CELL_ROWS, n_threads)
        n_cells, size, d = len(cells), len(cells[0]), X.shape[1]
        shrink = 1.0 - (d + 4) * float(np.finfo(np.float32).eps)
        rows = np.concatenate(cells)
        edges = np.cumsum([0, *map(len, cells)])
        centres, factors = np.empty((d, n_cells)), np.zeros((n_cells, d + 1, size), np.float32)
        self._cells = CellRows(edges, rows, X[rows], centres, factors, shrink)
        for cell, (start, stop) in enumerate(pairwise(edges)):
            members = self._cells.X[start:stop]
            # An outlier moves the mean away from the other rows of its cell, and their bounds would be loose.
            centres[:, cell] = np.median(members, axis=0)
            offsets = members - centres[:, cell]
            squares = shrink * np.sum(offsets**2, axis=1)
            factors[cell, :d, : stop - start] = offsets.T
            factors[cell, d, : stop - start] = np.where(squares <= LARGEST, squares, -np.inf)

    def query(self, X: np.ndarray, k: int, n_threads: int) -> np.ndarray:
        """Return the ``k`` nearest rows of each query, among those of its nearest cells."""
        n_cells, _, size = self._cells.factors.shape
        n_probes = min(n_cells, -(-max(LEAST, EACH * k) // size))
        n_first = min(n_probes, -(-FIRST * k // size))
        found = np.empty((len(X), k), np.intp)

        def work(batch: np.ndarray) -> None:
            found[batch] = nearest(self._cells, X[batch], n_probes, n_first, k)

        # Near cells are the same for near queries, which find them in the cache.
        fitting = WORK_SPACE // numbers(k, n_probes, X.shape[1])
        batch_size = max(1, min(fitting, -(-len(X) // n_threads)))
        for_each(work, leaves(X, batch_size) if len(X) else [], n_threads)
        return found
