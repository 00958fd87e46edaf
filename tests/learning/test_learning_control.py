"""Learning under control: a limit of time, a warm start, and scikit-learn's callbacks."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor
from infwidth._data.warp import WeightedPowerTransformer
from infwidth._learning import climb, search
from infwidth._learning.objective import Objective
from infwidth.activations import LeakyReLU
from infwidth.networks import MLP
from infwidth.networks.theta import theta_of

X, y = make_friedman1(40, n_features=6, noise=0.3, random_state=0)
NETWORK = MLP(1, "erf", ard=True)
SCALINGS = {StandardScaler: "standard", WeightedPowerTransformer: "power"}


@pytest.fixture
def evaluated(monkeypatch):
    """The networks and noise variances at which the objective was evaluated."""
    calls, evaluate = [], Objective.evaluate

    def counted(self, network, noise_variance):
        calls.append((network, noise_variance))
        return evaluate(self, network, noise_variance)

    monkeypatch.setattr(Objective, "evaluate", counted)
    return calls


def fit_counted(model, evaluated, *data):
    """Fit; return the evaluations that this took."""
    evaluated.clear()
    model.fit(*data)
    return list(evaluated)


# --- a limit of time


@pytest.fixture
def clock(monkeypatch):
    """A clock that learning reads, one second further at each look."""
    looks = SimpleNamespace(count=0)

    def perf_counter():
        looks.count += 1
        return float(looks.count)

    for module in (climb, search):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=perf_counter))
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


# --- a warm start


@pytest.mark.parametrize("network", [NETWORK, None], ids=["one network", "average"])
def test_warm_start_on_the_same_data(evaluated, network):
    model = NNGPRegressor(network, warm_start=True, random_state=0)
    first = fit_counted(model, evaluated, X, y)
    cold = NNGPRegressor(network, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), cold.predict(X), rtol=1e-9)  # there was nothing to start from
    learned, noise, mean = model.networks_, model.noise_variance_, model.predict(X)
    for _ in range(2):  # the prior stays where it was, so nothing drifts
        again = fit_counted(model, evaluated, X, y)
        assert len(again) < 0.2 * len(first)
        assert_allclose(model.noise_variance_, noise, rtol=0.02)
        assert_allclose(model.predict(X), mean, rtol=1e-3)
        assert len(model.networks_) == len(learned)
        assert model.converged_
    assert again[0][0].activation == learned[0].activation


def test_warm_start_on_more_data(evaluated):
    """Data that arrive in parts: learning goes on from the last part."""
    more, target = make_friedman1(80, n_features=6, noise=0.3, random_state=0)
    model = NNGPRegressor(NETWORK, warm_start=True).fit(more[:60], target[:60])
    learned, noise = model.network_, model.noise_variance_
    warm = fit_counted(model, evaluated, more, target)
    assert_allclose(theta_of(warm[0][0]), theta_of(learned), rtol=1e-14, atol=1e-14)  # exp(log v) is v to rounding
    assert_allclose(warm[0][1], noise)
    cold = NNGPRegressor(NETWORK)
    assert len(warm) < len(fit_counted(cold, evaluated, more, target))
    as_before = {"noise_variance": noise, "optimizer": None, "feature_scaling": SCALINGS[type(model.feature_scaler_)]}
    before = NNGPRegressor(learned, **as_before).fit(more, target)
    assert model.log_marginal_likelihood_value_ > before.log_marginal_likelihood_value_ + 0.1


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ({}, (X[:, :4], y)),
        ({"network": MLP(2, "erf", ard=True)}, (X, y)),
        ({"network": MLP(1, "erf")}, (X, y)),
        ({"network": None}, (X, y)),
        ({"feature_scaling": "standard"}, (X, y)),
        ({"warm_start": False}, (X, y)),
    ],
    ids=["features", "network", "ard", "default networks", "scaling", "cold"],
)
def test_what_is_learned_belongs_to_its_origin(evaluated, change, data):
    model = NNGPRegressor(NETWORK, warm_start=True, random_state=0).fit(X, y)
    again = fit_counted(model.set_params(**change), evaluated, *data)
    fresh = fit_counted(clone(model), evaluated, *data)
    assert len(again) == len(fresh)
    assert again[0] == fresh[0]


def test_a_network_that_is_changed_in_place_is_another_network(evaluated):
    model = NNGPRegressor(MLP(1, LeakyReLU(0.1)), warm_start=True, feature_scaling="standard").fit(X, y)
    again = fit_counted(model.set_params(network__activation__slope=0.5), evaluated, X, y)
    assert again[0][0].activation == LeakyReLU(0.5)
    assert_allclose(again[0][1], model.noise_variance)


def test_warm_start_after_a_fit_that_learned_nothing(evaluated):
    model = NNGPRegressor(NETWORK, optimizer=None, warm_start=True).fit(X, y)
    again = fit_counted(model.set_params(optimizer="lml"), evaluated, X, y)
    assert len(again) == len(fit_counted(NNGPRegressor(NETWORK), evaluated, X, y))
    assert np.size(model.network_.input_variance) == X.shape[1]


def test_a_clone_has_learned_nothing_and_a_failed_fit_forgets_nothing(evaluated):
    model = NNGPRegressor(NETWORK, warm_start=True)
    first = fit_counted(model, evaluated, X, y)
    assert len(fit_counted(clone(model), evaluated, X, y)) == len(first)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    assert model.score(X, y) > 0.9
    assert len(fit_counted(model, evaluated, X, y)) < len(first)


def test_a_warm_start_without_time_keeps_what_was_learned():
    model = NNGPRegressor(NETWORK, warm_start=True).fit(X, y)
    learned = model.network_
    with pytest.warns(ConvergenceWarning):
        model.set_params(max_optimizer_time=1e-9).fit(X, y)
    assert model.network_ == learned
    assert not model.converged_


# --- callbacks


class Recorder:
    """A callback of scikit-learn's that writes down what it is told."""

    def __init__(self, fail_at=None):
        self.events, self.finished, self.fail_at = [], [], fail_at

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(("begin", context.task_name))
        if context.task_name == self.fail_at:
            raise KeyboardInterrupt

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(("end", context.task_name))
        if fitted_estimator is not None:
            self.finished.append((fitted_estimator, X, y))

    def names(self, kind):
        return [name for event, name in self.events if event == kind]

    def tasks(self):
        """The tasks in the order of their beginning; each must end before the one around it does."""
        open_tasks = []
        for event, name in self.events:
            if event == "begin":
                open_tasks.append(name)
            if event == "end":
                assert open_tasks.pop() == name
        assert not open_tasks
        return self.names("begin")


class Propagated(Recorder):
    """One that meta-estimators hand on to what they fit."""

    max_propagation_depth = None


@pytest.fixture
def callback():
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")


@pytest.mark.usefixtures("callback")
def test_callbacks_see_every_step():
    recorder = Recorder()
    model = NNGPRegressor(random_state=0).set_callbacks(recorder).fit(X, y)
    tasks = recorder.tasks()
    assert (tasks[0], tasks[-1]) == ("fit", "condition")
    assert all(name.startswith("learn MLP(") for name in tasks[1:-1])
    # Four networks with two scalings, then with single variances: four, and two of them with the other scaling.
    assert len(tasks[1:-1]) == len(model.networks_) == 13
    assert recorder.events[0] == ("setup", "fit")
    assert recorder.events[-1] == ("teardown", "fit")
    ((finished, inputs, target),) = recorder.finished
    assert np.all(finished.predict(X) == model.predict(X))
    assert np.all(inputs == X)
    assert np.all(target == y)


@pytest.mark.usefixtures("callback")
def test_callbacks_of_a_fit_that_learns_nothing():
    recorder = Recorder()
    NNGPRegressor(optimizer=None).set_callbacks(recorder).fit(X, y)
    assert recorder.tasks() == ["fit", "condition"]


@pytest.mark.usefixtures("callback")
def test_callbacks_do_not_change_the_model():
    plain = NNGPRegressor(NETWORK).fit(X, y)
    watched = NNGPRegressor(NETWORK).set_callbacks(Recorder()).fit(X, y)
    assert np.all(watched.predict(X) == plain.predict(X))
    again = pickle.loads(pickle.dumps(watched))
    assert np.all(again.predict(X) == plain.predict(X))


@pytest.mark.usefixtures("callback")
def test_a_callback_that_raises_ends_the_fit():
    recorder = Recorder(fail_at="condition")
    model = NNGPRegressor(NETWORK).set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert recorder.events[-1] == ("teardown", "fit")
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_callbacks().fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.usefixtures("callback")
def test_callbacks_through_a_pipeline():
    recorder = Propagated()
    pipeline = make_pipeline(StandardScaler(), NNGPRegressor(NETWORK)).set_callbacks(recorder)
    pipeline.fit(X, y)
    tasks = recorder.tasks()
    assert tasks[-1] == "condition"
    assert sum(name.startswith("learn MLP(") for name in tasks) == 4
    assert len(recorder.names("setup")) == len(recorder.names("teardown")) == 1


@pytest.mark.usefixtures("callback")
def test_callbacks_through_a_grid_search():
    recorder = Propagated()
    grid = {"network__activation": ["erf", "relu"]}
    GridSearchCV(NNGPRegressor(NETWORK), grid, cv=2).set_callbacks(recorder).fit(X, y)
    tasks = recorder.tasks()
    assert tasks.count("condition") == 2 * 2 + 1  # cells and folds, and the refit
    assert sum(name.startswith("learn MLP(") for name in tasks) == 4 * 5


@pytest.mark.usefixtures("callback")
def test_scores_while_fitting():
    from sklearn.callback import ScoringMonitor  # noqa: PLC0415  # scikit-learn 1.9

    monitor = ScoringMonitor(scoring="r2")
    model = NNGPRegressor(NETWORK).set_callbacks(monitor).fit(X, y)
    (scores,) = monitor.get_logs().data
    assert scores["r2"] == pytest.approx(model.score(X, y))


@pytest.mark.usefixtures("callback")
def test_progress_bar(capsys):
    from sklearn.callback import ProgressBar  # noqa: PLC0415  # scikit-learn 1.9

    NNGPRegressor(NETWORK).set_callbacks(ProgressBar()).fit(X, y)
    make_pipeline(StandardScaler(), NNGPRegressor(NETWORK)).set_callbacks(ProgressBar(max_propagation_depth=None)).fit(
        X, y
    )
    assert "NNGPRegressor" in capsys.readouterr().out


def test_nothing_of_the_callbacks_stays_behind():
    model = NNGPRegressor(NETWORK).fit(X, y)
    assert not [name for name in vars(model) if "callback" in name or "monitor" in name]
    again = pickle.loads(pickle.dumps(model))
    assert np.all(again.predict(X) == model.predict(X))


def test_without_callbacks_in_scikit_learn():
    """As with scikit-learn before 1.9, whose other modules are imported before ``sklearn.callback`` is taken away."""
    code = """
import sys
import numpy as np
import sklearn.gaussian_process, sklearn.model_selection, sklearn.pipeline, sklearn.preprocessing
kept, sys.modules["sklearn.callback"] = sys.modules.get("sklearn.callback"), None
from infwidth import NNGPRegressor
from infwidth._runtime import callbacks
if kept is not None:
    sys.modules["sklearn.callback"] = kept
assert callbacks.CallbackSupportMixin.__module__ == "infwidth._runtime.callbacks"
X = np.linspace(0.0, 1.0, 20)[:, None]
model = NNGPRegressor().fit(X, np.sin(6.0 * X[:, 0]))
assert not hasattr(model, "set_callbacks")
assert model.converged_ and model.score(X, np.sin(6.0 * X[:, 0])) > 0.99
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
