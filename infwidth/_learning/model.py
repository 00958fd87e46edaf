"""A network with its learned variances."""

from dataclasses import dataclass

import numpy as np

from infwidth.networks import Network
from infwidth.networks.theta import theta_of


@dataclass(frozen=True)
class Model:
    """A network with its variances, the noise, and the scaling of the features that they belong to.

    Attributes
    ----------
    architecture, scaling : int
        Which of the networks and of the scalings that compete.
    network : Network
    noise_variance : ndarray of shape (n_noises,)
        With the nuggets that kept matrices positive definite, where it is learned.
    evidence : float
        The objective without the prior, where the model is learned.
    converged : bool
    center : ndarray of shape (p + n_noises,) or None
        Of the prior of theta and log noise that it was learned with.
    """

    architecture: int
    scaling: int
    network: Network
    noise_variance: np.ndarray
    evidence: float = -np.inf
    converged: bool = True
    center: np.ndarray | None = None


def merit(model: Model, evidence: float | None = None) -> float:
    """Return the evidence less one for each learned variance (Akaike): what is gained by chance is no merit."""
    return (model.evidence if evidence is None else evidence) - len(theta_of(model.network))
