"""The loops of the activations over a chunk of columns, each compiled when a network first needs it.

A loop is a C function; the fused pass calls it by its address. So one compiled pass serves all activations,
and no activation is compiled before its time.
"""

from functools import cache

from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from infwidth._jit import c_function
from infwidth.activations.base import Family

_POINTER = types.CPointer(types.float64)
_SIGNATURE = types.void(_POINTER, _POINTER, _POINTER, _POINTER, types.intp, _POINTER, types.intp)


def _nngp_loop(k_pointer, t_pointer, row_pointer, rows_pointer, stride, p_pointer, n):
    """K <- T for n columns; a row's coefficients are ``stride`` apart in both sets of rows."""
    k, rows = carray(k_pointer, n), carray(rows_pointer, 2 * stride + n)
    a = (row_pointer[0], row_pointer[1], row_pointer[2])
    p = (p_pointer[0], p_pointer[1], p_pointer[2], p_pointer[3], p_pointer[4], p_pointer[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        k[j] = pair(k[j], a, (r0[j], r1[j], r2[j]), p)[0]  # noqa: F821  # given when the loop is compiled


def _ntk_loop(k_pointer, t_pointer, row_pointer, rows_pointer, stride, p_pointer, n):
    """K <- T and t <- Ṫ t for n columns."""
    k, t, rows = carray(k_pointer, n), carray(t_pointer, n), carray(rows_pointer, 2 * stride + n)
    a = (row_pointer[0], row_pointer[1], row_pointer[2])
    p = (p_pointer[0], p_pointer[1], p_pointer[2], p_pointer[3], p_pointer[4], p_pointer[5])
    r0, r1, r2 = rows[:n], rows[stride : stride + n], rows[2 * stride :]
    for j in range(n):
        value, derivative = pair(k[j], a, (r0[j], r1[j], r2[j]), p)  # noqa: F821  # as above
        k[j] = value
        t[j] *= derivative


@cache
def _loop(family: Family, with_ntk: bool):
    template = _ntk_loop if with_ntk else _nngp_loop
    return c_function(template, _SIGNATURE, f"{family.name}{template.__name__}", pair=family.pair)


def loop_address(family: Family, with_ntk: bool):
    """Return the address of a family's loop, for ``call_loop``."""
    return _loop(family, with_ntk).address


@intrinsic
def call_loop(typing_context, address, k, t, row, rows, stride, parameters, n):
    """Call the loop at an address; arrays are passed as the addresses of their data."""

    def generate(context, builder, signature, arguments):
        pointer, integer = ir.IntType(8).as_pointer(), arguments[0].type
        is_pointer = (True, True, True, True, False, True, False)
        kind = ir.FunctionType(ir.VoidType(), [pointer if p else integer for p in is_pointer])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        values = zip(arguments[1:], is_pointer, strict=True)
        builder.call(function, [builder.inttoptr(v, pointer) if p else v for v, p in values])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8), generate
