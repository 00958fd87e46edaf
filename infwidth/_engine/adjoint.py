"""The adjoint pass: from ∂L/∂K and ∂L/∂Θ to the gradients of everything a program depends on.

For a chunk of one row the forward values are computed anew in the L1 cache, and the operations walked back
(maths 6.8): k̄ = k̄' ∂k'/∂k + t̄' ∂t'/∂k. What remains, ∂L/∂(Gram entry), is multiplied with the inputs at once:
the gradients of all input variances cost one matrix product, and no (n, n, p) tensor exists.
"""

import numpy as np

from infwidth._engine.encoding import (
    COEFFICIENT,
    N_CALLS,
    N_COEFFICIENTS,
    N_PAIRS,
    OWN,
    PAIR,
    READ,
    SITE,
    SOURCE,
    TARGET,
)
from infwidth._engine.forward import CHUNK, WORD, gather, gram, site_of
from infwidth._jit import entry_point, jit
from infwidth._program.loops import call_adjoint, call_forward


@jit
def _copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@jit
def _record(program, k_tape, t_tape, own, columns_at, column_stride, n, n_t):
    """Fill ``k_tape``, ``t_tape`` of shape (n_values, n_pairs, CHUNK), from the values of the start on."""
    own_at, p_at = own.ctypes.data, program.parameters.ctypes.data
    for place in range(program.forward.size):
        layout = program.layout[place]
        k_after, t_after = k_tape[place + 1], t_tape[place + 1]
        for pair in range(layout[N_PAIRS]):
            _copy(k_tape[layout[OWN], pair, :n], k_after[pair, :n])
            _copy(t_tape[layout[OWN], pair, :n_t], t_after[pair, :n_t])
        in_place = layout[SOURCE] == layout[TARGET]
        k_source = k_after if in_place else k_tape[layout[READ]]
        t_source = t_after if in_place else t_tape[layout[READ]]
        for call in range(layout[N_CALLS]):
            left = layout[COEFFICIENT] + program.pairs[layout[PAIR] + call, 0] * layout[N_COEFFICIENTS]
            right = layout[COEFFICIENT] + program.pairs[layout[PAIR] + call, 1] * layout[N_COEFFICIENTS]
            call_forward(
                program.forward[place],
                k_after[call].ctypes.data,
                t_after[call].ctypes.data,
                k_source[call].ctypes.data,
                t_source[call].ctypes.data,
                layout[N_PAIRS],
                CHUNK,
                own_at + WORD * left,
                columns_at + WORD * right * column_stride,
                column_stride,
                p_at + WORD * place * program.parameters.shape[1],
                n,
                n_t,
            )


@jit
def _backward(
    program,
    k_tape,
    t_tape,
    bars_at,
    bar_strides,
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
    """Walk back from k̄, t̄ after the last operation to k̄ before the first; ``bars_at`` are their addresses."""
    own_at, p_at, q_bar_at = own.ctypes.data, program.parameters.ctypes.data, q_bar.ctypes.data
    for place in range(program.forward.size - 1, -1, -1):
        layout = program.layout[place]
        target, source = layout[TARGET], layout[SOURCE]
        for call in range(layout[N_CALLS]):
            left, right = program.pairs[layout[PAIR] + call, 0], program.pairs[layout[PAIR] + call, 1]
            left_coefficient = layout[COEFFICIENT] + left * layout[N_COEFFICIENTS]
            right_coefficient = layout[COEFFICIENT] + right * layout[N_COEFFICIENTS]
            call_adjoint(
                program.adjoint[place],
                k_tape[layout[OWN], call].ctypes.data,
                t_tape[layout[OWN], call].ctypes.data,
                k_tape[place + 1, call].ctypes.data,
                t_tape[place + 1, call].ctypes.data,
                k_tape[layout[READ], call].ctypes.data,
                t_tape[layout[READ], call].ctypes.data,
                bars_at[0, target] + WORD * call * bar_strides[target],
                bars_at[1, target] + WORD * call * bar_strides[target],
                bars_at[0, source] + WORD * call * bar_strides[source],
                bars_at[1, source] + WORD * call * bar_strides[source],
                layout[N_PAIRS],
                CHUNK,
                bar_strides[target],
                q_bar_at + WORD * ((layout[SITE] + left) * q_bar.shape[1] + row),
                q_bar_at + WORD * ((layout[SITE] + right) * q_bar.shape[1] + column),
                own_at + WORD * left_coefficient,
                columns_at + WORD * right_coefficient * column_stride,
                column_stride,
                p_at + WORD * place * program.parameters.shape[1],
                gradient[place].ctypes.data,
                scratch.ctypes.data,
                n,
                n_t,
            )


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
    m, n_values, n_pairs, n_sites = a1 - a0, program.forward.size + 1, program.n_pairs, program.n_sites
    n_others, width = program.n_registers - 1, rows.inputs.shape[1] // program.n_sites
    ntk_size = 1 if ntk_bar.size > 0 else 0
    own = np.empty(rows.coefficients.shape[0])
    gram_buffer, product = np.empty(n_pairs * m * CHUNK), np.empty((m, width))
    k_tape, t_tape = np.empty((n_values, n_pairs, CHUNK)), np.empty((n_values, n_pairs, CHUNK * ntk_size))
    t_bar_buffer, scratch = np.empty(n_pairs * m * CHUNK * ntk_size), np.empty(2 * CHUNK)
    others, t_others = np.empty((n_others, n_pairs, CHUNK)), np.empty((n_others, n_pairs, CHUNK * ntk_size))
    bars_at, bar_strides = np.empty((2, program.n_registers), np.int64), np.full(program.n_registers, CHUNK)
    column_stride = rows.coefficients.strides[0] // WORD
    for j0 in range(b0, b1, CHUNK):
        n = min(CHUNK, b1 - j0)
        grams = gram_buffer[: n_pairs * m * n].reshape(n_pairs, m, n)
        gram(program, rows.inputs, a0, a1, rows.inputs, j0, j0 + n, grams)
        bar_strides[0] = m * n
        block_column = column + j0 - b0
        for i in range(m):
            first = min(n, max(0, row + i - block_column + 1)) if upper else 0
            size, t_size = n - first, (n - first) * ntk_size
            for pair in range(n_pairs):
                _copy(grams[pair, i, first:], k_tape[0, pair])
                for j in range(t_size):
                    t_tape[0, pair, j] = 0.0
            k_bar, t_bar = grams[0, i, first:], t_bar_buffer[:t_size]
            for j in range(t_size):
                t_bar[j] = 2.0 * ntk_bar[row + i, block_column + first + j]
            for j in range(size):
                k_bar[j] = 2.0 * nngp_bar[row + i, block_column + first + j] if nngp_bar.size else 0.0
            others[:] = 0.0
            t_others[:] = 0.0
            bars_at[0, 0], bars_at[1, 0] = k_bar.ctypes.data, t_bar_buffer.ctypes.data
            for register in range(n_others):
                bars_at[0, 1 + register] = others[register].ctypes.data
                bars_at[1, 1 + register] = t_others[register].ctypes.data
            gather(rows.coefficients, a0 + i, own)
            columns_at = rows.coefficients.ctypes.data + WORD * (j0 + first)
            _record(program, k_tape, t_tape, own, columns_at, column_stride, size, t_size)
            _backward(
                program,
                k_tape,
                t_tape,
                bars_at,
                bar_strides,
                own,
                columns_at,
                column_stride,
                gradient,
                q_bar,
                a0 + i,
                j0 + first,
                scratch,
                size,
                t_size,
            )
            for pair in range(n_pairs):
                for j in range(first):
                    grams[pair, i, j] = 0.0
        for pair in range(n_pairs):
            left, right = program.pairs[pair, 0], program.pairs[pair, 1]
            x_left = site_of(rows.inputs, a0, a1, left, n_sites)
            np.dot(grams[pair], site_of(rows.inputs, j0, j0 + n, right, n_sites), product)
            for i in range(m):
                for f in range(width):
                    if left == right:
                        x_bar[left * width + f] += product[i, f] * x_left[i, f]
                    else:
                        x_bar[left * width + f] += 0.5 * product[i, f] * x_left[i, f]
                        x_bar[right * width + f] += 0.5 * product[i, f] * x_left[i, f]
