"""A training time of NTKRegressor by validation."""

from functools import partial

import numpy as np
import pytest
from ntk_cases import XM, YM, as_given, close
from numpy.testing import assert_allclose
from sklearn.model_selection import KFold, cross_val_score

from infwidth import NTKRegressor
from infwidth.networks import MLP


def noisy_waves(n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-2, 2, (n, 2))
    return rows, np.sin(2 * rows[:, 0]) + 0.5 * rng.standard_normal(n)


@pytest.mark.parametrize("descent", [{}, {"learning_rate": 0.5, "momentum": 0.3}], ids=["flow", "steps"])
def test_validated_time(descent):
    rows, target = noisy_waves(100, 0)
    new = noisy_waves(1000, 1)[0]
    truth = np.sin(2 * new[:, 0])
    ask = partial(NTKRegressor, MLP(1), noise_variance=1e-6, **as_given, **descent)
    model = ask(training_time="validation", random_state=0).fit(rows, target)
    time = model.training_time_
    assert 0 < time < np.inf
    if descent:
        assert abs(time / 0.5 - round(time / 0.5)) < 1e-6
    early, chosen, end = (
        np.mean((mean - truth) ** 2)
        for mean in model.staged_predict(new, [0.5 if descent else 0.01 * time, time, np.inf])
    )
    assert chosen < 0.8 * early
    assert chosen < 0.8 * end
    close(model.predict(new), next(model.staged_predict(new, [time])))
    again = ask(training_time="validation", random_state=0).fit(rows, target)
    assert again.training_time_ == time
    assert np.all(again.predict(new) == model.predict(new))
    close(ask(training_time=time).fit(rows, target).predict(new, return_std=True), model.predict(new, return_std=True))

    def error(time):
        folds = KFold(5, shuffle=True, random_state=0)
        scores = cross_val_score(ask(training_time=time), rows, target, cv=folds, scoring="neg_mean_squared_error")
        return -scores.mean()

    around = [round(time * factor / 0.5) * 0.5 if descent else time * factor for factor in (0.3, 0.7, 1.5, 3.0)]
    assert error(time) < min(map(error, [*around, np.inf]))


def test_validated_time_of_several_outputs():
    """The same target twice is the same choice, in a unit of time of twice as many targets."""
    rows, target = noisy_waves(60, 0)
    ask = partial(NTKRegressor, MLP(1), training_time="validation", noise_variance=1e-6, random_state=0, **as_given)
    single, both = ask().fit(rows, target), ask().fit(rows, np.c_[target, target])
    assert_allclose(both.training_time_, 2 * single.training_time_, rtol=1e-9)
    close(both.predict(rows)[:, 1], single.predict(rows))
    heavy = ask().fit(rows, target, np.full(60, 3.0))  # each row three times, on the same folds
    thrice = NTKRegressor(MLP(1), training_time=heavy.training_time_, noise_variance=1e-6, **as_given)
    close(thrice.fit(np.tile(rows, (3, 1)), np.tile(target, 3)).predict(rows), heavy.predict(rows), rtol=1e-6)


def test_validated_time_needs_two_rows():
    with pytest.raises(ValueError, match="training_time='validation' holds rows out: it needs two rows"):
        NTKRegressor(optimizer=None, training_time="validation").fit(XM[:1], YM[:1])
    model = NTKRegressor(optimizer=None, training_time="validation").fit(XM[:3], YM[:3], [1.0, 0.5, 2.0])
    assert np.isfinite(model.predict(XM)).all()


def test_validated_time_of_a_target_that_is_a_function():
    """Without noise more training is better."""
    rows = np.linspace(-1, 1, 25)[:, None]
    model = NTKRegressor(MLP(1), training_time="validation", noise_variance=0, random_state=0, **as_given)
    model.fit(rows, np.sin(2 * rows[:, 0]))
    losses = model.training_loss([0.0, model.training_time_])
    assert losses[1] < 1e-4 * losses[0]
