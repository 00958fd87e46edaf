"""BLAS and LAPACK by their addresses, beside NumPy."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth._linalg import blas

rng = np.random.default_rng(0)


def fortran(*shape):
    return np.asfortranarray(rng.standard_normal(shape))


def view(*shape):
    """The first rows and columns of a larger array."""
    return fortran(*(size + 3 for size in shape))[tuple(map(slice, shape))]


def lower(n, make):
    L = make(n, n)
    L[np.diag_indices(n)] += 2 * n  # far from singular
    return L


def definite(n):
    root = rng.standard_normal((n, n + 3))
    return np.asfortranarray(root @ root.T)


@pytest.mark.parametrize("make", [fortran, view])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (1, 6, 2), (5, 1, 3)])
def test_gemm(make, trans_a, trans_b, shape):
    m, n, k = shape
    A = make(k, m) if trans_a else make(m, k)
    B = make(n, k) if trans_b else make(k, n)
    C = make(m, n)
    expected = -2.0 * (A.T if trans_a else A) @ (B.T if trans_b else B) + 0.5 * C
    blas.gemm(-2.0, A, B, 0.5, C, trans_a=trans_a, trans_b=trans_b)
    assert_allclose(C, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [fortran, view])
@pytest.mark.parametrize("trans", [False, True])
def test_syrk_writes_one_triangle(make, trans):
    A, C = make(3, 5), make(5, 5) if trans else make(3, 3)
    before, expected = C.copy(), C - 2.0 * (A.T @ A if trans else A @ A.T)
    blas.syrk(-2.0, A, C, trans=trans)
    assert_allclose(np.tril(C), np.tril(expected), rtol=1e-12, atol=1e-12)
    assert_array_equal(np.triu(C, 1), np.triu(before, 1))


@pytest.mark.parametrize("make", [fortran, view])
@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_trsm(make, trans, right):
    L, B = lower(4, make), make(3, 4) if right else make(4, 3)
    op = np.tril(L).T if trans else np.tril(L)
    expected = 3.0 * (B @ np.linalg.inv(op) if right else np.linalg.inv(op) @ B)
    blas.trsm(3.0, L, B, right=right, trans=trans)
    assert_allclose(B, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [fortran, view])
@pytest.mark.parametrize("trans", [False, True])
def test_trmm(make, trans):
    L, B = lower(4, make), make(4, 3)
    expected = 3.0 * (np.tril(L).T if trans else np.tril(L)) @ B
    blas.trmm(3.0, L, B, trans=trans)
    assert_allclose(B, expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 33])
def test_factor_and_its_inverses(n):
    A = definite(n)
    factor = A.copy(order="F")
    assert blas.potrf(factor) == 0
    L = np.tril(factor)
    assert_allclose(L, np.linalg.cholesky(A), rtol=1e-10, atol=1e-12)
    inverse, of_factor, product = (factor.copy(order="F") for _ in range(3))
    blas.potri(inverse)
    assert_allclose(np.tril(inverse), np.tril(np.linalg.inv(A)), rtol=1e-7)
    blas.trtri(of_factor)
    assert_allclose(np.tril(of_factor), np.linalg.inv(L), rtol=1e-8, atol=1e-12)
    blas.lauum(product)
    assert_allclose(np.tril(product), np.tril(L.T @ L), rtol=1e-12)


def test_the_first_bad_pivot():
    assert blas.potrf(np.asfortranarray(np.diag([1.0, 2.0, -1.0, 1.0]))) == 3


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.ones((2, 3), np.float32, order="F")])
def test_other_arrays_are_refused_and_not_copied(wrong):
    with pytest.raises(ValueError, match="float64 in Fortran order"):
        blas.gemm(1.0, fortran(2, 2), fortran(2, 3), 0.0, wrong)


def test_others_go_on_meanwhile():
    """A second thread counts while one factors: the GIL is released."""
    A, counted, done = definite(900), [], threading.Event()

    def count():
        while not done.wait(1e-3):
            counted.append(1)

    watcher = threading.Thread(target=count)
    watcher.start()
    for _ in range(5):
        blas.potrf(A.copy(order="F"))
    done.set()
    watcher.join()
    assert len(counted) >= 5
