"""What the targets by themselves say: their scale, and how many of them tell anything."""

import numpy as np

from infwidth._data.standardizer import standardizer

SAME = 8 * np.finfo(float).eps  # relative difference of targets that is rounding


def scaled_targets(Y: np.ndarray, weight: np.ndarray, normalize: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets of shape (n, n_outputs), centred and divided, and by what, shape (n_outputs,) each.

    Targets that differ by no more than rounding are constant: they become 0.
    """
    if not normalize:
        return Y, np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    scaler, constant = standardizer(Y, weight), np.ptp(Y, axis=0) <= SAME * np.abs(Y).max(axis=0)
    mean, scale = np.where(constant, Y[0], scaler.mean_), np.where(constant, 1.0, scaler.scale_)
    return np.where(constant, 0.0, (Y - mean) / scale), mean, scale


def least_noise(y: np.ndarray, weight: np.ndarray) -> float:
    """Return a lower bound of the noise variance for targets of which more than half are equal (maths 6.20), else 0.

    The targets have the shape (n,). The density of equal numbers has no limit, so evidence would explain the few others
    by chance, for the price of a noise variance of 0.
    """
    total, most = weight.sum(), _most_frequent(y, weight)
    if most <= 0.5 * total or most == total:
        return 0.0
    mean = np.average(y, weights=weight)
    return np.average((y - mean) ** 2, weights=weight) / max(1.0, total - most)


def informative_share(y: np.ndarray, weight: np.ndarray) -> float:
    """Return the share of targets, shape (n,), that is left where the most frequent one counts once (maths 6.16)."""
    return min(1.0, (weight.sum() - _most_frequent(y, weight) + 1.0) / weight.sum())


def _most_frequent(y: np.ndarray, weight: np.ndarray) -> float:
    """Return the weight of all targets with the most frequent value."""
    return np.bincount(np.unique(y, return_inverse=True)[1], weight).max()
