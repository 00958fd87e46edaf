"""A network with its learned variances."""

from dataclasses import dataclass, replace

import numpy as np

from infwidth._learning.quasi_newton import MANY_VARIABLES
from infwidth.networks import Network
from infwidth.networks.theta import free_hyperparameters, theta_of


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
    curvature : ndarray of shape (p + n_noises, p + n_noises) or None
        While it is learned: second derivatives of minus the objective and the prior's logarithm, a row. None is kept of
        many variables.
    """

    architecture: int
    scaling: int
    network: Network
    noise_variance: np.ndarray
    evidence: float = -np.inf
    converged: bool = True
    center: np.ndarray | None = None
    curvature: np.ndarray | None = None


def expanded(model: Model, n_features: int) -> Model:
    """Return the model with an input variance for each feature, where its network asks for them.

    Each of them takes its share of the curvature of the common one.
    """
    network = model.network.expanded(n_features)
    if model.curvature is None or len(theta_of(network)) > MANY_VARIABLES:
        return replace(model, network=network, curvature=None)
    sizes = [
        (len(old), len(new))
        for old, new in zip(*(free_hyperparameters(one).values() for one in (model.network, network)), strict=True)
    ]
    sizes += [(1, 1)] * len(model.noise_variance)
    places = np.split(np.arange(len(model.curvature)), np.cumsum([old for old, _ in sizes[:-1]]))
    origin = np.concatenate([np.resize(own, new) for own, (_, new) in zip(places, sizes, strict=True)])
    parts = np.concatenate([np.full(new, new // old) for old, new in sizes])
    curvature = model.curvature[np.ix_(origin, origin)] / parts
    shared = parts > 1
    curvature[(shared | shared[:, None]) & ~np.eye(len(parts), dtype=bool)] = 0.0
    return replace(model, network=network, curvature=curvature)


def merit(model: Model, evidence: float | None = None) -> float:
    """Return the evidence less one for each learned variance (Akaike): what is gained by chance is no merit."""
    return (model.evidence if evidence is None else evidence) - len(theta_of(model.network))
