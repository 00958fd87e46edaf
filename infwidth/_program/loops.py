"""The compiled loops of the operations over a chunk of columns, each compiled when a network first needs it.

A loop is a C function; the passes call it by its address. So one compiled pass serves all operations, and none is
compiled before its time. An operation writes its loops as functions of arrays, which are wrapped here:

    forward(chunk)
    adjoint(chunk, after, bar, scratch)

The forward loop changes ``chunk.own`` in place: with other memory for the result it would be three times slower. The
adjoint finds the values before and ``after``, and turns ``bar.own`` from ∂L/∂(values after) to ∂L/∂(values before);
to the rest of ``bar`` it adds. ``scratch`` is (2, n).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic

from infwidth._program.operation import Values
from infwidth._runtime.jit import c_function, inline, reduction


class Chunk(NamedTuple):
    """What a loop finds: kernels of one row with a chunk of n columns.

    Attributes
    ----------
    own, source : Values of shape (n,), or (n_pairs, n) where an operation works across sites
        The register that changes, and the one that is read.
    row : ndarray of shape (n_coefficients,)
        Coefficients of the row.
    columns : ndarray of shape (n_coefficients, at least n)
        Coefficients of the columns.
    p : ndarray
        ``Operation.parameters``.
    """

    own: Values
    source: Values
    row: np.ndarray
    columns: np.ndarray
    p: np.ndarray


class Bars(NamedTuple):
    """Derivatives of L by what an adjoint loop finds.

    Attributes
    ----------
    own, source : Values
        By the kernels in both registers.
    q_row : ndarray of shape (1,)
        By the variance of the row, through its coefficients.
    q_columns : ndarray of shape (n,)
        By those of the columns.
    gradient : ndarray of shape (n_numbers,)
        By the operation's numbers.
    """

    own: Values
    source: Values
    q_row: np.ndarray
    q_columns: np.ndarray
    gradient: np.ndarray


ForwardLoop = Callable[[Chunk], None]
AdjointLoop = Callable[[Chunk, Values, Bars, np.ndarray], None]

Pointer = Any  # to doubles, in compiled functions
_POINTER, _INTEGER = types.CPointer(types.float64), types.intp
# k, t of the register and of the source; number of site pairs, their stride; row, columns, their stride; p, n, n of t
_FORWARD = (*[_POINTER] * 4, *[_INTEGER] * 2, *[_POINTER] * 2, _INTEGER, _POINTER, *[_INTEGER] * 2)
# k, t before, after and of the source, their derivatives before and of the source; number of site pairs, the stride of
# values and of derivatives; q̄ of the row, of the columns; row, columns, their stride; p, gradient, scratch, n, n of t
_ADJOINT = (*[_POINTER] * 10, *[_INTEGER] * 3, *[_POINTER] * 4, _INTEGER, *[_POINTER] * 3, *[_INTEGER] * 2)


@reduction
def dot(x: np.ndarray, y: np.ndarray) -> float:
    """Return Σ x y."""
    result = 0.0
    for j in range(x.size):
        result += x[j] * y[j]
    return result


@reduction
def total(x: np.ndarray) -> float:
    """Return Σ x."""
    result = 0.0
    for j in range(x.size):
        result += x[j]
    return result


@inline
def _one_pair(numbers: Pointer, n_pairs: int, stride: int, n: int) -> np.ndarray:
    return carray(numbers, n)


@inline
def _all_pairs(numbers: Pointer, n_pairs: int, stride: int, n: int) -> np.ndarray:
    return carray(numbers, (n_pairs, stride))[:, :n]


# ruff: noqa: F821  # these are given when a template is compiled
loop: Callable[..., None]
view: Callable[[Pointer, int, int, int], np.ndarray]
n_coefficients: int
n_numbers: int


def _forward(
    k: Pointer,
    t: Pointer,
    source_k: Pointer,
    source_t: Pointer,
    n_pairs: int,
    stride: int,
    row: Pointer,
    columns: Pointer,
    column_stride: int,
    p: Pointer,
    n: int,
    n_t: int,
) -> None:
    own = Values(view(k, n_pairs, stride, n), view(t, n_pairs, stride, n_t))
    source = Values(view(source_k, n_pairs, stride, n), view(source_t, n_pairs, stride, n_t))
    loop(Chunk(own, source, row, carray(columns, (n_coefficients, column_stride)), p))


def _adjoint(
    k: Pointer,
    t: Pointer,
    after_k: Pointer,
    after_t: Pointer,
    source_k: Pointer,
    source_t: Pointer,
    k_bar: Pointer,
    t_bar: Pointer,
    source_k_bar: Pointer,
    source_t_bar: Pointer,
    n_pairs: int,
    stride: int,
    bar_stride: int,
    q_row: Pointer,
    q_columns: Pointer,
    row: Pointer,
    columns: Pointer,
    column_stride: int,
    p: Pointer,
    gradient: Pointer,
    scratch: Pointer,
    n: int,
    n_t: int,
) -> None:
    own = Values(view(k, n_pairs, stride, n), view(t, n_pairs, stride, n_t))
    after = Values(view(after_k, n_pairs, stride, n), view(after_t, n_pairs, stride, n_t))
    source = Values(view(source_k, n_pairs, stride, n), view(source_t, n_pairs, stride, n_t))
    own_bar = Values(view(k_bar, n_pairs, bar_stride, n), view(t_bar, n_pairs, bar_stride, n_t))
    source_bar = Values(view(source_k_bar, n_pairs, bar_stride, n), view(source_t_bar, n_pairs, bar_stride, n_t))
    loop(
        Chunk(own, source, row, carray(columns, (n_coefficients, column_stride)), p),
        after,
        Bars(own_bar, source_bar, carray(q_row, 1), carray(q_columns, n), carray(gradient, n_numbers)),
        carray(scratch, (2, n)),
    )


_compiled = cache(c_function)  # it must outlive the calls of its address


@cache
def forward_loop(loop: ForwardLoop, name: str, *, n_coefficients: int = 0, across: bool = False) -> int:
    """Return the address of a forward loop, for ``call_forward``; ``loop`` is an inlined function of arrays."""
    names = {"loop": loop, "view": _all_pairs if across else _one_pair, "n_coefficients": n_coefficients}
    return cast("int", _compiled(_forward, types.void(*_FORWARD), f"{name}_forward", **names).address)


@cache
def adjoint_loop(
    loop: AdjointLoop, name: str, *, n_coefficients: int = 0, n_numbers: int = 0, across: bool = False
) -> int:
    """Return the address of an adjoint loop, for ``call_adjoint``."""
    view = _all_pairs if across else _one_pair
    names = {"loop": loop, "view": view, "n_coefficients": n_coefficients, "n_numbers": n_numbers}
    return cast("int", _compiled(_adjoint, types.void(*_ADJOINT), f"{name}_adjoint", **names).address)


def _caller(signature: tuple[Any, ...]) -> Callable[[int, tuple[int, ...]], None]:
    """Make a compiled function that calls the loop at an address; arrays are passed as the addresses of their data."""

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        address, arguments = values
        pointer, integer = ir.IntType(8).as_pointer(), address.type
        kinds = [pointer if kind == _POINTER else integer for kind in signature]
        function = builder.inttoptr(address, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        pairs = zip(unpack_tuple(builder, arguments), kinds, strict=True)
        builder.call(function, [builder.inttoptr(v, kind) if kind == pointer else v for v, kind in pairs])
        return context.get_dummy_value()

    def call(typing_context: Any, address: Any, arguments: Any) -> Any:
        return types.void(types.intp, types.UniTuple(types.intp, len(signature))), generate

    return cast("Callable[[int, tuple[int, ...]], None]", intrinsic(call))


call_forward = _caller(_FORWARD)  # with the arguments of ``_forward``
call_adjoint = _caller(_ADJOINT)  # with the arguments of ``_adjoint``
