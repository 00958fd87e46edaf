"""Rows with equal inputs are one row with a weight, and warps of many values are those of fewer."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth._data import warp
from infwidth._data.data import unique_rows
from infwidth._data.warp import WeightedPowerTransformer

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    "X",
    [
        rng.integers(0, 3, (500, 4)).astype(float),
        rng.standard_normal((50, 3)),
        np.zeros((5, 2)),
        np.array([[0.0, -0.0], [-0.0, 0.0], [1.0, -1.0]]),
    ],
)
def test_unique_rows_are_those_of_numpy(X):
    expected, place = np.unique(X, axis=0, return_inverse=True)
    found, group = unique_rows(X)
    assert_array_equal(found, expected)
    assert_array_equal(group, place.ravel())


def test_a_warp_of_thinned_values(monkeypatch):
    X = np.exp(rng.standard_normal((20_000, 2))) + np.array([0.0, 50.0])
    weight = rng.uniform(0.5, 2.0, len(X))
    exact = WeightedPowerTransformer().fit(X, sample_weight=weight)
    monkeypatch.setattr(warp, "MOST_VALUES", 1000)
    thinned = WeightedPowerTransformer().fit(X, sample_weight=weight)
    assert_allclose(thinned.lambdas_, exact.lambdas_, atol=5e-3)
    assert_allclose(thinned.transform(X), exact.transform(X), atol=0.02)
    assert_array_equal(thinned.low_ <= thinned.high_, True)
