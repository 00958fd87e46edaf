"""The contract of what predicts numbers with one model: a process given data, or an ensemble of trained networks."""

from typing import Protocol

import numpy as np

from infwidth._inference.output_groups import OutputGroups
from infwidth._inference.source import KernelSource


class Predictive(Protocol):
    """Normal distributions of latent functions, one an output.

    Attributes
    ----------
    Y : ndarray of shape (n, n_outputs)
    groups : OutputGroups
    """

    Y: np.ndarray
    groups: OutputGroups

    @property
    def source(self) -> KernelSource:
        """The kernel of the training rows."""

    @property
    def process(self) -> "Process | None":
        """The Gaussian process with the same kernel, where its factors are kept."""

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Return the mean at new inputs, shape (m, n_outputs)."""

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance, shape (m, n_outputs) each."""

    def mean_and_covariances(self, X: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the mean, shape (m, n_outputs), and the covariance for each group of outputs, shape (m, m)."""

    def sample(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState, include_noise: bool
    ) -> np.ndarray:
        """Draw joint samples at new inputs, shape (m, n_outputs, n_samples)."""

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance at each training row given the others, shape (n, n_outputs) each."""

    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that ``mean_and_covariances`` of m new inputs takes."""

    def sampling_bytes(self, m: int, n_samples: int) -> int:
        """Return the most bytes that ``sample`` takes, the samples included."""

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that ``leave_one_out`` takes."""

    def appending_bytes(self, n: int) -> int:
        """Return the most bytes that the same takes for n rows, the first of which are its own."""


class Process(Predictive, Protocol):
    """A Gaussian process given data: all of them, or of each prediction the neighbours."""

    @property
    def jitter(self) -> float:
        """What was added to the noise variance, at most."""

    @property
    def noise_variance(self) -> np.ndarray:
        """The noise variance of each output in use, jitter included, shape (n_outputs,)."""

    def leave_one_out(self, n_rows: int | None = None, *, free_mean: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the same; of the last rows, and with an unknown mean of the targets, where that is asked for."""

    def held_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return targets, and mean and variance of each given the others, shape (n, n_outputs) each.

        The mean of the targets is not known. Where neighbours are given, a sample stands for many rows.
        """
