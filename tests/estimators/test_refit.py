"""Fits that fail, and settings of scikit-learn around a fit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

X, y = load_iris(return_X_y=True)
X, y = X[::3], y[::3]
MODELS = [
    NNGPRegressor(MLP(1, "erf"), random_state=0),
    NTKRegressor(MLP(1, "erf"), optimizer=None),
    InfiniteNetClassifier(MLP(1, "erf"), random_state=0),
]
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def failures():
    """What goes wrong: before, in and after the validation, and at the very end."""
    bad_y = y.astype(float)
    bad_y[0] = np.nan
    return {
        "parameter": ({"noise_variance": -1.0}, X, y),
        "NaN in y": ({}, X, bad_y),
        "other features": ({}, np.full((50, 7), np.nan), y),
        "memory": ({"max_memory": 100}, X[:, :2], y),
        "callable": ({"optimizer": lambda *_: 1 / 0}, X[:, :2], y),
    }


@models
@pytest.mark.parametrize("case", failures())
def test_a_fit_that_fails_loses_nothing(model, case):
    parameters, bad_X, bad_y = failures()[case]
    model.fit(X, y)
    before, attributes = model.predict(X), sorted(vars(model))
    original = {name: getattr(model, name) for name in parameters}
    try:
        with pytest.raises((ValueError, MemoryError, ZeroDivisionError)):
            model.set_params(**parameters).fit(bad_X, bad_y)
    finally:
        model.set_params(**original)
    assert sorted(vars(model)) == attributes
    assert_array_equal(model.predict(X), before)


@models
def test_parameters_of_a_network_need_one(model):
    none = type(model)()
    with pytest.raises(ValueError, match=rf"network__depth .* network is None.*{type(model).__name__}\(MLP\(\)\)"):
        GridSearchCV(none, {"network__depth": [1, 2]}, error_score="raise").fit(X, y)
    assert none.set_params(network=MLP(), network__depth=3).network.depth == 3
    options = {"optimizer": None, "network": MLP()}
    search = GridSearchCV(none.set_params(**options), {"network__depth": [1, 2]}, cv=2).fit(X, y)
    assert search.best_params_["network__depth"] in (1, 2)


@models
def test_a_first_fit_that_fails_leaves_nothing(model):
    fresh = type(model)(max_memory=100)
    attributes = dict(vars(fresh))
    with pytest.raises(MemoryError):
        fresh.fit(X, y)
    assert vars(fresh) == attributes


@models
@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("scaling", ["standard", "power"])
def test_containers_of_other_transformers_change_nothing(model, output, scaling):
    model = type(model)(**{**model.get_params(deep=False), "feature_scaling": scaling})
    expected = model.fit(X, y).predict(X)
    with config_context(transform_output=output):
        assert_array_equal(model.fit(X, y).predict(X), expected)
        assert isinstance(model.feature_scaler_.transform(X), np.ndarray)
