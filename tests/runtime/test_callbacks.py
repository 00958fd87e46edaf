"""scikit-learn's callbacks: every step of a fit, through meta-estimators too, and nothing without them."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from learning_cases import NETWORK, X, y
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor


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
if kept is not None:
    sys.modules["sklearn.callback"] = kept
assert not [kind for kind in NNGPRegressor.__mro__ if kind.__module__.startswith("sklearn.callback")]
X = np.linspace(0.0, 1.0, 20)[:, None]
model = NNGPRegressor().fit(X, np.sin(6.0 * X[:, 0]))
assert not hasattr(model, "set_callbacks")
assert model.converged_ and model.score(X, np.sin(6.0 * X[:, 0])) > 0.99
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
