"""A factor that grows by rows against one that is made of all of them."""

import numpy as np
import pytest
from linalg_cases import MatrixSource, factor_of, positive_definite, targets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgError, LinAlgWarning

from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.solver import Solver
from infwidth._linalg.tiles import LowerTiles

# Rows before and after, and the tile: a tile that grows, one that becomes full, full ones, many new ones, none.
GROWTHS = [(1, 2, 4), (4, 7, 16), (7, 10, 10), (10, 11, 5), (20, 33, 10), (3, 60, 10), (33, 34, 10), (12, 12, 5)]
growths = pytest.mark.parametrize(("n", "n_all", "tile"), GROWTHS)


def appended(factor, A, noise=0.0, **options):
    return factor.appended(MatrixSource(A), np.full(len(A), noise), **options)


@growths
def test_everything_equals_that_of_all_rows(n, n_all, tile):
    A, B = positive_definite(n_all), targets(n_all)
    factor, jitter = appended(factor_of(A[:n, :n], tile), A, tile=tile)
    assert jitter == 0.0
    assert_allclose(lower(factor), np.linalg.cholesky(A), rtol=1e-10, atol=1e-12)
    assert_allclose(factor.solve(B), np.linalg.solve(A, B), rtol=1e-9, atol=1e-12)
    assert_allclose(factor.log_determinant(), np.linalg.slogdet(A)[1], rtol=1e-10)
    assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(A)), rtol=1e-9)
    assert_allclose(factor.inverse().dense(), np.linalg.inv(A), rtol=1e-8, atol=1e-11)


def lower(factor):
    """L as one array."""
    L = np.zeros((factor.tiles.n,) * 2)
    for i0, j0, tile in factor.tiles:
        L[i0 : i0 + tile.shape[0], j0 : j0 + tile.shape[1]] = tile
    return np.tril(L)


@growths
def test_the_earlier_factor_stays(n, n_all, tile):
    A, B = positive_definite(n_all), targets(n)
    earlier = factor_of(A[:n, :n], tile)
    expected, edges = earlier.solve(B), earlier.tiles.edges.copy()
    appended(earlier, A, tile=tile)
    assert_array_equal(earlier.solve(B), expected)
    assert_array_equal(earlier.tiles.edges, edges)


def test_rows_one_by_one_fill_tiles():
    A = positive_definite(47)
    factor = factor_of(A[:13, :13], tile=10)
    for n in range(14, 48):
        factor, _ = appended(factor, A[:n, :n], tile=10)
    assert_array_equal(factor.tiles.edges, [0, 6, 16, 26, 36, 46, 47])
    assert_allclose(lower(factor), np.linalg.cholesky(A), rtol=1e-9, atol=1e-11)


def test_full_tiles_are_shared():
    A = positive_definite(43)
    earlier = factor_of(A[:33, :33], tile=10)
    factor, _ = appended(earlier, A, tile=10)
    last = earlier.tiles.n_blocks - 1
    assert all(factor.tiles[i, j] is earlier.tiles[i, j] for i in range(last) for j in range(i + 1))
    assert factor.tiles[last, 0] is not earlier.tiles[last, 0]  # it has grown


def test_noise_of_each_new_row_is_added():
    A, noise, B = positive_definite(30), np.linspace(0.1, 2.0, 30), targets(30)
    earlier, _ = Cholesky.of(MatrixSource(A[:20, :20]), noise[:20], tile=10)
    factor, _ = earlier.appended(MatrixSource(A), noise, tile=10)
    assert_allclose(factor.solve(B), np.linalg.solve(A + np.diag(noise), B), rtol=1e-10)


def test_jitter_of_the_earlier_rows_is_that_of_the_new_ones():
    A, weight, jitter = positive_definite(30), np.linspace(0.5, 2.0, 30), 0.01
    earlier, _ = Cholesky.of(MatrixSource(A[:20, :20]), jitter / weight[:20], tile=10)
    factor, same = appended(earlier, A, jitter=jitter, weight=weight, tile=10)
    assert same == jitter
    assert_allclose(lower(factor), np.linalg.cholesky(A + np.diag(jitter / weight)), rtol=1e-9, atol=1e-12)


def test_equal_rows_take_jitter_in_all_of_them():
    A = positive_definite(20)
    rows = np.append(np.arange(20), 3)
    A = A[np.ix_(rows, rows)]
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        factor, jitter = appended(factor_of(A[:20, :20]), A, tile=10)
    with pytest.warns(LinAlgWarning):
        expected, expected_jitter = Cholesky.of(MatrixSource(A), np.zeros(21), tile=10)
    assert jitter == expected_jitter > 0
    assert_array_equal(lower(factor), lower(expected))


def test_rows_that_are_not_finite():
    A = positive_definite(20)
    earlier = factor_of(A[:15, :15])
    A[19] = A[:, 19] = np.nan
    with pytest.raises(LinAlgError, match="not finite"):
        appended(earlier, A)


def test_too_little_memory_is_said_before_it_is_taken():
    factor = factor_of(positive_definite(30))
    needed = factor.appending_bytes(4000)
    with pytest.raises(MemoryError, match=rf"4,000 rows needs {needed:,} bytes"):
        factor.appended(type("Untouchable", (), {"n": 4000})(), np.zeros(4000), max_memory=needed - 1)


def test_bytes_are_those_of_new_tiles_and_of_the_one_that_grows():
    factor = factor_of(positive_definite(3000), tile=1024)
    grown = 8 * 3100 * 1024
    assert factor.appending_bytes(3100) < 8 * 100 * 3100 + grown < LowerTiles.n_bytes(3100)


def test_other_solvers_are_made_anew():
    class Anew(Cholesky):
        appended, appending_bytes = Solver.appended, Solver.appending_bytes

    A, B = positive_definite(30), targets(30)
    factor, _ = Anew.of(MatrixSource(A[:20, :20]), np.zeros(20))
    more, jitter = factor.appended(MatrixSource(A), np.zeros(30))
    assert jitter == 0.0
    assert factor.appending_bytes(30) == factor.n_bytes(30)
    assert_allclose(more.solve(B), np.linalg.solve(A, B), rtol=1e-10)
