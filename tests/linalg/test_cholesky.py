"""The tiled Cholesky factorisation against NumPy and SciPy, and the memory that it takes."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
from linalg_cases import MatrixSource, factor_of, positive_definite, shapes, targets
from numpy.testing import assert_allclose, assert_array_equal

from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.tiles import LowerTiles
from infwidth._runtime import memory


@shapes
def test_solve(n, tile):
    A, B = positive_definite(n), targets(n)
    given = B.copy()
    assert_allclose(factor_of(A, tile).solve(B), np.linalg.solve(A, B), rtol=1e-10, atol=1e-12)
    assert_array_equal(B, given)


@shapes
def test_half_solve_overwrites_the_blocks(n, tile):
    A, B = positive_definite(n), targets(n)
    factor = factor_of(A, tile)
    blocks = factor.tiles.split(B)
    factor.half_solve(blocks)
    expected = scipy.linalg.solve_triangular(np.linalg.cholesky(A), B, lower=True)
    assert_allclose(np.concatenate(blocks), expected, rtol=1e-10, atol=1e-12)


def test_half_solve_from_a_later_block():
    A, B = positive_definite(30), targets(30)
    B[:20] = 0.0
    factor = factor_of(A, tile=10)
    blocks = factor.tiles.split(B)
    factor.half_solve(blocks, first=2)
    expected = scipy.linalg.solve_triangular(np.linalg.cholesky(A), B, lower=True)
    assert_allclose(np.concatenate(blocks), expected, rtol=1e-10, atol=1e-12)


@shapes
def test_log_determinant(n, tile):
    A = positive_definite(n)
    assert_allclose(factor_of(A, tile).log_determinant(), np.linalg.slogdet(A).logabsdet, rtol=1e-11)


def test_log_determinant_where_the_determinant_overflows():
    assert_allclose(factor_of(1e8 * np.eye(60)).log_determinant(), 60 * np.log(1e8), rtol=1e-13)


@shapes
def test_inverse_diagonal_leaves_the_factor(n, tile):
    A, B = positive_definite(n), targets(n)
    factor = factor_of(A, tile)
    expected = np.diag(np.linalg.inv(A))
    assert_allclose(factor.inverse_diagonal(), expected, rtol=1e-10)
    for n_rows in (1, n // 2 + 1, n, 2 * n):
        last = factor.inverse_diagonal(n_rows)
        assert min(n_rows, n) <= len(last) <= min(n_rows + tile, n)
        assert_allclose(last, expected[n - len(last) :], rtol=1e-10)
    assert_allclose(factor.solve(B), np.linalg.solve(A, B), rtol=1e-10, atol=1e-12)


@shapes
def test_inverse_takes_no_new_memory(n, tile):
    A = positive_definite(n)
    factor = factor_of(A, tile)
    own = [block for _, _, block in factor.tiles]
    inverse = factor.inverse()
    assert_allclose(inverse.dense(), np.linalg.inv(A), rtol=1e-9, atol=1e-12)
    assert all(block is before for (_, _, block), before in zip(inverse, own, strict=True))
    assert factor.tiles is None


@shapes
def test_noise_of_each_row_is_added(n, tile):
    A, noise, B = positive_definite(n), np.linspace(0.1, 2.0, n), targets(n)
    factor, _ = Cholesky.of(MatrixSource(A), noise, tile=tile)
    assert_allclose(factor.solve(B), np.linalg.solve(A + np.diag(noise), B), rtol=1e-10, atol=1e-12)


def test_result_does_not_depend_on_the_tile():
    A, B = positive_definite(97), targets(97)
    whole = factor_of(A, tile=97).solve(B)
    for tile in (1, 8, 50, 96):
        assert_allclose(factor_of(A, tile).solve(B), whole, rtol=1e-11, atol=1e-13)


def test_factorisation_allocates_nothing_else():
    source = MatrixSource(np.eye(600))
    tracemalloc.start()
    try:
        Cholesky.of(source, np.zeros(600), tile=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert LowerTiles.n_bytes(600, 100) <= peak < 1.1 * LowerTiles.n_bytes(600, 100)


class UntouchableSource:
    """A kernel of 200 000 rows that fails if anything is asked of it but their number."""

    n = 200_000


@pytest.mark.parametrize(("max_memory", "word"), [("8GB", "max_memory allows"), (None, "is free")])
def test_too_little_memory_is_said_before_it_is_taken(max_memory, word, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 10**9)
    needed = f"{LowerTiles.n_bytes(200_000):,} bytes"
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match=f"200,000 rows needs {needed}.*8,000,000,000.*{word}") as caught:
            Cholesky.of(UntouchableSource(), np.zeros(200_000), max_memory=max_memory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20
    assert ("raise max_memory" in str(caught.value)) == (max_memory is not None)
