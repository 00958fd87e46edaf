"""Evidence of a network and noise variances given data, with its gradient."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.linalg import LinAlgError

from infwidth._data.data import Data
from infwidth._engine.engine import KernelEngine, Limit, ProgramSource
from infwidth._engine.gradient import program_gradient
from infwidth._learning.evidence import Evidence, EvidenceFunction
from infwidth._linalg.jitter import NUGGETS, first_definite
from infwidth._linalg.tiles import TILE, LowerTiles, sum_of
from infwidth._runtime.threads import blas_threads, for_each, solver_threads, thread_count
from infwidth.networks import Network
from infwidth.networks.lowering import Lowering
from infwidth.networks.theta import theta_gradient

Found = TypeVar("Found")


class Objective:
    """Evidence of a network and noise variances given parts of the rows, with its gradient: the sum over the parts.

    Parameters
    ----------
    datasets : list of Data
        The parts, which are taken as independent.
    limit : {"nngp", "ntk"}
    evidence : callable (tiles, Y) -> Evidence
        ``log_marginal_likelihood`` or ``leave_one_out_density``.
    n_jobs : int, optional
        Threads: of the work on one part, or of several parts at a time.
    nuggets : tuple of float, default=NUGGETS
    """

    def __init__(
        self,
        datasets: list[Data],
        limit: Limit,
        evidence: EvidenceFunction,
        n_jobs: int | None = None,
        nuggets: tuple[float, ...] = NUGGETS,
    ) -> None:
        self.datasets, self.limit, self.evidence, self.n_jobs, self.nuggets = datasets, limit, evidence, n_jobs, nuggets
        self._tiles = [[LowerTiles(len(data.Y)) for _ in range(min(data.n_noises, 2))] for data in datasets]

    @property
    def n_rows(self) -> int:
        """Rows of all parts."""
        return sum(len(data.Y) for data in self.datasets)

    def evaluate(self, network: Network, noise_variance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the evidence, its gradient with respect to theta and log noise, and what was added to the noise.

        Parameters
        ----------
        network : Network
        noise_variance : ndarray of shape (n_noises,)
        """
        parts = self._of_parts(lambda part, n_jobs: self._evaluate_part(part, network, noise_variance, n_jobs))
        values, gradients, nuggets = zip(*parts, strict=True)
        value, gradient = sum(values), sum_of(gradients)
        _require_finite(value, gradient)
        return value, gradient, np.max(nuggets, axis=0)

    def value(self, network: Network, noise_variance: np.ndarray) -> float:
        """Return the evidence alone."""
        value = sum(self._of_parts(lambda part, n_jobs: self._value_of_part(part, network, noise_variance, n_jobs)))
        _require_finite(value)
        return value

    def _of_parts(self, work: Callable[[int, int | None], Found]) -> list[Found]:
        """Return ``work(part, n_jobs)`` of each part: one after the other on all threads, or several side by side."""
        n_parts = len(self.datasets)
        found: dict[int, Found] = {}
        inside: int | None = 1
        n_blas = 1
        if n_parts == 1:
            inside, n_blas = self.n_jobs, solver_threads(len(self.datasets[0].Y), self.n_jobs)

        def keep(part: int) -> None:
            found[part] = work(part, inside)

        with blas_threads(n_blas):
            for_each(keep, range(n_parts), 1 if n_parts == 1 else thread_count(self.n_jobs))
        return [found[part] for part in range(n_parts)]

    def _source(self, part: int, lowering: Lowering, n_jobs: int | None) -> ProgramSource:
        engine = KernelEngine(lowering.program(), ntk=self.limit == "ntk", n_jobs=n_jobs)
        return ProgramSource(engine, engine.rows(self.datasets[part].X), self.limit)

    def _value_of_part(self, part: int, network: Network, noise_variance: np.ndarray, n_jobs: int | None) -> float:
        data, tiles = self.datasets[part], self._tiles[part][0]
        source = self._source(part, network.lowered(data.X.shape[1]), n_jobs)
        Y, (values, shares) = data.by_noise(data.Y), np.empty((2, data.n_noises))
        for k, noise in enumerate(noise_variance):
            evidence, shares[k] = self._factor(source, noise, Y[:, k], data.weight, tiles)
            values[k] = evidence.value
        nuggets = shares * float(np.mean(source.diagonal()))
        return float(np.sum(values + differences(data, noise_variance + nuggets)[0]))

    def _evaluate_part(
        self, part: int, network: Network, noise_variance: np.ndarray, n_jobs: int | None
    ) -> tuple[float, np.ndarray, np.ndarray]:
        data = self.datasets[part]
        lowering = network.lowered(data.X.shape[1])
        source = self._source(part, lowering, n_jobs)
        total, *spare = self._tiles[part]
        Y, (values, slopes, shares) = data.by_noise(data.Y), np.empty((3, data.n_noises))
        for k, noise in enumerate(noise_variance):
            evidence, shares[k] = self._factor(source, noise, Y[:, k], data.weight, spare[0] if k else total)
            M = evidence.derivative()
            values[k], slopes[k] = evidence.value, np.sum(M.diagonal() / data.weight)
            if k:
                total.add(M)  # M of all outputs
        nuggets = shares * float(np.mean(source.diagonal()))
        of_differences = differences(data, noise_variance + nuggets)
        values, slopes = values + of_differences[0], slopes + of_differences[1]
        total.add_to_diagonal(np.full(len(data.Y), shares @ slopes / len(data.Y)))  # the nuggets follow K
        gradient = theta_gradient(network, lowering, program_gradient(source, total))
        return float(values.sum()), np.append(gradient, noise_variance * slopes), nuggets

    def _factor(
        self, source: ProgramSource, noise_variance: float, Y: np.ndarray, weight: np.ndarray, tiles: LowerTiles
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


def _require_finite(*numbers: float | np.ndarray) -> None:
    if not all(np.isfinite(each).all() for each in numbers):
        raise LinAlgError(
            "the evidence is not a finite number at a trial point: rescale y (normalize_y=True does), or start "
            "from a larger noise_variance."
        )


def evidence_bytes(sizes: list[int], n_noises: int, by_leave_one_out: bool = False, n_threads: int = 1) -> int:
    """Return the most bytes that an ``Objective`` takes, given the numbers of rows of its parts."""
    tiles = min(n_noises, 2) * sum(map(LowerTiles.n_bytes, sizes))
    if not by_leave_one_out:
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
