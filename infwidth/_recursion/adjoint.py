"""The adjoint pass: from ∂L/∂K and ∂L/∂Θ to the gradients of everything a program depends on.

For a chunk of one row the forward values are computed anew in the L1 cache, and the operations walked back
(maths 6.8): k̄ = k̄' ∂k'/∂k + t̄' ∂t'/∂k. What remains, ∂L/∂(Gram entry), is multiplied with the inputs at once:
the gradients of all input variances cost one matrix product, and no (n, n, p) tensor exists.
"""

import numpy as np

from infwidth._jit import entry_point, jit, reduction
from infwidth._recursion.fused import CHUNK, gather
from infwidth._recursion.loops import call_adjoint, call_loop
from infwidth._recursion.rows import AFFINE
from infwidth.activations.base import N_COEFFICIENTS


@reduction
def _dot(x, y):
    total = 0.0
    for m in range(x.size):
        total += x[m] * y[m]
    return total


@reduction
def _sum(x):
    total = 0.0
    for m in range(x.size):
        total += x[m]
    return total


@jit
def _affine_forward(k, t, p, k_next, t_next):
    w, b, u, s = p[0], p[1], p[2], p[3]
    for m in range(t.size):
        t_next[m] = w * t[m] + (u * k[m] + s)
    for m in range(k.size):
        k_next[m] = w * k[m] + b


@jit
def _affine_adjoint(k, t, k_bar, t_bar, p, gradient):
    gradient[0] += _dot(k_bar, k)
    gradient[1] += _sum(k_bar)
    if t.size:
        gradient[0] += _dot(t_bar, t)
        gradient[2] += _dot(t_bar, k)
        gradient[3] += _sum(t_bar)
    for m in range(t.size):
        k_bar[m] = p[0] * k_bar[m] + p[2] * t_bar[m]
        t_bar[m] *= p[0]
    if not t.size:
        for m in range(k.size):
            k_bar[m] *= p[0]


@jit
def _copy(source, target):
    for m in range(source.size):
        target[m] = source[m]


@jit
def _forward(codes, parameters, k_store, t_store, n, n_t, row, rows):
    """Fill k_store[place], t_store[place] with the values before each operation, from k_store[0]."""
    for place in range(codes.size - 1):
        p = parameters[place]
        k, t = k_store[place, :n], t_store[place, :n_t]
        k_next, t_next = k_store[place + 1, :n], t_store[place + 1, :n_t]
        if codes[place] == AFFINE:
            _affine_forward(k, t, p, k_next, t_next)
        else:
            _copy(k, k_next)
            _copy(t, t_next)
            columns = rows[place]
            call_loop(
                codes[place],
                k_next.ctypes.data,
                t_next.ctypes.data,
                row[place].ctypes.data,
                columns.ctypes.data,
                columns.strides[0] // 8,
                p.ctypes.data,
                n,
            )


@jit
def _linear_adjoint(code, n_linear, k, t, k_next, t_next, k_bar, t_bar, row, columns, p, gradient, scratch):
    """Add ∂L/∂p of the numbers in which a dual is affine: by its change where one of them grows by 1."""
    k_moved, t_moved = scratch[0, : k.size], scratch[1, : t.size]
    for number in range(n_linear):
        moved = p.copy()
        moved[number] += 1.0
        _copy(k, k_moved)
        _copy(t, t_moved)
        call_loop(
            code,
            k_moved.ctypes.data,
            t_moved.ctypes.data,
            row.ctypes.data,
            columns.ctypes.data,
            columns.strides[0] // 8,
            moved.ctypes.data,
            k.size,
        )
        gradient[1 + number] += _dot(k_bar, k_moved) - _dot(k_bar, k_next)
        gradient[1 + number] += _dot(t_bar, t_moved) - _dot(t_bar, t_next)


@jit
def _backward(
    codes,
    back_codes,
    learned,
    parameters,
    k_store,
    t_store,
    k_bar,
    t_bar,
    row,
    rows,
    gradient,
    q_row,
    q_columns,
    scratch,
):
    """Walk back from k̄, t̄ after the last operation to k̄ before the first."""
    for place in range(codes.size - 1, -1, -1):
        p = parameters[place]
        k, t = k_store[place, : k_bar.size], t_store[place, : t_bar.size]
        if codes[place] == AFFINE:
            _affine_adjoint(k, t, k_bar, t_bar, p, gradient[place])
        else:
            columns = rows[place]
            if learned[place] > 0:
                k_next, t_next = k_store[place + 1, : k_bar.size], t_store[place + 1, : t_bar.size]
                _linear_adjoint(
                    codes[place],
                    learned[place] - 1,
                    k,
                    t,
                    k_next,
                    t_next,
                    k_bar,
                    t_bar,
                    row[place],
                    columns,
                    p,
                    gradient[place],
                    scratch,
                )
            call_adjoint(
                back_codes[place],
                k.ctypes.data,
                t.ctypes.data,
                k_bar.ctypes.data,
                t_bar.ctypes.data,
                scratch[0].ctypes.data,
                q_columns[place].ctypes.data,
                row[place].ctypes.data,
                columns.ctypes.data,
                columns.strides[0] // 8,
                p.ctypes.data,
                k_bar.size,
            )
            q_row[place] += _sum(scratch[0, : k_bar.size])
            if learned[place] > 0:
                gradient[place, 0] += _dot(k_bar, k) + _dot(t_bar, t)


@entry_point
def adjoint_pass(
    codes,
    back_codes,
    learned,
    parameters,
    rows,
    a0,
    a1,
    b0,
    b1,
    nngp_bar,
    ntk_bar,
    row,
    column,
    upper,
    gradient,
    q_bar,
    x_bar,
):
    """Add the gradients of one block of pairs of a symmetric matrix, each pair standing for two entries.

    The block is that of the inputs a0:a1 with b0:b1; ∂L/∂K and ∂L/∂Θ of it stand in ``nngp_bar`` and ``ntk_bar``
    from (row, column) on, size 0 where L does not depend on that kernel. With ``upper``, only entries right of the
    diagonal are used: the diagonal belongs to the rows. Results are added to

    gradient : (n_operations, 4), of the numbers w, b, u, s of each dense layer, and of activations with
        ``learned`` > 0 of log b², where φ(x) becomes φ(bx), and of the first ``learned`` - 1 numbers of the dual;
    q_bar : (n_operations, n), of the variances of single inputs before each operation;
    x_bar : (n_features,), Σ_ij Ḡ_ij x_if x_jf.
    """
    m, n_places, d = a1 - a0, codes.size, rows.inputs.shape[1]
    ntk_size = 1 if ntk_bar.size > 0 else 0
    left = rows.inputs[a0:a1]
    own = np.empty((n_places, N_COEFFICIENTS))
    gram_buffer, product = np.empty(m * CHUNK), np.empty((m, d))
    k_store, t_store = np.empty((n_places, CHUNK)), np.empty((n_places, CHUNK * ntk_size))
    t_bar_buffer, scratch = np.empty(CHUNK * ntk_size), np.empty((2, CHUNK))
    for j0 in range(b0, b1, CHUNK):
        n = min(CHUNK, b1 - j0)
        gram = gram_buffer[: m * n].reshape(m, n)
        right = rows.inputs[j0 : j0 + n]
        np.dot(left, right.T, gram)
        block_column = column + j0 - b0
        for i in range(m):
            first = min(n, max(0, row + i - block_column + 1)) if upper else 0
            k_bar, t_bar = gram[i, first:], t_bar_buffer[: (n - first) * ntk_size]
            _copy(k_bar, k_store[0])
            for j in range(t_bar.size):
                t_store[0, j] = 0.0
                t_bar[j] = 2.0 * ntk_bar[row + i, block_column + first + j]
            for j in range(k_bar.size):
                k_bar[j] = 2.0 * nngp_bar[row + i, block_column + first + j] if nngp_bar.size else 0.0
            gather(rows.coefficients, a0 + i, own)
            columns = rows.coefficients[:, :, j0 + first : j0 + n]
            _forward(codes, parameters, k_store, t_store, k_bar.size, t_bar.size, own, columns)
            q_row, q_columns = q_bar[:, a0 + i], q_bar[:, j0 + first : j0 + n]
            _backward(
                codes,
                back_codes,
                learned,
                parameters,
                k_store,
                t_store,
                k_bar,
                t_bar,
                own,
                columns,
                gradient,
                q_row,
                q_columns,
                scratch,
            )
            for j in range(first):
                gram[i, j] = 0.0
        np.dot(gram, right, product)
        for i in range(m):
            for f in range(d):
                x_bar[f] += product[i, f] * left[i, f]
