"""A limit of time for learning: wherever it ends, there is a model, and a warning."""

from types import SimpleNamespace

import numpy as np
import pytest
from learning_cases import NETWORK, X, fit_counted, y
from sklearn.exceptions import ConvergenceWarning

from infwidth import NNGPRegressor
from infwidth._learning import search

# --- a limit of time


@pytest.fixture
def clock(monkeypatch):
    """A clock that learning reads, one second further at each look."""
    looks = SimpleNamespace(count=0)

    def perf_counter():
        looks.count += 1
        return float(looks.count)

    monkeypatch.setattr(search, "time", SimpleNamespace(perf_counter=perf_counter))
    return looks


def test_a_limit_of_time_ends_learning(evaluated):
    unlimited = fit_counted(NNGPRegressor(random_state=0), evaluated, X, y)
    model = NNGPRegressor(random_state=0, max_optimizer_time=1e-6)
    with pytest.warns(ConvergenceWarning, match="larger max_optimizer_time"):
        limited = fit_counted(model, evaluated, X, y)
    assert 0 < len(limited) < 0.1 * len(unlimited)
    assert not model.converged_
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    assert model.score(X, y) > 0.5


STAGES = {
    "all rows at once": {},
    "growing subsets": {"SCREENING_ROWS": 20, "RELEVANCE_ROWS": 30},
    "blocks": {"SCREENING_ROWS": 10, "RELEVANCE_ROWS": 15, "WHOLE_ROWS": 15, "LEAF_ROWS": 10},
}


@pytest.mark.parametrize("stages", STAGES)
def test_whenever_the_time_ends(monkeypatch, clock, stages):
    """In a climb, between two of them or between stages: a usable model, and no word of convergence."""
    for name, value in STAGES[stages].items():
        monkeypatch.setattr(search, name, value)
    full = NNGPRegressor(NETWORK, random_state=0, max_optimizer_time=1e9).fit(X, y)
    assert full.converged_
    looks = clock.count
    for limit in (1, 2, 5, *range(10, looks - 1, 9), looks - 2):
        clock.count = 0
        model = NNGPRegressor(NETWORK, random_state=0, max_optimizer_time=limit)
        with pytest.warns(ConvergenceWarning):
            model.fit(X, y)
        assert not model.converged_
        assert np.isfinite(model.predict(X)).all()
        models = [(learned.scaling, repr(learned.network)) for learned in model._learned[1]]
        assert len(set(models)) == len(models)
        assert len(set(model.evidence_)) == len(models)  # none twice in other words
    clock.count = 0
    enough = NNGPRegressor(NETWORK, random_state=0, max_optimizer_time=looks).fit(X, y)
    assert enough.converged_
    assert enough.network_ == full.network_


def test_a_limit_of_time_that_is_not_reached_changes_nothing():
    free, limited = (NNGPRegressor(NETWORK, max_optimizer_time=seconds).fit(X, y) for seconds in (None, 600))
    assert free.converged_
    assert limited.converged_
    assert free.network_ == limited.network_
    assert NNGPRegressor(optimizer=None).fit(X, y).converged_


@pytest.mark.parametrize("seconds", [0, -1.0, np.inf, np.nan, "1", True])
def test_bad_limits_of_time(seconds):
    with pytest.raises(ValueError, match="max_optimizer_time must be a positive number or None"):
        NNGPRegressor(max_optimizer_time=seconds).fit(X, y)


def test_no_limit_of_time_for_an_optimizer_of_ones_own():
    def optimizer(obj_func, initial_theta, bounds):
        return initial_theta, obj_func(initial_theta)[0]

    with pytest.raises(ValueError, match="max_optimizer_time cannot stop an optimizer of yours"):
        NNGPRegressor(NETWORK, optimizer=optimizer, max_optimizer_time=1.0).fit(X, y)
