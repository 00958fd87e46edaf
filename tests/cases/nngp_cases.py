"""Data for the tests of NNGPRegressor, and what they compare."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_linnerud

from infwidth.networks import MLP, Activation, Dense, Sequential

X, y = (a[:150] for a in load_diabetes(return_X_y=True))  # one target
NEW = load_diabetes().data[150:190]
XM, YM = load_linnerud(return_X_y=True)  # 20 rows, three targets
NETWORKS = [
    MLP(depth=1, activation="erf"),
    MLP(depth=3, activation="relu", weight_variance=1.7, bias_variance=0.2, input_variance=0.8),
    Sequential(
        [
            Dense(weight_variance=1.5, bias_variance=0.3),
            Activation("erf"),
            Dense(weight_variance=2.0, bias_variance=0.0),
            Activation("relu"),
            Dense(weight_variance=1.2, bias_variance=0.1),
        ]
    ),
]
as_given = {"normalize_y": False, "feature_scaling": None}


def close(actual, expected, rtol=1e-9):
    """Relative to the largest entry, as a backward stable solver promises."""
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected)))


def everything(model, X_new):
    """Every number that a fitted model can be asked for, without random ones."""
    mean, cov = model.predict(X_new, return_cov=True)
    _, std = model.predict(X_new, return_std=True)
    std_f = model.predict_std(X_new, include_noise=False)
    return [mean, std, std_f, cov, *model.loo_predict(), *model.loo_predict(include_noise=False)]


targets = pytest.mark.parametrize("target", [YM[:, 0], YM[:, :1], YM], ids=["n", "n1", "n3"])
