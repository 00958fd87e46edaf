"""Cholesky factorisation by tiles, in place, and what can be solved with it.

All loops over single numbers are BLAS and LAPACK calls on tiles; the algorithms are the tile versions of
LAPACK's potrf, trtri and lauum (Buttari et al. 2009).
"""

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning

from infwidth._linalg import blas
from infwidth._linalg.jitter import JITTERS, NotPositiveDefiniteError, first_definite
from infwidth._linalg.solver import Matrix, Solver
from infwidth._linalg.tiles import TILE, Blocks, LowerTiles, sum_of
from infwidth._runtime.memory import MemoryLimit, require_memory
from infwidth._runtime.progress import progress
from infwidth._runtime.warnings import warn_user

ROUNDING = 10 * np.finfo(float).eps  # a pivot below this share of its diagonal entry has no correct digit


class Cholesky(Solver):
    """A = L Lᵀ: exact, in half the memory of a matrix.

    Parameters
    ----------
    tiles : LowerTiles
        The lower triangle of A. It is overwritten with L.
    verbose : bool, default=False
        Show the progress.
    first : int, default=0
        Block rows before this one hold L already.

    Raises
    ------
    NotPositiveDefiniteError
        The tiles hold nothing of use then.
    """

    name = "cholesky"

    def __init__(self, tiles: LowerTiles, verbose: bool = False, first: int = 0) -> None:
        self.tiles = tiles
        self._floor = [ROUNDING * np.diag(tiles[k, k]) for k in range(tiles.n_blocks)]
        for k in progress(range(tiles.n_blocks), "Cholesky factorisation", verbose):
            if k >= first:
                self._factor_pivot(k)
            self._eliminate(k, first)

    @staticmethod
    def n_bytes(n: int) -> int:
        """Return the bytes of the tiles."""
        return LowerTiles.n_bytes(n)

    @classmethod
    def of(
        cls,
        source: Matrix,
        noise: np.ndarray,
        *,
        weight: float | np.ndarray = 1.0,
        max_memory: MemoryLimit = None,
        verbose: bool = False,
        tile: int = TILE,
    ) -> tuple["Cholesky", float]:
        """Return the factor of a kernel matrix plus noise, and the jitter that it took: see ``Solver.of``."""
        require_memory(LowerTiles.n_bytes(source.n, tile), max_memory, f"the factor of {source.n:,} rows")
        tiles = LowerTiles(source.n, tile)
        scale = float(np.mean(source.diagonal()))

        def attempt(share: float) -> Cholesky:
            if share:
                warn_user(
                    "the kernel matrix is not positive definite to working precision; trying again with "
                    f"{share * scale:.3g} added to its diagonal. A larger noise_variance avoids this.",
                    LinAlgWarning,
                )
            source.fill(tiles)
            tiles.add_to_diagonal(noise + share * scale / weight)
            try:
                return cls(tiles, verbose)
            except NotPositiveDefiniteError:
                _require_finite(source, tiles)
                raise

        found = first_definite(JITTERS, attempt)
        if found is None:
            raise LinAlgError(
                f"the kernel matrix is not positive definite, even with {JITTERS[-1] * scale:.3g} added to its "
                "diagonal: raise noise_variance."
            )
        solver, share = found
        return solver, share * scale

    def appending_bytes(self, n: int, tile: int = TILE) -> int:
        """Return the most bytes that ``appended`` takes for n rows, where the first rows keep their factor."""
        grown = 8 * n * min(n, tile)  # the last block row, once more
        return self.tiles.extended_bytes(n, tile) - self.tiles.extended_bytes(self.tiles.n, tile) + grown

    def appended(
        self,
        source: Matrix,
        noise: np.ndarray,
        *,
        jitter: float = 0.0,
        weight: float | np.ndarray = 1.0,
        max_memory: MemoryLimit = None,
        verbose: bool = False,
        tile: int = TILE,
    ) -> tuple["Cholesky", float]:
        """Return the factor of more rows in n² operations for each: see ``Solver.appended``.

        L₂₁ = A₂₁ L₁₁⁻ᵀ, and L₂₂ is the factor of A₂₂ - L₂₁ L₂₁ᵀ (maths 4.10). Tiles of the first rows are shared with
        this object; where the last of them is not full it grows, as a copy.
        """
        require_memory(self.appending_bytes(source.n, tile), max_memory, f"the factor of {source.n:,} rows")
        first, tiles = self.tiles.n_blocks, self.tiles.extended(source.n, tile)
        source.fill(new for new in tiles if new[0] >= self.tiles.n)
        tiles.add_to_diagonal(noise + jitter / weight, first)
        try:
            factor = Cholesky(tiles, verbose, first)
        except NotPositiveDefiniteError:
            return self.of(source, noise, weight=weight, max_memory=max_memory, verbose=verbose, tile=tile)
        if first < tiles.n_blocks and tiles.size(first - 1) + tiles.size(first) <= tile:
            factor.tiles = tiles.joined(first - 1)
        return factor, jitter

    def _factor_pivot(self, k: int) -> None:
        """Factor the tile of column k on the diagonal."""
        tiles = self.tiles
        info = blas.potrf(tiles[k, k])
        bad = ~(np.diag(tiles[k, k]) ** 2 > self._floor[k])  # LAPACK lets NaN pass, and pivots that are rounding
        if info or bad.any():
            raise NotPositiveDefiniteError(
                f"pivot {tiles.edges[k] + (info or int(np.argmax(bad)) + 1)} is not positive"
            )

    def _eliminate(self, k: int, first: int) -> None:
        """Divide tile column k by its pivot, and subtract it from all columns right of it, from row ``first`` on."""
        tiles = self.tiles
        for i in range(max(k + 1, first), tiles.n_blocks):  # A_ik <- A_ik L_kk⁻ᵀ
            blas.trsm(1.0, tiles[k, k], tiles[i, k], right=True, trans=True)
        for j in range(k + 1, tiles.n_blocks):  # A_ij <- A_ij - L_ik L_jkᵀ
            if j >= first:
                blas.syrk(-1.0, tiles[j, k], tiles[j, j])
            for i in range(max(j + 1, first), tiles.n_blocks):
                blas.gemm(-1.0, tiles[i, k], tiles[j, k], 1.0, tiles[i, j], trans_b=True)

    def half_solve(self, blocks: Blocks, first: int = 0) -> None:
        """Overwrite the blocks of B with those of L⁻¹B.

        Parameters
        ----------
        blocks : list of Fortran-ordered arrays
            The rows of B, a block row each (see ``LowerTiles.split``); block rows before ``first`` are zero.
        """
        tiles = self.tiles
        for k in range(first, tiles.n_blocks):
            blas.trsm(1.0, tiles[k, k], blocks[k])
            for i in range(k + 1, tiles.n_blocks):
                blas.gemm(-1.0, tiles[i, k], blocks[k], 1.0, blocks[i])

    def explained(self, blocks: Blocks) -> np.ndarray:
        """Return the diagonal of Bᵀ A⁻¹ B, the squared column norms of L⁻¹B."""
        self.half_solve(blocks)
        return sum_of(np.einsum("ij,ij->j", block, block) for block in blocks)

    def subtract_explained(self, blocks: Blocks, covariance: np.ndarray) -> np.ndarray:
        """Subtract Bᵀ A⁻¹ B from a covariance, and return its diagonal."""
        explained = self.explained(blocks)
        for block in blocks:
            covariance -= block.T @ block
        return explained

    def solve_blocks(self, blocks: Blocks, first: int = 0) -> None:
        """Overwrite the blocks of B with those of A⁻¹B. Parameters as for ``half_solve``."""
        tiles = self.tiles
        self.half_solve(blocks, first)
        for k in reversed(range(tiles.n_blocks)):  # L⁻ᵀ
            for i in range(k + 1, tiles.n_blocks):
                blas.gemm(-1.0, tiles[i, k], blocks[i], 1.0, blocks[k], trans_a=True)
            blas.trsm(1.0, tiles[k, k], blocks[k], trans=True)

    def log_determinant(self) -> float:
        """Return log det A."""
        return 2.0 * sum(np.log(np.diag(self.tiles[k, k])).sum() for k in range(self.tiles.n_blocks))

    def inverse_diagonal(self, n_rows: int | None = None) -> np.ndarray:
        """Return the diagonal of A⁻¹: the squared column norms of L⁻¹, a tile column at a time.

        The entries of the last m rows take m³/3 operations: with ``n_rows`` they are those of as many tile rows, from
        the last one on, as hold so many rows at least; None means all rows.
        """
        tiles = self.tiles
        missing = tiles.n - tiles.edges - (tiles.n if n_rows is None else min(n_rows, tiles.n))
        first = int(np.flatnonzero(missing >= 0)[-1])
        diagonal = np.empty(tiles.n)
        for k in range(first, tiles.n_blocks):
            m = tiles.size(k)
            blocks = [np.zeros((tiles.size(i), m if i >= k else 0), order="F") for i in range(tiles.n_blocks)]
            np.fill_diagonal(blocks[k], 1.0)
            self.half_solve(blocks, first=k)
            diagonal[tiles.rows(k)] = sum(np.einsum("ij,ij->j", block, block) for block in blocks[k:])
        return diagonal[tiles.edges[first] :]

    def inverse(self) -> LowerTiles:
        """Return the lower triangle of A⁻¹ as tiles, in the memory of L: this object is of no use afterwards."""
        tiles = self.tiles
        if tiles.n_blocks == 1:
            blas.potri(tiles[0, 0])
        else:
            self._invert_factor()
            self._multiply_inverse()
        self.tiles = None  # type: ignore[assignment]  # so that an object of no use fails at once
        return tiles

    def _invert_factor(self) -> None:
        """L <- L⁻¹."""
        tiles, n_blocks = self.tiles, self.tiles.n_blocks
        for k in range(n_blocks):
            for i in range(k + 1, n_blocks):
                blas.trsm(-1.0, tiles[k, k], tiles[i, k], right=True)
                for j in range(k):
                    blas.gemm(1.0, tiles[i, k], tiles[k, j], 1.0, tiles[i, j])
            for j in range(k):
                blas.trsm(1.0, tiles[k, k], tiles[k, j])
            blas.trtri(tiles[k, k])

    def _multiply_inverse(self) -> None:
        """L⁻¹ <- L⁻ᵀ L⁻¹."""
        tiles = self.tiles
        for k in range(tiles.n_blocks):
            for j in range(k):
                blas.syrk(1.0, tiles[k, j], tiles[j, j], trans=True)
                for i in range(j + 1, k):
                    blas.gemm(1.0, tiles[k, i], tiles[k, j], 1.0, tiles[i, j], trans_a=True)
            for j in range(k):
                blas.trmm(1.0, tiles[k, k], tiles[k, j], trans=True)
            blas.lauum(tiles[k, k])


def _require_finite(source: Matrix, tiles: LowerTiles) -> None:
    source.fill(tiles)  # the factorisation has overwritten them
    if not all(np.isfinite(np.tril(tile) if i == j else tile).all() for i, j, tile in tiles):
        raise LinAlgError(
            "the kernel matrix has entries that are not finite: the features are too large for this network. "
            "Scale the features (StandardScaler), or use smaller variances."
        )
