"""Rows that are predicted together: each once, with all its neighbours, at the least cost."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from infwidth._inference.shared_leaves import planned

rng = np.random.default_rng(0)


def parts(joined, edges):
    return [joined[start:stop] for start, stop in pairwise(edges)]


def plan_of(X, training, k):
    squared = ((X[:, None] - training) ** 2).sum(axis=2)
    found = np.argsort(squared, axis=1)[:, :k]
    return planned(X, found), found


@pytest.mark.parametrize(("m", "d", "k"), [(1, 2, 3), (300, 2, 20), (300, 12, 20)])
def test_each_row_once_with_its_neighbours(m, d, k):
    plan, found = plan_of(rng.standard_normal((m, d)), rng.standard_normal((400, d)), k)
    assert_array_equal(np.sort(plan.asked), np.arange(m))
    for asked, given in zip(parts(plan.asked, plan.asked_edges), parts(plan.given, plan.given_edges), strict=True):
        assert_array_equal(given, np.unique(found[asked]))
    assert plan.own.size == 0


def test_near_rows_share_and_far_rows_do_not():
    training = rng.standard_normal((400, 2))
    near, _ = plan_of(training[:1] + 1e-3 * rng.standard_normal((100, 2)), training, 50)
    assert len(near.asked_edges) == 2
    far, _ = plan_of(1e3 * rng.standard_normal((20, 10)), 1e3 * rng.standard_normal((5000, 10)), 50)
    assert len(far.asked_edges) > 10


def test_training_rows_know_their_place():
    training = rng.standard_normal((60, 3))
    squared = ((training[:, None] - training) ** 2).sum(axis=2)
    asked = np.array([5, 50, 7])
    plan = planned(training[asked], np.argsort(squared[asked], axis=1)[:, :10], asked)
    for rows, given in zip(parts(plan.asked, plan.asked_edges), parts(plan.given, plan.given_edges), strict=True):
        assert_array_equal(given[plan.own[rows]], asked[rows])


def test_no_rows():
    assert planned(np.empty((0, 2)), np.empty((0, 5), int)).asked_edges.tolist() == [0]
