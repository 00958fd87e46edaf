"""The law of infinitely wide networks after training by gradient descent (Lee et al. 2019, equations 14 to 16).

A trained network is its random initial function plus a linear map A of its errors on the training rows,
f_t(x) = f₀(x) + A_t (y - f₀(X)). So over initialisations it is Gaussian, with (maths 7.2)

    mean A_t y,    covariance K_xx' + A_t K_XX A_t'ᵀ - A_t K_Xx' - (A_t' K_Xx)ᵀ,    A_t = Θ_xX S_t.
"""

from copy import copy
from functools import cached_property

import numpy as np

from infwidth._inference.dynamics import Spectrum, dense_kernel
from infwidth._inference.posterior import BLOCK_BYTES, MEAN_ROWS, process_mean, row_blocks
from infwidth._linalg.tiles import LowerTiles

COVARIANCE_COLUMNS = 512


class Ensemble:
    """Trained networks given data; what ``Posterior`` is to a Gaussian process.

    Parameters
    ----------
    posterior : Posterior
        Of the Gaussian process with Θ as its prior.
    prior : KernelSource
        K, of the same rows.
    weight : ndarray of shape (n,)
    ridge : float
        The noise variance of a row is ridge / weight.
    descent : Descent
    time : float
    max_memory : int or str, optional
    """

    def __init__(self, posterior, prior, weight, ridge, descent, time, max_memory=None):
        self.source, self.prior, self.Y, self.noise = posterior.source, prior, posterior.Y, posterior.noise
        self.jitter, self.weight, self.ridge, self.descent = posterior.jitter, weight, ridge, descent
        self.max_memory = max_memory
        self.tiles = LowerTiles(self.source.n)  # of K
        prior.fill(self.tiles)
        self.factor = posterior.factor if np.isinf(time) and descent.learning_rate is None else None
        self._set_time(time)

    @cached_property
    def spectrum(self):
        """Eigenvalues and eigenvectors of Θ."""
        matrix = dense_kernel(self.source, self.max_memory)
        return Spectrum(matrix, self.weight, self.ridge + self.jitter, self.Y.shape[1])

    def at(self, time):
        """Return the same ensemble at another time."""
        _ = self.spectrum  # which the copy shares
        other = copy(self)
        other.factor = None
        other._set_time(time)
        return other

    def _set_time(self, time):
        self._s = None if self.factor is not None else self._filter(time)
        alpha = self.tiles.split(self.Y)
        self._smooth(alpha)
        self.alpha = np.concatenate(alpha)

    def _filter(self, time):
        return self.descent.filter(self.spectrum.decaying, self.spectrum.n, time)

    def _smooth(self, blocks):
        """Overwrite the blocks of B with those of S B; at the end of training S is the inverse of Θ + diag(noise)."""
        if self.factor is not None:
            self.factor.solve_blocks(blocks)
            return
        smooth = self.spectrum.smooth(np.concatenate(blocks), self._s)
        for place, block in enumerate(blocks):
            block[:] = smooth[self.tiles.rows(place)]

    def staged_mean(self, X, times):
        """Return the means at new inputs, shape (m, n_outputs), at each time."""
        spectrum, target = self.spectrum, self.spectrum.project(self.Y)
        weights = [self._filter(time)[:, None] * target for time in times]
        basis = spectrum.root[:, None] * spectrum.vectors
        means = np.empty((len(times), len(X), self.Y.shape[1]))
        for block in row_blocks(len(X), MEAN_ROWS):
            projected = process_mean(self.source, basis, X[block])
            for mean, weight in zip(means, weights, strict=True):
                mean[block] = projected @ weight
        return means

    def staged_fit(self, times):
        """Return the means at the training rows, shape (n, n_outputs), at each time."""
        spectrum, target = self.spectrum, self.spectrum.project(self.Y)
        return [
            spectrum.vectors @ ((spectrum.values * self._filter(time))[:, None] * target) / spectrum.root[:, None]
            for time in times
        ]

    def mean(self, X):
        """Return the mean at new inputs, shape (m, n_outputs)."""
        return process_mean(self.source, self.alpha, X)

    def mean_and_variance(self, X):
        """Return mean, shape (m, n_outputs), and variance, shape (m,), of a trained network's output."""
        mean, variance = np.empty((len(X), self.Y.shape[1])), np.empty(len(X))
        for block in row_blocks(len(X), max(1, BLOCK_BYTES // (8 * self.source.n))):
            rows = self.source.rows(X[block])
            weights, rest = (self.tiles.empty_blocks(len(rows.inputs)) for _ in range(2))
            self.source.fill_cross(rows, self.tiles.placed(weights), rest)
            mean[block] = self.tiles.transposed_product(weights, self.alpha)
            self._smooth(weights)
            self._subtract_prior(weights, rest)
            variance[block] = rows.nngp + sum(np.einsum("ij,ij->j", w, r) for w, r in zip(weights, rest, strict=True))
        return mean, np.maximum(variance, 0.0)

    def mean_and_covariance(self, X):
        """Return mean, shape (m, n_outputs), and covariance, shape (m, m), of a trained network's outputs."""
        rows, weights = self.source.rows(X), self.tiles.empty_blocks(len(X))
        self.source.fill_cross(rows, self.tiles.placed(weights))
        mean = self.tiles.transposed_product(weights, self.alpha)
        self._smooth(weights)
        covariance = self.prior.full(rows)
        for columns in row_blocks(len(X), COVARIANCE_COLUMNS):
            own, rest = [block[:, columns] for block in weights], self.tiles.empty_blocks(len(X[columns]))
            self.prior.fill_cross(self.source.rows(X[columns]), self.tiles.placed(rest))
            self._subtract_prior(own, rest)
            part = 0.5 * sum(w.T @ r for w, r in zip(weights, rest, strict=True))
            covariance[:, columns] += part
            covariance[columns] += part.T
        return mean, covariance

    def leave_one_out(self):
        """Return mean and variance of a trained network's output at each row given the others, at t = ∞ (maths 7.6).

        With B = S, the weights of the others are -B_ij/B_ii: the mean is RW 5.12, the variance (B K B)_ii / B_ii².
        """
        if self.factor is None:
            raise ValueError(
                "leave-one-out has a closed form at the end of training only: use training_time=inf without "
                "learning_rate, or cross_val_predict."
            )
        n, own, spread = self.source.n, np.empty(self.source.n), np.empty(self.source.n)
        scale = self.noise + self.source.diagonal()  # of the columns of B, so that faint rows do not underflow
        for k in range(self.tiles.n_blocks):
            place = self.tiles.rows(k)
            unit = np.zeros((n, self.tiles.size(k)))
            unit[place] = np.diag(scale[place])
            columns = self.tiles.split(unit)
            self._smooth(columns)
            product = [np.zeros_like(block) for block in columns]
            self.tiles.add_product(columns, product)
            own[place] = np.diag(columns[k])
            spread[place] = sum(np.einsum("ij,ij->j", b, kb) for b, kb in zip(columns, product, strict=True))
        return self.Y - self.alpha * (scale / own)[:, None], np.maximum(spread, 0.0) / own**2

    def _subtract_prior(self, weights, cross):
        """Overwrite blocks of K_Xx by K_XX Aᵀ - 2 K_Xx."""
        for block in cross:
            np.multiply(block, -2.0, out=block)
        self.tiles.add_product(weights, cross)
