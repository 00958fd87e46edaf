"""Learning on leaves of neighbouring rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth import NNGPRegressor
from infwidth._data.data import Data
from infwidth._data.leaves import leaves
from infwidth._learning import search
from infwidth._learning.evidence import leave_one_out_density, log_marginal_likelihood
from infwidth._learning.objective import Objective
from infwidth.networks import MLP


def data(n):
    """Rows with a fast wave in them."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, 2))
    return Data(X, np.sin(25 * X[:, :1]) + 0.1 * rng.standard_normal((n, 1)), np.ones(n), np.zeros((n, 1)))


@pytest.mark.parametrize("evidence", [log_marginal_likelihood, leave_one_out_density])
def test_objective_is_the_sum_over_leaves(evidence):
    whole = data(60)
    parts = [whole.take(rows) for rows in leaves(whole.X, 20)]
    network = MLP(2, "erf", input_variance=[0.5, 2.0])
    both = Objective(parts, "nngp", evidence, n_jobs=2).evaluate(network, np.array([0.1]))
    single = [Objective([part], "nngp", evidence).evaluate(network, np.array([0.1])) for part in parts]
    assert_allclose(both[0], sum(value for value, _, _ in single), rtol=1e-12)
    assert_allclose(both[1], sum(gradient for _, gradient, _ in single), rtol=1e-10)
    assert both[2] == max(nugget for _, _, nugget in single)


def test_leaves_show_what_varies_on_short_distances(monkeypatch):
    """A wave with a period of 0.16 on a trend: a random 60 of 600 rows have one in 0.03, a leaf one in 0.003."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 1))

    def target(x):
        return 3 * np.abs(x[:, 0]) + np.sin(40 * x[:, 0])

    y = target(x) + 0.1 * rng.standard_normal(600)
    network, few = MLP(1, "erf"), {"max_optimizer_samples": 60, "random_state": 0}
    scattered = NNGPRegressor(network, **few).fit(x, y)
    monkeypatch.setattr(search, "WHOLE_ROWS", 59)
    monkeypatch.setattr(search, "LEAF_ROWS", 30)
    dense = NNGPRegressor(network, **few).fit(x, y)
    grid = np.linspace(-1, 1, 200)[:, None]
    errors = [np.sqrt(np.mean((model.predict(grid) - target(grid)) ** 2)) for model in (dense, scattered)]
    assert errors[0] < 0.5 * errors[1]
    assert dense.log_marginal_likelihood_value_ > scattered.log_marginal_likelihood_value_ + 50
