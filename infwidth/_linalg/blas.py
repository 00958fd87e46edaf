"""BLAS and LAPACK on tiles without the GIL, so that several matrices are worked on side by side.

They are SciPy's own, called by their addresses; SciPy's Python functions hold the GIL. All arrays are in Fortran order,
or the first rows and columns of such arrays, and the last one is overwritten.
"""

import ctypes
from collections.abc import Callable

import numpy as np
from numba.extending import get_cython_function_address

Argument = np.ndarray | float | int | str


def gemm(
    alpha: float, A: np.ndarray, B: np.ndarray, beta: float, C: np.ndarray, trans_a: bool = False, trans_b: bool = False
) -> None:
    """C <- α op(A) op(B) + β C; the transposed where that is asked for."""
    (m, n), k = C.shape, A.shape[0 if trans_a else 1]
    _dgemm(
        _transposed(trans_a), _transposed(trans_b), m, n, k, float(alpha), A, _ld(A), B, _ld(B), float(beta), C, _ld(C)
    )


def syrk(alpha: float, A: np.ndarray, C: np.ndarray, trans: bool = False) -> None:
    """C <- α A Aᵀ + C, or with AᵀA: the lower triangle."""
    _dsyrk("L", _transposed(trans), len(C), A.shape[0 if trans else 1], float(alpha), A, _ld(A), 1.0, C, _ld(C))


def trsm(alpha: float, L: np.ndarray, B: np.ndarray, right: bool = False, trans: bool = False) -> None:
    """B <- α op(L)⁻¹ B, or on the right of B, for a lower triangle L."""
    if B.shape[1] == 1 and alpha == 1.0 and not right:  # dtrsm would pack L first, which takes longer than all else
        _dtrsv("L", _transposed(trans), "N", len(B), L, _ld(L), B, 1)
        return
    _dtrsm("R" if right else "L", "L", _transposed(trans), "N", *B.shape, float(alpha), L, _ld(L), B, _ld(B))


def trmm(alpha: float, L: np.ndarray, B: np.ndarray, trans: bool = False) -> None:
    """B <- α op(L) B for a lower triangle L."""
    _dtrmm("L", "L", _transposed(trans), "N", *B.shape, float(alpha), L, _ld(L), B, _ld(B))


def potrf(A: np.ndarray) -> int:
    """A <- L with A = L Lᵀ, lower triangles, and return 0, or the first pivot that is not positive."""
    return _on_triangle(_dpotrf, A)


def potri(A: np.ndarray) -> None:
    """L <- A⁻¹ with A = L Lᵀ, lower triangles."""
    _on_triangle(_dpotri, A)


def lauum(A: np.ndarray) -> None:
    """L <- LᵀL, lower triangles."""
    _on_triangle(_dlauum, A)


def trtri(A: np.ndarray) -> None:
    """L <- L⁻¹."""
    _on_triangle(_dtrtri, A, "N")


def _on_triangle(routine: Callable[..., None], A: np.ndarray, *options: str) -> int:
    info = ctypes.c_int64(0)
    routine("L", *options, len(A), A, _ld(A), info)
    return info.value


def _transposed(trans: bool) -> str:
    return "T" if trans else "N"


def _ld(A: np.ndarray) -> int:
    """Return how many numbers a column is after the one before."""
    return max(1, A.strides[1] // A.itemsize if A.shape[1] > 1 else len(A))


def _routine(library: str, name: str, n_arguments: int) -> Callable[..., None]:
    """Return a function of SciPy's, which takes addresses only, as one of arrays, numbers and characters."""
    address = get_cython_function_address(f"scipy.linalg.cython_{library}", name)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)(address)

    def called(*arguments: Argument | ctypes.c_int64) -> None:
        boxes = [_box(argument) for argument in arguments]
        call(*[box if isinstance(box, int) else ctypes.addressof(box) for box in boxes])

    return called


def _box(argument: Argument | ctypes.c_int64) -> int | ctypes._SimpleCData:  # type: ignore[type-arg]
    """Return the address of an array, or what holds a number or a character."""
    if isinstance(argument, np.ndarray):
        if not (argument.dtype == np.float64 and (argument.shape[0] <= 1 or argument.strides[0] == 8)):
            raise ValueError("BLAS takes arrays of float64 in Fortran order.")
        return argument.ctypes.data
    if isinstance(argument, str):
        return ctypes.c_char(argument.encode())
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return argument if isinstance(argument, ctypes.c_int64) else ctypes.c_int64(argument)  # little-endian: of any size


_dgemm = _routine("blas", "dgemm", 13)
_dsyrk = _routine("blas", "dsyrk", 10)
_dtrsm = _routine("blas", "dtrsm", 11)
_dtrsv = _routine("blas", "dtrsv", 8)
_dtrmm = _routine("blas", "dtrmm", 11)
_dpotrf = _routine("lapack", "dpotrf", 5)
_dpotri = _routine("lapack", "dpotri", 5)
_dlauum = _routine("lapack", "dlauum", 5)
_dtrtri = _routine("lapack", "dtrtri", 6)
