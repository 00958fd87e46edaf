"""The nearest rows of many queries."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from infwidth._data import cells
from infwidth._data.cell_search import bound, lower, select
from infwidth._data.cells import Cells
from infwidth._data.neighbours import NeighbourIndex, Tree, dimension

METHODS = [Tree, Cells]


def normal(n, n_queries, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((n_queries, d))


def distances(X, Q):
    return np.linalg.norm(X - Q[:, None], axis=-1)


def assert_nearest(X, Q, rows, k):
    """Whatever ties chose: k different rows, as near as the k nearest."""
    assert rows.shape == (len(Q), k)
    assert rows.dtype == np.intp
    assert all(len(set(row)) == k for row in rows)
    found = np.sort(np.take_along_axis(distances(X, Q), rows, axis=1), axis=1)
    assert_allclose(found, np.sort(distances(X, Q), axis=1)[:, :k], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("d", [1, 3, 20])
@pytest.mark.parametrize("k", [1, 7, 1500])
def test_up_to_all_rows(method, d, k):
    X, Q = normal(1500, 40, d)
    assert_nearest(X, Q, method(X).query(Q, k, 1), k)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_duplicates_and_ties(method, levels):
    """With one level all rows are equal, with few most distances are."""
    rng = np.random.default_rng(1)
    X, Q = rng.integers(levels, size=(1500, 5)) + 3.0, rng.integers(levels, size=(30, 5)) + 3.25
    assert_nearest(X, Q, method(X).query(Q, 50, 1), 50)


def test_first_of_equally_near_rows():
    X = np.repeat(np.arange(30.0), 50)[:, None]
    assert_array_equal(np.sort(Cells(X).query(np.array([[3.0], [7.0]]), 20, 1)), [range(150, 170), range(350, 370)])


@pytest.mark.parametrize("method", METHODS)
def test_far_from_all_others(method):
    """An outlier, a query beside it, one whose square float32 cannot hold, and one that it cannot hold itself."""
    X, Q = normal(1500, 4, 4)
    X[7], Q[1], Q[2], Q[3] = 1e6, 1e6 + 1.0, [1e25, 0.0, 0.0, 0.0], [1e45, 0.0, 0.0, -1e45]
    rows = method(X).query(Q, 10, 1)
    assert_nearest(X, Q[:1], rows[:1], 10)
    assert 7 in rows[1]
    assert [len(set(row)) for row in rows[2:]] == [10, 10]
    assert_array_equal(np.sort(method(X).query(Q[3:], 1500, 1)), [range(1500)])


@pytest.mark.parametrize("exponent", [-110, -70, -50, 61, 63, 64, 100])
def test_squares_that_float32_cannot_hold(exponent):
    """Powers of two change no rounding of float64; one row is far away, in a cell with others."""
    X, Q = normal(3000, 30, 5)
    X[7] *= 100.0
    scaled = Cells(X * 2.0**exponent).query(Q * 2.0**exponent, 40, 1)
    assert_array_equal(np.sort(scaled), np.sort(Cells(X).query(Q, 40, 1)))


@pytest.mark.parametrize("exponent", range(-150, 111, 4))
@pytest.mark.parametrize("far", [0, 10])
def test_bounds_are_below_the_squared_distances(exponent, far):
    X, Q = normal(200, 50, 7)
    one = Cells(np.ldexp(X, exponent))._cells
    offsets = np.ldexp(Q, exponent + far) - one.centres[:, 0]
    squared = cdist(offsets, one.X - one.centres[:, 0], "sqeuclidean")
    for offset, of_rows in zip(offsets, squared, strict=True):
        bounds = np.empty(200, np.float32)
        bound(one.factors[0], (-2.0 * offset).astype(np.float32), lower(one.shrink * offset @ offset), bounds)
        assert np.all(~(bounds > of_rows))
        if -40 < exponent < 40:
            assert_allclose(bounds, of_rows, rtol=1e-4)


def test_distances_that_only_float64_tells_apart():
    """Rows of a sphere, each a little larger than the last."""
    X, Q = normal(3000, 1, 6)
    order = np.random.default_rng(2).permutation(3000)
    X[order] *= ((1.0 + 1e-10 * np.arange(3000)) / np.linalg.norm(X[order], axis=1))[:, None]
    assert_array_equal(np.sort(Cells(X + Q).query(Q, 100, 1)), np.sort(order[None, :100]))


@pytest.mark.parametrize("outward", [False, True])
def test_ever_nearer_and_ever_farther_cells(outward, monkeypatch):
    """Whether the nearest cells come first or last, whatever was found before they come is dropped."""
    monkeypatch.setattr(cells, "FIRST", 0)
    X, Q = np.linspace(0.0, 1.0, 20_000)[:, None], np.array([[0.0 if outward else 1.0]])
    rows = np.sort(Cells(X).query(Q, 50, 1))
    assert_array_equal(rows, [range(50) if outward else range(19_950, 20_000)])


@pytest.mark.parametrize("n", [1, 2, 100, 1001])
@pytest.mark.parametrize("levels", [1, 3, 10**9])
def test_selection(n, levels):
    rng = np.random.default_rng(n)
    values, labels = rng.integers(levels, size=n).astype(float), rng.permutation(n)
    values[rng.random(n) < 0.1] = np.inf
    order = np.lexsort([labels, values])
    for k in {1, min(2, n), n // 2 + 1, n}:
        chosen, names = values.copy(), labels.copy()
        select(chosen, names, n, k)
        assert set(names[:k]) == set(labels[order[:k]])
        assert (chosen[k - 1], names[k - 1]) == (values[order[k - 1]], labels[order[k - 1]])
        assert_array_equal(chosen[np.argsort(names)], values[np.argsort(labels)])


def test_methods_by_rows_and_dimensions():
    def method(X):
        return type(NeighbourIndex(X)._method)

    wide = normal(3000, 0, 12)[0]
    plane = wide[:, :2] @ wide[:2]  # two dimensions in twelve features
    assert [method(X) for X in (wide[:2000], plane, wide)] == [Tree, Tree, Cells]
    assert dimension(plane) == pytest.approx(2.0, rel=0.2)
    assert dimension(np.zeros((3000, 2))) == 0.0


def test_all_rows_are_compared_unless_they_are_many(monkeypatch):
    X, Q = normal(20_000, 50, 10)
    index = NeighbourIndex(X)
    assert_nearest(X, Q, index.query(Q, 20), 20)
    monkeypatch.setattr(cells, "LEAST", 6000)
    nearest = np.argsort(distances(X, Q), axis=1)[:, :20]
    recall = np.mean([np.isin(row, found) for row, found in zip(nearest, index.query(Q, 20), strict=True)])
    assert 0.9 < recall < 1.0


def test_features_that_do_not_vary_change_nothing():
    X, Q = normal(300, 20, 3)
    wide = np.column_stack([np.full(300, 1e3), X, 1e-9 * X[:, 0]])
    found = NeighbourIndex(wide).query(np.column_stack([np.zeros(20), Q, np.ones(20)]), 10)
    assert_array_equal(found, NeighbourIndex(X).query(Q, 10))


def test_one_row():
    X = np.array([[1.0, 2.0]])
    assert_array_equal(NeighbourIndex(X).query(np.zeros((3, 2)), 1), np.zeros((3, 1)))


@pytest.mark.parametrize("method", METHODS)
def test_no_query(method):
    assert method(np.zeros((5, 2))).query(np.empty((0, 2)), 3, 1).shape == (0, 3)


@pytest.mark.parametrize("k", [0, 6])
def test_more_neighbours_than_rows_are_refused(k):
    with pytest.raises(ValueError, match=f"k={k} neighbours of 5 rows"):
        NeighbourIndex(np.zeros((5, 2))).query(np.zeros((1, 2)), k)


@pytest.mark.parametrize("d", [3, 12])
def test_threads_batches_and_a_copy_change_nothing(d, monkeypatch):
    monkeypatch.setattr(cells, "LEAST", 1500)
    monkeypatch.setattr(cells, "WORK_SPACE", 10_000)
    X, Q = normal(5000, 100, d)
    X, Q = np.round(X, 1), np.round(Q, 1)  # with ties
    index = NeighbourIndex(X, n_jobs=1)
    found = index.query(Q, 4)
    assert_array_equal(NeighbourIndex(X, n_jobs=2).query(Q, 4), found)
    assert_array_equal(np.vstack([index.query(row[None], 4) for row in Q]), found)
    assert_array_equal(pickle.loads(pickle.dumps(index)).query(Q, 4), found)
