"""What happens to the data before a model sees them: scaling of features and targets, and weights of rows."""

import warnings

import numpy as np
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.utils.validation import _check_sample_weight

FEATURE_SCALINGS = ("auto", "standard", "power", None)


def feature_scalers(kind, X, weight, *, choose):
    """Return the fitted scalings to choose from: one, or with "auto" and ``choose`` two. None leaves X as it is."""
    fitted = {
        "standard": lambda: StandardScaler().fit(X, sample_weight=weight),
        "power": lambda: _fit_power(X),
        None: lambda: None,
    }
    if kind == "auto":
        return [fitted["standard"](), fitted["power"]()] if choose else [fitted["standard"]()]
    return [fitted[kind]()]


def transform(scaler, X):
    """Apply a scaling."""
    return X if scaler is None else scaler.transform(X)


def target_scale(Y, weight, normalize):
    """Return what targets of shape (n, n_outputs) are centred and divided by, shape (n_outputs,) each."""
    if not normalize:
        return np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    scaler = StandardScaler().fit(Y, sample_weight=weight)
    return scaler.mean_, scaler.scale_


def row_weights(sample_weight, X):
    """Return the weights, shape (n,), and which rows they keep."""
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero: no row is left to fit.")
    return weight, used


def row_noise(noise_variance, weight):
    """Return the noise variance of rows with positive weights."""
    with np.errstate(over="ignore"):
        noise = noise_variance / weight
    if not np.isfinite(noise).all():
        raise ValueError(
            "a sample weight is so small that its noise variance is not finite: give the row weight 0 to drop it."
        )
    return noise


def _fit_power(X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # constant columns, which it leaves as they are
        return PowerTransformer().fit(X)
