"""Models and data for the tests of what is said of inputs that are not valid."""

import pytest
from sklearn.datasets import load_iris

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

X, label = load_iris(return_X_y=True)
X, label = X[::5], label[::5]
y = X @ [1.0, -2.0, 0.5, 0.0]
NETWORK = MLP(1, "erf")

REGRESSORS = [NNGPRegressor, NTKRegressor]
estimators = pytest.mark.parametrize("kind", [*REGRESSORS, InfiniteNetClassifier])
regressors = pytest.mark.parametrize("kind", REGRESSORS)


def target(kind):
    """Targets for an estimator: classes or numbers."""
    return label if kind is InfiniteNetClassifier else y
