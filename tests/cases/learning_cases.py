"""Data for the tests of learning, and what a fit evaluates."""

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
