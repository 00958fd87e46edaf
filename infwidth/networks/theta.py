"""A network's variances as one vector, theta: the logarithms of those that are not zero."""

import numpy as np

from infwidth._recursion.gradient import ProgramGradient


def free_hyperparameters(network):
    """Return the variances that can change, by name, as flat arrays: a variance of 0 is fixed."""
    flat = {name: np.ravel(np.asarray(value, dtype=float)) for name, value in network.hyperparameters().items()}
    return {name: value[value > 0] for name, value in flat.items() if np.any(value > 0)}


def theta_of(network):
    """Return theta, shape (p,)."""
    values = list(free_hyperparameters(network).values())
    return np.log(np.concatenate(values)) if values else np.array([])


def with_theta(network, theta):
    """Return a copy of the network with the free variances exp(theta)."""
    theta, free = np.asarray(theta, dtype=float), free_hyperparameters(network)
    n_free = sum(len(value) for value in free.values())
    if theta.shape != (n_free,):
        raise ValueError(f"theta has {theta.size} entries, but there are {n_free} free variances.")
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
