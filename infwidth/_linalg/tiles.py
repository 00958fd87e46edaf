"""The lower triangle of a symmetric matrix, as square tiles."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.linalg import blas

TILE = 1024  # rows of a tile: large enough for BLAS to run at full speed

Tile = tuple[int, int, np.ndarray]  # first row, first column, and Fortran-ordered entries
Blocks = list[np.ndarray]  # the rows of a matrix, one Fortran-ordered array a block row


class LowerTiles:
    """Storage for the tiles (i, j), i >= j, of an n x n matrix: about half of its 8n² bytes.

    A tile is its own Fortran-ordered array, which BLAS and LAPACK overwrite in place through SciPy.

    Parameters
    ----------
    n : int
    tile : int, default=TILE
        Largest number of rows of a tile; the rows are shared out evenly.
    """

    def __init__(self, n: int, tile: int = TILE) -> None:
        self.edges = _edges(n, tile)
        self.n_blocks = len(self.edges) - 1
        self._columns = [
            [np.empty((self.size(i), self.size(j)), order="F") for i in range(j, self.n_blocks)]
            for j in range(self.n_blocks)
        ]

    @staticmethod
    def n_bytes(n: int, tile: int = TILE) -> int:
        """Return the bytes of all tiles, without allocating any."""
        sizes = np.diff(_edges(n, tile)).tolist()
        return 8 * (sum(sizes) ** 2 + sum(size**2 for size in sizes)) // 2

    @staticmethod
    def column_bytes(n: int, tile: int = TILE) -> int:
        """Return the bytes of n rows of the widest tile column."""
        return 8 * n * int(np.diff(_edges(n, tile)).max())

    @property
    def n(self) -> int:
        """Number of rows of the matrix."""
        return int(self.edges[-1])

    def size(self, i: int) -> int:
        """Return the number of rows of block row i."""
        return int(self.edges[i + 1] - self.edges[i])

    def rows(self, i: int) -> slice:
        """Return the rows of block row i, as a slice."""
        return slice(int(self.edges[i]), int(self.edges[i + 1]))

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray:
        i, j = place
        return self._columns[j][i - j]

    def __iter__(self) -> Iterator[Tile]:
        """Yield first row, first column and array of each tile."""
        for j, column in enumerate(self._columns):
            for i, tile in enumerate(column, j):
                yield int(self.edges[i]), int(self.edges[j]), tile

    def add_to_diagonal(self, values: np.ndarray) -> None:
        """Add the values, shape (n,), to the diagonal."""
        for i in range(self.n_blocks):
            own = np.arange(self.size(i))
            self[i, i][own, own] += values[self.rows(i)]

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        return np.concatenate([np.diag(self[k, k]) for k in range(self.n_blocks)])

    def add(self, other: "LowerTiles") -> None:
        """Add the lower triangle of another matrix, stored alike."""
        for (_, _, theirs), (_, _, own) in zip(other, self, strict=True):
            blas.daxpy(theirs.ravel("K"), own.ravel("K"))  # above the diagonal there is nothing of use to add

    def split(self, B: np.ndarray) -> Blocks:
        """Copy the rows of B, shape (n, m), to one Fortran-ordered array a block row."""
        return [np.array(B[self.rows(i)], order="F", dtype=float) for i in range(self.n_blocks)]

    def empty_blocks(self, m: int) -> Blocks:
        """Return memory for n x m numbers, as blocks (see ``split``)."""
        return [np.empty((self.size(i), m), order="F") for i in range(self.n_blocks)]

    def placed(self, blocks: Sequence[np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """Return each block with its first row before it."""
        return list(zip(map(int, self.edges), blocks, strict=False))

    def transposed_product(self, blocks: Sequence[np.ndarray], B: np.ndarray) -> np.ndarray:
        """Return the product of the transpose of the blocks with B, shape (n, k)."""
        return sum_of(block.T @ B[self.rows(i)] for i, block in enumerate(blocks))

    def add_product(self, blocks: Sequence[np.ndarray], total: Sequence[np.ndarray]) -> None:
        """Add the product of the symmetric matrix with B to ``total``, both as blocks (see ``split``)."""
        for i in range(self.n_blocks):
            blas.dsymm(1.0, self[i, i], blocks[i], 1.0, total[i], lower=1, overwrite_c=1)
            for j in range(i):
                blas.dgemm(1.0, self[i, j], blocks[j], 1.0, total[i], overwrite_c=1)
                blas.dgemm(1.0, self[i, j], blocks[i], 1.0, total[j], trans_a=1, overwrite_c=1)

    def dense(self) -> np.ndarray:
        """Return the symmetric matrix as one array."""
        A = np.empty((self.n, self.n))
        for i in range(self.n_blocks):
            for j in range(i):
                A[self.rows(i), self.rows(j)] = self[i, j]
                A[self.rows(j), self.rows(i)] = self[i, j].T
            lower = np.tril(self[i, i])
            A[self.rows(i), self.rows(i)] = lower + np.tril(lower, -1).T
        return A


def sum_of(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum of arrays, at least one."""
    return np.asarray(sum(arrays))


def _edges(n: int, tile: int) -> np.ndarray:
    n_blocks = max(1, -(-n // tile))
    return np.linspace(0, n, n_blocks + 1).astype(int)
