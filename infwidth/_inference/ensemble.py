"""The law of infinitely wide networks after training by gradient descent (Lee et al. 2019, equations 14 to 16).

A trained network is its random initial function plus a linear map A of its errors on the training rows,
f_t(x) = f₀(x) + A_t (y - f₀(X)). So over initialisations it is Gaussian, with (maths 7.2)

    mean A_t y,    covariance K_xx' + A_t K_XX A_t'ᵀ - A_t K_Xx' - (A_t' K_Xx)ᵀ,    A_t = Θ_xX S_t.

Each output has its own noise and so its own ridge, S_t and A_t; all share the eigenvectors.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Self

import numpy as np

from infwidth._inference.dynamics import DENSE_BYTES, Descent, Spectrum
from infwidth._inference.joint_samples import JointSamples
from infwidth._inference.posterior import (
    Posterior,
    at_least_rounding,
    batches,
    copies,
    kernel_batches,
    process_mean,
)
from infwidth._inference.source import KernelSource
from infwidth._linalg.solver import Solver
from infwidth._linalg.tiles import Blocks, LowerTiles, sum_of

COVARIANCE_COLUMNS = 512


class Ensemble(JointSamples):
    """Trained networks given data; what ``Posterior`` is to a Gaussian process.

    Parameters
    ----------
    posterior : Posterior
        Of the Gaussian process with Θ as its prior.
    prior : KernelSource
        K, of the same rows.
    descent : Descent
    time : float

    Attributes
    ----------
    process : Posterior or None
        The Gaussian process at the end of training, where its factors are those of the ensemble.
    """

    def __init__(self, posterior: Posterior, prior: KernelSource, descent: Descent, time: float) -> None:
        self.source, self.prior, self.Y, self.weight = posterior.source, prior, posterior.Y, posterior.weight
        self.groups, self.descent = posterior.groups, descent
        self.ridges = posterior.group_noise_variances
        self.tiles = posterior.tiles.alike()  # of K
        prior.fill(self.tiles)
        self.process = posterior if np.isinf(time) and descent.learning_rate is None else None
        self._set_time(time)

    @property
    def factors(self) -> list[Solver]:
        """Those of the process, one for each group; none at other times."""
        return [] if self.process is None else self.process.factors

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and eigenvectors of Θ."""
        return Spectrum(self.source.full(self.source.own), self.weight, self.Y.shape[1])

    def spectrum_bytes(self) -> int:
        """Return the most bytes that finding the spectrum takes: none where it is known."""
        return 0 if "spectrum" in vars(self) else DENSE_BYTES * self.source.n**2

    def at(self, time: float) -> Self:
        """Return the same ensemble at another time."""
        _ = self.spectrum  # which the copy shares
        other = copy(self)
        other.process = None
        other._set_time(time)
        return other

    def _set_time(self, time: float) -> None:
        self._s = None if self.factors else self._filters(time)
        self.alpha = np.empty(self.Y.shape)
        for place, outputs in enumerate(self.groups.outputs):
            alpha = self.tiles.split(self.Y[:, outputs])
            self._smooth(alpha, place)
            self.alpha[:, outputs] = np.concatenate(alpha)

    def _filters(self, time: float) -> np.ndarray:
        """Return s_t of each group, shape (n, n_groups)."""
        spectrum = self.spectrum
        return np.stack(
            [self.descent.filter(spectrum.decaying(ridge), spectrum.n, time) for ridge in self.ridges], axis=1
        )

    def _smooth(self, blocks: Blocks, place: int) -> None:
        """Overwrite the blocks of B with those of S B; at the end of training S is the inverse of Θ + diag(noise)."""
        if self._s is None:
            self.factors[place].solve_blocks(blocks)
            return
        smooth = self.spectrum.smooth(np.concatenate(blocks), self._s[:, place])
        for row, block in enumerate(blocks):
            block[:] = smooth[self.tiles.rows(row)]

    def staged_mean(self, X: np.ndarray, times: Sequence[float]) -> np.ndarray:
        """Return the means at new inputs, shape (m, n_outputs), at each time."""
        spectrum, target = self.spectrum, self.spectrum.project(self.Y)
        weights = [self._filters(time)[:, self.groups.group] * target for time in times]
        basis = spectrum.root[:, None] * spectrum.vectors
        means = np.empty((len(times), len(X), self.Y.shape[1]))
        for batch in kernel_batches(len(X), self.source):
            projected = self.source.dot(self.source.rows(X[batch]), basis)
            for mean, weight in zip(means, weights, strict=True):
                mean[batch] = projected @ weight
        return means

    def staged_fit(self, times: Sequence[float]) -> list[np.ndarray]:
        """Return the means at the training rows, shape (n, n_outputs), at each time."""
        spectrum, target = self.spectrum, self.spectrum.project(self.Y)
        return [
            spectrum.vectors
            @ (spectrum.values[:, None] * self._filters(time)[:, self.groups.group] * target)
            / spectrum.root[:, None]
            for time in times
        ]

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Return the mean at new inputs, shape (m, n_outputs)."""
        return process_mean(self.source, self.alpha, X)

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of a trained network's outputs, shape (m, n_outputs) each."""
        mean, variance = np.empty((2, len(X), self.Y.shape[1]))
        for batch in kernel_batches(len(X), self.source):
            rows = self.source.rows(X[batch])
            cross, prior = (self.tiles.empty_blocks(len(rows.inputs)) for _ in range(2))
            self.source.fill_cross(rows, self.tiles.placed(cross), prior)
            mean[batch] = self.tiles.transposed_product(cross, self.alpha)
            parts = zip(self._smoothed(cross), copies(prior, len(self.ridges)), self.groups.outputs, strict=True)
            for weights, rest, outputs in parts:
                self._subtract_prior(weights, rest)
                variance[batch, outputs] = _variance(rows.nngp, weights, rest)[:, None]
        return mean, variance

    def mean_and_covariances(self, X: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the mean, shape (m, n_outputs), and trained networks' covariance for each group, shape (m, m)."""
        rows, cross = self.source.rows(X), self.tiles.empty_blocks(len(X))
        self.source.fill_cross(rows, self.tiles.placed(cross))
        mean = self.tiles.transposed_product(cross, self.alpha)
        covariances: list[np.ndarray] = []
        priors = copies([self.prior.full(rows)], len(self.ridges))
        for weights, (covariance,) in zip(self._smoothed(cross), priors, strict=True):
            self._add_covariance(X, rows.nngp, weights, covariance)
            covariances.append(covariance)
        return mean, covariances

    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that ``mean_and_covariances`` of m new inputs takes, its factors being known."""
        n, n_groups = self.source.n, len(self.ridges)
        smoothing = 0 if self.factors else 3 * n * m
        columns = min(m, COVARIANCE_COLUMNS) * (n + 2 * m)
        return 8 * (min(n_groups, 3) * n * m + (n_groups + 1) * m**2 + max(smoothing, columns))

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that ``leave_one_out`` takes: four tile columns."""
        return 4 * self.tiles.own_column_bytes()

    def appending_bytes(self, n: int) -> int:
        """Return the most bytes that the same takes for n rows: factors, K, and at other times eigenvectors."""
        if self.process is not None:
            return self.process.appending_bytes(n) + self.process.tiles.extended_bytes(n)
        return (len(self.ridges) + 1) * LowerTiles.n_bytes(n) + DENSE_BYTES * n**2

    def _add_covariance(self, X: np.ndarray, prior: np.ndarray, weights: Blocks, covariance: np.ndarray) -> None:
        """Add to the covariance of the start what training does to it, given A(x)ᵀ as blocks."""
        variance = np.empty(len(X))
        for columns in batches(len(X), COVARIANCE_COLUMNS):
            own, rest = [block[:, columns] for block in weights], self.tiles.empty_blocks(len(X[columns]))
            self.prior.fill_cross(self.source.rows(X[columns]), self.tiles.placed(rest))
            self._subtract_prior(own, rest)
            part = 0.5 * sum_of(w.T @ r for w, r in zip(weights, rest, strict=True))
            covariance[:, columns] += part
            covariance[columns] += part.T
            variance[columns] = _variance(prior[columns], own, rest)
        covariance[np.diag_indices_from(covariance)] = variance

    def _smoothed(self, cross: Blocks) -> Iterator[Blocks]:
        """Yield the blocks of A(x)ᵀ = S Θ_Xx for each group."""
        for place, weights in enumerate(copies(cross, len(self.ridges))):
            self._smooth(weights, place)
            yield weights

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of trained networks at each row given the others, at t = ∞ (maths 7.6).

        With B = S, the weights of the others are -B_ij/B_ii: the mean is RW 5.12, the variance (B K B)_ii / B_ii². Both
        have shape (n, n_outputs).
        """
        if not self.factors:
            raise ValueError(
                "leave-one-out has a closed form at the end of training only: use training_time=inf without "
                "learning_rate, or cross_val_predict."
            )
        own, variance = np.stack([self._weights_of_others(place) for place in range(len(self.ridges))], axis=2)
        group, prior = self.groups.group, self.prior.diagonal()[:, None]
        return self.Y - self.alpha / own[:, group], at_least_rounding(variance, prior)[:, group]

    def _weights_of_others(self, place: int) -> np.ndarray:
        """Return B_ii and (B K B)_ii / B_ii² of a group, shape (2, n)."""
        n = self.source.n
        own, variance = np.empty((2, n))
        for k in range(self.tiles.n_blocks):
            rows = self.tiles.rows(k)
            unit = np.zeros((n, self.tiles.size(k)))
            unit[rows] = np.eye(self.tiles.size(k))
            columns = self.tiles.split(unit)
            self._smooth(columns, place)
            own[rows] = np.diag(columns[k])
            columns = [block / own[rows] for block in columns]  # before squares, which underflow for tiny weights
            product = [np.zeros_like(block) for block in columns]
            self.tiles.add_product(columns, product)
            variance[rows] = sum(np.einsum("ij,ij->j", b, kb) for b, kb in zip(columns, product, strict=True))
        return np.stack([own, variance])

    def _subtract_prior(self, weights: Blocks, cross: Blocks) -> None:
        """Overwrite blocks of K_Xx by K_XX Aᵀ - 2 K_Xx."""
        for block in cross:
            np.multiply(block, -2.0, out=block)
        self.tiles.add_product(weights, cross)


def _variance(prior: np.ndarray, weights: Blocks, rest: Blocks) -> np.ndarray:
    """Return K_xx + A (K_XX Aᵀ - 2 K_Xx) for single inputs, given Aᵀ and what is in brackets as blocks."""
    change = sum_of(np.einsum("ij,ij->j", w, r) for w, r in zip(weights, rest, strict=True))
    return at_least_rounding(prior + change, prior)
