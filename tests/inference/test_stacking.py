"""Models stacked by the log density of their average."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from infwidth._inference.conditioning import condition
from infwidth._inference.stacking import (
    PRICE,
    STEPS,
    HeldOutClasses,
    HeldOutTargets,
    mean_log_density,
    stacking_weights,
    total_log_density,
)
from infwidth._learning.model import Model
from infwidth.networks import MLP

N = 400
rng = np.random.default_rng(0)
Y = rng.standard_normal((N, 2))
WEIGHT = rng.uniform(0.5, 2.0, N)


def targets(seed, spread=1.0):
    noise = np.random.default_rng(seed).standard_normal((N, 2))
    return HeldOutTargets(Y, Y + spread * noise, np.full((N, 2), 0.3), 1000)


def classes(seed):
    return HeldOutClasses(np.log(np.random.default_rng(seed).uniform(0.01, 1.0, N)), WEIGHT, 1000.0)


FAMILIES = [targets, classes]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_other_weights_are_better(family):
    parts = [family(seed) for seed in range(3)]
    weights = stacking_weights(parts)
    assert np.all(weights > 0)
    assert_allclose(weights.sum(), 1.0)
    best = mean_log_density(parts[0].average(parts, weights))
    for i, j in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)]:
        moved = weights + (np.eye(3)[i] - np.eye(3)[j]) / STEPS
        assert mean_log_density(parts[0].average(parts, moved)) < best


@pytest.mark.parametrize("family", FAMILIES)
def test_order_of_models_does_not_matter(family):
    parts = [family(seed) for seed in range(4)]
    assert_allclose(stacking_weights(parts[::-1]), stacking_weights(parts)[::-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_of_a_model_is_not_kept(family):
    parts = [family(0), family(0), family(1)]
    assert np.count_nonzero(stacking_weights(parts)) == 2
    assert np.count_nonzero(stacking_weights(parts[:2])) == 1


def test_the_average_of_normals_has_the_moments_of_the_mixture():
    parts, weights = [targets(0), targets(1)], np.array([0.3, 0.7])
    average = parts[0].average(parts, weights)
    assert_allclose(average.mean, 0.3 * parts[0].mean + 0.7 * parts[1].mean)
    second = 0.3 * (0.3 + parts[0].mean ** 2) + 0.7 * (0.3 + parts[1].mean ** 2)
    assert_allclose(average.variance, second - average.mean**2)
    expected = norm(average.mean, np.sqrt(average.variance)).logpdf(Y).sum(axis=1)
    assert_allclose(average.log_densities(), expected)
    assert_allclose(total_log_density(average), 1000 * expected.mean())


def test_the_average_of_classes_is_that_of_probabilities():
    parts, weights = [classes(0), classes(1)], np.array([0.3, 0.7])
    expected = np.log(0.3 * np.exp(parts[0].log_probability) + 0.7 * np.exp(parts[1].log_probability))
    assert_allclose(parts[0].average(parts, weights).log_densities(), expected)
    assert_allclose(total_log_density(parts[0]), 1000 * np.average(parts[0].log_probability, weights=WEIGHT))


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_one_more_model_must_be_worth_its_price(gain):
    """Two models, each right on half of the rows: the average gains log(cosh(apart / 2)) a row on either."""
    signs = np.repeat([0.5, -0.5], 50) * 2.0 * np.arccosh(np.exp(gain * PRICE))
    parts = [HeldOutClasses(sign * signs, np.ones(100), 100.0) for sign in (1, -1)]
    assert_allclose(sorted(stacking_weights(parts)), [0.5, 0.5] if gain > 1 else [0.0, 1.0])


def test_a_model_that_excludes_a_row_is_no_model_alone():
    impossible = np.where(np.arange(N) == 0, -np.inf, 1.0)
    parts = [HeldOutClasses(values, WEIGHT, 1.0) for values in (impossible, np.full(N, -1.0))]
    assert stacking_weights(parts)[1] > 0.0


def test_conditioned_models_are_ordered_by_weight():
    models = [Model(place, 0, MLP(place + 1), np.array([0.1])) for place in range(4)]
    parts = [targets(0), targets(1), targets(2), targets(3, spread=20.0)]
    task = SimpleNamespace(
        solver="neighbours",
        scalers=[None],
        posterior=lambda model: f"posterior {model.architecture}",
        held_out=lambda posterior: parts[int(posterior[-1])],
    )
    ranked, evidence, weights, components = condition(models, task, average=False)
    order = [model.architecture for model in ranked]
    assert_allclose(weights, stacking_weights(parts)[order])
    assert np.all(np.diff(weights) <= 0.0)
    assert order[-1] == 3
    assert [component.posterior for component in components] == [f"posterior {place}" for place in order[:3]]
    assert_allclose(evidence, [total_log_density(parts[place]) for place in order])
