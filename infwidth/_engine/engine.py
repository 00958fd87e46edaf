"""Kernel matrices and tiles from a program: panels of rows, handed to threads."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from infwidth._engine.encoding import encode
from infwidth._engine.forward import fused_pass
from infwidth._engine.rows import Rows, compute_rows
from infwidth._linalg.tiles import Tile
from infwidth._program.program import Program
from infwidth._runtime.memory import require_memory
from infwidth._runtime.threads import blas_threads, for_each, thread_count

PANEL = 128  # rows of a panel: its k and t for a chunk of columns are half a megabyte, an L2 cache
COLUMNS = 4096  # of a block that is used and thrown away
Limit = Literal["nngp", "ntk"]
LIMITS = ("nngp", "ntk")
NOT_WANTED = np.empty((0, 0))

Item = TypeVar("Item")


class NotFiniteError(ValueError):
    """The kernel of an input with itself is not a finite number."""


class KernelEngine:
    """The kernels of one program.

    Parameters
    ----------
    program : Program
    ntk : bool, default=False
        Whether the NTK will be asked for; raises at once where it does not exist.
    n_jobs : int, optional
        Threads; None means as many as BLAS uses.
    """

    def __init__(self, program: Program, *, ntk: bool = False, n_jobs: int | None = None) -> None:
        if ntk:
            program.require_ntk()
        self.program = program
        self.ntk = ntk
        self.n_jobs = n_jobs
        self.encoded = encode(program, ntk)

    def __getstate__(self) -> dict[str, Any]:
        """Return what the engine is made of: the encoded program has addresses in this process."""
        return {"program": self.program, "ntk": self.ntk, "n_jobs": self.n_jobs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        KernelEngine.__init__(self, **state)

    def rows(self, X: np.ndarray) -> Rows:
        """Prepare inputs of shape (n, n_features); raise where their kernel is not a finite number."""
        rows = compute_rows(self.program, X)
        finite = np.isfinite(rows.nngp) & (np.isfinite(rows.ntk) if self.ntk else True)
        if not finite.all():
            raise NotFiniteError(
                f"the kernel of row {int(np.argmin(finite))} with itself is not finite: its features are too "
                "large for this network. Scale the features (StandardScaler), or use smaller variances."
            )
        return rows

    def symmetric(self, rows: Rows, *, nngp: bool = False, ntk: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices of all pairs of rows, exactly symmetric, as (K, Θ); of size 0 what is not asked for."""
        n = len(rows.inputs)
        K, T = _outputs((n, n), nngp, ntk)

        def panel(start: int) -> None:
            stop = min(start + PANEL, n)
            self.block(rows, start, stop, rows, start, n, K, T, row=start, column=start, upper=True, mirror=True)

        self.run(panel, range(0, n, PANEL))
        if nngp:
            np.fill_diagonal(K, rows.nngp)
        if ntk:
            np.fill_diagonal(T, rows.ntk)
        return K, T

    def cross(self, left: Rows, right: Rows, *, nngp: bool = False, ntk: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices of the pairs of two sets of rows, as (K, Θ); of size 0 what is not asked for."""
        n, m = len(left.inputs), len(right.inputs)
        K, T = _outputs((n, m), nngp, ntk)

        def panel(start: int) -> None:
            self.block(left, start, min(start + PANEL, n), right, 0, m, K, T, row=start)

        self.run(panel, range(0, n, PANEL))
        return K, T

    def block(
        self,
        a: Rows,
        a0: int,
        a1: int,
        b: Rows,
        b0: int,
        b1: int,
        nngp: np.ndarray,
        ntk: np.ndarray,
        *,
        row: int = 0,
        column: int = 0,
        upper: bool = False,
        mirror: bool = False,
    ) -> None:
        """Write the block of a[a0:a1] with b[b0:b1], on the calling thread; see ``fused_pass``."""
        fused_pass(self.encoded, a, a0, a1, b, b0, b1, nngp, ntk, row, column, upper, mirror)

    def run(self, function: Callable[[Item], None], items: Iterable[Item]) -> None:
        """Call ``function(item)`` for all items on the engine's threads, BLAS held to one thread in each."""
        with blas_threads(1):
            for_each(function, items, thread_count(self.n_jobs))


class ProgramSource:
    """One kernel of a set of rows, in the pieces that solvers and predictions ask for.

    Parameters
    ----------
    engine : KernelEngine
    rows : Rows
    limit : {"nngp", "ntk"}
    """

    def __init__(self, engine: KernelEngine, rows: Rows, limit: Limit) -> None:
        self.engine, self.own, self.limit = engine, rows, limit
        self.n = len(rows.inputs)

    def rows(self, X: np.ndarray) -> Rows:
        """Prepare new inputs."""
        return self.engine.rows(X)

    def diagonal(self, rows: Rows | None = None) -> np.ndarray:
        """Return the kernel of each row with itself, shape (n,)."""
        rows = self.own if rows is None else rows
        return rows.ntk if self.limit == "ntk" else rows.nngp

    def fill(self, tiles: Iterable[Tile]) -> None:
        """Write the lower triangle.

        Parameters
        ----------
        tiles : iterable of (first row, first column, Fortran-ordered array)
            A tile on the diagonal gets its lower triangle.
        """
        panels = [(i0, j0, tile, start) for i0, j0, tile in tiles for start in range(0, tile.shape[1], PANEL)]
        self.engine.run(self._fill_panel, panels)

    def _fill_panel(self, panel: tuple[int, int, np.ndarray, int]) -> None:
        """Columns of a Fortran-ordered tile are rows of its transpose, and the kernel is symmetric."""
        i0, j0, tile, start = panel
        stop = min(start + PANEL, tile.shape[1])
        first = start if i0 == j0 else 0
        columns = (i0 + first, i0 + tile.shape[0])
        self._block(self.own, j0 + start, j0 + stop, *columns, tile.T, row=start, column=first, upper=i0 == j0)
        if i0 == j0:
            place = np.arange(start, stop)
            tile[place, place] = self.diagonal()[i0 + place]

    def fill_cross(
        self,
        rows: Rows,
        tiles: Sequence[tuple[int, np.ndarray]],
        nngp_tiles: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Write the kernel of the own rows with other rows.

        Parameters
        ----------
        rows : Rows
        tiles : list of (first own row, Fortran-ordered array of shape (own rows, rows))
        nngp_tiles : list of Fortran-ordered arrays, optional
            Where the source is an NTK: the same for the NNGP kernel, in the same pass.
        """
        m = len(rows.inputs)
        panels = [(place, start) for place in range(len(tiles)) for start in range(0, m, PANEL)]

        def panel(item: tuple[int, int]) -> None:
            place, start = item
            i0, tile = tiles[place]
            nngp = None if nngp_tiles is None else nngp_tiles[place].T
            self._block(rows, start, min(start + PANEL, m), i0, i0 + tile.shape[0], tile.T, nngp, row=start)

        self.engine.run(panel, panels)

    def dot(self, rows: Rows, weights: np.ndarray) -> np.ndarray:
        """Return the kernel of other rows with the own ones times weights of shape (n, k), never stored whole."""
        m = len(rows.inputs)
        product = np.zeros((m, weights.shape[1]))

        def panel(start: int) -> None:
            stop = min(start + PANEL, m)
            for i0 in range(0, self.n, COLUMNS):
                i1 = min(i0 + COLUMNS, self.n)
                block = np.empty((stop - start, i1 - i0))
                self._block(rows, start, stop, i0, i1, block)
                product[start:stop] += block @ weights[i0:i1]

        self.engine.run(panel, range(0, m, PANEL))
        return product

    def block(self, rows: Rows, *, upper: bool = False) -> np.ndarray:
        """Return the kernel of other rows with the own ones, on the calling thread.

        With ``upper`` the rows are the own ones, and nothing is written below the diagonal.
        """
        out = np.empty((len(rows.inputs), self.n))
        self._block(rows, 0, len(out), 0, self.n, out, upper=upper)
        return out

    def full(self, rows: Rows) -> np.ndarray:
        """Return the matrix of a set of rows."""
        is_ntk = self.limit == "ntk"
        return self.engine.symmetric(rows, nngp=not is_ntk, ntk=is_ntk)[is_ntk]

    def _block(
        self,
        rows: Rows,
        a0: int,
        a1: int,
        b0: int,
        b1: int,
        out: np.ndarray,
        nngp: np.ndarray | None = None,
        **place: Any,
    ) -> None:
        outputs = (NOT_WANTED if nngp is None else nngp, out) if self.limit == "ntk" else (out, NOT_WANTED)
        self.engine.block(rows, a0, a1, self.own, b0, b1, *outputs, **place)


def _outputs(shape: tuple[int, int], nngp: bool, ntk: bool) -> tuple[np.ndarray, np.ndarray]:
    n, m = shape
    require_memory(8 * n * m * (nngp + ntk), None, f"a kernel matrix of {n:,} and {m:,} rows")
    return np.empty(shape) if nngp else NOT_WANTED, np.empty(shape) if ntk else NOT_WANTED
