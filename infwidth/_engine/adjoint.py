"""The adjoint pass: from ∂L/∂K and ∂L/∂Θ to the gradients of everything a program depends on.

For a chunk of one row the forward values are computed anew in the L1 cache, and the operations walked back
(maths 6.8): k̄ = k̄' ∂k'/∂k + t̄' ∂t'/∂k. What remains, ∂L/∂(Gram entry), is multiplied with the inputs at once:
the gradients of all input variances cost one matrix product, and no (n, n, p) tensor exists.
"""

from typing import NamedTuple

import numpy as np

from infwidth._engine.encoding import (
    ADJOINT,
    FORWARD,
    LEFT,
    LEFT_SITE,
    N_PAIRS,
    OWN,
    PAIR,
    PLACE,
    READ,
    RIGHT,
    RIGHT_SITE,
    SOURCE,
    TARGET,
    Encoded,
)
from infwidth._engine.forward import CHUNK, WORD, Registers, Sides, address, gather, gram, register_at
from infwidth._engine.rows import Rows
from infwidth._program.loops import call_adjoint, call_forward
from infwidth._runtime.jit import entry_point, inline, jit


class Tape(NamedTuple):
    """Values of a chunk at the start and after each operation, shape (n_values, n_pairs, CHUNK), or t of size 0."""

    k: np.ndarray
    t: np.ndarray


class Outputs(NamedTuple):
    """Gradients of L, to which a pass adds.

    Attributes
    ----------
    gradient : ndarray of shape (n_operations, most numbers)
        By each operation's numbers.
    q_bar : ndarray of shape (total sites, n)
        By the variances of single inputs, or their sites, before each operation.
    x_bar : ndarray of shape (n_features,)
        Σ_ij Ḡ_ij x_if x_jf, between two sites half of it to each.
    """

    gradient: np.ndarray
    q_bar: np.ndarray
    x_bar: np.ndarray


@jit
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for j in range(source.size):
        target[j] = source[j]


@inline
def _record(program: Encoded, tape: Tape, sides: Sides) -> None:
    """Fill the tape from the values of the start on."""
    p_stride = program.parameters.shape[1]
    for number in range(program.calls.shape[0]):
        call = program.calls[number]
        k_after, t_after, pair = tape.k[call[PLACE] + 1], tape.t[call[PLACE] + 1], call[PAIR]
        if pair == 0:
            for each in range(call[N_PAIRS]):
                _copy(tape.k[call[OWN], each, : sides.n], k_after[each, : sides.n])
                _copy(tape.t[call[OWN], each, : sides.n_t], t_after[each, : sides.n_t])
        in_place = call[SOURCE] == call[TARGET]
        k_source = k_after if in_place else tape.k[call[READ]]
        t_source = t_after if in_place else tape.t[call[READ]]
        own = (address(k_after[pair]), address(t_after[pair]), address(k_source[pair]), address(t_source[pair]))
        row = address(sides.row) + WORD * call[LEFT]
        columns = sides.columns + WORD * call[RIGHT] * sides.stride
        p = address(program.parameters) + WORD * call[PLACE] * p_stride
        call_forward(call[FORWARD], (*own, call[N_PAIRS], CHUNK, row, columns, sides.stride, p, sides.n, sides.n_t))


@inline
def _backward(
    program: Encoded,
    tape: Tape,
    bars: Registers,
    sides: Sides,
    outputs: Outputs,
    row: int,
    column: int,
    scratch: np.ndarray,
) -> None:
    """Walk back from k̄, t̄ after the last operation to k̄ before the first, in the first register of ``bars``."""
    size, p_stride, n_rows = program.pairs.shape[0] * CHUNK, program.parameters.shape[1], outputs.q_bar.shape[1]
    for number in range(program.calls.shape[0] - 1, -1, -1):
        call = program.calls[number]
        pair, place = call[PAIR], call[PLACE]
        k_bar, t_bar, stride = register_at(bars, call[TARGET], pair, size)
        source_k_bar, source_t_bar, _ = register_at(bars, call[SOURCE], pair, size)
        call_adjoint(
            call[ADJOINT],
            (
                address(tape.k[call[OWN], pair]),
                address(tape.t[call[OWN], pair]),
                address(tape.k[place + 1, pair]),
                address(tape.t[place + 1, pair]),
                address(tape.k[call[READ], pair]),
                address(tape.t[call[READ], pair]),
                k_bar,
                t_bar,
                source_k_bar,
                source_t_bar,
                call[N_PAIRS],
                CHUNK,
                stride,
                address(outputs.q_bar) + WORD * (call[LEFT_SITE] * n_rows + row),
                address(outputs.q_bar) + WORD * (call[RIGHT_SITE] * n_rows + column),
                address(sides.row) + WORD * call[LEFT],
                sides.columns + WORD * call[RIGHT] * sides.stride,
                sides.stride,
                address(program.parameters) + WORD * place * p_stride,
                address(outputs.gradient[place]),
                address(scratch),
                sides.n,
                sides.n_t,
            ),
        )


@inline
def _add_to_inputs(
    program: Encoded, rows: Rows, grams: np.ndarray, a0: int, b0: int, product: np.ndarray, x_bar: np.ndarray
) -> None:
    """Add to x̄ what a block of ∂L/∂(Gram entries), shape (n_pairs, m, n), from (a0, b0) on says of the inputs."""
    width = rows.by_site.shape[2]
    for pair in range(program.pairs.shape[0]):
        left, right = program.pairs[pair, 0], program.pairs[pair, 1]
        x_left = rows.by_site[left, a0 : a0 + grams.shape[1]]
        np.dot(grams[pair], rows.by_site[right, b0 : b0 + grams.shape[2]], product)
        for i in range(grams.shape[1]):
            for f in range(width):
                if left == right:
                    x_bar[left * width + f] += product[i, f] * x_left[i, f]
                else:
                    x_bar[left * width + f] += 0.5 * product[i, f] * x_left[i, f]
                    x_bar[right * width + f] += 0.5 * product[i, f] * x_left[i, f]


@inline
def _start(
    k_bar: np.ndarray, t_bar: np.ndarray, nngp_bar: np.ndarray, ntk_bar: np.ndarray, row: int, column: int
) -> None:
    """Write k̄ and t̄ after the last operation: ∂L/∂K and ∂L/∂Θ from (row, column) on, each for two entries."""
    for j in range(t_bar.size):
        t_bar[j] = 2.0 * ntk_bar[row, column + j]
    for j in range(k_bar.size):
        k_bar[j] = 2.0 * nngp_bar[row, column + j] if nngp_bar.size else 0.0


@entry_point
def adjoint_pass(
    program: Encoded,
    rows: Rows,
    a0: int,
    a1: int,
    b0: int,
    b1: int,
    nngp_bar: np.ndarray,
    ntk_bar: np.ndarray,
    row: int,
    column: int,
    upper: bool,
    outputs: Outputs,
) -> None:
    """Add the gradients of one block of pairs of a symmetric matrix, each pair standing for two entries.

    The block is that of the inputs a0:a1 with b0:b1; ∂L/∂K and ∂L/∂Θ of it stand in ``nngp_bar`` and ``ntk_bar``
    from (row, column) on, size 0 where L does not depend on that kernel. With ``upper``, only entries right of the
    diagonal are used: the diagonal belongs to the rows.
    """
    m, n_values, n_pairs = a1 - a0, program.parameters.shape[0] + 1, program.pairs.shape[0]
    ntk_size, size = 1 if ntk_bar.size > 0 else 0, n_pairs * CHUNK
    own = np.empty(rows.coefficients.shape[0])
    gram_buffer, product = np.empty(m * size), np.empty((m, rows.by_site.shape[2]))
    tape = Tape(np.empty((n_values, n_pairs, CHUNK)), np.empty((n_values, n_pairs, CHUNK * ntk_size)))
    t_bar_buffer, scratch = np.empty(m * size * ntk_size), np.empty(2 * CHUNK)
    others = np.empty((program.n_registers - 1) * size)
    t_others = np.empty((program.n_registers - 1) * size * ntk_size)
    column_stride = rows.coefficients.strides[0] // WORD
    for j0 in range(b0, b1, CHUNK):
        n = min(CHUNK, b1 - j0)
        grams = gram_buffer[: n_pairs * m * n].reshape(n_pairs, m, n)
        gram(program, rows, a0, a1, rows, j0, j0 + n, grams)
        block_column = column + j0 - b0
        for i in range(m):
            first = min(n, max(0, row + i - block_column + 1)) if upper else 0
            n_t = (n - first) * ntk_size
            for pair in range(n_pairs):
                _copy(grams[pair, i, first:], tape.k[0, pair])
                tape.t[0, pair, :n_t] = 0.0
            k_bar, t_bar = grams[0, i, first:], t_bar_buffer[:n_t]
            _start(k_bar, t_bar, nngp_bar, ntk_bar, row + i, block_column + first)
            others.fill(0.0)
            t_others.fill(0.0)
            gather(rows.coefficients, a0 + i, own)
            columns = address(rows.coefficients) + WORD * (j0 + first)
            sides = Sides(own, columns, column_stride, n - first, n_t)
            bars = Registers(address(k_bar), address(t_bar), m * n, address(others), address(t_others))
            _record(program, tape, sides)
            _backward(program, tape, bars, sides, outputs, a0 + i, j0 + first, scratch)
            grams[:, i, :first] = 0.0
        _add_to_inputs(program, rows, grams, a0, j0, product, outputs.x_bar)
