"""LAPACK by its addresses, beside NumPy."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth._linalg.lapack import ROUTINES, Routines, half_solve, overwrite
from infwidth._runtime.jit import entry_point

rng = np.random.default_rng(0)


def definite(n):
    root = rng.standard_normal((n, n + 3))
    return root @ root.T


@entry_point
def solve(routines: Routines, A: np.ndarray, B: np.ndarray) -> None:
    half_solve(routines, A, B)


@pytest.mark.parametrize("n", [1, 2, 33])
def test_factor_inverse_and_solution(n):
    A, B = definite(n), rng.standard_normal((4, n))
    factor, solved = A.copy(), B.copy()
    assert overwrite(ROUTINES.potrf, factor) == 0
    L = np.linalg.cholesky(A)
    assert_allclose(np.triu(factor), L.T, rtol=1e-10, atol=1e-12)
    solve(ROUTINES, factor, solved)
    assert_allclose(solved, np.linalg.solve(L, B.T).T, rtol=1e-9, atol=1e-12)
    assert overwrite(ROUTINES.potri, factor) == 0
    assert_allclose(np.triu(factor), np.triu(np.linalg.inv(A)), rtol=1e-8)


def test_only_one_triangle_is_read():
    A = definite(5)
    factor = np.where(np.tri(5, k=-1) > 0, np.nan, A)
    assert overwrite(ROUTINES.potrf, factor) == 0
    assert_allclose(np.triu(factor), np.linalg.cholesky(A).T, rtol=1e-10, atol=1e-12)


def test_the_first_bad_pivot():
    assert overwrite(ROUTINES.potrf, np.diag([1.0, 2.0, -1.0, 1.0])) == 3


def test_others_go_on_meanwhile():
    """A second thread counts while one factors: the GIL is released."""
    A, counted, done = definite(900), [], threading.Event()
    overwrite(ROUTINES.potrf, np.eye(2))  # compiled

    def count():
        while not done.wait(1e-3):
            counted.append(1)

    watcher = threading.Thread(target=count)
    watcher.start()
    for _ in range(5):
        overwrite(ROUTINES.potrf, A.copy())
    done.set()
    watcher.join()
    assert len(counted) >= 5
