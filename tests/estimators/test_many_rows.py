"""What many rows bring with solver="neighbours": repeats, gaps, interrupts, threads, and networks of every kind."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._inference import neighbours
from infwidth.networks import MLP

rng = np.random.default_rng(0)
X, NEW = rng.standard_normal((600, 4)), rng.standard_normal((300, 4))
Y = np.sin(X[:, 0] + X[:, 1]) + 0.05 * rng.standard_normal(600)
TRUE = np.sin(NEW[:, 0] + NEW[:, 1])
NETWORK = MLP(depth=1, activation="erf")


def near(network=NETWORK, **options):
    options = {"n_neighbours": 60, "random_state": 0} | options
    return NNGPRegressor(network, solver="neighbours", **options)


@pytest.mark.parametrize("n_distinct", [1, 100])
def test_many_rows_of_which_few_differ(n_distinct):
    """20,000 rows with the inputs of a hundred: the mean of those, known well; neighbours by default."""
    place = rng.integers(n_distinct, size=20_000)
    targets = Y[place] + 0.5 * rng.standard_normal(20_000)
    model = NNGPRegressor(NETWORK, noise_variance=0.2, optimizer=None).fit(X[place], targets)
    assert model.solver_ == "neighbours"
    means = np.bincount(place, targets) / np.bincount(place)
    assert_allclose(model.predict(X[:n_distinct]), means, atol=0.1)
    assert np.all(model.predict_std(X[:n_distinct], include_noise=False) < 0.1)
    mean, std = model.loo_predict()
    assert np.isfinite(mean).all()
    assert np.all(std > 0.2)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "rbf", "sin"])
@pytest.mark.parametrize("feature_scaling", ["power", None])
def test_networks_and_scalings_learn_with_neighbours(activation, feature_scaling):
    model = near(MLP(1, activation, ard=True), feature_scaling=feature_scaling).fit(X[:300], Y[:300])
    assert model.score(NEW, TRUE) > 0.9
    assert model.feature_relevance_[:2].sum() > 0.8


def test_steps_have_neighbours_too():
    assert near(MLP(1, "sign")).fit(X, Y).score(NEW, TRUE) > 0.8


@pytest.mark.parametrize("kind", [NNGPRegressor, NTKRegressor, InfiniteNetClassifier])
@pytest.mark.parametrize("what", ["X", "y", "new"])
def test_nan_is_refused(kind, what):
    options = {"posterior": "ntkgp"} if kind is NTKRegressor else {}
    model = kind(NETWORK, solver="neighbours", n_neighbours=60, optimizer=None, **options)
    inputs, targets, new = X.copy(), np.where(Y > 0, 1.0, 0.0), NEW.copy()
    {"X": inputs, "y": targets[:, None], "new": new}[what][3, 0] = np.nan
    if what == "new":
        model.fit(inputs, targets)
        with pytest.raises(ValueError, match="NaN"):
            model.predict(new)
    else:
        with pytest.raises(ValueError, match="NaN"):
            model.fit(inputs, targets)


def test_an_interrupt_leaves_the_model_as_it_was(monkeypatch):
    model = near(optimizer=None, n_jobs=2).fit(X[:500], Y[:500])
    before, solve, calls = model.predict(NEW), neighbours.leaf_pass, []

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        solve(*arguments)

    monkeypatch.setattr(neighbours, "leaf_pass", interrupted)
    for call in (lambda: model.predict(NEW), model.loo_predict, lambda: model.fit(X, Y)):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            call()
    monkeypatch.setattr(neighbours, "leaf_pass", solve)
    assert_array_equal(model.predict(NEW), before)


def test_several_python_threads_ask_at_once():
    model = near(optimizer=None).fit(X, Y)
    alone = model.predict(NEW, return_std=True)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: model.predict(NEW, return_std=True), range(8)):
            assert_array_equal(answer, alone)
