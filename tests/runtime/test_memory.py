"""What calls say that they need, against what their arrays take."""

import re
import tracemalloc
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from sklearn.base import clone

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._runtime import memory
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP

N, M = 1300, 700
rng = np.random.default_rng(0)
X, NEW = rng.standard_normal((N, 3)), rng.standard_normal((M, 3))
y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(N)
Y = np.c_[y, np.cos(y), rng.standard_normal(N)]
NETWORK = MLP(1, "erf")
SMALL = 2**21  # bytes of what does not grow with the square of the number of rows


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bytes_named_by(call):
    with pytest.raises(MemoryError, match=r"needs [\d,]+ bytes .* Nothing was allocated") as caught:
        call()
    return int(re.search(r"needs ([\d,]+) bytes", str(caught.value))[1].replace(",", ""))


def check(needed, peak):
    assert peak <= needed + SMALL
    assert needed <= 1.5 * peak


given = {"optimizer": None}
several = {"noise_variance": [0.1, 0.2, 0.3]}
MODELS = {
    "nngp": (NNGPRegressor(NETWORK, **given), y),
    "nngp, three noises": (NNGPRegressor(NETWORK, **given, **several), Y),
    "ntkgp": (NTKRegressor(NETWORK, posterior="ntkgp", **given), y),
    "ensemble": (NTKRegressor(NETWORK, **given), y),
    "ensemble, three noises": (NTKRegressor(NETWORK, **given, **several), Y),
    "time": (NTKRegressor(NETWORK, training_time=9.0, **given), y),
    "time, three noises": (NTKRegressor(NETWORK, training_time=9.0, **given, **several), Y),
    "validation": (NTKRegressor(NETWORK, training_time="validation", **given), y),
    "classes": (InfiniteNetClassifier(NETWORK, **given), y > 0),
    "lml": (NNGPRegressor(NETWORK, max_optimizer_time=0.1), y),
    "loo": (NNGPRegressor(NETWORK, optimizer="loo", max_optimizer_time=2.0), y),
    "lml, three noises": (NNGPRegressor(NETWORK, max_optimizer_time=0.1), Y),
}
JOINT = {
    "return_cov": lambda model: model.predict(NEW, return_cov=True),
    "sample_y": lambda model: model.sample_y(NEW, 2),
}
LEAVE_ONE_OUT = {"loo_predict": lambda model: model.loo_predict()}
EVIDENCE = {"log_marginal_likelihood": lambda model: model.log_marginal_likelihood(eval_gradient=True)}
STAGES = {"staged_predict": lambda model: list(model.staged_predict(NEW, [1.0]))}
GROWTH = {"partial_fit": lambda model: model.partial_fit(NEW, np.zeros((M, len(model.y_std_))))}
CLASS_GROWTH = {"partial_fit": lambda model: model.partial_fit(NEW, np.arange(M) % 2 > 0)}
CALLS = {
    "nngp": JOINT | LEAVE_ONE_OUT | EVIDENCE | GROWTH,
    "nngp, three noises": JOINT | LEAVE_ONE_OUT | EVIDENCE | GROWTH,
    "ensemble": JOINT | LEAVE_ONE_OUT | EVIDENCE | STAGES | GROWTH,
    "ensemble, three noises": JOINT | LEAVE_ONE_OUT | EVIDENCE | GROWTH,
    "time": JOINT | EVIDENCE | GROWTH,
    "time, three noises": JOINT | EVIDENCE | GROWTH,
    "classes": {"loo_decision_function": lambda model: model.loo_decision_function()} | CLASS_GROWTH,
}
networks = MLP(2, "erf")
finite = FiniteNetwork(NETWORK, width=50, n_features=3, n_networks=2)
FREE = {
    "nngp": lambda: networks.nngp(X),
    "ntk": lambda: networks.ntk(X, NEW),
    "kernels": lambda: networks.kernels(X),
    "NNGPKernel": lambda: NNGPKernel(networks)(X),
    "gradient of NNGPKernel": lambda: NNGPKernel(networks)(X, eval_gradient=True),
    "gradient of NTKKernel": lambda: NTKKernel(MLP(1, "relu", input_variance=[1.0, 1.0, 1.0]))(X, eval_gradient=True),
    "FiniteNetwork": lambda: FiniteNetwork(NETWORK, width=10**6, n_features=3),
    "empirical_nngp": lambda: finite.empirical_nngp(X),
    "empirical_ntk": lambda: finite.empirical_ntk(X, NEW),
}


@pytest.mark.filterwarnings("ignore:learning stopped")
@pytest.mark.parametrize("name", MODELS)
def test_fits(name):
    model, target = MODELS[name]
    model.fit(X[:50], target[:50])  # code is compiled
    check(
        bytes_named_by(lambda: model.set_params(max_memory=1).fit(X, target)),
        peak_bytes(lambda: model.set_params(max_memory=None).fit(X, target)),
    )


@cache
def fitted(name):
    model, target = MODELS[name]
    return clone(model).fit(X, target)


@pytest.mark.parametrize(("name", "ask"), [(name, ask) for name, calls in CALLS.items() for ask in calls])
def test_calls(name, ask):
    first, second = deepcopy(fitted(name)), deepcopy(fitted(name))
    call = CALLS[name][ask]
    needed = bytes_named_by(lambda: call(first.set_params(max_memory=1)))
    call(first.set_params(max_memory=needed))  # code is compiled
    check(needed, peak_bytes(lambda: call(second)))


@pytest.mark.parametrize("m", [1, 60, M])
@pytest.mark.parametrize("target", [y, Y])
def test_samples_given_neighbours(m, target):
    """What is said is a bound: which rows share their neighbours is not known before."""
    model = NNGPRegressor(NETWORK, **given, solver="neighbours", n_neighbours=100, n_jobs=2).fit(X, target)
    model.sample_y(NEW[:m], 50)  # code is compiled
    needed = bytes_named_by(lambda: model.set_params(max_memory=1).sample_y(NEW[:m], 50))
    assert peak_bytes(lambda: model.set_params(max_memory=None).sample_y(NEW[:m], 50)) <= needed + SMALL
    samples = 8 * len(model.y_std_) * 50
    assert model._mixture.sampling_bytes(10**6, 50) <= 5 * 10**6 * samples + 2**27


@pytest.mark.parametrize("ask", FREE)
def test_what_has_no_limit_of_its_own(ask, monkeypatch):
    call = FREE[ask]
    call()
    peak = peak_bytes(call)
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    check(bytes_named_by(call), peak)
