"""How far new inputs are outside of the training rows."""

import numpy as np

from infwidth._data.standardizer import standardizer

FARTHEST = 1e100  # so that squares do not overflow


class TrainingBox:
    """The smallest box that holds all training rows, in units of the features' standard deviations (maths 8.4).

    The latent variance of bounded activations does not grow far from the data, where nothing is known (Kristiadi et al.
    2021 add a process that grows there).
    """

    def __init__(self, X: np.ndarray, weight: np.ndarray) -> None:
        self._low, self._high = X.min(axis=0), X.max(axis=0)
        self._std = standardizer(X, weight).scale_

    def outside(self, X: np.ndarray) -> np.ndarray:
        """Return the squared distance from the box in each feature, shape (m, n_features)."""
        distance = (np.maximum(X - self._high, 0.0) + np.maximum(self._low - X, 0.0)) / self._std
        return np.minimum(distance, FARTHEST) ** 2
