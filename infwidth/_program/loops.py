"""The compiled loops of the operations over a chunk of columns, each compiled when a network first needs it.

A loop is a C function; the passes call it by its address. So one compiled pass serves all operations, and none is
compiled before its time. An operation writes its loops as functions of arrays, which are wrapped here:

    forward(own, source, row, columns, p)
    adjoint(own, after, source, bar, source_bar, q_row, q_columns, row, columns, p, gradient, scratch)

``own`` is the register that changes, in place (with other memory for the result it would be three times slower), and
``source`` the one that is read, both ``Values`` of shape (n,), or (n_pairs, n) where an operation works across sites.
``row`` and ``columns`` of shape (n_coefficients, at least n) are the coefficients of both sides, p the numbers of
``Operation.parameters``. The adjoint finds the values before and after, turns ``bar`` from ∂L/∂(values after) to
∂L/∂(values before), and adds to ``source_bar``, to ``q_row`` of shape (1,) and ``q_columns`` of shape (n,), the
derivatives by the variances that the coefficients stand for, and to ``gradient``; ``scratch`` is (2, n).
"""

from functools import cache
from typing import cast

from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from infwidth._program.operation import Values
from infwidth._runtime.jit import c_function, inline, reduction

_POINTER, _INTEGER = types.CPointer(types.float64), types.intp
# k, t of the register and of the source; number of site pairs, their stride; row, columns, their stride; p, n, n of t
_FORWARD = (*[_POINTER] * 4, *[_INTEGER] * 2, *[_POINTER] * 2, _INTEGER, _POINTER, *[_INTEGER] * 2)
# k, t before, after and of the source, their derivatives before and of the source; number of site pairs, the stride of
# values and of derivatives; q̄ of the row, of the columns; row, columns, their stride; p, gradient, scratch, n, n of t
_ADJOINT = (*[_POINTER] * 10, *[_INTEGER] * 3, *[_POINTER] * 4, _INTEGER, *[_POINTER] * 3, *[_INTEGER] * 2)


@reduction
def dot(x, y):
    """Return Σ x y."""
    result = 0.0
    for j in range(x.size):
        result += x[j] * y[j]
    return result


@reduction
def total(x):
    """Return Σ x."""
    result = 0.0
    for j in range(x.size):
        result += x[j]
    return result


@inline
def _one_pair(numbers, n_pairs, stride, n):
    return carray(numbers, n)


@inline
def _all_pairs(numbers, n_pairs, stride, n):
    return carray(numbers, (n_pairs, stride))[:, :n]


# ruff: noqa: F821  # loop, view, n_coefficients and n_numbers are given when a template is compiled


def _forward(k, t, source_k, source_t, n_pairs, stride, row, columns, column_stride, p, n, n_t):
    own = Values(view(k, n_pairs, stride, n), view(t, n_pairs, stride, n_t))
    source = Values(view(source_k, n_pairs, stride, n), view(source_t, n_pairs, stride, n_t))
    loop(own, source, row, carray(columns, (n_coefficients, column_stride)), p)


def _adjoint(
    k,
    t,
    after_k,
    after_t,
    source_k,
    source_t,
    k_bar,
    t_bar,
    source_k_bar,
    source_t_bar,
    n_pairs,
    stride,
    bar_stride,
    q_row,
    q_columns,
    row,
    columns,
    column_stride,
    p,
    gradient,
    scratch,
    n,
    n_t,
):
    loop(
        Values(view(k, n_pairs, stride, n), view(t, n_pairs, stride, n_t)),
        Values(view(after_k, n_pairs, stride, n), view(after_t, n_pairs, stride, n_t)),
        Values(view(source_k, n_pairs, stride, n), view(source_t, n_pairs, stride, n_t)),
        Values(view(k_bar, n_pairs, bar_stride, n), view(t_bar, n_pairs, bar_stride, n_t)),
        Values(view(source_k_bar, n_pairs, bar_stride, n), view(source_t_bar, n_pairs, bar_stride, n_t)),
        carray(q_row, 1),
        carray(q_columns, n),
        row,
        carray(columns, (n_coefficients, column_stride)),
        p,
        carray(gradient, n_numbers),
        carray(scratch, (2, n)),
    )


_compiled = cache(c_function)  # it must outlive the calls of its address


def forward_loop(loop, name, *, n_coefficients=0, across=False) -> int:
    """Return the address of a forward loop, for ``call_forward``; ``loop`` is an inlined function of arrays."""
    names = {"loop": loop, "view": _all_pairs if across else _one_pair, "n_coefficients": n_coefficients}
    return cast("int", _compiled(_forward, types.void(*_FORWARD), f"{name}_forward", **names).address)


def adjoint_loop(loop, name, *, n_coefficients=0, n_numbers=0, across=False) -> int:
    """Return the address of an adjoint loop, for ``call_adjoint``."""
    names = {"loop": loop, "view": _all_pairs if across else _one_pair, "n_coefficients": n_coefficients}
    compiled = _compiled(_adjoint, types.void(*_ADJOINT), f"{name}_adjoint", n_numbers=n_numbers, **names)
    return cast("int", compiled.address)


def _caller(signature):
    """Make a function that calls the loop at an address; arrays are passed as the addresses of their data."""

    def generate(context, builder, _, arguments):
        pointer, integer = ir.IntType(8).as_pointer(), arguments[0].type
        kinds = [pointer if kind == _POINTER else integer for kind in signature]
        function = builder.inttoptr(arguments[0], ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        values = zip(arguments[1:], kinds, strict=True)
        builder.call(function, [builder.inttoptr(v, kind) if kind == pointer else v for v, kind in values])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (len(signature) + 1)), generate


@intrinsic
def call_forward(
    typing_context,
    address,
    k,
    t,
    source_k,
    source_t,
    n_pairs,
    pair_stride,
    row,
    columns,
    stride,
    p,
    n,
    n_t,
):
    """Call a forward loop."""
    return _caller(_FORWARD)


@intrinsic
def call_adjoint(
    typing_context,
    address,
    k,
    t,
    after_k,
    after_t,
    source_k,
    source_t,
    k_bar,
    t_bar,
    source_k_bar,
    source_t_bar,
    n_pairs,
    pair_stride,
    bar_stride,
    q_row,
    q_columns,
    row,
    columns,
    stride,
    p,
    gradient,
    scratch,
    n,
    n_t,
):
    """Call an adjoint loop."""
    return _caller(_ADJOINT)
