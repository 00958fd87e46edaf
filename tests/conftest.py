"""What several files of tests look at: fitted models, fits that must fail, and what learning evaluates."""

import pytest
import word_cases as cases
from classification_cases import NETWORK, X, y
from numpy.testing import assert_array_equal

from infwidth import InfiniteNetClassifier
from infwidth._engine.engine import ProgramSource
from infwidth._learning.objective import Objective


@pytest.fixture(scope="session")
def averaged():
    """The default: learned networks, averaged."""
    return InfiniteNetClassifier(random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def learned():
    """One learned network."""
    return InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)


@pytest.fixture
def refused(monkeypatch):
    """A fit that must fail in these words before any kernel, and must not touch the model of before."""

    def work(*_):
        raise AssertionError("a kernel was computed")

    def check(kind, error, match, inputs=cases.X, targets=None, weight=None, **parameters):
        for options in ({"optimizer": None}, {}):
            model = kind(cases.NETWORK, optimizer=None).fit(cases.X, cases.target(kind))
            before = model.predict(cases.X)
            own = {"network": cases.NETWORK} | options | parameters
            original = {name: getattr(model, name) for name in own}
            with monkeypatch.context() as patch:
                patch.setattr(ProgramSource, "fill", work)
                patch.setattr(Objective, "evaluate", work)
                with pytest.raises(error, match=match) as caught:
                    model.set_params(**own).fit(inputs, cases.target(kind) if targets is None else targets, weight)
            assert "\n" not in str(caught.value)
            assert_array_equal(model.set_params(**original).predict(cases.X), before)

    return check


@pytest.fixture
def evaluated(monkeypatch):
    """The networks and noise variances at which the objective was evaluated."""
    calls, evaluate = [], Objective.evaluate

    def counted(self, network, noise_variance):
        calls.append((network, noise_variance))
        return evaluate(self, network, noise_variance)

    monkeypatch.setattr(Objective, "evaluate", counted)
    return calls
