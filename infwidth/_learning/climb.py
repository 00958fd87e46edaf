"""Climbing the evidence of one network: exact gradients, a quasi-Newton method, weak priors.

The variables are the logarithms of the network's free variances and, last, of the noise variances: one for all outputs,
or one for each. Every variable has a normal prior around its start; the bounds only keep the numbers in range.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError

from infwidth._data.validation import shown
from infwidth._engine.engine import NotFiniteError
from infwidth._learning.model import Model
from infwidth._learning.objective import Objective
from infwidth._learning.quasi_newton import MANY_VARIABLES, minimize, minimize_many
from infwidth.networks import Network
from infwidth.networks.theta import checked_theta, free_hyperparameters, theta_of, with_theta

LOG_BOUNDS = (float(np.log(1e-6)), float(np.log(1e6)))
AT_BOUND = 1e-3  # distance of a logarithm from its bound
LEAST_NOISE = 1e-12  # the nugget ends first where arithmetic needs more
TOLERANCE = 0.002  # of the evidence and the prior's logarithm; a step promises less than there is, at times a tenth
# A row, before anything is known: that of variances is typical of small data sets, or so high that the noise moves
# first. Long steps that are taken while the noise is far from right end where only noise is seen.
VARIANCE_CURVATURE, NOISE_CURVATURE, STIFF, STIFF_TOLERANCE = 0.02, 0.2, 0.5, 1.0
WALL = 10.0  # of a trial point without a kernel, in units of the cost
# With scikit-learn's signature, (function, theta, bounds) -> (theta, minimum).
OptimizerFunction = Callable[[Callable[..., Any], np.ndarray, np.ndarray], tuple[np.ndarray, float]]


def climb(
    objective: Objective,
    model: Model,
    *,
    prior_std: float | None,
    relevance_std: float,
    least_noise: float | np.ndarray = 0.0,
    center: np.ndarray | None = None,
    optimizer: OptimizerFunction | None = None,
    tolerance: float = TOLERANCE,
    in_time: Callable[[], bool] = lambda: True,
) -> Model:
    """Return the model that a model leads to.

    Parameters
    ----------
    objective : Objective
    model : Model
    prior_std : float or None
        Standard deviation of the logarithms' prior; None means no prior.
    relevance_std : float
        Of the prior of input variances, one a feature, in units of ``prior_std``.
    least_noise : float or ndarray of shape (n_noises,), default=0.0
        Below which no noise variance goes.
    center : ndarray of shape (p + n_noises,), optional
        Its mean; None means the start.
    optimizer : callable, optional
        With scikit-learn's signature, (function, theta, bounds) -> (theta, minimum); None means ``minimize``.
    tolerance : float, default=TOLERANCE
        Of ``minimize``.
    in_time : callable () -> bool, optional
        Where it returns False ``minimize`` ends, with the best point so far.
    """
    network, noise_variance, n = model.network, model.noise_variance, objective.n_rows
    p, start = len(theta_of(network)), np.append(theta_of(network), np.log(noise_variance))
    bounds = _bounds(p, len(start), least_noise)
    start = np.clip(start, *bounds.T)
    center = start if center is None else center
    best: dict[str, Any] = {}
    precision = _prior_precision(network, len(noise_variance), prior_std, relevance_std)
    cost = _cost(objective, network, precision, center, best)
    converged, curvature = True, None
    if optimizer is None and len(start) > MANY_VARIABLES:
        converged = minimize_many(cost, start, bounds, in_time=in_time)
    elif optimizer is None:
        curvature = model.curvature
        if curvature is None:
            curvature, stiff = (_curvature(p, len(start), of_variances) for of_variances in (VARIANCE_CURVATURE, STIFF))
            start = minimize(cost, start, bounds, n * stiff, tolerance=STIFF_TOLERANCE, in_time=in_time).x
        found = minimize(cost, start, bounds, n * curvature, tolerance=tolerance, in_time=in_time)
        converged, curvature = found.converged, found.curvature / n
    else:
        cost(_end_of(optimizer(cost, start, bounds)))
    return replace(model, converged=converged, center=center, curvature=curvature, **_lowest(network, p, best))


def _lowest(network: Network, p: int, best: dict[str, Any]) -> dict[str, Any]:
    """Return what a model has at the lowest point."""
    return {
        "network": with_theta(network, best["theta"][:p]),
        "noise_variance": np.exp(best["theta"][p:]) + best["nugget"],
        "evidence": best["value"],
    }


def _bounds(p: int, n: int, least_noise: float | np.ndarray) -> np.ndarray:
    """Return the bounds of n logarithms, the first p of which are those of the network."""
    bounds = np.tile(LOG_BOUNDS, (n, 1))
    bounds[p:, 0] = np.clip(np.log(np.maximum(least_noise, LEAST_NOISE)), None, LOG_BOUNDS[1])
    return bounds


def _curvature(p: int, n: int, of_variances: float) -> np.ndarray:
    """Return a guess of the curvature a row, for the same variables."""
    return np.diag(np.append(np.full(p, of_variances), np.full(n - p, NOISE_CURVATURE)))


def _end_of(returned: Any) -> Any:
    """Return theta of what an optimizer of the user returned."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise ValueError(f"an optimizer must return the pair (theta, func_min); yours returned {shown(returned)}.")
    return returned[0]


def _cost(
    objective: Objective, network: Network, precision: np.ndarray, center: np.ndarray, best: dict[str, Any]
) -> Callable[..., Any]:
    """Return the function of theta that is minimised, minus the evidence and the prior's logarithm, and its gradient.

    It keeps its lowest point in ``best``.
    """
    p = len(theta_of(network))

    def cost(theta: np.ndarray, eval_gradient: bool = True) -> tuple[float, np.ndarray] | float:
        theta = checked_theta(theta, p, len(center) - p, "the theta of your optimizer")
        try:
            value, gradient, nugget = objective.evaluate(with_theta(network, theta[:p]), np.exp(theta[p:]))
        except (NotFiniteError, LinAlgError):
            if not best:
                raise
            total, slope = _wall(theta, best)
            return (total, slope) if eval_gradient else total
        pull = precision * (theta - center)
        total = 0.5 * float(pull @ (theta - center)) - value
        if total < best.get("cost", np.inf):
            best.update(cost=total, theta=theta.copy(), value=value, nugget=nugget)
        return (total, pull - gradient) if eval_gradient else total

    return cost


def _prior_precision(network: Network, n_noises: int, prior_std: float | None, relevance_std: float) -> np.ndarray:
    """Return the prior's 1/std² of theta and log noise: the variances of many features are held closer together."""
    if not prior_std:
        return np.zeros(len(theta_of(network)) + n_noises)
    groups = [
        np.full(len(value), relevance_std if len(value) > 1 else 1.0)
        for value in free_hyperparameters(network).values()
    ]
    return (np.concatenate([*groups, np.ones(n_noises)]) * prior_std) ** -2


def at_bound(network: Network) -> list[str]:
    """Return the names of learned variances that ended at the upper bound; at the lower one they are as good as 0."""
    return [
        name
        for name, values in free_hyperparameters(network).items()
        if np.log(values).max() > LOG_BOUNDS[1] - AT_BOUND
    ]


def _wall(theta: np.ndarray, best: dict[str, Any]) -> tuple[float, np.ndarray]:
    """Return a cost and its gradient where there is none: so high and so steep that a line search turns back."""
    away = theta - best["theta"]
    height = WALL * (1.0 + abs(best["cost"]))
    return best["cost"] + height * float(1.0 + away @ away), 2.0 * height * away
