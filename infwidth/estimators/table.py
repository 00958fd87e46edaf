"""The table that a regressor is fitted to, in units of y and as the model sees it."""

from typing import NamedTuple

import numpy as np

from infwidth._inference.tasks import Regression
from infwidth.estimators.base import ROW_NOISE


class Table(NamedTuple):
    """Data of a regression as they were given, and the task of the rows in use.

    Attributes
    ----------
    X, y : ndarray
    used : ndarray of shape (n_samples,)
        Which rows have a positive weight.
    mean, std : ndarray of shape (n_outputs,)
        What targets were centred and divided by.
    task : Regression
    """

    X: np.ndarray
    y: np.ndarray
    used: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    task: Regression


def noise_of_outputs(noise_variance: float | np.ndarray, n_outputs: int) -> np.ndarray:
    """Return a noise variance for each output, shape (n_outputs,)."""
    if np.size(noise_variance) not in (1, n_outputs):
        raise ValueError(
            f"noise_variance is a variance: it must be a number, or one for each of the {n_outputs} outputs of y; got "
            f"{np.size(noise_variance)} numbers. {ROW_NOISE}"
        )
    return np.broadcast_to(noise_variance, n_outputs).astype(float)
