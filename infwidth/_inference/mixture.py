"""A weighted average of posteriors, one a network, each with its own scaling of the features and its own noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from infwidth._data.scaling import Scaler, transform
from infwidth._inference.joint_samples import add_noise
from infwidth._inference.predictive import Predictive
from infwidth._learning.model import Model
from infwidth._linalg.tiles import sum_of

Law_co = TypeVar("Law_co", covariant=True)


@dataclass(frozen=True)
class Component(Generic[Law_co]):
    """A model in use: its weight, the scaling of its features, and what predicts with it.

    Attributes
    ----------
    weight : float
    model : Model
    scaler : transformer or None
    posterior : Posterior, Ensemble or ClassPosterior
    """

    weight: float
    model: Model
    scaler: Scaler
    posterior: Law_co

    @property
    def noise_variance(self) -> np.ndarray:
        """Noise variance of an observation, shape (n_outputs,), or (1,) where all outputs share it."""
        return self.model.noise_variance

    def scaled(self, X: np.ndarray) -> np.ndarray:
        """Return new inputs as the posterior sees them."""
        return transform(self.scaler, X)

    def mean_and_covariance(
        self: "Component[Predictive]", X: np.ndarray, include_noise: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean, shape (m, n_outputs), and the covariance of each output, shape (m, m, n_outputs)."""
        groups = self.posterior.groups
        mean, covariances = self.posterior.mean_and_covariances(self.scaled(X))
        if include_noise:
            add_noise(covariances, groups.noise_variances)
        return mean, np.stack([covariances[group] for group in groups.group], axis=2)


class Mixture:
    """The mean and the covariance of a mixture: those of the components, and between them (maths 6.16).

    Parameters
    ----------
    components : list of Component
        The best first; their weights sum to 1.
    """

    def __init__(self, components: Sequence[Component[Predictive]]) -> None:
        self.components = components
        self.weights = np.array([component.weight for component in components])

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Return the mean at new inputs, shape (m, n_outputs)."""
        return sum_of(c.weight * c.posterior.mean(c.scaled(X)) for c in self.components)

    def mean_and_variance(self, X: np.ndarray, include_noise: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance, shape (m, n_outputs) each."""
        return self._pooled([c.posterior.mean_and_variance(c.scaled(X)) for c in self.components], include_noise)

    def leave_one_out(self, include_noise: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each training row given the others, shape (n, n_outputs) each."""
        return self._pooled([c.posterior.leave_one_out() for c in self.components], include_noise)

    def mean_and_covariance(self, X: np.ndarray, include_noise: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean, shape (m, n_outputs), and the covariance, shape (m, m, n_outputs)."""
        first, *others = self.components
        origin, covariance = first.mean_and_covariance(X, include_noise)
        covariance *= first.weight
        shift = np.zeros_like(origin)  # of the mean from that of the first
        for component in others:
            own_mean, own = component.mean_and_covariance(X, include_noise)
            apart = own_mean - origin
            own += apart[:, None] * apart
            own *= component.weight
            covariance += own
            shift += component.weight * apart
        if others:
            covariance -= shift[:, None] * shift
        return origin + shift, covariance

    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that the covariance of m new inputs takes."""
        posteriors = [c.posterior for c in self.components]
        n_groups, n_outputs = len(posteriors[0].groups.noise_variances), posteriors[0].Y.shape[1]
        law = max(posterior.joint_bytes(m) for posterior in posteriors)
        total = 0 if len(posteriors) == 1 else n_outputs  # matrices of the sum over the components
        return max(law + 8 * total * m**2, 8 * (max(n_groups, total) + n_outputs + total) * m**2)

    def sampling_bytes(self, m: int, n_samples: int) -> int:
        """Return the most bytes that samples of m new inputs take."""
        posteriors = [c.posterior for c in self.components]
        kept = 8 * m * posteriors[0].Y.shape[1] * n_samples
        return kept + max(posterior.sampling_bytes(m, n_samples) for posterior in posteriors)

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that leave-one-out takes."""
        return max(c.posterior.leave_one_out_bytes() for c in self.components)

    def sample(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState, include_noise: bool
    ) -> np.ndarray:
        """Draw joint samples, shape (m, n_outputs, n_samples): each from a component drawn by its weight."""
        one = len(self.components) == 1
        places = np.zeros(n_samples, int) if one else random_state.choice(len(self.weights), n_samples, p=self.weights)
        samples = np.empty((len(X), self.components[0].posterior.Y.shape[1], n_samples))
        for place in np.unique(places):
            component, drawn = self.components[place], places == place
            own = component.posterior.sample(component.scaled(X), drawn.sum(), random_state, include_noise)
            samples[:, :, drawn] = own
        return samples

    def _pooled(
        self, latent: Sequence[tuple[np.ndarray, np.ndarray]], include_noise: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pool means and variances of the latent functions, shape (m, n_outputs) each."""
        observed = [
            (mean, variance + include_noise * component.noise_variance)
            for component, (mean, variance) in zip(self.components, latent, strict=True)
        ]
        return moments_of_average(observed, self.weights)


def moments_of_average(
    moments: Sequence[tuple[np.ndarray, np.ndarray]], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of a mixture, given those of its parts (maths 6.16)."""
    mean = sum_of(weight * own for weight, (own, _) in zip(weights, moments, strict=True))
    variance = np.zeros_like(mean)
    for weight, (own_mean, own) in zip(weights, moments, strict=True):
        variance += weight * (own + (own_mean - mean) ** 2)
    return mean, variance
