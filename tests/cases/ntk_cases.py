"""Data for the tests of NTKRegressor, and what they compare."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_linnerud

from infwidth.networks import MLP, Activation, Dense, Sequential

X, y = (a[:120] for a in load_diabetes(return_X_y=True))  # one target
NEW = load_diabetes().data[150:170]
XM, YM = load_linnerud(return_X_y=True)  # 20 rows, three targets
XM = XM / 100
YM = (YM - YM.mean(axis=0)) / YM.std(axis=0)
NEWM = XM[:6] + 0.1
WEIGHT = np.linspace(0.2, 3.0, 20)
as_given = {"optimizer": None, "normalize_y": False, "feature_scaling": None}
NETWORK = MLP(2, "erf", weight_variance=1.7, bias_variance=0.2)
LAST_LAYER = Sequential(  # all that is trained is linear: Θ = K
    [
        Dense(weight_variance=1.7, bias_variance=0.2, trainable=False),
        Activation("relu"),
        Dense(weight_variance=1.3, bias_variance=0.1),
    ]
)
targets = pytest.mark.parametrize("target", [YM[:, 0], YM[:, :1], YM[:, :2]], ids=["n", "n1", "n2"])
weights = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
DESCENTS = {
    "flow": {},
    "steps": {"learning_rate": 0.5},
    "momentum": {"learning_rate": 0.5, "momentum": 0.8},
}
descents = pytest.mark.parametrize("descent", DESCENTS.values(), ids=DESCENTS)


def close(actual, expected, rtol=1e-8):
    """Relative to the largest entry."""
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected)))


def everything(model, X_new):
    """Every number that a fitted model, NNGPRegressor or NTKRegressor, can be asked for, without random ones."""
    mean, cov = model.predict(X_new, return_cov=True)
    parts = [mean, model.predict_std(X_new), model.predict_std(X_new, include_noise=False), cov]
    process = getattr(model, "posterior", "process") != "ensemble"
    if not process:
        parts += [np.array(list(model.staged_predict(X_new, [0.5, 20.0], return_std=True)))]
        parts += [np.array(list(model.staged_predict(X_new, [0.5, 20.0]))), model.training_loss([0.5, 20.0])]
    if process or (np.isinf(model.training_time_) and model.learning_rate is None):
        parts += [*model.loo_predict(), *model.loo_predict(include_noise=False)]
    return parts
