"""The fused pass: Gram entries to kernel entries, all operations on a chunk while it is in the L1 cache.

A program is interpreted once per row and chunk of columns, so a deep network still makes one pass over
memory, and one compiled function serves all networks.
"""

import numpy as np

from infwidth._jit import entry_point, jit
from infwidth._recursion.loops import call_loop
from infwidth._recursion.rows import AFFINE
from infwidth.activations.base import N_COEFFICIENTS

CHUNK = 248  # columns: 2 kB each of k, t and coefficients; no power of two, for the sake of the cache sets
LINE = 8  # doubles in a cache line


@jit
def _affine(k, t, p):
    w, b, u, s = p[0], p[1], p[2], p[3]
    for m in range(t.size):
        t[m] = w * t[m] + (u * k[m] + s)
    for m in range(k.size):
        k[m] = w * k[m] + b


@jit
def _interpret(codes, parameters, k, t, row, rows):
    """Run the program on one chunk: k holds Gram entries, ``row`` and ``rows`` both sides' coefficients."""
    for place in range(codes.size):
        p = parameters[place]
        if codes[place] == AFFINE:
            _affine(k, t, p)
        else:
            coefficients = rows[place]
            call_loop(
                codes[place],
                k.ctypes.data,
                t.ctypes.data,
                row[place].ctypes.data,
                coefficients.ctypes.data,
                coefficients.strides[0] // 8,
                p.ctypes.data,
                k.size,
            )


@jit
def gather(coefficients, i, target):
    """Copy the coefficients of row i to one array."""
    for place in range(target.shape[0]):
        for m in range(target.shape[1]):
            target[place, m] = coefficients[place, m, i]


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
def fused_pass(codes, parameters, a, a0, a1, b, b0, b1, nngp, ntk, row, column, upper, mirror):
    """Write the kernels of inputs a0:a1 of ``a`` with b0:b1 of ``b`` from (row, column) on.

    An output of size 0 is not wanted. With ``upper`` the block belongs to a symmetric matrix: entries
    left of the diagonal are not touched; with ``mirror`` each is written to its transposed place too.
    """
    m = a1 - a0
    ntk_size = 1 if ntk.size > 0 else 0
    left = a.inputs[a0:a1]
    row_coefficients = np.empty((codes.size, N_COEFFICIENTS))
    buffer, t_buffer = np.empty(m * CHUNK), np.empty(m * CHUNK * ntk_size)
    for j0 in range(b0, b1, CHUNK):
        n = min(CHUNK, b1 - j0)
        k_block = buffer[: m * n].reshape(m, n)
        t_block = t_buffer[: m * n * ntk_size].reshape(m, n * ntk_size)
        t_buffer.fill(0.0)
        np.dot(left, b.inputs[j0 : j0 + n].T, k_block)
        block_column = column + j0 - b0
        for i in range(m):
            first = max(0, row + i - block_column) if upper else 0
            if first < n:
                gather(a.coefficients, a0 + i, row_coefficients)
                _interpret(
                    codes,
                    parameters,
                    k_block[i, first:],
                    t_block[i, first:],
                    row_coefficients,
                    b.coefficients[:, :, j0 + first : j0 + n],
                )
        if nngp.size:
            _store(k_block, nngp, row, block_column, upper, mirror)
        if ntk.size:
            _store(t_block, ntk, row, block_column, upper, mirror)
