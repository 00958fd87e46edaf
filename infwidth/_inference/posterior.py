"""Exact Gaussian-process inference on a kernel source (Rasmussen & Williams 2006 = RW)."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from infwidth._data.weights import row_noise
from infwidth._engine.rows import Rows
from infwidth._inference.joint_samples import JointSamples
from infwidth._inference.output_groups import OutputGroups
from infwidth._inference.source import KernelSource
from infwidth._learning.evidence import share_of_mean
from infwidth._linalg.cholesky import ROUNDING
from infwidth._linalg.solver import Solver
from infwidth._linalg.solvers import solver_class
from infwidth._linalg.tiles import Blocks, LowerTiles
from infwidth._runtime.memory import MemoryLimit

BATCH_BYTES = 128 * 2**20  # of the kernel between training rows and a batch of new rows
FAINT = 1e6  # times its prior variance: a larger noise of a row hides its variance in rounding
MEAN_ROWS = 16384  # new rows that are prepared at a time where only the mean is asked for


class Posterior(JointSamples):
    """The Gaussian process given targets: A = K + diag(noise) = L Lᵀ, α = A⁻¹ Y (RW Alg. 2.1).

    Each group of outputs has its own noise, and so its own A, L and α.

    Parameters
    ----------
    source : KernelSource
        The kernel of the training rows.
    Y : ndarray of shape (n, n_outputs)
    noise_variance : ndarray of shape (1,) or (n_outputs,)
        Of a row of weight 1.
    weight : ndarray of shape (n,)
        Divides the noise variance of each row.
    solver : {"auto", "cholesky"}, default="auto"
    max_memory : int or str, optional
    verbose : bool, default=False
    earlier : Posterior, optional
        The same given the first of the rows, whose factors are appended to in the place of a ``solver`` being made.

    Attributes
    ----------
    groups : OutputGroups
    factors : list of Solver
        One for each group.
    jitters : ndarray of shape (n_groups,)
        What was added to the noise variances.
    noise : ndarray of shape (n, n_groups)
        Noise variance of each row, jitter included.
    alpha : ndarray of shape (n, n_outputs)
    """

    def __init__(
        self,
        source: KernelSource,
        Y: np.ndarray,
        noise_variance: np.ndarray,
        weight: np.ndarray,
        *,
        solver: str = "auto",
        max_memory: MemoryLimit = None,
        verbose: bool = False,
        earlier: "Posterior | None" = None,
    ) -> None:
        self.source, self.Y, self.weight = source, Y, weight
        self.groups = OutputGroups.of(noise_variance, Y.shape[1])
        noises = [row_noise(value, weight) for value in self.groups.noise_variances]
        options: Any = {"weight": weight, "max_memory": max_memory, "verbose": verbose}
        found: list[tuple[Solver, float]]
        if earlier is None:
            found = [solver_class(solver).of(source, noise, **options) for noise in noises]
        else:
            known = zip(earlier.factors, earlier.jitters, noises, strict=True)
            found = [factor.appended(source, noise, jitter=jitter, **options) for factor, jitter, noise in known]
        self.factors: list[Solver] = [factor for factor, _ in found]
        self.jitters: np.ndarray = np.array([jitter for _, jitter in found])
        self.noise = np.stack([row_noise(value, weight) for value in self.group_noise_variances], axis=1)
        self.alpha = np.empty(Y.shape)
        for factor, outputs in zip(self.factors, self.groups.outputs, strict=True):
            self.alpha[:, outputs] = factor.solve(Y[:, outputs])

    @property
    def process(self) -> Self:
        """The Gaussian process: this."""
        return self

    @property
    def jitter(self) -> float:
        """The largest of the jitters."""
        return float(self.jitters.max())

    @property
    def noise_variance(self) -> np.ndarray:
        """The noise variance of each output in use, jitter included, shape (n_outputs,)."""
        return self.group_noise_variances[self.groups.group]

    @property
    def group_noise_variances(self) -> np.ndarray:
        """Those of each group, shape (n_groups,)."""
        return self.groups.noise_variances + self.jitters

    def log_marginal_likelihoods(self) -> np.ndarray:
        """Return log p(y) of each output, shape (n_outputs,) (RW 2.30)."""
        fit = np.einsum("ij,ij->j", self.Y, self.alpha)
        log_determinant = np.array([factor.log_determinant() for factor in self.factors])[self.groups.group]
        return -0.5 * (fit + log_determinant + len(self.Y) * np.log(2.0 * np.pi))

    def leave_one_out(self, n_rows: int | None = None, *, free_mean: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the function at each row given the others, shape (n, n_outputs) each (RW 5.12).

        With ``n_rows`` only those of the last rows, so many at least: for a few of many rows it is much less work. With
        ``free_mean`` the mean of the targets is not known (maths 6.21).
        """
        inverse = np.stack([factor.inverse_diagonal(n_rows) for factor in self.factors], axis=1)
        first, alpha = len(self.Y) - len(inverse), self.alpha
        if free_mean:
            inverse, alpha = self._with_free_mean(inverse)
        total, noise = 1.0 / inverse[:, self.groups.group], self.noise[first:, self.groups.group]
        mean, prior = self.Y[first:] - alpha[first:] * total, self.source.diagonal()[first:, None]
        variance = at_least_rounding(total - noise, prior)
        faint = noise > FAINT * prior
        places = np.flatnonzero(faint.any(axis=1))
        if len(places):
            without = self._without_own_target(first + places)
            for all_rows, own in zip((mean, variance), without, strict=True):
                all_rows[places] = np.where(faint[places], own, all_rows[places])
        return mean, variance

    def _with_free_mean(self, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the last diagonal entries of (A + c 1 1ᵀ)⁻¹, and its product with Y, given those of A⁻¹."""
        one, alpha, inverse = np.ones((len(self.Y), 1)), self.alpha.copy(), inverse.copy()
        for place, (factor, outputs) in enumerate(zip(self.factors, self.groups.outputs, strict=True)):
            b = factor.solve(one)
            share = share_of_mean(float(b.sum()), self.Y[:, outputs])
            alpha[:, outputs] -= share * b * alpha[:, outputs].sum(axis=0)
            inverse[:, place] -= share * b[-len(inverse) :, 0] ** 2
        return inverse, alpha

    def _without_own_target(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for some rows from their posterior."""
        parts = [
            self._mean_and_variance(self.source.own.take(places[batch]))
            for batch in kernel_batches(len(places), self.source)
        ]
        mean, variance = map(np.concatenate, zip(*parts, strict=True))
        return without_own_target(mean, variance, self.Y[places], self.noise[places][:, self.groups.group])

    def held_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return targets, and mean and variance of each given the others (RW 5.12), shape (n, n_outputs) each."""
        mean, variance = self.leave_one_out(free_mean=True)
        return self.Y, mean, variance + self.noise[:, self.groups.group]

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Return the mean at new inputs, shape (m, n_outputs) (RW 2.25)."""
        return process_mean(self.source, self.alpha, X)

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the latent function, shape (m, n_outputs) each (RW 2.26)."""
        mean, variance = np.empty((2, len(X), self.Y.shape[1]))
        for batch in kernel_batches(len(X), self.source):
            mean[batch], variance[batch] = self._mean_and_variance(self.source.rows(X[batch]))
        return mean, variance

    def _mean_and_variance(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        cross, prior = self._cross(rows), self.source.diagonal(rows)
        mean = self.tiles.transposed_product(cross, self.alpha)
        explained = [factor.explained(own) for factor, own in zip(self.factors, self._copies(cross), strict=True)]
        variances = np.stack([at_least_rounding(prior - own, prior) for own in explained], axis=1)
        return mean, variances[:, self.groups.group]

    def mean_and_covariances(self, X: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the mean, shape (m, n_outputs), and the covariance of the function for each group, shape (m, m)."""
        rows = self.source.rows(X)
        cross, prior = self._cross(rows), self.source.diagonal(rows)
        mean = self.tiles.transposed_product(cross, self.alpha)
        covariances: list[np.ndarray] = []
        priors = self._copies([self.source.full(rows)])
        for factor, own, (covariance,) in zip(self.factors, self._copies(cross), priors, strict=True):
            explained = factor.subtract_explained(own, covariance)
            np.fill_diagonal(covariance, at_least_rounding(prior - explained, prior))
            covariances.append(covariance)
        return mean, covariances

    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that ``mean_and_covariances`` of m new inputs takes."""
        n_groups = len(self.factors)
        return 8 * m * (min(n_groups, 3) * self.source.n + (n_groups + 1) * m)

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that ``leave_one_out`` takes."""
        return 2 * self.tiles.own_column_bytes()

    def appending_bytes(self, n: int) -> int:
        """Return the most bytes that the same takes for n rows, where the first rows keep their factors."""
        return sum(factor.appending_bytes(n) for factor in self.factors)

    @property
    def tiles(self) -> LowerTiles:
        """How matrices are cut into tiles."""
        return self.factors[0].tiles

    def _cross(self, rows: Rows) -> Blocks:
        """Return the kernel of the training rows with new ones, as tiles of shape (training rows, new rows)."""
        cross = self.tiles.empty_blocks(len(rows.inputs))
        self.source.fill_cross(rows, self.tiles.placed(cross))
        return cross

    def _copies(self, blocks: Blocks) -> Iterator[Blocks]:
        """Yield blocks that may be overwritten, for each factor."""
        return copies(blocks, len(self.factors))


def log_normal(error: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the log densities of errors with mean 0."""
    return -0.5 * (error**2 / variance + np.log(2.0 * np.pi * variance))


def without_own_target(
    mean: np.ndarray, variance: np.ndarray, y: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take one observation with noise back from a posterior of its row.

    With mean m and variance s given all rows, and noise d: variance s / (1 - s/d), mean (m - y s/d) / (1 - s/d).
    """
    share = variance / noise
    return (mean - share * y) / (1.0 - share), variance / (1.0 - share)


def with_more_targets(
    mean: np.ndarray, variance: np.ndarray, weight: np.ndarray, total: np.ndarray, noise: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Add observations of the row itself to a posterior, given their weight and weighted sum (maths 8.5)."""
    known = weight * variance
    share = np.divide(variance, noise + known, out=np.zeros_like(known), where=known > 0.0)
    return mean + share * (total - weight * mean), (1.0 - share * weight) * variance


def leave_one_out_bytes(n: int) -> int:
    """Return the most bytes that leave-one-out of a process takes: two tile columns."""
    return 2 * LowerTiles.column_bytes(n)


def at_least_rounding(variance: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return variances that are no smaller than what rounding leaves of a difference from the prior variance."""
    return np.maximum(variance, ROUNDING * prior)


def copies(blocks: Blocks, n: int) -> Iterator[Blocks]:
    """Yield blocks that may be overwritten, n times: copies, and at last the blocks themselves."""
    for _ in range(n - 1):
        yield [block.copy(order="F") for block in blocks]
    yield blocks


def process_mean(source: KernelSource, alpha: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the kernel of new inputs with the training rows times alpha, shape (m, n_outputs)."""
    mean = np.empty((len(X), alpha.shape[1]))
    for batch in batches(len(X), MEAN_ROWS):
        mean[batch] = source.dot(source.rows(X[batch]), alpha)
    return mean


def kernel_batches(n: int, source: KernelSource) -> list[slice]:
    """Return slices of n new rows whose kernel with the source's rows fits into ``BATCH_BYTES``."""
    return batches(n, max(1, BATCH_BYTES // (8 * source.n)))


def batches(n: int, size: int) -> list[slice]:
    """Return slices of at most ``size`` of n rows."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
