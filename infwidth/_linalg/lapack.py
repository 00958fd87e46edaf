"""LAPACK and BLAS without the GIL, for compiled functions: SciPy's own, called by their addresses.

SciPy's Python functions hold the GIL, so that many small matrices on several threads would wait for each other.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import get_cython_function_address, intrinsic

from infwidth._runtime.jit import entry_point, jit

LOWER, LEFT, NO, NOT_UNIT = map(ord, "LLNN")


class Routines(NamedTuple):
    """Addresses in this process: arguments of compiled functions, whose machine code outlives it on disk."""

    potrf: int
    trsm: int


ROUTINES = Routines(
    get_cython_function_address("scipy.linalg.cython_lapack", "dpotrf"),
    get_cython_function_address("scipy.linalg.cython_blas", "dtrsm"),
)


def _caller(n_arguments: int) -> tuple[Any, Any]:
    """Make a function that calls the routine at an address; Fortran takes addresses only."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        routine = builder.inttoptr(arguments[0], ir.FunctionType(ir.VoidType(), [pointer] * n_arguments).as_pointer())
        builder.call(routine, [builder.inttoptr(argument, pointer) for argument in arguments[1:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (n_arguments + 1)), generate


@intrinsic  # type: ignore[misc]
def _call_potrf(typing_context, routine, uplo, n, a, lda, info):  # type: ignore[no-untyped-def]
    return _caller(5)


@intrinsic  # type: ignore[misc]
def _call_trsm(  # type: ignore[no-untyped-def]
    typing_context, routine, side, uplo, transposed, diagonal, m, n, alpha, a, lda, b, ldb
):
    return _caller(11)


@jit
def factor_in_place(routines: Routines, A: np.ndarray) -> int:
    """Overwrite the upper triangle of A, C-ordered, with Lᵀ, and return the first pivot that is not positive, or 0.

    For Fortran it is the lower triangle, with L.
    """
    numbers = np.array([LOWER, A.shape[0], max(1, A.shape[0]), 0])
    at = numbers.ctypes.data  # little-endian: a character, or an integer of any size
    _call_potrf(routines.potrf, at, at + 8, A.ctypes.data, at + 16, at + 24)  # type: ignore[call-arg]
    return numbers[3]


@entry_point
def half_solve(routines: Routines, A: np.ndarray, B: np.ndarray) -> None:
    """Overwrite B, shape (m, n), with B L⁻ᵀ, given the factor that ``potrf`` left in A, shape (n, n)."""
    numbers, one = np.array([LEFT, LOWER, NO, NOT_UNIT, A.shape[0], B.shape[0], max(1, A.shape[0])]), np.ones(1)
    at = numbers.ctypes.data
    rows = at + 48
    _call_trsm(  # type: ignore[call-arg]
        routines.trsm,
        at,
        at + 8,
        at + 16,
        at + 24,
        at + 32,
        at + 40,
        one.ctypes.data,
        A.ctypes.data,
        rows,
        B.ctypes.data,
        rows,
    )
