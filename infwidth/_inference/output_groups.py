"""Which outputs share a noise variance, and so a factorisation."""

from typing import NamedTuple, Self

import numpy as np


class OutputGroups(NamedTuple):
    """The outputs that share a noise variance, and so a factorisation.

    Attributes
    ----------
    noise_variances : ndarray of shape (n_groups,)
    group : ndarray of shape (n_outputs,)
        The group of each output.
    """

    noise_variances: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, noise_variance: np.ndarray, n_outputs: int) -> Self:
        """Return the groups of equal noise variances, each of which stands for as many neighbouring outputs."""
        each = np.repeat(noise_variance, n_outputs // len(noise_variance))
        return cls(*np.unique(each, return_inverse=True))

    @property
    def outputs(self) -> list[np.ndarray]:
        """The outputs of each group, as a list of arrays."""
        return [np.flatnonzero(self.group == place) for place in range(len(self.noise_variances))]
