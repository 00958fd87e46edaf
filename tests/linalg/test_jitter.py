"""What is said and done where a matrix is not positive definite to working precision."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from linalg_cases import MatrixSource, positive_definite
from numpy.testing import assert_allclose

from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.jitter import JITTERS, NotPositiveDefiniteError
from infwidth._linalg.tiles import LowerTiles


@pytest.mark.parametrize("pivot", [1, 8, 25])
def test_bad_pivot_is_named(pivot):
    A = np.eye(25)
    A[pivot - 1, pivot - 1] = -1.0
    tiles = LowerTiles(25, 10)
    MatrixSource(A).fill(tiles)
    with pytest.raises(NotPositiveDefiniteError, match=f"pivot {pivot} is not positive"):
        Cholesky(tiles)


def test_singular_matrix_gets_jitter_and_a_solution():
    A, Y = np.full((20, 20), 4.0), np.full((20, 1), 3.0)  # equal rows: every pivot but the first is exactly 0
    with pytest.warns(scipy.linalg.LinAlgWarning, match="4e-10 added to its diagonal.*noise_variance") as warned:
        factor, jitter = Cholesky.of(MatrixSource(A), np.zeros(20), tile=6)
    assert len(warned) == 1
    assert jitter == 4.0 * JITTERS[1]
    alpha = factor.solve(Y)
    assert_allclose(A @ alpha, Y, rtol=1e-6)
    assert_allclose((A + jitter * np.eye(20)) @ alpha, Y, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 7.0])
def test_equal_rows_are_noticed_whatever_the_rounding(scale):
    # scale - √scale² is rounding: negative, zero, or so small a positive pivot that the solution would be noise
    with pytest.warns(scipy.linalg.LinAlgWarning, match="not positive definite to working precision"):
        factor, _ = Cholesky.of(MatrixSource(np.full((2, 2), scale)), np.zeros(2))
    alpha = factor.solve(np.array([[1.0], [2.0]]))  # no function has two values: the best one is their mean
    assert_allclose(scale * alpha.sum(), 1.5, rtol=1e-3)


def test_jitter_grows_until_it_is_enough():
    A = np.diag(np.r_[np.ones(9), -1e-9])
    with pytest.warns(scipy.linalg.LinAlgWarning) as warned:
        factor, jitter = Cholesky.of(MatrixSource(A), np.zeros(10), tile=4)
    scale = np.mean(np.diag(A))
    assert jitter == pytest.approx(1e-8 * scale)
    for warning, amount in zip(warned, JITTERS[1:3], strict=True):
        assert f"{scale * amount:.3g} added" in str(warning.message)
    assert_allclose(factor.solve(np.eye(10)), np.linalg.inv(A + jitter * np.eye(10)), rtol=1e-6)


def test_indefinite_matrix_is_an_error_that_names_the_remedy():
    A = np.diag(np.r_[np.ones(9), -0.5])
    with (
        pytest.warns(scipy.linalg.LinAlgWarning) as warned,
        pytest.raises(scipy.linalg.LinAlgError, match=r"not positive definite.*raise noise_variance"),
    ):
        Cholesky.of(MatrixSource(A), np.zeros(10), tile=4)
    assert len(warned) == len(JITTERS) - 1


@pytest.mark.parametrize("place", [(0, 0), (7, 7), (3, 1), (8, 2)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_entry_that_is_not_finite_is_an_error_before_any_jitter(place, value):
    A = positive_definite(10)
    A[place] = A[place[::-1]] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of jitter would come first
        with pytest.raises(scipy.linalg.LinAlgError, match=r"entries that are not finite.*Scale the features"):
            Cholesky.of(MatrixSource(A), np.full(10, 0.1), tile=4)
