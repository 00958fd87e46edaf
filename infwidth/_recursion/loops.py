"""The loops of the activations over a chunk of columns, each compiled when a network first needs it.

A loop is a C function; the passes call it by its address. So one compiled pass serves all activations,
and no activation is compiled before its time.
"""

from functools import cache

from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from infwidth._jit import c_function
from infwidth.activations.base import Family

_POINTER = types.CPointer(types.float64)
# k, t, then of an adjoint loop: k̄, t̄, q̄ of the row, q̄ of the columns; the row's coefficients, the columns', their
# stride, the parameters, the number of columns
_FORWARD = (_POINTER, _POINTER, _POINTER, _POINTER, types.intp, _POINTER, types.intp)
_ADJOINT = (_POINTER,) * 8 + (types.intp, _POINTER, types.intp)


def _nngp_loop(k_, t_, row, rows_, stride, p_, n):
    """K <- T for n columns; a row's coefficients are ``stride`` apart in both sets of rows."""
    k, rows = carray(k_, n), carray(rows_, 2 * stride + n)
    a, p = (row[0], row[1], row[2]), (p_[0], p_[1], p_[2], p_[3], p_[4], p_[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        k[j] = pair(k[j], a, (r0[j], r1[j], r2[j]), p)[0]  # noqa: F821  # given when the loop is compiled


def _ntk_loop(k_, t_, row, rows_, stride, p_, n):
    """K <- T and t <- Ṫ t for n columns."""
    k, t, rows = carray(k_, n), carray(t_, n), carray(rows_, 2 * stride + n)
    a, p = (row[0], row[1], row[2]), (p_[0], p_[1], p_[2], p_[3], p_[4], p_[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        value, derivative = pair(k[j], a, (r0[j], r1[j], r2[j]), p)  # noqa: F821  # as above
        k[j] = value
        t[j] *= derivative


def _nngp_adjoint(k_, t_, k_bar_, t_bar_, q_row_, q_columns_, row, rows_, stride, p_, n):
    """k̄ <- k̄ ∂T/∂k; q̄ of the row and of the columns grow by k̄ ∂T/∂q."""
    k, k_bar, rows = carray(k_, n), carray(k_bar_, n), carray(rows_, 2 * stride + n)
    q_row, q_columns = carray(q_row_, n), carray(q_columns_, n)
    a, p = (row[0], row[1], row[2]), (p_[0], p_[1], p_[2], p_[3], p_[4], p_[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        both = curvature(k[j], a, (r0[j], r1[j], r2[j]), p)  # noqa: F821  # as above
        g = k_bar[j]
        k_bar[j] = g * both[1]
        q_row[j] = g * both[3]
        q_columns[j] += g * both[4]


def _ntk_adjoint(k_, t_, k_bar_, t_bar_, q_row_, q_columns_, row, rows_, stride, p_, n):
    """The same for k and t: k̄ <- k̄ Ṫ + t̄ t T̈, t̄ <- t̄ Ṫ."""
    k, t, k_bar, t_bar, rows = (
        carray(k_, n),
        carray(t_, n),
        carray(k_bar_, n),
        carray(t_bar_, n),
        carray(rows_, 2 * stride + n),
    )
    q_row, q_columns = carray(q_row_, n), carray(q_columns_, n)
    a, p = (row[0], row[1], row[2]), (p_[0], p_[1], p_[2], p_[3], p_[4], p_[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        both = curvature(k[j], a, (r0[j], r1[j], r2[j]), p)  # noqa: F821  # as above
        g, h = k_bar[j], t_bar[j] * t[j]
        k_bar[j] = g * both[1] + h * both[2]
        t_bar[j] *= both[1]
        q_row[j] = g * both[3] + h * both[5]
        q_columns[j] += g * both[4] + h * both[6]


@cache
def _loop(family: Family, with_ntk: bool, adjoint: bool):
    template = (_ntk_adjoint if with_ntk else _nngp_adjoint) if adjoint else (_ntk_loop if with_ntk else _nngp_loop)
    names = {"curvature": family.curvature} if adjoint else {"pair": family.pair}
    signature = types.void(*(_ADJOINT if adjoint else _FORWARD))
    return c_function(template, signature, f"{family.name}{template.__name__}", **names)


def loop_address(family: Family, with_ntk: bool, adjoint=False):
    """Return the address of a family's loop, for ``call_loop`` or ``call_adjoint``."""
    return _loop(family, with_ntk, adjoint).address


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
def call_loop(typing_context, address, k, t, row, rows, stride, p, n):
    """Call a forward loop."""
    return _caller(_FORWARD)


@intrinsic
def call_adjoint(typing_context, address, k, t, k_bar, t_bar, q_row, q_columns, row, rows, stride, p, n):
    """Call an adjoint loop."""
    return _caller(_ADJOINT)
