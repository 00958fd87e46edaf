"""From scores and variances to probabilities: three numbers, fitted on leave-one-out predictions by log loss.

A score estimates the probability of its class, F_c ~ N(s_c, κ² v) with the predictive variance v of scores, but it can
be negative or large. The log-probability of class c is, up to a constant (maths 8.3),

    g τ log E max(F_c, 0) + (1 - g) log π_c,     g = 1 / (1 + γ u),

with the class prior π and the latent variance u in units of the mean variance of the training rows: scores as they are
where they are certain (τ = 1, κ → 0), and the class prior where nothing is known (u → ∞).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import erfcx, log_softmax, ndtr

CENTER = np.log([1.75, 0.85, 0.05])  # of a normal prior on log τ, log κ and log γ: medians over small data sets
PRIOR_STD = np.array([0.3, 0.3, 1.0])
FARTHEST = 10.0  # standard deviations from there, so that no line search leaves the range of numbers
LOG_ROOT_TWO_PI = 0.5 * np.log(2.0 * np.pi)
TAIL = -1e3  # an asymptotic form is exact to six digits below


@dataclass(frozen=True)
class Calibration:
    """The map from scores and variances to log-probabilities.

    Attributes
    ----------
    power, width, variance_weight : float
        τ, κ and γ.
    log_prior : ndarray of shape (n_classes,)
    """

    power: float
    width: float
    variance_weight: float
    log_prior: np.ndarray

    def log_proba(self, scores: np.ndarray, std: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return log-probabilities, shape (n, n_classes).

        Parameters
        ----------
        scores : ndarray of shape (n, n_classes)
        std : ndarray of shape (n,)
            Of the scores, noise included.
        variance : ndarray of shape (n,)
            u, noise not included.
        """
        informed = log_softmax(self.power * _log_positive_part(self._standardized(scores, std)), axis=1)
        return self._mixed(informed, self._certainty(variance))

    def _standardized(self, scores: np.ndarray, std: np.ndarray) -> np.ndarray:
        return scores / (self.width * std[:, None])

    def _certainty(self, variance: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + self.variance_weight * variance[:, None])

    def _mixed(self, informed: np.ndarray, certainty: np.ndarray) -> np.ndarray:
        """Return log-probabilities between those of the scores and the prior."""
        return log_softmax(certainty * informed + (1.0 - certainty) * self.log_prior, axis=1)


def fit_calibration(
    scores: np.ndarray,
    std: np.ndarray,
    variance: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    log_prior: np.ndarray,
) -> Calibration:
    """Return the calibration with the largest posterior density given leave-one-out predictions.

    Parameters
    ----------
    scores, std, variance, log_prior
        As for :class:`Calibration`.
    label : ndarray of shape (n,)
        Classes, 0 to n_classes - 1.
    weight : ndarray of shape (n,)
    """
    rows = np.arange(len(label))

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        at = _calibration(theta, log_prior)
        certainty, z = at._certainty(variance), at._standardized(scores, std)
        part = _log_positive_part(z)
        informed = log_softmax(at.power * part, axis=1)
        log_proba = at._mixed(informed, certainty)
        excess = weight[:, None] * np.exp(log_proba)  # ∂/∂logits of the loss
        excess[rows, label] -= weight
        steps = (
            certainty * at.power * part,
            -certainty * at.power * z * _log_positive_part_slope(z),
            certainty * (1.0 - certainty) * (log_prior - informed),
        )
        away = (theta - CENTER) / PRIOR_STD
        value = 0.5 * away @ away - weight @ log_proba[rows, label]
        return value, away / PRIOR_STD + [np.sum(excess * step) for step in steps]

    bounds = np.stack([CENTER - FARTHEST * PRIOR_STD, CENTER + FARTHEST * PRIOR_STD], axis=1)
    return _calibration(minimize(cost, CENTER, jac=True, method="L-BFGS-B", bounds=bounds).x, log_prior)


def _calibration(theta: np.ndarray, log_prior: np.ndarray) -> Calibration:
    """Return the calibration with the logarithms theta of τ, κ and γ."""
    power, width, variance_weight = np.exp(theta)
    return Calibration(power, width, variance_weight, log_prior)


def _log_positive_part(z: np.ndarray) -> np.ndarray:
    """Return log E max(z + ξ, 0) = log(z Φ(z) + φ(z)), ξ ~ N(0, 1)."""
    above, below = np.maximum(z, 0.0), np.minimum(z, 0.0)
    tail = -0.5 * below * below - LOG_ROOT_TWO_PI + np.log(_relative_positive_part(below))
    return np.where(z > 0.0, np.log(_positive_part(above)), tail)


def _log_positive_part_slope(z: np.ndarray) -> np.ndarray:
    """Return its derivative, Φ(z) / (z Φ(z) + φ(z))."""
    above, below = np.maximum(z, 0.0), np.minimum(z, 0.0)
    return np.where(z > 0.0, ndtr(above) / _positive_part(above), _mills(below) / _relative_positive_part(below))


def _positive_part(z: np.ndarray) -> np.ndarray:
    """Return z Φ(z) + φ(z) for z >= 0."""
    return z * ndtr(z) + np.exp(-0.5 * z * z - LOG_ROOT_TWO_PI)


def _relative_positive_part(z: np.ndarray) -> np.ndarray:
    """Return (z Φ(z) + φ(z)) / φ(z) for z <= 0, which tends to 1/z²."""
    near = np.maximum(z, TAIL)
    return np.where(z > TAIL, 1.0 + near * _mills(near), 1.0 / np.minimum(z, TAIL) ** 2)


def _mills(z: np.ndarray) -> np.ndarray:
    """Return Φ(z) / φ(z) for z <= 0."""
    return np.sqrt(0.5 * np.pi) * erfcx(-z / np.sqrt(2.0))
