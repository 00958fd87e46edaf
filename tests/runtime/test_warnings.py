"""Warnings name the line of the user's that led to them."""

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

from infwidth import InfiniteNetClassifier, NNGPRegressor
from infwidth.networks import MLP

X = np.linspace(-1.0, 1.0, 60).reshape(20, 3) ** 3
y = X[:, 0] - X[:, 1] ** 2
HEAVY = np.full(20, 100.0)


@pytest.mark.parametrize(
    ("category", "call"),
    [
        (ConvergenceWarning, lambda: NNGPRegressor(MLP(), max_optimizer_time=1e-6).fit(X, y)),
        (ConvergenceWarning, lambda: cross_val_score(NNGPRegressor(MLP(), max_optimizer_time=1e-6), X, y, cv=2)),
        (UserWarning, lambda: NNGPRegressor(optimizer=None).fit(X, y, sample_weight=HEAVY)),
        (UserWarning, lambda: InfiniteNetClassifier(optimizer=None).fit(X, y > 0, sample_weight=HEAVY)),
        (LinAlgWarning, lambda: NNGPRegressor(optimizer=None, noise_variance=0.0).fit(np.zeros((20, 3)), y)),
    ],
)
def test_line_of_the_user(category, call):
    with pytest.warns(category) as caught:
        call()
    assert {warning.filename for warning in caught} == {__file__}
