"""The lower triangle of a symmetric matrix, as square tiles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Self

import numpy as np
from scipy.linalg import blas

TILE = 1024  # rows of a tile: large enough for BLAS to run at full speed

Tile = tuple[int, int, np.ndarray]  # first row, first column, and Fortran-ordered entries
Known = Mapping[tuple[int, int], np.ndarray]  # tiles by block row and block column
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
        self._cut(_edges(n, tile), {})

    def _cut(self, edges: np.ndarray, known: Known) -> None:
        """Take the tiles that are known, and memory for the others."""
        self.edges = edges
        self.n_blocks = len(edges) - 1
        self._columns = [
            [
                known[i, j] if (i, j) in known else np.empty((self.size(i), self.size(j)), order="F")
                for i in range(j, self.n_blocks)
            ]
            for j in range(self.n_blocks)
        ]

    @classmethod
    def _of(cls, edges: np.ndarray, known: Known) -> Self:
        tiles = cls.__new__(cls)
        tiles._cut(edges, known)
        return tiles

    def alike(self) -> Self:
        """Return memory for another matrix, cut into tiles as this one is."""
        return self._of(self.edges, {})

    def extended(self, n: int, tile: int = TILE) -> Self:
        """Return these tiles and memory for more rows, n in all: the first block row of them fills up the last tile.

        The tiles are shared, not copied.
        """
        places = [(i, j) for j in range(self.n_blocks) for i in range(j, self.n_blocks)]
        return self._of(self._extended_edges(n, tile), {place: self[place] for place in places})

    def extended_bytes(self, n: int, tile: int = TILE) -> int:
        """Return the bytes of the tiles of n rows, the first of which are cut as these are, without allocating any."""
        return _bytes(self._extended_edges(n, tile))

    def _extended_edges(self, n: int, tile: int) -> np.ndarray:
        filled = min(n, self.n + max(0, tile - self.size(self.n_blocks - 1)))
        return np.unique(np.concatenate([self.edges, filled + _edges(n - filled, tile)]))

    def joined(self, k: int) -> Self:
        """Return the same matrix with the block rows k and k + 1 as one; all other tiles are shared."""
        parts = [[i] for i in range(self.n_blocks)]
        parts[k : k + 2] = [[k, k + 1]]
        known = {(i, j): self._as_one(parts[i], parts[j]) for j in range(len(parts)) for i in range(j, len(parts))}
        return self._of(np.delete(self.edges, k + 1), known)

    def _as_one(self, rows: list[int], columns: list[int]) -> np.ndarray:
        """Return tiles of neighbouring block rows and columns as one; above the diagonal nothing is of use."""
        if len(rows) == len(columns) == 1:
            return self[rows[0], columns[0]]
        i0, j0 = self.edges[rows[0]], self.edges[columns[0]]
        tile = np.zeros((self.edges[rows[-1] + 1] - i0, self.edges[columns[-1] + 1] - j0), order="F")
        for i, j in product(rows, columns):
            if i >= j:
                top, left = self.edges[i] - i0, self.edges[j] - j0
                tile[top : top + self.size(i), left : left + self.size(j)] = self[i, j]
        return tile

    @staticmethod
    def n_bytes(n: int, tile: int = TILE) -> int:
        """Return the bytes of all tiles, without allocating any."""
        return _bytes(_edges(n, tile))

    @staticmethod
    def column_bytes(n: int, tile: int = TILE) -> int:
        """Return the bytes of n rows of the widest tile column."""
        return _column_bytes(_edges(n, tile))

    def own_column_bytes(self) -> int:
        """Return the same of these tiles."""
        return _column_bytes(self.edges)

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

    def add_to_diagonal(self, values: np.ndarray, first: int = 0) -> None:
        """Add the values, shape (n,), to the diagonal, from block row ``first`` on."""
        for i in range(first, self.n_blocks):
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


def _bytes(edges: np.ndarray) -> int:
    sizes = np.diff(edges).tolist()
    return 8 * (sum(sizes) ** 2 + sum(size**2 for size in sizes)) // 2


def _column_bytes(edges: np.ndarray) -> int:
    return 8 * int(edges[-1]) * int(np.diff(edges).max())
