"""What several files of tests look at: fitted models, fits that must fail, and what is computed."""

import pytest
import word_cases as cases
from classification_cases import NETWORK, X, y
from numpy.testing import assert_array_equal

from infwidth import InfiniteNetClassifier
from infwidth._engine.engine import ProgramSource
from infwidth._inference import posterior
from infwidth._learning.objective import Objective


@pytest.fixture(scope="session")
def averaged():
    """The default: learned networks, averaged."""
    return InfiniteNetClassifier(random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def learned():
    """One learned network."""
    return InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)


def computed(*_, **__):
    raise AssertionError("the kernel was computed")


@pytest.fixture
def no_kernels(monkeypatch):
    """A call of it makes every later matrix of a kernel an error."""

    def forbid(patch=monkeypatch):
        for name in ("fill", "full"):
            patch.setattr(ProgramSource, name, computed)

    return forbid


@pytest.fixture
def in_batches(monkeypatch):
    """A call of it sets on how much predictions work at a time: bytes of new rows, and rows for the mean alone."""

    def limit(n_bytes, mean_rows):
        monkeypatch.setattr(posterior, "BATCH_BYTES", n_bytes)
        monkeypatch.setattr(posterior, "MEAN_ROWS", mean_rows)

    return limit


@pytest.fixture
def refused(monkeypatch, no_kernels):
    """A fit that must fail in these words before any kernel, and must not touch the model of before."""

    def check(kind, error, match, inputs=cases.X, targets=None, weight=None, **parameters):
        for options in ({"optimizer": None}, {}):
            model = kind(cases.NETWORK, optimizer=None).fit(cases.X, cases.target(kind))
            before = model.predict(cases.X)
            own = {"network": cases.NETWORK} | options | parameters
            original = {name: getattr(model, name) for name in own}
            with monkeypatch.context() as patch:
                no_kernels(patch)
                patch.setattr(Objective, "evaluate", computed)
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
