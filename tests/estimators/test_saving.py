"""Fitted models in files: pickle, and skops, which loads no code."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.activations import LeakyReLU
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.metrics import neg_crps_scorer
from infwidth.networks import MLP, Activation, Dense, Sequential

X, label = load_iris(return_X_y=True)
X, label = X[::5], label[::5]
y, outputs, names = X[:, 0], X[:, 1:3], np.array(["red", "green", "blue"])[label]
NETWORK = MLP(1, "erf")
STEPS = {"optimizer": None, "training_time": 10.0, "learning_rate": 0.1, "momentum": 0.5}

MODELS = {
    "NNGP": (NNGPRegressor(), y),
    "NNGP, network": (NNGPRegressor(MLP(1, "relu", ard=True), feature_scaling="power"), outputs),
    "NNGP, as given": (NNGPRegressor(NETWORK, optimizer=None, feature_scaling=None), y),
    "NTK": (NTKRegressor(), y),
    "NTK, ntkgp": (NTKRegressor(NETWORK, posterior="ntkgp", optimizer="loo"), outputs),
    "NTK, finite time": (NTKRegressor(NETWORK, optimizer=None, training_time=10.0), outputs),
    "NTK, steps": (NTKRegressor(NETWORK, **STEPS), y),
    "classifier": (InfiniteNetClassifier(), label),
    "classifier, names": (InfiniteNetClassifier(NETWORK, limit="ntk", optimizer=None, calibration=None), names),
}


def answers(model):
    """What a model says of all rows."""
    if hasattr(model, "predict_proba"):
        return [model.predict(X), model.predict_proba(X)]
    return list(model.predict(X, return_std=True))


@pytest.fixture(scope="module")
def fitted():
    return {name: model.fit(X, target) for name, (model, target) in MODELS.items()}


OTHERS = [
    MLP(input_variance=np.arange(1.0, 5.0), learn_activation=True, activation=LeakyReLU(0.2)),
    Sequential([Dense(), Activation(LeakyReLU(0.2), learn=True), Dense(trainable=False)]),
    NNGPKernel(NETWORK) + NTKKernel(),
    FiniteNetwork(NETWORK, 8, n_features=4, n_networks=2, random_state=0),
    neg_crps_scorer,
    NNGPRegressor(NETWORK),
]


def containers(thing, path="model", seen=None):
    """Yield each dict and array inside, with the way to it."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (type, str, bytes)):
        return
    seen.add(id(thing))
    if isinstance(thing, dict):
        yield path, thing
        inside = thing.items()
    elif isinstance(thing, (list, tuple)):
        inside = enumerate(thing)
    elif isinstance(thing, np.ndarray):
        yield path, thing
        return
    else:
        state = getattr(thing, "__getstate__", dict)()
        yield from containers(state, f"{path} ({type(thing).__name__})", seen)
        return
    for key, value in inside:
        yield from containers(value, f"{path}.{key}", seen)


@pytest.mark.parametrize("name", MODELS)
def test_the_state_of_a_model_is_plain(fitted, name):
    """Files in the manner of JSON have text as keys; addresses of compiled functions are those of one process."""
    found = list(containers(fitted[name]))
    assert len(found) > 10
    for path, thing in found:
        if isinstance(thing, dict):
            assert all(type(key) is str for key in thing), path
        else:
            assert thing.dtype.kind in "fbiU", path
            assert not path.endswith("_codes"), path


@pytest.mark.parametrize("name", MODELS)
def test_pickle(fitted, name):
    for again in (pickle.loads(pickle.dumps(fitted[name])), pickle.loads(pickle.dumps(fitted[name], protocol=2))):
        for actual, expected in zip(answers(again), answers(fitted[name]), strict=True):
            assert_array_equal(actual, expected)


@pytest.mark.parametrize("thing", OTHERS, ids=lambda thing: type(thing).__name__)
def test_skops_of_what_is_not_fitted(thing):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(thing)
    assert repr(skops.loads(data, trusted=skops.get_untrusted_types(data=data))) == repr(thing)


ASK = """
import sys
import numpy as np, skops.io
from pathlib import Path
folder = Path(sys.argv[1])
X = np.load(folder / "X.npy")
for file in sorted(folder.glob("*.skops")):
    model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    ask = (lambda: (model.predict(X), model.predict_proba(X))) if hasattr(model, "predict_proba") else (
        lambda: model.predict(X, return_std=True))
    np.savez(file.with_suffix(".npz"), *ask())
"""


def test_skops_in_another_process(fitted, tmp_path):
    skops = pytest.importorskip("skops.io")
    np.save(tmp_path / "X.npy", X)
    for name, model in fitted.items():
        skops.dump(pickle.loads(pickle.dumps(model)), tmp_path / f"{name}.skops")  # also after another file
        types = skops.get_untrusted_types(file=tmp_path / f"{name}.skops")
        assert all(type_name.startswith(("infwidth.", "sklearn.")) for type_name in types)
    subprocess.run([sys.executable, "-c", ASK, str(tmp_path)], check=True, timeout=120)
    for name, model in fitted.items():
        with np.load(tmp_path / f"{name}.npz") as saved:
            for actual, expected in zip(saved.values(), answers(model), strict=True):
                assert_array_equal(actual, expected)
