"""Joint samples of new rows from their covariance matrix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.linalg import cholesky, eigh

from infwidth._inference.output_groups import OutputGroups

SAMPLING_MATRICES = 4  # of the root of a covariance: LAPACK's eigenvectors, its copy and what is made of them


class JointSamples(ABC):
    """What draws from the covariances that it knows.

    Attributes
    ----------
    Y : ndarray of shape (n, n_outputs)
    groups : OutputGroups
    """

    Y: np.ndarray
    groups: OutputGroups

    @abstractmethod
    def mean_and_covariances(self, X: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the mean, shape (m, n_outputs), and the covariance for each group of outputs, shape (m, m)."""

    @abstractmethod
    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that ``mean_and_covariances`` of m new inputs takes."""

    def sample(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState, include_noise: bool
    ) -> np.ndarray:
        """Draw joint samples at new inputs, shape (m, n_outputs, n_samples)."""
        mean, covariances = self.mean_and_covariances(X)
        if include_noise:
            add_noise(covariances, self.groups.noise_variances)
        samples = random_state.standard_normal((*mean.shape, n_samples))
        for covariance, own in zip(covariances, self.groups.outputs, strict=True):
            samples[:, own] = np.einsum("ij,jkl->ikl", root(covariance), samples[:, own], optimize=True)
        return mean[:, :, None] + samples

    def sampling_bytes(self, m: int, n_samples: int) -> int:
        """Return the most bytes that ``sample`` takes, the samples included."""
        matrices = len(self.groups.noise_variances) + SAMPLING_MATRICES
        return max(self.joint_bytes(m), 8 * matrices * m**2) + 8 * 2 * m * self.Y.shape[1] * n_samples


def add_noise(covariances: Sequence[np.ndarray], noise_variances: np.ndarray) -> None:
    """Add to each covariance the noise variance of its observations."""
    for covariance, noise in zip(covariances, noise_variances, strict=True):
        covariance[np.diag_indices_from(covariance)] += noise


def root(covariance: np.ndarray) -> np.ndarray:
    """Return R with R Rᵀ the covariance.

    A posterior covariance is often singular to working precision: where Cholesky fails, the eigenvalues below
    zero are taken as zero.
    """
    try:
        return cholesky(covariance, lower=True)
    except np.linalg.LinAlgError:
        values, vectors = eigh(covariance)
        return vectors * np.sqrt(np.maximum(values, 0.0))
