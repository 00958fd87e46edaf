"""Data for the tests of learning, and what a fit evaluates."""

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import make_friedman1

from infwidth.networks import MLP

X, y = make_friedman1(40, n_features=6, noise=0.3, random_state=0)
NETWORK = MLP(1, "erf", ard=True)
SCALINGS = {"StandardScaler": "standard", "WeightedPowerTransformer": "power"}  # what made a ``feature_scaler_``


def fit_counted(model, evaluated, *data):
    """Fit; return the evaluations that this took."""
    evaluated.clear()
    model.fit(*data)
    return list(evaluated)


def best_evidence_from(model):
    """The log marginal likelihood that SciPy climbs to from what a model has learned, within the bounds."""

    def cost(logs):
        value, gradient = model.log_marginal_likelihood(logs, eval_gradient=True)
        return -value, -gradient

    start = np.append(model.kernel_.theta, np.log(model.noise_variance_))
    bounds = np.repeat(np.log([[1e-6, 1e6]]), len(start), axis=0)  # those that are documented
    return -minimize(cost, np.clip(start, *bounds.T), jac=True, bounds=bounds).fun
