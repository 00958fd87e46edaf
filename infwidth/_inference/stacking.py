"""Weights of models whose average predicts rows best, each given the others (Yao, Vehtari, Simpson & Gelman 2018)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol, Self

import numpy as np
from scipy.special import logsumexp

from infwidth._inference.mixture import moments_of_average
from infwidth._inference.posterior import log_normal

PRICE = 0.003  # of log density a row, for which one more model is kept
STEPS = 20  # weights are multiples of 1/STEPS


class HeldOut(Protocol):
    """Predictions of rows, each given the others: the same rows for all models.

    Attributes
    ----------
    weight : ndarray of shape (n,)
    n_rows : float
        How many rows, by weight, they stand for.
    """

    @property
    def weight(self) -> np.ndarray: ...
    @property
    def n_rows(self) -> float: ...

    def log_densities(self) -> np.ndarray:
        """Return those of what was observed, shape (n,)."""

    @staticmethod
    def average(parts: Sequence[Self], weights: np.ndarray) -> Self:  # type: ignore[misc]  # of one class
        """Return the predictions of an average of models."""


@dataclass(frozen=True)
class HeldOutTargets:
    """Normal distributions of targets; ``y``, ``mean`` and ``variance`` have the shape (n, n_outputs)."""

    y: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    n_rows: float

    @property
    def weight(self) -> np.ndarray:
        """Rows count alike."""
        return np.ones(len(self.y))

    def log_densities(self) -> np.ndarray:
        """Return those of the targets, summed over outputs, shape (n,)."""
        return log_normal(self.y - self.mean, self.variance).sum(axis=1)

    @staticmethod
    def average(parts: "Sequence[HeldOutTargets]", weights: np.ndarray) -> "HeldOutTargets":
        """Return normal distributions with the moments of the mixture."""
        mean, variance = moments_of_average([(part.mean, part.variance) for part in parts], weights)
        return HeldOutTargets(parts[0].y, mean, variance, parts[0].n_rows)


@dataclass(frozen=True)
class HeldOutClasses:
    """Log-probabilities of the classes of rows, shape (n,)."""

    log_probability: np.ndarray
    weight: np.ndarray
    n_rows: float

    def log_densities(self) -> np.ndarray:
        """Return the log-probabilities."""
        return self.log_probability

    @staticmethod
    def average(parts: "Sequence[HeldOutClasses]", weights: np.ndarray) -> "HeldOutClasses":
        """Return the averages of the probabilities."""
        every = np.stack([part.log_probability for part in parts])
        return HeldOutClasses(logsumexp(every, axis=0, b=weights[:, None]), parts[0].weight, parts[0].n_rows)


def mean_log_density(held_out: HeldOut) -> float:
    """Return the log density a row."""
    return float(np.average(held_out.log_densities(), weights=held_out.weight))


def total_log_density(held_out: HeldOut) -> float:
    """Return the sum of the log densities of all rows that the predicted ones stand for."""
    return mean_log_density(held_out) * held_out.n_rows


def stacking_weights(parts: Sequence[HeldOut]) -> np.ndarray:
    """Return the weights with the largest mean log density of the average, less a price for each model in use.

    From the best model alone weight is moved, of one model to one other at a time, as long as that is better.

    Parameters
    ----------
    parts : list of HeldOut
        Of each model.

    Returns
    -------
    ndarray of shape (n_models,)
        Multiples of 1/``STEPS``, most of them 0.
    """

    def merit(weights: np.ndarray) -> float:
        used = [place for place in range(len(parts)) if weights[place]]
        average = parts[0].average([parts[place] for place in used], weights[used] / STEPS)
        return mean_log_density(average) - PRICE * len(used)

    weights = max(STEPS * np.eye(len(parts), dtype=int), key=merit)
    while True:
        moved = max(_with_weight_moved(weights), key=merit, default=weights)
        if merit(moved) <= merit(weights):
            return weights / STEPS
        weights = moved


def _with_weight_moved(weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the weights with some of one model's given to another."""
    unit = np.eye(len(weights), dtype=int)
    for giver, taker in permutations(range(len(weights)), 2):
        for amount in range(1, weights[giver] + 1):
            yield weights + amount * (unit[taker] - unit[giver])
