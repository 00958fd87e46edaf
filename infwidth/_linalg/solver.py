"""The contract of what solves linear systems with a kernel matrix."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Protocol

import numpy as np

from infwidth._linalg.tiles import Blocks, LowerTiles, Tile
from infwidth._runtime.memory import MemoryLimit


class Matrix(Protocol):
    """A symmetric matrix that solvers ask for a tile at a time, such as a ``KernelSource``."""

    @property
    def n(self) -> int:
        """Number of rows."""

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""

    def fill(self, tiles: Iterable[Tile]) -> None:
        """Write the lower triangle; a tile on the diagonal gets its lower triangle."""


class Solver(ABC):
    """A = K + diag(noise), ready to be solved with.

    Matrices of n rows are handed over as blocks, see ``LowerTiles.split``. What a solver cannot do raises a ValueError
    with its name.

    Attributes
    ----------
    tiles : LowerTiles
        How rows are cut into blocks.
    """

    name: ClassVar[str]  # value of the estimators' parameter ``solver``
    tiles: LowerTiles

    @staticmethod
    @abstractmethod
    def n_bytes(n: int) -> int:
        """Return the bytes that the solver of n rows takes."""

    @classmethod
    @abstractmethod
    def of(
        cls,
        source: Matrix,
        noise: np.ndarray,
        *,
        weight: float | np.ndarray = 1.0,
        max_memory: MemoryLimit = None,
        verbose: bool = False,
    ) -> tuple["Solver", float]:
        """Return a solver of a kernel matrix plus a noise variance a row.

        Parameters
        ----------
        source : Matrix
                The kernel matrix.
        noise : ndarray of shape (n,)
                Added to the diagonal.
        weight : ndarray of shape (n,), default=1.0
                Of the rows: jitter is divided by it, as noise is.
        max_memory : int or str, optional
                Checked before anything is allocated; None means what is free.

        Returns
        -------
        solver : Solver
        jitter : float
                What had to be added to the diagonal besides, of a row of weight 1; 0 as a rule.

        Raises
        ------
        MemoryError
                With the bytes that would be needed.
        LinAlgError
                If the matrix is not positive definite even with jitter.
        """

    def appending_bytes(self, n: int) -> int:
        """Return the most bytes that ``appended`` takes for n rows."""
        return self.n_bytes(n)

    def appended(
        self,
        source: Matrix,
        noise: np.ndarray,
        *,
        jitter: float = 0.0,
        weight: float | np.ndarray = 1.0,
        max_memory: MemoryLimit = None,
        verbose: bool = False,
    ) -> tuple["Solver", float]:
        """Return a solver of more rows, the first of which are those of this one, which stays as it is.

        Parameters are those of ``of``, for all rows, and the jitter of this solver, which new rows get too where it is
        enough; else all is done anew.

        Returns
        -------
        solver : Solver
        jitter : float
        """
        return self.of(source, noise, weight=weight, max_memory=max_memory, verbose=verbose)

    @abstractmethod
    def solve_blocks(self, blocks: Blocks) -> None:
        """Overwrite the blocks of B with those of A⁻¹B."""

    @abstractmethod
    def explained(self, blocks: Blocks) -> np.ndarray:
        """Return the diagonal of Bᵀ A⁻¹ B, shape (m,): what the variances of m new rows lose; B is overwritten."""

    @abstractmethod
    def subtract_explained(self, blocks: Blocks, covariance: np.ndarray) -> np.ndarray:
        """Subtract Bᵀ A⁻¹ B from a covariance of shape (m, m), and return its diagonal; B is overwritten."""

    def solve(self, B: np.ndarray) -> np.ndarray:
        """Return A⁻¹B for B of shape (n, m)."""
        blocks = self.tiles.split(B)
        self.solve_blocks(blocks)
        return np.concatenate(blocks)

    def log_determinant(self) -> float:
        """Return log det A, for evidence."""
        raise self._cannot("evidence")

    def inverse_diagonal(self, n_rows: int | None = None) -> np.ndarray:
        """Return the diagonal of A⁻¹, of all rows or of the last ones, so many at least; for leave-one-out."""
        raise self._cannot("leave-one-out predictions")

    def _cannot(self, what: str) -> ValueError:
        return ValueError(f"solver={self.name!r} has no {what}: use solver='cholesky'.")
