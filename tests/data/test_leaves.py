"""Leaves of neighbouring rows."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from infwidth._data.leaves import leaves


@pytest.mark.parametrize(("n", "size"), [(1, 1), (10, 3), (100, 100), (101, 13), (64, 8)])
def test_leaves_are_a_partition_of_even_sizes(n, size):
    found = leaves(np.random.default_rng(0).uniform(-1, 1, (n, 2)), size)
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(n))
    sizes = [len(rows) for rows in found]
    assert max(sizes) == sizes[0] <= size
    assert max(sizes) - min(sizes) <= 1


def test_leaves_are_neighbours_along_the_widest_feature():
    X = np.column_stack([np.arange(8.0)[::-1], np.zeros(8)])
    assert_array_equal(leaves(X, 4), [[4, 5, 6, 7], [0, 1, 2, 3]])
    assert len(leaves(np.zeros((9, 3)), 4)) == 4  # equal rows are split all the same


def test_threads_change_nothing():
    X = np.random.default_rng(0).standard_normal((3000, 3))
    for one, two in zip(leaves(X, 20), leaves(X, 20, n_threads=2), strict=True):
        assert_array_equal(one, two)
