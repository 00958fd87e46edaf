"""Centring and scaling of numbers of any size."""

import numpy as np
from sklearn.preprocessing import StandardScaler


def standardizer(X: np.ndarray, weight: np.ndarray) -> StandardScaler:
    """Return a fitted ``StandardScaler``, whatever origin and unit: squares of huge and tiny numbers do not exist.

    It returns arrays, whatever ``transform_output`` is.
    """
    low, width = X.min(axis=0), np.ptp(X, axis=0)
    width = np.where(width > 0, width, 1.0)
    scaler = StandardScaler().set_output(transform="default").fit((X - low) / width, sample_weight=weight)
    scaler.mean_, scaler.scale_ = low + width * scaler.mean_, width * scaler.scale_
    with np.errstate(over="ignore", under="ignore"):
        scaler.var_ = width**2 * scaler.var_
    return scaler


def standardized(scaler: StandardScaler, X: np.ndarray) -> np.ndarray:
    """Return what ``scaler.transform`` does of an array that is known to be valid: checks cost more than one row."""
    centred = X - scaler.mean_
    centred /= scaler.scale_
    return centred
