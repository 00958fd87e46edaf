"""Gradients of a scalar function of kernel matrices with respect to a program's numbers."""

from dataclasses import dataclass

import numpy as np

from infwidth._recursion.adjoint import adjoint_pass
from infwidth._recursion.engine import NOT_WANTED, PANEL
from infwidth._recursion.program import Affine, Dual
from infwidth._recursion.rows import encode, parameters_of, walk_rows
from infwidth._threads import blas_threads

GROUPS = 64  # of panels, each summed by one thread: enough for an even load, few enough for little memory


@dataclass(frozen=True)
class ProgramGradient:
    """∂L/∂ the numbers of a program.

    Attributes
    ----------
    operations : ndarray of shape (n_operations, 4)
        With respect to w, b, u and s of each dense layer; of learned activations with respect to log b², where φ(x)
        becomes φ(bx), and to the numbers in which the dual is affine; zero where there is nothing to say.
    log_input : ndarray of shape (n_features,)
        With respect to the logarithms of the input variances.
    """

    operations: np.ndarray
    log_input: np.ndarray


def program_gradient(source, tiles):
    """Return the ``ProgramGradient`` of L, given ∂L/∂(kernel matrix).

    Parameters
    ----------
    source : KernelSource
        The kernel whose limit says which matrix L depends on.
    tiles : iterable of (first row, first column, Fortran-ordered array)
        Lower triangle of the symmetric matrix of partial derivatives.
    """
    engine, rows, tiles = source.engine, source.own, list(tiles)
    n_operations, (n, n_features) = len(engine.program.operations), rows.inputs.shape
    is_ntk = source.limit == "ntk"
    codes, parameters = encode(engine.program, is_ntk)
    back_codes, _ = encode(engine.program, is_ntk, adjoint=True)
    learned = np.array(
        [1 + op.activation.family.n_linear if _is_learned(op) else 0 for op in engine.program.operations]
    )

    panels = [(i0, j0, tile, start) for i0, j0, tile in tiles for start in range(0, tile.shape[1], PANEL)]
    parts: dict = {}

    def group(place):
        outputs = np.zeros((n_operations, 4)), np.zeros((n_operations, n)), np.zeros(n_features)
        for i0, j0, tile, start in panels[place::GROUPS]:
            stop, first = min(start + PANEL, tile.shape[1]), start if i0 == j0 else 0
            bars = (NOT_WANTED, tile.T) if is_ntk else (tile.T, NOT_WANTED)
            block = (j0 + start, j0 + stop, i0 + first, i0 + tile.shape[0], *bars, start, first, i0 == j0)
            adjoint_pass(codes, back_codes, learned, parameters, rows, *block, *outputs)
        parts[place] = outputs

    engine.run(group, range(min(GROUPS, len(panels))))
    # Added by place, not by time of arrival: rounding is the same in each run and for any number of threads.
    operations, q_bar, log_input = map(sum, zip(*(parts[place] for place in sorted(parts)), strict=True))
    diagonal = np.concatenate([np.diag(tile) for i0, j0, tile in tiles if i0 == j0])
    with blas_threads(1):
        own = _rows_adjoint(engine.program, rows, diagonal, is_ntk, q_bar, operations)
    log_input += np.einsum("i,ij,ij->j", own, rows.inputs, rows.inputs)
    return ProgramGradient(operations, log_input)


def _is_learned(operation):
    return isinstance(operation, Dual) and operation.learned


def _rows_adjoint(program, rows, diagonal, is_ntk, q_bar, gradient):
    """Walk single inputs back: from ∂L/∂(diagonal) to ∂L/∂(q before the first operation); adds to ``gradient``."""
    steps = walk_rows(program, rows.inputs)
    zero = np.zeros_like(diagonal)
    q_grad, t_grad = (zero, diagonal) if is_ntk else (diagonal, zero)
    for place in reversed(range(len(program.operations))):
        operation, (q, t) = program.operations[place], steps[place]
        if isinstance(operation, Affine):
            gradient[place, :2] += q_grad @ q, q_grad.sum()
            if is_ntk:
                gradient[place] += t_grad @ t, 0.0, t_grad @ q, t_grad.sum()
            q_grad, t_grad = operation.w * q_grad + operation.u * t_grad, operation.w * t_grad
        else:
            family, p = operation.activation.family, parameters_of(operation)
            value, derivative = family.rows(q, p)[1:]
            value_slope, derivative_slope = family.row_slopes(q, p)
            if operation.learned:
                for number in range(family.n_linear):
                    moved = family.rows(q, p + np.eye(len(p))[number])
                    gradient[place, 1 + number] += q_grad @ (moved.value - value)
                    if is_ntk:
                        gradient[place, 1 + number] += t_grad @ (t * (moved.derivative - derivative))
            q_grad = q_grad * value_slope + q_bar[place]
            if is_ntk:
                q_grad += t_grad * t * derivative_slope
                t_grad = t_grad * derivative
            if operation.learned:
                gradient[place, 0] += q_grad @ q + t_grad @ t
    return q_grad
