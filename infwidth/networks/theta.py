"""A network's variances as one vector, theta: the logarithms of those that are not zero."""

from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from infwidth._data.validation import shown
from infwidth._engine.gradient import ProgramGradient, gradient_shape
from infwidth.networks.lowering import Lowering


class HasVariances(Protocol):
    """What theta is read from and written to: a ``Network``."""

    def hyperparameters(self) -> dict[str, Any]:
        """Return what can be learned, by parameter name."""

    def with_hyperparameters(self, **values: Any) -> Self:
        """Return a copy with these values."""

    def lowered(self, n_features: int) -> Lowering:
        """Return the ``Lowering`` for inputs with ``n_features`` features."""


Owner = TypeVar("Owner", bound=HasVariances)


def free_hyperparameters(network: HasVariances) -> dict[str, np.ndarray]:
    """Return the variances that can change, by name, as flat arrays: a variance of 0 is fixed."""
    return _free(network.hyperparameters())


def _free(values: dict[str, Any]) -> dict[str, np.ndarray]:
    flat = {name: np.ravel(np.asarray(value, dtype=float)) for name, value in values.items()}
    return {name: value[value > 0] for name, value in flat.items() if np.any(value > 0)}


def theta_of(network: HasVariances) -> np.ndarray:
    """Return theta, shape (p,)."""
    values = list(free_hyperparameters(network).values())
    return np.log(np.concatenate(values)) if values else np.array([])


def checked_theta(theta: npt.ArrayLike, n_free: int, n_noises: int = 0, name: str = "theta") -> np.ndarray:
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


def with_theta(network: Owner, theta: npt.ArrayLike) -> Owner:
    """Return a copy of the network with the free variances exp(theta)."""
    old = network.hyperparameters()
    free = _free(old)
    theta = checked_theta(theta, sum(len(value) for value in free.values()))
    values, place = {}, 0
    for name, value in free.items():
        new = np.array(old[name], dtype=float)
        new[new > 0] = np.exp(theta[place : place + len(value)])
        values[name] = new if new.ndim else float(new)
        place += len(value)
    return network.with_hyperparameters(**values)


def theta_gradient(network: HasVariances, lowering: Lowering, gradient: ProgramGradient) -> np.ndarray:
    """Return ∂L/∂theta, shape (p,), given what the network was lowered to, and the ``ProgramGradient`` of that."""
    values, parts = network.hyperparameters(), []
    for name, value in _free(values).items():
        each_feature = np.ndim(values[name]) > 0
        total = sum((slope.gradient(gradient, each_feature) for slope in lowering.slopes.get(name, ())), start=0.0)
        parts.append(value * np.ravel(total)[np.ravel(np.asarray(values[name]) > 0)])
    return np.concatenate(parts) if parts else np.array([])


def theta_directions(network: HasVariances, n_features: int) -> list[ProgramGradient]:
    """Return what each entry of theta changes in the program, as a list of p ``ProgramGradient``."""
    lowering = network.lowered(n_features)
    shape, values, directions = gradient_shape(lowering.program()), network.hyperparameters(), []
    for name in free_hyperparameters(network):
        value = np.asarray(values[name], dtype=float)
        for place in np.argwhere(value > 0):
            change = np.zeros_like(value)
            change[tuple(place)] = value[tuple(place)]
            direction = ProgramGradient(np.zeros(shape), np.zeros(n_features))
            for slope in lowering.slopes.get(name, ()):
                slope.move(direction, change)
            directions.append(direction)
    return directions
