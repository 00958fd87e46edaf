"""The fused pass: Gram entries to kernel entries, all operations on a chunk while it is in the L1 cache.

A program is interpreted once per row and chunk of columns, so a deep network still makes one pass over
memory, and one compiled function serves all networks.
"""

import numpy as np

from infwidth._engine.encoding import (
    COEFFICIENT,
    N_CALLS,
    N_COEFFICIENTS,
    N_PAIRS,
    PAIR,
    SOURCE,
    TARGET,
)
from infwidth._jit import entry_point, jit
from infwidth._program.loops import call_forward

CHUNK = 248  # columns: 2 kB each of k, t and coefficients; no power of two, for the sake of the cache sets
LINE = 8  # doubles in a cache line
WORD = 8  # bytes of a double


@jit
def site_of(inputs, first, last, site, n_sites):
    """Return the features of one site of some inputs, contiguous."""
    if n_sites == 1:
        return inputs[first:last]
    width = inputs.shape[1] // n_sites
    features = np.empty((last - first, width))
    for i in range(last - first):
        for f in range(width):
            features[i, f] = inputs[first + i, site * width + f]
    return features


@jit
def gram(program, a, a0, a1, b, b0, b1, k_block):
    """Write the inner products of inputs a0:a1 with b0:b1, shape (n_pairs, a1 - a0, b1 - b0)."""
    n_sites = program.n_sites
    for place in range(program.n_pairs):
        left, right = program.pairs[place, 0], program.pairs[place, 1]
        np.dot(site_of(a, a0, a1, left, n_sites), site_of(b, b0, b1, right, n_sites).T, k_block[place])


@jit
def _interpret(program, k_at, t_at, pair_strides, own, columns_at, column_stride, n, n_t):
    """Run the program on one chunk: ``k_at``, ``t_at`` are addresses of registers, the first holds Gram entries."""
    own_at, p_at = own.ctypes.data, program.parameters.ctypes.data
    for place in range(program.forward.size):
        layout = program.layout[place]
        target, source, pair_stride = layout[TARGET], layout[SOURCE], pair_strides[layout[TARGET]]
        for call in range(layout[N_CALLS]):
            left = layout[COEFFICIENT] + program.pairs[layout[PAIR] + call, 0] * layout[N_COEFFICIENTS]
            right = layout[COEFFICIENT] + program.pairs[layout[PAIR] + call, 1] * layout[N_COEFFICIENTS]
            call_forward(
                program.forward[place],
                k_at[target] + WORD * call * pair_stride,
                t_at[target] + WORD * call * pair_stride,
                k_at[source] + WORD * call * pair_strides[source],
                t_at[source] + WORD * call * pair_strides[source],
                layout[N_PAIRS],
                pair_stride,
                own_at + WORD * left,
                columns_at + WORD * right * column_stride,
                column_stride,
                p_at + WORD * place * program.parameters.shape[1],
                n,
                n_t,
            )


@jit
def gather(coefficients, i, target):
    """Copy the coefficients of row i to one array."""
    for place in range(target.size):
        target[place] = coefficients[place, i]


@jit
def _store(source, target, row, column, upper, mirror):
    """Copy a block to its place, with ``upper`` from the diagonal on, and with ``mirror`` transposed as well."""
    m, n = source.shape
    for i in range(m):
        first = max(0, row + i - column) if upper else 0
        for j in range(first, n):
            target[row + i, column + j] = source[i, j]
    if mirror:
        for j0 in range(0, n, LINE):
            for i in range(m):
                for j in range(max(j0, row + i - column), min(j0 + LINE, n)):
                    target[column + j, row + i] = source[i, j]


@entry_point
def fused_pass(program, a, a0, a1, b, b0, b1, nngp, ntk, row, column, upper, mirror):
    """Write the kernels of inputs a0:a1 of ``a`` with b0:b1 of ``b`` from (row, column) on.

    An output of size 0 is not wanted. With ``upper`` the block belongs to a symmetric matrix: entries
    left of the diagonal are not touched; with ``mirror`` each is written to its transposed place too.
    """
    n_pairs, n_others = program.n_pairs, program.n_registers - 1
    m = max(1, (a1 - a0) // n_pairs)  # rows whose kernels of all pairs of sites stay in the cache
    ntk_size = 1 if ntk.size > 0 else 0
    own = np.empty(a.coefficients.shape[0])
    buffer, t_buffer = np.empty(n_pairs * m * CHUNK), np.empty(n_pairs * m * CHUNK * ntk_size)
    others, t_others = np.empty((n_others, n_pairs, CHUNK)), np.empty((n_others, n_pairs, CHUNK * ntk_size))
    k_at, t_at = np.empty(program.n_registers, np.int64), np.empty(program.n_registers, np.int64)
    pair_strides = np.full(program.n_registers, CHUNK)
    column_stride = b.coefficients.strides[0] // WORD
    for i0 in range(a0, a1, m):
        i1 = min(i0 + m, a1)
        for j0 in range(b0, b1, CHUNK):
            n = min(CHUNK, b1 - j0)
            size = n_pairs * (i1 - i0) * n
            k_block = buffer[:size].reshape(n_pairs, i1 - i0, n)
            t_block = t_buffer[: size * ntk_size].reshape(n_pairs, i1 - i0, n * ntk_size)
            t_buffer.fill(0.0)
            gram(program, a.inputs, i0, i1, b.inputs, j0, j0 + n, k_block)
            pair_strides[0] = (i1 - i0) * n
            block_row, block_column = row + i0 - a0, column + j0 - b0
            for i in range(i1 - i0):
                first = max(0, block_row + i - block_column) if upper else 0
                if first < n:
                    gather(a.coefficients, i0 + i, own)
                    for register in range(n_others):
                        k_at[1 + register] = others[register].ctypes.data
                        t_at[1 + register] = t_others[register].ctypes.data
                    k_at[0] = buffer.ctypes.data + WORD * (i * n + first)
                    t_at[0] = t_buffer.ctypes.data + WORD * (i * n + first)
                    columns_at = b.coefficients.ctypes.data + WORD * (j0 + first)
                    n_t = (n - first) * ntk_size
                    _interpret(program, k_at, t_at, pair_strides, own, columns_at, column_stride, n - first, n_t)
            if nngp.size:
                _store(k_block[0], nngp, block_row, block_column, upper, mirror)
            if ntk.size:
                _store(t_block[0], ntk, block_row, block_column, upper, mirror)
