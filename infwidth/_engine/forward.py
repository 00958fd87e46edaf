"""The fused pass: Gram entries to kernel entries, all operations on a chunk while it is in the L1 cache.

A program is interpreted once per row and chunk of columns, so a deep network still makes one pass over
memory, and one compiled function serves all networks.
"""

from typing import NamedTuple

import numpy as np

from infwidth._engine.encoding import FORWARD, LEFT, N_PAIRS, PAIR, PLACE, RIGHT, SOURCE, TARGET, Encoded
from infwidth._engine.rows import Rows
from infwidth._program.loops import call_forward
from infwidth._runtime.jit import entry_point, inline, jit

CHUNK = 248  # columns: 2 kB each of k, t and coefficients; no power of two, for the sake of the cache sets
LINE = 8  # doubles in a cache line
WORD = 8  # bytes of a double


class Registers(NamedTuple):
    """Where the registers of a chunk stand, as addresses: the first by itself, the others one after the other.

    Attributes
    ----------
    k, t : int
        Of the first.
    stride : int
        Between pairs of sites in the first, in doubles; in the others it is CHUNK.
    k_others, t_others : int
    """

    k: int
    t: int
    stride: int
    k_others: int
    t_others: int


class Sides(NamedTuple):
    """What a row and a chunk of columns bring to all operations.

    Attributes
    ----------
    row : ndarray of shape (n_coefficients,)
        Coefficients of the row.
    columns : int
        Address of the first column's coefficients.
    stride : int
        Between the coefficients of one column, in doubles.
    n, n_t : int
        Columns with k, and with t.
    """

    row: np.ndarray
    columns: int
    stride: int
    n: int
    n_t: int


@inline
def gram(program: Encoded, a: Rows, a0: int, a1: int, b: Rows, b0: int, b1: int, k_block: np.ndarray) -> None:
    """Write the inner products of inputs a0:a1 with b0:b1, shape (n_pairs, a1 - a0, b1 - b0)."""
    for place in range(program.pairs.shape[0]):
        left, right = program.pairs[place, 0], program.pairs[place, 1]
        np.dot(a.by_site[left, a0:a1], b.by_site[right, b0:b1].T, k_block[place])


@inline
def address(array: np.ndarray) -> int:
    """Return where an array stands; a signed integer, for numba makes floats of sums of both kinds."""
    return np.intp(array.ctypes.data)  # type: ignore[return-value]  # an int to compiled functions


@inline
def register_at(registers: Registers, register: int, pair: int, size: int) -> tuple[int, int, int]:
    """Return the addresses of a register's k and t from a pair of sites on, and the stride of its pairs."""
    others = WORD * (register - 1) * size
    stride = registers.stride if register == 0 else CHUNK
    k = registers.k if register == 0 else registers.k_others + others
    t = registers.t if register == 0 else registers.t_others + others
    return k + WORD * pair * stride, t + WORD * pair * stride, stride


@inline
def _interpret(program: Encoded, registers: Registers, sides: Sides) -> None:
    """Run the program on one chunk, from the Gram entries in the first register."""
    size, p_stride = program.pairs.shape[0] * CHUNK, program.parameters.shape[1]
    for number in range(program.calls.shape[0]):
        call = program.calls[number]
        k, t, stride = register_at(registers, call[TARGET], call[PAIR], size)
        source_k, source_t, _ = register_at(registers, call[SOURCE], call[PAIR], size)
        of_row = address(sides.row) + WORD * call[LEFT]
        of_columns = sides.columns + WORD * call[RIGHT] * sides.stride
        p = address(program.parameters) + WORD * call[PLACE] * p_stride
        own = (k, t, source_k, source_t, call[N_PAIRS], stride)
        call_forward(call[FORWARD], (*own, of_row, of_columns, sides.stride, p, sides.n, sides.n_t))


@inline
def gather(coefficients: np.ndarray, i: int, target: np.ndarray) -> None:
    """Copy the coefficients of row i to one array."""
    for place in range(target.size):
        target[place] = coefficients[place, i]


@jit
def _store(source: np.ndarray, target: np.ndarray, row: int, column: int, upper: bool, mirror: bool) -> None:
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
def fused_pass(
    program: Encoded,
    a: Rows,
    a0: int,
    a1: int,
    b: Rows,
    b0: int,
    b1: int,
    nngp: np.ndarray,
    ntk: np.ndarray,
    row: int,
    column: int,
    upper: bool,
    mirror: bool,
) -> None:
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
                    k, t = address(buffer) + WORD * (i * n + first), address(t_buffer) + WORD * (i * n + first)
                    columns = address(b.coefficients) + WORD * (j0 + first)
                    registers = Registers(k, t, rows * n, address(others), address(t_others))
                    sides = Sides(own, columns, column_stride, n - first, (n - first) * ntk_size)
                    _interpret(program, registers, sides)
            if nngp.size:
                _store(k_block[0], nngp, block_row, block_column, upper, mirror)
            if ntk.size:
                _store(t_block[0], ntk, block_row, block_column, upper, mirror)
