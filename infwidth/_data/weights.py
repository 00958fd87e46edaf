"""Weights of rows and of classes."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

from infwidth._data.validation import require_numbers
from infwidth._runtime.warnings import warn_user

ClassWeight = Mapping[Any, float] | Literal["balanced"] | None
LEAST_MEAN_WEIGHT, LARGEST_MEAN_WEIGHT = 0.1, 10.0  # without a warning


def checked_weights(sample_weight: npt.ArrayLike | None, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, shape (n,), and which rows they keep."""
    require_numbers("sample_weight", sample_weight, of_text="weights count rows")
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero: no row is left to fit.")
    return weight, used


def row_weights(sample_weight: npt.ArrayLike | None, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of an estimator's rows, with a warning where weights are not near 1."""
    weight, used = checked_weights(sample_weight, X)
    mean = np.mean(weight[used])
    if not LEAST_MEAN_WEIGHT <= mean <= LARGEST_MEAN_WEIGHT:
        warn_user(
            f"the sample weights are {mean:.3g} on average. A row of weight w counts as w rows: its noise variance is "
            "divided by w, and predictions speak of rows of weight 1. Weights that say which rows matter more, or "
            "inverse variances, should average 1: sample_weight * len(y) / sample_weight.sum().",
            UserWarning,
        )
    return weight, used


def row_noise(noise_variance: float, weight: np.ndarray) -> np.ndarray:
    """Return the noise variance of rows with positive weights."""
    with np.errstate(over="ignore"):
        noise = noise_variance / weight
    if not np.isfinite(noise).all():
        raise ValueError(
            "a sample weight is so small that its noise variance is not finite: give the row weight 0 to drop it, or "
            "rescale sample_weight to a mean of 1."
        )
    return noise


def class_weights(kind: ClassWeight, classes: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return what ``class_weight`` multiplies the weights of rows with classes ``classes[label]`` by."""
    if isinstance(kind, str) and kind == "balanced":
        present, place = np.unique(label, return_inverse=True)
        factor = np.ones(len(classes))
        factor[present] = weight.sum() / (len(present) * np.bincount(place, weight))
    else:
        factor = compute_class_weight(kind, classes=classes, y=classes[label])
    if not np.all((factor > 0) & np.isfinite(factor)):
        raise ValueError(
            "class_weight must be positive and finite for every class; to drop a class, leave out its rows."
        )
    return factor[label]
