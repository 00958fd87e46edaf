"""Learned models between stages."""

import numpy as np
from numpy.testing import assert_array_equal

from infwidth._learning.model import Model, expanded
from infwidth.networks import MLP


def test_curvature_of_a_common_variance_is_shared_out():
    network = MLP(2, bias_variance=0.5, ard=True).untied()
    names = [*network.hyperparameters(), "noise"]
    half = np.random.default_rng(0).standard_normal((5, 5))
    curvature = half @ half.T
    model = Model(0, 0, network, np.array([0.1]), curvature=curvature)
    single = expanded(model, 3)
    assert single.network.input_variance.shape == (3,)
    place = names.index("input_variance")
    kept = np.delete(np.arange(7), range(place, place + 3))
    own = np.arange(place, place + 3)
    assert_array_equal(single.curvature[np.ix_(own, own)], np.eye(3) * curvature[place, place] / 3)
    others = np.delete(np.arange(5), place)
    assert_array_equal(single.curvature[np.ix_(kept, kept)], curvature[np.ix_(others, others)])
    assert not single.curvature[np.ix_(kept, own)].any()
    assert_array_equal(single.curvature, single.curvature.T)
    assert_array_equal(expanded(single, 3).curvature, single.curvature)
    assert_array_equal(expanded(model, 1).curvature, curvature)


def test_without_a_curvature_the_network_alone_is_expanded():
    model = Model(0, 0, MLP(1, ard=True).untied(), np.array([0.1]))
    assert expanded(model, 2).curvature is None
    assert expanded(model, 2).network.input_variance.shape == (2,)


def test_no_curvature_of_many_variables():
    model = Model(0, 0, MLP(1, ard=True).untied(), np.array([0.1]), curvature=np.eye(5))
    assert expanded(model, 2000).curvature is None
