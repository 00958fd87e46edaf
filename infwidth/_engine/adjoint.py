"""The adjoint pass: from ∂L/∂K and ∂L/∂Θ to the gradients of everything a program depends on.

For a chunk of one row the forward values are computed anew in the L1 cache, and the operations walked back
(maths 6.8): k̄ = k̄' ∂k'/∂k + t̄' ∂t'/∂k. What remains, ∂L/∂(Gram entry), is multiplied with the inputs at once:
the gradients of all input variances cost one matrix product, and no (n, n, p) tensor exists.
"""

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
)
from infwidth._engine.forward import CHUNK, WORD, gather, gram, register_at
from infwidth._program.loops import call_adjoint, call_forward
from infwidth._runtime.jit import entry_point, inline, jit


@jit
def _copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@inline
def _record(program, k_tape, t_tape, own, columns_at, column_stride, n, n_t):
    """Fill ``k_tape``, ``t_tape`` of shape (n_values, n_pairs, CHUNK), from the values of the start on."""
    own_at, p_at, p_stride = own.ctypes.data, program.parameters.ctypes.data, program.parameters.shape[1]
    for number in range(program.calls.shape[0]):
        call = program.calls[number]
        k_after, t_after, pair = k_tape[call[PLACE] + 1], t_tape[call[PLACE] + 1], call[PAIR]
        if pair == 0:
            for each in range(call[N_PAIRS]):
                _copy(k_tape[call[OWN], each, :n], k_after[each, :n])
                _copy(t_tape[call[OWN], each, :n_t], t_after[each, :n_t])
        in_place = call[SOURCE] == call[TARGET]
        k_source = k_after if in_place else k_tape[call[READ]]
        t_source = t_after if in_place else t_tape[call[READ]]
        call_forward(
            call[FORWARD],
            k_after[pair].ctypes.data,
            t_after[pair].ctypes.data,
            k_source[pair].ctypes.data,
            t_source[pair].ctypes.data,
            call[N_PAIRS],
            CHUNK,
            own_at + WORD * call[LEFT],
            columns_at + WORD * call[RIGHT] * column_stride,
            column_stride,
            p_at + WORD * call[PLACE] * p_stride,
            n,
            n_t,
        )


@inline
def _backward(
    program,
    k_tape,
    t_tape,
    k_bar_at,
    t_bar_at,
    k_others_at,
    t_others_at,
    bar_stride,
    own,
    columns_at,
    column_stride,
    gradient,
    q_bar,
    row,
    column,
    scratch,
    n,
    n_t,
):
    """Walk back from k̄, t̄ after the last operation to k̄ before the first, at ``k_bar_at`` and ``t_bar_at``."""
    own_at, p_at, q_bar_at = own.ctypes.data, program.parameters.ctypes.data, q_bar.ctypes.data
    size, p_stride, n_rows = program.pairs.shape[0] * CHUNK, program.parameters.shape[1], q_bar.shape[1]
    for number in range(program.calls.shape[0] - 1, -1, -1):
        call = program.calls[number]
        target, source, pair, place = call[TARGET], call[SOURCE], call[PAIR], call[PLACE]
        own_stride = bar_stride if target == 0 else CHUNK
        source_stride = bar_stride if source == 0 else CHUNK
        call_adjoint(
            call[ADJOINT],
            k_tape[call[OWN], pair].ctypes.data,
            t_tape[call[OWN], pair].ctypes.data,
            k_tape[place + 1, pair].ctypes.data,
            t_tape[place + 1, pair].ctypes.data,
            k_tape[call[READ], pair].ctypes.data,
            t_tape[call[READ], pair].ctypes.data,
            register_at(target, k_bar_at, k_others_at, size) + WORD * pair * own_stride,
            register_at(target, t_bar_at, t_others_at, size) + WORD * pair * own_stride,
            register_at(source, k_bar_at, k_others_at, size) + WORD * pair * source_stride,
            register_at(source, t_bar_at, t_others_at, size) + WORD * pair * source_stride,
            call[N_PAIRS],
            CHUNK,
            own_stride,
            q_bar_at + WORD * (call[LEFT_SITE] * n_rows + row),
            q_bar_at + WORD * (call[RIGHT_SITE] * n_rows + column),
            own_at + WORD * call[LEFT],
            columns_at + WORD * call[RIGHT] * column_stride,
            column_stride,
            p_at + WORD * place * p_stride,
            gradient[place].ctypes.data,
            scratch.ctypes.data,
            n,
            n_t,
        )


@inline
def _add_to_inputs(program, rows, grams, a0, b0, product, x_bar):
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


@entry_point
def adjoint_pass(program, rows, a0, a1, b0, b1, nngp_bar, ntk_bar, row, column, upper, gradient, q_bar, x_bar):
    """Add the gradients of one block of pairs of a symmetric matrix, each pair standing for two entries.

    The block is that of the inputs a0:a1 with b0:b1; ∂L/∂K and ∂L/∂Θ of it stand in ``nngp_bar`` and ``ntk_bar``
    from (row, column) on, size 0 where L does not depend on that kernel. With ``upper``, only entries right of the
    diagonal are used: the diagonal belongs to the rows. Results are added to

    gradient : (n_operations, most numbers), of each operation's numbers;
    q_bar : (total sites, n), of the variances of single inputs, or their sites, before each operation;
    x_bar : (n_features,), Σ_ij Ḡ_ij x_if x_jf, between two sites half of it to each.
    """
    m, n_values, n_pairs = a1 - a0, program.parameters.shape[0] + 1, program.pairs.shape[0]
    ntk_size, size = 1 if ntk_bar.size > 0 else 0, n_pairs * CHUNK
    own = np.empty(rows.coefficients.shape[0])
    gram_buffer, product = np.empty(m * size), np.empty((m, rows.by_site.shape[2]))
    k_tape, t_tape = np.empty((n_values, n_pairs, CHUNK)), np.empty((n_values, n_pairs, CHUNK * ntk_size))
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
            n_own, n_t = n - first, (n - first) * ntk_size
            for pair in range(n_pairs):
                _copy(grams[pair, i, first:], k_tape[0, pair])
                for j in range(n_t):
                    t_tape[0, pair, j] = 0.0
            k_bar, t_bar = grams[0, i, first:], t_bar_buffer[:n_t]
            for j in range(n_t):
                t_bar[j] = 2.0 * ntk_bar[row + i, block_column + first + j]
            for j in range(n_own):
                k_bar[j] = 2.0 * nngp_bar[row + i, block_column + first + j] if nngp_bar.size else 0.0
            others.fill(0.0)
            t_others.fill(0.0)
            gather(rows.coefficients, a0 + i, own)
            columns_at = rows.coefficients.ctypes.data + WORD * (j0 + first)
            _record(program, k_tape, t_tape, own, columns_at, column_stride, n_own, n_t)
            _backward(
                program,
                k_tape,
                t_tape,
                k_bar.ctypes.data,
                t_bar.ctypes.data,
                others.ctypes.data,
                t_others.ctypes.data,
                m * n,
                own,
                columns_at,
                column_stride,
                gradient,
                q_bar,
                a0 + i,
                j0 + first,
                scratch,
                n_own,
                n_t,
            )
            for pair in range(n_pairs):
                for j in range(first):
                    grams[pair, i, j] = 0.0
        _add_to_inputs(program, rows, grams, a0, j0, product, x_bar)
