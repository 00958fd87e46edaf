"""Climbing the evidence of one network: exact gradients, L-BFGS-B, weak priors.

The variables are the logarithms of the network's free variances and, last, of the noise variances: one for all outputs,
or one for each. Every variable has a normal prior around its start; the bounds only keep the numbers in range.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.linalg import LinAlgError
from scipy.optimize import minimize

from infwidth._engine.engine import KernelEngine, KernelSource, NotFiniteError
from infwidth._engine.gradient import program_gradient
from infwidth._inference.evidence import Evidence, EvidenceFunction
from infwidth._linalg.jitter import NUGGETS, first_definite
from infwidth._linalg.tiles import TILE, LowerTiles, sum_of
from infwidth._threads import blas_threads, for_each, solver_threads, thread_count
from infwidth._validation import shown
from infwidth.networks import Network
from infwidth.networks.theta import checked_theta, free_hyperparameters, theta_gradient, theta_of, with_theta

LOG_BOUNDS = (float(np.log(1e-6)), float(np.log(1e6)))
AT_BOUND = 1e-3  # distance of a logarithm from its bound
LEAST_NOISE = 1e-12  # the nugget ends first where arithmetic needs more
MAX_ITERATIONS = 200
WALL = 10.0  # of a trial point without a kernel, in units of the cost
MAX_RUNS, STEEP = 4, 0.05  # a line search that fails ends a run early: a larger slope of the evidence is no optimum

Limit = Literal["nngp", "ntk"]
# With scikit-learn's signature, (function, theta, bounds) -> (theta, minimum).
OptimizerFunction = Callable[[Callable[..., Any], np.ndarray, np.ndarray], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Data:
    """What a network is learned from: inputs (n, d), targets (n, t), row weights (n,).

    A row of weight w stands for w rows with these inputs, whose targets have this mean and the sums of squares
    ``scatter`` around it. Its shape is (n, number of noise variances): (n, t) where each output has a noise variance of
    its own, or (n, 1), summed over the outputs, where they share one.
    """

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    scatter: np.ndarray

    def take(self, rows: np.ndarray) -> "Data":
        """Return some of the rows."""
        return Data(self.X[rows], self.Y[rows], self.weight[rows], self.scatter[rows])

    @property
    def n_noises(self) -> int:
        """Number of noise variances."""
        return self.scatter.shape[1]

    def by_noise(self, values: np.ndarray) -> np.ndarray:
        """Return values of the outputs, shape (..., n_outputs), as (..., n_noises, outputs that share it)."""
        return values.reshape(*values.shape[:-1], self.n_noises, -1)

    def varying(self) -> np.ndarray:
        """Return which noise variances have outputs that are not constant; all of them where none has.

        A constant says nothing of the noise, and would make the prior and the noise of the others small.
        """
        varies = np.any(self.by_noise(np.ptp(self.Y, axis=0) > 0), axis=1)
        return varies if varies.any() else np.ones_like(varies)

    def of_noises(self, chosen: np.ndarray) -> "Data":
        """Return the data of some noise variances, given a mask."""
        n = len(self.Y)
        return Data(self.X, self.by_noise(self.Y)[:, chosen].reshape(n, -1), self.weight, self.scatter[:, chosen])

    def merged(self) -> tuple["Data", np.ndarray]:
        """Return the same data with one row for all of equal inputs, and the place there of each row.

        They are in the inputs' order. Evidence and posterior are the same.
        """
        X, group = np.unique(self.X, axis=0, return_inverse=True)
        weight = np.bincount(group, self.weight)
        Y = np.stack([np.bincount(group, self.weight * y) for y in self.Y.T], axis=1) / weight[:, None]
        squares = self.weight[:, None] * np.sum(self.by_noise((self.Y - Y[group]) ** 2), axis=2)
        scatter = np.stack([np.bincount(group, s) for s in (self.scatter + squares).T], axis=1)
        return Data(X, Y, weight, scatter), group


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


class Objective:
    """Evidence of a network and noise variances given blocks of data, with its gradient: the sum over the blocks.

    Parameters
    ----------
    blocks : list of Data
    limit : {"nngp", "ntk"}
    evidence : callable (tiles, Y) -> Evidence
        ``log_marginal_likelihood`` or ``leave_one_out``.
    n_jobs : int, optional
        Threads: of the work on one block, or of several blocks at a time.
    nuggets : tuple of float, default=NUGGETS
    """

    def __init__(
        self,
        blocks: list[Data],
        limit: Limit,
        evidence: EvidenceFunction,
        n_jobs: int | None = None,
        nuggets: tuple[float, ...] = NUGGETS,
    ) -> None:
        self.blocks, self.limit, self.evidence, self.n_jobs, self.nuggets = blocks, limit, evidence, n_jobs, nuggets
        self._tiles = [[LowerTiles(len(data.Y)) for _ in range(min(data.n_noises, 2))] for data in blocks]

    def evaluate(self, network: Network, noise_variance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the evidence, its gradient with respect to theta and log noise, and what was added to the noise.

        Parameters
        ----------
        network : Network
        noise_variance : ndarray of shape (n_noises,)
        """
        n_blocks = len(self.blocks)
        parts: dict[int, tuple[float, np.ndarray, np.ndarray]] = {}
        inside: int | None = 1
        n_blas = 1
        if n_blocks == 1:
            inside, n_blas = self.n_jobs, solver_threads(len(self.blocks[0].Y), self.n_jobs)

        def work(place: int) -> None:
            parts[place] = self._evaluate_block(place, network, noise_variance, inside)

        with blas_threads(n_blas):
            for_each(work, range(n_blocks), 1 if n_blocks == 1 else thread_count(self.n_jobs))
        values, gradients, nuggets = zip(*(parts[place] for place in range(n_blocks)), strict=True)
        value, gradient = sum(values), sum_of(gradients)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise LinAlgError(
                "the evidence is not a finite number at a trial point: rescale y (normalize_y=True does), or start "
                "from a larger noise_variance."
            )
        return value, gradient, np.max(nuggets, axis=0)

    def _evaluate_block(
        self, place: int, network: Network, noise_variance: np.ndarray, n_jobs: int | None
    ) -> tuple[float, np.ndarray, np.ndarray]:
        data = self.blocks[place]
        engine = KernelEngine(network.lower(data.X.shape[1]), ntk=self.limit == "ntk", n_jobs=n_jobs)
        source = KernelSource(engine, engine.rows(data.X), self.limit)
        total, *spare = self._tiles[place]
        values, slopes, shares = np.empty((3, data.n_noises))
        for k, noise in enumerate(noise_variance):
            tiles, Y = spare[0] if k else total, data.by_noise(data.Y)[:, k]
            evidence, shares[k] = self._factor(source, noise, Y, data.weight, tiles)
            values[k], slopes[k] = evidence.value, np.sum(evidence.diagonal() / data.weight)
            if k:
                total.add(tiles)  # M of all outputs
        nuggets = shares * float(np.mean(source.diagonal()))
        of_differences = differences(data, noise_variance + nuggets)
        values, slopes = values + of_differences[0], slopes + of_differences[1]
        total.add_to_diagonal(np.full(len(data.Y), shares @ slopes / len(data.Y)))  # the nuggets follow K
        gradient = theta_gradient(network, program_gradient(source, total))
        return float(values.sum()), np.append(gradient, noise_variance * slopes), nuggets

    def _factor(
        self, source: KernelSource, noise_variance: float, Y: np.ndarray, weight: np.ndarray, tiles: LowerTiles
    ) -> tuple[Evidence, float]:
        mean = float(np.mean(source.diagonal()))

        def attempt(share: float) -> Evidence:
            source.fill(tiles)
            tiles.add_to_diagonal((noise_variance + share * mean) / weight)
            return self.evidence(tiles, Y)

        found = first_definite(self.nuggets, attempt)
        if found is None:
            raise LinAlgError(
                "the kernel matrix is not positive definite at a trial point: start from a larger noise_variance."
            )
        return found


def evidence_bytes(sizes: list[int], n_noises: int, leave_one_out: bool = False, n_threads: int = 1) -> int:
    """Return the most bytes that an ``Objective`` takes, given the numbers of rows of its blocks."""
    tiles = min(n_noises, 2) * sum(map(LowerTiles.n_bytes, sizes))
    if not leave_one_out:
        return tiles
    n = max(sizes)
    return tiles + min(n_threads, len(sizes)) * 8 * (n**2 + 3 * min(n, TILE) ** 2)  # B, and tiles of its products


def differences(data: Data, noise_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log density of the differences between rows that one weight stands for, and its slope in the noise.

    It belongs to the evidence: a row of weight w is w rows (maths 6.6). Both have the shape (n_noises,), as the noise
    variances have; without noise weights have no effect, and both are 0.
    """
    n_outputs, scatter = data.Y.shape[1] // data.n_noises, data.scatter.sum(axis=0)
    repeats = float(np.sum(data.weight - 1.0)) * n_outputs
    noisy = noise_variance > 0.0
    noise = np.where(noisy, noise_variance, 1.0)
    value = -0.5 * repeats * np.log(2 * np.pi * noise) - 0.5 * n_outputs * np.log(data.weight).sum()
    slope = 0.5 * (scatter / noise - repeats) / noise
    return np.where(noisy, value - 0.5 * scatter / noise, 0.0), np.where(noisy, slope, 0.0)


def _prior_precision(network: Network, n_noises: int, prior_std: float | None, relevance_std: float) -> np.ndarray:
    """Return the prior's 1/std² of theta and log noise: the variances of many features are held closer together."""
    if not prior_std:
        return np.zeros(len(theta_of(network)) + n_noises)
    groups = [
        np.full(len(value), relevance_std if len(value) > 1 else 1.0)
        for value in free_hyperparameters(network).values()
    ]
    return (np.concatenate([*groups, np.ones(n_noises)]) * prior_std) ** -2


def climb(
    objective: Objective,
    model: Model,
    *,
    prior_std: float | None,
    relevance_std: float,
    least_noise: float | np.ndarray = 0.0,
    center: np.ndarray | None = None,
    optimizer: OptimizerFunction | None = None,
    deadline: float = np.inf,
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
        With scikit-learn's signature, (function, theta, bounds) -> (theta, minimum); None means L-BFGS-B.
    deadline : float, default=inf
        Of ``time.perf_counter``: L-BFGS-B ends there, with the best point so far.
    """
    network, noise_variance = model.network, model.noise_variance
    p, start = len(theta_of(network)), np.append(theta_of(network), np.log(noise_variance))
    bounds = np.tile(LOG_BOUNDS, (len(start), 1))
    bounds[p:, 0] = np.clip(np.log(np.maximum(least_noise, LEAST_NOISE)), None, LOG_BOUNDS[1])
    start = np.clip(start, *bounds.T)
    center = start if center is None else center
    precision = _prior_precision(network, len(noise_variance), prior_std, relevance_std)
    best: dict[str, Any] = {}

    def cost(theta: np.ndarray, eval_gradient: bool = True) -> tuple[float, np.ndarray] | float:
        theta = checked_theta(theta, p, len(noise_variance), "the theta of your optimizer")
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

    converged = True
    if optimizer is None:
        converged = _minimize(cost, start, bounds, best, deadline)
    else:
        found = optimizer(cost, start, bounds)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise ValueError(f"an optimizer must return the pair (theta, func_min); yours returned {shown(found)}.")
        cost(found[0])
    return replace(
        model,
        network=with_theta(network, best["theta"][:p]),
        noise_variance=np.exp(best["theta"][p:]) + best["nugget"],
        evidence=best["value"],
        converged=converged,
        center=center,
    )


def merit(model: Model, evidence: float | None = None) -> float:
    """Return the evidence less one for each learned variance (Akaike): what is gained by chance is no merit."""
    return (model.evidence if evidence is None else evidence) - len(theta_of(model.network))


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


def _minimize(
    cost: Callable[..., Any], start: np.ndarray, bounds: np.ndarray, best: dict[str, Any], deadline: float
) -> bool:
    """Run L-BFGS-B, again from the best point where it stopped on a slope; return whether it ended by itself."""
    options = {"maxiter": MAX_ITERATIONS, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-4}

    def stop_in_time(_: np.ndarray) -> None:
        if time.perf_counter() > deadline:
            raise StopIteration

    for _ in range(MAX_RUNS):
        found = minimize(
            cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options, callback=stop_in_time
        )
        if found.nit >= MAX_ITERATIONS or time.perf_counter() > deadline:
            return False
        downhill = np.clip(found.x - found.jac, *bounds.T) - found.x
        if np.abs(downhill).max() < STEEP:
            break
        start = best["theta"]
    return True
