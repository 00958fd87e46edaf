"""Gradients of a scalar function of kernel matrices with respect to a program's numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from infwidth._engine.adjoint import Outputs, adjoint_pass
from infwidth._engine.encoding import encode
from infwidth._engine.engine import NOT_WANTED, PANEL, ProgramSource
from infwidth._engine.rows import WalkedRows, walk_rows
from infwidth._linalg.tiles import Tile, sum_of
from infwidth._program.operation import Before, Values, diagonal_places
from infwidth._program.program import Program
from infwidth._runtime.threads import blas_threads

GROUPS = 64  # of panels, each summed by one thread: enough for an even load, few enough for little memory


@dataclass(frozen=True)
class ProgramGradient:
    """∂L/∂ the numbers of a program.

    Attributes
    ----------
    operations : ndarray of shape (n_operations, most numbers)
        With respect to the numbers of each operation, such as w, b, u and s of a dense layer; zero where it has fewer.
    log_input : ndarray of shape (n_features,)
        With respect to the logarithms of the input variances.
    """

    operations: np.ndarray
    log_input: np.ndarray


def program_gradient(source: ProgramSource, tiles: Iterable[Tile]) -> ProgramGradient:
    """Return the ``ProgramGradient`` of L, given ∂L/∂(kernel matrix).

    Parameters
    ----------
    source : ProgramSource
        The kernel whose limit says which matrix L depends on.
    tiles : iterable of (first row, first column, Fortran-ordered array)
        Lower triangle of the symmetric matrix of partial derivatives.
    """
    engine, rows, tiles = source.engine, source.own, list(tiles)
    n, n_features = rows.inputs.shape
    is_ntk = source.limit == "ntk"
    encoded = encode(engine.program, is_ntk, adjoint=True)
    walked = walk_rows(engine.program, rows.by_site)
    shapes = gradient_shape(engine.program), (_total_sites(engine.program), n), n_features

    panels = [(i0, j0, tile, start) for i0, j0, tile in tiles for start in range(0, tile.shape[1], PANEL)]
    parts: dict[int, Outputs] = {}

    def group(place: int) -> None:
        outputs = Outputs(*(np.zeros(shape) for shape in shapes))
        for i0, j0, tile, start in panels[place::GROUPS]:
            stop, first = min(start + PANEL, tile.shape[1]), start if i0 == j0 else 0
            nngp_bar, ntk_bar = (NOT_WANTED, tile.T) if is_ntk else (tile.T, NOT_WANTED)
            block = (j0 + start, j0 + stop, i0 + first, i0 + tile.shape[0])
            adjoint_pass(encoded, rows, *block, nngp_bar, ntk_bar, start, first, i0 == j0, outputs)
        parts[place] = outputs

    engine.run(group, range(min(GROUPS, len(panels))))
    # Added by place, not by time of arrival: rounding is the same in each run and for any number of threads.
    operations, q_bar, log_input = map(sum_of, zip(*(parts[place] for place in sorted(parts)), strict=True))
    diagonal = np.concatenate([np.diag(tile) for i0, j0, tile in tiles if i0 == j0])
    with blas_threads(1):
        own = _rows_adjoint(engine.program, walked, diagonal, is_ntk, q_bar, operations)
    log_input += _of_inputs(engine.program, rows.by_site, own)
    return ProgramGradient(operations, log_input)


def gradient_shape(program: Program) -> tuple[int, int]:
    """Return the shape of ``ProgramGradient.operations``."""
    return len(program.operations), max(operation.n_numbers for operation in program.operations)


def _total_sites(program: Program) -> int:
    """Return the number of sites of the inputs before all operations, one after the other."""
    pairs = program.pairs_of_values
    return sum(len(diagonal_places(pairs[source])) for _, source in program.versions[0])


def _rows_adjoint(
    program: Program, walked: WalkedRows, diagonal: np.ndarray, ntk: bool, q_bar: np.ndarray, gradient: np.ndarray
) -> np.ndarray:
    """Walk single inputs back: from ∂L/∂(diagonal) to ∂L/∂(k before the first operation); adds to ``gradient``."""
    (values, coefficients), found, pairs = walked, program.versions[0], program.pairs_of_values
    zero = np.zeros((1, len(diagonal)))
    bars = {0: Values(zero, diagonal[None]) if ntk else Values(diagonal[None], zero)}
    last_site = len(q_bar)
    for place in reversed(range(len(program.operations))):
        operation, (own, source) = program.operations[place], found[place]
        first_site = last_site - len(diagonal_places(pairs[source]))
        after = values[place + 1]
        bar = bars.get(operation.target, Values(np.zeros_like(after.k), np.zeros_like(after.t)))
        before = Before(values[own], values[source], coefficients[place], pairs[source], ntk)
        own_gradient = gradient[place, : operation.n_numbers]
        bars[operation.target], source_bar = operation.rows_adjoint(
            before, bar, q_bar[first_site:last_site], own_gradient
        )
        if source_bar is not None:
            bars[operation.source] = _sum(bars.get(operation.source), source_bar)
        last_site = first_site
    return bars[0].k


def _sum(one: Values | None, other: Values) -> Values:
    return other if one is None else Values(one.k + other.k, one.t + other.t)


def _of_inputs(program: Program, by_site: np.ndarray, k_bar: np.ndarray) -> np.ndarray:
    """Return Σ k̄ x_f x_f over the inputs, between two sites half of it to each."""
    result = np.zeros((len(by_site), by_site.shape[2]))
    for (left, right), bar in zip(program.pairs, k_bar, strict=True):
        both = np.einsum("i,ij,ij->j", bar, by_site[left], by_site[right])
        result[left] += 0.5 * both
        result[right] += 0.5 * both
    return result.ravel()
