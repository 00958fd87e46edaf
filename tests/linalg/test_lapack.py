"""LAPACK by its addresses in compiled functions, beside NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth._linalg.lapack import ROUTINES, Routines, factor_in_place, half_solve
from infwidth._runtime.jit import entry_point

rng = np.random.default_rng(0)


def definite(n):
    root = rng.standard_normal((n, n + 3))
    return root @ root.T


@entry_point
def factor(routines: Routines, A: np.ndarray) -> int:
    return factor_in_place(routines, A)


@pytest.mark.parametrize("n", [1, 2, 33])
def test_factor_and_solution(n):
    A, B = definite(n), rng.standard_normal((4, n))
    upper, solved = A.copy(), B.copy()
    assert factor(ROUTINES, upper) == 0
    L = np.linalg.cholesky(A)
    assert_allclose(np.triu(upper), L.T, rtol=1e-10, atol=1e-12)
    half_solve(ROUTINES, upper, solved)
    assert_allclose(solved, np.linalg.solve(L, B.T).T, rtol=1e-9, atol=1e-12)


def test_only_one_triangle_is_read():
    A = definite(5)
    upper = np.where(np.tri(5, k=-1) > 0, np.nan, A)
    assert factor(ROUTINES, upper) == 0
    assert_allclose(np.triu(upper), np.linalg.cholesky(A).T, rtol=1e-10, atol=1e-12)


def test_the_first_bad_pivot():
    assert factor(ROUTINES, np.diag([1.0, 2.0, -1.0, 1.0])) == 3
