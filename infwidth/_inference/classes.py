"""The posterior of coded classes with its calibration, and averages of several."""

import numpy as np
from scipy.special import log_softmax, logsumexp

from infwidth._inference.calibration import fit_calibration
from infwidth._preprocessing import transform


class ClassPosterior:
    """A posterior whose targets are coded classes, and the map from its latent values to probabilities.

    Parameters
    ----------
    posterior : Posterior
    noise_variance : float
        Of a new observation.
    coding : ClassCoding
    data : Data
        The training rows.
    label : ndarray of shape (n,)
        Their classes.
    remaining : ndarray of shape (n,)
        Weight that a training row keeps where one of the rows that it stands for is left out.
    relevance : ndarray of shape (n_features,)
        Of the features in distances; it sums to 1.
    calibrated : bool
        Without calibration probabilities are the softmax of the scores.

    Attributes
    ----------
    loo_log_proba : ndarray of shape (n, n_classes)
        Log-probabilities of the classes of each training row given the others.
    log_likelihood : float
        Of the training classes, each given the others.
    calibration : Calibration or None
    """

    def __init__(self, posterior, noise_variance, coding, data, label, remaining, relevance, *, calibrated):
        self._posterior, self._noise_variance, self._coding = posterior, noise_variance, coding
        self._low, self._high, self._relevance = data.X.min(axis=0), data.X.max(axis=0), relevance
        mean, variance = _leave_one_out(posterior, noise_variance, remaining)
        self._unit = float(np.average(variance + noise_variance, weights=data.weight))
        parts = self._parts(mean, variance)
        self.calibration = fit_calibration(*parts, label, data.weight, np.log(coding.share)) if calibrated else None
        self.loo_log_proba = self.calibration.log_proba(*parts) if calibrated else log_softmax(parts[0], axis=1)
        self.log_likelihood = float(data.weight @ self.loo_log_proba[np.arange(len(label)), label])

    @property
    def jitter(self):
        """Return what was added to the diagonal besides the noise."""
        return self._posterior.jitter

    def log_proba(self, X):
        """Return log-probabilities of the classes at new inputs, shape (m, n_classes)."""
        if self.calibration is None:
            return log_softmax(self._coding.scores(self._posterior.mean(X)), axis=1)
        scores, std, relative = self._parts(*self._posterior.mean_and_variance(X))
        return self.calibration.log_proba(scores, std, relative + self._distance(X))

    def _parts(self, mean, variance):
        """Return scores, their standard deviations and relative variances, given those of the latent values."""
        std = self._coding.score_std(np.sqrt(variance + self._noise_variance))
        return self._coding.scores(mean), std, variance / self._unit

    def _distance(self, X):
        """Return the squared distance from the box around the training rows, shape (m,).

        The latent variance of bounded activations does not grow far from the data, where nothing is known (Kristiadi
        et al. 2021 add a process that grows there).
        """
        outside = np.maximum(X - self._high, 0.0) + np.maximum(self._low - X, 0.0)
        return outside**2 @ self._relevance


def _leave_one_out(posterior, noise_variance, remaining):
    """Return mean and variance of the latent values of each training row given the others (maths 8.4).

    What remains of a row is added to what follows from the others: one more observation of its target.
    """
    mean, total = posterior.leave_one_out()
    variance = np.maximum(total - posterior.noise, 0.0)
    known = remaining * variance
    gain = np.divide(known, noise_variance + known, out=np.zeros_like(known), where=known > 0.0)
    return mean + gain[:, None] * (posterior.Y - mean), (1.0 - gain) * variance


class ClassMixture:
    """A weighted average of the probabilities of several posteriors, each with its scaling of the features.

    Parameters
    ----------
    components : list of (weight, ClassPosterior, scaler)
        The best first; the weights sum to 1.
    """

    def __init__(self, components):
        self.components = components

    def log_proba(self, X):
        """Return log-probabilities of the classes at new inputs, shape (m, n_classes)."""
        return self._pooled([posterior.log_proba(transform(scaler, X)) for _, posterior, scaler in self.components])

    def leave_one_out(self):
        """Return log-probabilities of the classes of each training row given the others, shape (n, n_classes)."""
        return self._pooled([posterior.loo_log_proba for _, posterior, _ in self.components])

    def _pooled(self, log_probas):
        if len(log_probas) == 1:
            return log_probas[0]
        weights = np.array([weight for weight, _, _ in self.components])
        return logsumexp(np.stack(log_probas), axis=0, b=weights[:, None, None])
