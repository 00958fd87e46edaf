"""The fused pass: Gram entries to kernel entries, all operations on a chunk while it is in the L1 cache.

A program is interpreted once per row and chunk of columns, so a deep network still makes one pass over
memory, and one compiled function serves all networks.
"""

import numpy as np

from infwidth._engine.encoding import FORWARD, LEFT, N_PAIRS, PAIR, PLACE, RIGHT, SOURCE, TARGET
from infwidth._program.loops import call_forward
from infwidth._runtime.jit import entry_point, inline, jit

CHUNK = 248  # columns: 2 kB each of k, t and coefficients; no power of two, for the sake of the cache sets
LINE = 8  # doubles in a cache line
WORD = 8  # bytes of a double


@inline
def gram(program, a, a0, a1, b, b0, b1, k_block):
    """Write the inner products of inputs a0:a1 with b0:b1, shape (n_pairs, a1 - a0, b1 - b0)."""
    for place in range(program.pairs.shape[0]):
        left, right = program.pairs[place, 0], program.pairs[place, 1]
        np.dot(a.by_site[left, a0:a1], b.by_site[right, b0:b1].T, k_block[place])


@inline
def register_at(register, first_at, others_at, size):
    """Return the address of a register: the first stands by itself, the others follow each other."""
    return first_at if register == 0 else others_at + WORD * (register - 1) * size


@inline
def _interpret(program, k_at, t_at, k_others_at, t_others_at, stride, own, columns_at, column_stride, n, n_t):
    """Run the program on one chunk: at ``k_at`` stand Gram entries, those of pairs of sites ``stride`` apart."""
    own_at, p_at, size = own.ctypes.data, program.parameters.ctypes.data, program.pairs.shape[0] * CHUNK
    p_stride = program.parameters.shape[1]
    for number in range(program.calls.shape[0]):
        call = program.calls[number]
        target, source, pair = call[TARGET], call[SOURCE], call[PAIR]
        own_stride = stride if target == 0 else CHUNK
        source_stride = stride if source == 0 else CHUNK
        call_forward(
            call[FORWARD],
            register_at(target, k_at, k_others_at, size) + WORD * pair * own_stride,
            register_at(target, t_at, t_others_at, size) + WORD * pair * own_stride,
            register_at(source, k_at, k_others_at, size) + WORD * pair * source_stride,
            register_at(source, t_at, t_others_at, size) + WORD * pair * source_stride,
            call[N_PAIRS],
            own_stride,
            own_at + WORD * call[LEFT],
            columns_at + WORD * call[RIGHT] * column_stride,
            column_stride,
            p_at + WORD * call[PLACE] * p_stride,
            n,
            n_t,
        )


@inline
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
    n_pairs, size = program.pairs.shape[0], program.pairs.shape[0] * CHUNK
    m = max(1, (a1 - a0) // n_pairs)  # rows whose kernels of all pairs of sites stay in the cache
    ntk_size = 1 if ntk.size > 0 else 0
    own = np.empty(a.coefficients.shape[0])
    buffer, t_buffer = np.empty(m * size), np.empty(m * size * ntk_size)
    others = np.empty((program.n_registers - 1) * size)
    t_others = np.empty((program.n_registers - 1) * size * ntk_size)
    column_stride = b.coefficients.strides[0] // WORD
    for i0 in range(a0, a1, m):
        rows = min(m, a1 - i0)
        for j0 in range(b0, b1, CHUNK):
            n = min(CHUNK, b1 - j0)
            k_block = buffer[: n_pairs * rows * n].reshape(n_pairs, rows, n)
            t_block = t_buffer[: n_pairs * rows * n * ntk_size].reshape(n_pairs, rows, n * ntk_size)
            t_buffer.fill(0.0)
            gram(program, a, i0, i0 + rows, b, j0, j0 + n, k_block)
            block_row, block_column = row + i0 - a0, column + j0 - b0
            for i in range(rows):
                first = max(0, block_row + i - block_column) if upper else 0
                if first < n:
                    gather(a.coefficients, i0 + i, own)
                    _interpret(
                        program,
                        buffer.ctypes.data + WORD * (i * n + first),
                        t_buffer.ctypes.data + WORD * (i * n + first),
                        others.ctypes.data,
                        t_others.ctypes.data,
                        rows * n,
                        own,
                        b.coefficients.ctypes.data + WORD * (j0 + first),
                        column_stride,
                        n - first,
                        (n - first) * ntk_size,
                    )
            if nngp.size:
                _store(k_block[0], nngp, block_row, block_column, upper, mirror)
            if ntk.size:
                _store(t_block[0], ntk, block_row, block_column, upper, mirror)
