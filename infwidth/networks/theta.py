"""A network's variances as one vector, theta: the logarithms of those that are not zero."""

import numpy as np

from infwidth._engine.gradient import ProgramGradient
from infwidth._validation import shown


def free_hyperparameters(network):
    """Return the variances that can change, by name, as flat arrays: a variance of 0 is fixed."""
    flat = {name: np.ravel(np.asarray(value, dtype=float)) for name, value in network.hyperparameters().items()}
    return {name: value[value > 0] for name, value in flat.items() if np.any(value > 0)}


def theta_of(network):
    """Return theta, shape (p,)."""
    values = list(free_hyperparameters(network).values())
    return np.log(np.concatenate(values)) if values else np.array([])


def checked_theta(theta, n_free, n_noises=0, name="theta"):
    """Return theta as an array of n_free + n_noises logarithms of variances, or raise a ValueError that says ``name``.

    Parameters
    ----------
    theta : array-like
    n_free, n_noises : int
        Number of free variances of the network, and of noise variances behind them.
    name : str, default="theta"
    """
    try:
        values = np.asarray(theta, dtype=float)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    n = n_free + n_noises
    if values.shape != (n,):
        raise ValueError(
            f"{name} must have the shape ({n},): the logarithms of {n_free} free variances of the network"
            + (f" and of {n_noises} noise variances" if n_noises else "")
            + f"; got {shown(theta)}."
        )
    with np.errstate(over="ignore", under="ignore"):
        usable = np.isfinite(np.exp(values)) & (np.exp(values) > 0)
    if not usable.all():
        raise ValueError(
            f"{name} holds logarithms of variances, numbers between about -700 and 700; "
            f"entry {np.argmin(usable)} is {values[np.argmin(usable)]}."
        )
    return values


def with_theta(network, theta):
    """Return a copy of the network with the free variances exp(theta)."""
    free = free_hyperparameters(network)
    theta = checked_theta(theta, sum(len(value) for value in free.values()))
    values, place, old = {}, 0, network.hyperparameters()
    for name, value in free.items():
        new = np.array(old[name], dtype=float)
        new[new > 0] = np.exp(theta[place : place + len(value)])
        values[name] = new if new.ndim else float(new)
        place += len(value)
    return network.with_hyperparameters(**values)


def theta_gradient(network, gradient):
    """Return ∂L/∂theta, shape (p,), from a ``ProgramGradient``."""
    gradients, parts = network.hyperparameter_gradients(gradient), []
    for name, value in free_hyperparameters(network).items():
        positive = np.ravel(np.asarray(network.hyperparameters()[name]) > 0)
        parts.append(value * np.ravel(gradients[name])[positive])
    return np.concatenate(parts) if parts else np.array([])


def theta_directions(network, n_operations, n_features):
    """Return what each entry of theta changes in the program: the transpose of ``theta_gradient``, by unit vectors."""
    p = len(theta_of(network))
    operations, log_input = np.zeros((p, n_operations, 4)), np.zeros((p, n_features))
    nothing = np.zeros((n_operations, 4)), np.zeros(n_features)
    for target, kind in ((operations, 0), (log_input, 1)):
        for place in np.ndindex(target.shape[1:]):
            unit = [array.copy() for array in nothing]
            unit[kind][place] = 1.0
            target[(slice(None), *place)] = theta_gradient(network, ProgramGradient(*unit))
    return [ProgramGradient(*pair) for pair in zip(operations, log_input, strict=True)]
