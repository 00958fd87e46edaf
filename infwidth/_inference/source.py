"""The contract of a kernel: the pieces of its matrices that solvers and predictions ask for."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from infwidth._engine.rows import Rows
from infwidth._linalg.tiles import Tile


class KernelSource(Protocol):
    """A kernel of n rows with themselves and with new ones; it is a ``Matrix`` for solvers.

    Attributes
    ----------
    n : int
    own : Rows
        The n rows.
    """

    n: int
    own: Rows

    def rows(self, X: np.ndarray) -> Rows:
        """Prepare new inputs."""

    def diagonal(self, rows: Rows | None = None) -> np.ndarray:
        """Return the kernel of each row with itself, shape (n,); None means the own rows."""

    def fill(self, tiles: Iterable[Tile]) -> None:
        """Write the lower triangle; a tile on the diagonal gets its lower triangle."""

    def fill_cross(
        self,
        rows: Rows,
        tiles: Sequence[tuple[int, np.ndarray]],
        nngp_tiles: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Write the kernel of the own rows with others, into arrays with their first own row before them.

        Where the kernel is an NTK, ``nngp_tiles`` get the NNGP kernel in the same pass.
        """

    def dot(self, rows: Rows, weights: np.ndarray) -> np.ndarray:
        """Return the kernel of other rows with the own ones times weights of shape (n, k), never stored whole."""

    def full(self, rows: Rows) -> np.ndarray:
        """Return the matrix of a set of rows."""
