"""The nearest rows of many queries."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth._data.neighbours import NeighbourIndex


def sorted_distances(X, Q, rows):
    """Distances of the rows of X that were found for each query, in increasing order."""
    return np.sort(np.linalg.norm(X[rows] - Q[:, None], axis=-1), axis=1)


def assert_nearest(X, Q, rows, k):
    """Whatever ties chose: k different rows, as near as the k nearest."""
    assert rows.shape == (len(Q), k)
    assert rows.dtype == np.intp
    assert all(len(set(row)) == k for row in rows)
    nearest = np.sort(np.linalg.norm(X[None] - Q[:, None], axis=-1), axis=1)[:, :k]
    assert_allclose(sorted_distances(X, Q, rows), nearest, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3, 20])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_all_rows_up_to_all_of_them(d, k):
    rng = np.random.default_rng(0)
    X, Q = rng.standard_normal((500, d)), rng.standard_normal((40, d))
    assert_nearest(X, Q, NeighbourIndex(X, n_jobs=1).query(Q, k), k)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_duplicates_and_ties(levels):
    """With one level all rows are equal, with few most distances are."""
    rng = np.random.default_rng(1)
    X, Q = rng.integers(levels, size=(600, 5)) + 3.0, rng.integers(levels, size=(30, 5)) + 3.25
    assert_nearest(X, Q, NeighbourIndex(X, n_jobs=1).query(Q, 50), 50)


def test_features_that_do_not_vary_change_nothing():
    rng = np.random.default_rng(2)
    X, Q = rng.standard_normal((300, 3)), rng.standard_normal((20, 3))
    wide = np.column_stack([np.full(300, 1e3), X, 1e-9 * rng.standard_normal(300)])
    found = NeighbourIndex(wide).query(np.column_stack([np.zeros(20), Q, np.ones(20)]), 10)
    assert_array_equal(found, NeighbourIndex(X).query(Q, 10))


def test_one_row():
    X = np.array([[1.0, 2.0]])
    assert_array_equal(NeighbourIndex(X).query(np.zeros((3, 2)), 1), np.zeros((3, 1)))


def test_no_query():
    assert NeighbourIndex(np.zeros((5, 2))).query(np.empty((0, 2)), 3).shape == (0, 3)


@pytest.mark.parametrize("k", [0, 6])
def test_more_neighbours_than_rows_are_refused(k):
    with pytest.raises(ValueError, match=f"k={k} neighbours of 5 rows"):
        NeighbourIndex(np.zeros((5, 2))).query(np.zeros((1, 2)), k)


def test_threads_batches_and_a_copy_change_nothing():
    rng = np.random.default_rng(3)
    X, Q = rng.standard_normal((2000, 6)), rng.standard_normal((100, 6))
    index = NeighbourIndex(X, n_jobs=1)
    found = index.query(Q, 20)
    assert_array_equal(NeighbourIndex(X, n_jobs=2).query(Q, 20), found)
    assert_array_equal(np.vstack([index.query(row[None], 20) for row in Q]), found)
    assert_array_equal(pickle.loads(pickle.dumps(index)).query(Q, 20), found)
