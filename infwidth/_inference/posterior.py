"""Exact Gaussian-process inference on a kernel source (Rasmussen & Williams 2006 = RW)."""

import numpy as np
from scipy.linalg import cholesky, eigh

from infwidth._linalg.cholesky import ROUNDING, factorize

BLOCK_BYTES = 128 * 2**20  # of the kernel between training rows and a block of new rows
FAINT = 1e6  # times its prior variance: a larger noise of a row hides its variance in rounding
MEAN_ROWS = 16384  # new rows that are prepared at a time where only the mean is asked for


class Posterior:
    """The Gaussian process given targets: A = K + diag(noise) = L Lᵀ, α = A⁻¹ Y (RW Alg. 2.1).

    Parameters
    ----------
    source : object with ``n``, ``rows``, ``diagonal``, ``fill``, ``fill_cross``, ``dot`` and ``full``
        The kernel; see ``infwidth._recursion.engine.KernelSource``.
    Y : ndarray of shape (n, n_outputs)
    noise : ndarray of shape (n,)
        Noise variance of each row.
    weight : ndarray of shape (n,), default=1.0
        Of each row: jitter is divided by it.
    max_memory : int or str, optional
    verbose : bool, default=False
    """

    def __init__(self, source, Y, noise, *, weight=1.0, max_memory=None, verbose=False):
        self.source, self.Y, self.noise = source, Y, noise
        self.factor, self.jitter = factorize(source, noise, weight=weight, max_memory=max_memory, verbose=verbose)
        self.alpha = self.factor.solve(Y)

    def log_marginal_likelihood(self):
        """Return log p(Y), summed over the outputs (RW 2.30)."""
        n, n_outputs = self.Y.shape
        fit = np.einsum("ij,ij->", self.Y, self.alpha)
        return float(-0.5 * fit - 0.5 * n_outputs * (self.factor.log_determinant() + n * np.log(2.0 * np.pi)))

    def leave_one_out(self, n_rows=None):
        """Return mean, shape (n, n_outputs), and latent variance, shape (n,), of each row given the others (RW 5.12).

        With ``n_rows`` only those of the last rows, so many at least: for a few of many rows it is much less work.
        """
        total = 1.0 / self.factor.inverse_diagonal(n_rows)
        first = len(self.Y) - len(total)
        noise = self.noise[first:]
        mean, variance = self.Y[first:] - self.alpha[first:] * total[:, None], total - noise
        faint = np.flatnonzero(noise > FAINT * self.source.diagonal()[first:])
        for block in row_blocks(len(faint), self._block_rows):
            mean[faint[block]], variance[faint[block]] = self._without_faint(first + faint[block])
        return mean, np.maximum(variance, 0.0)

    def _without_faint(self, place):
        """Return the same for rows whose noise d leaves no digit of the variance in total - d.

        With mean m and variance s given all rows: variance s / (1 - s/d), mean (m - y s/d) / (1 - s/d).
        """
        mean, variance = self._predict(self.source.own.take(place))
        share = variance / self.noise[place]
        mean = (mean - share[:, None] * self.Y[place]) / (1.0 - share)[:, None]
        return mean, variance / (1.0 - share)

    def leave_one_out_log_density(self):
        """Return the log density of each target given the others, summed (RW 5.10)."""
        mean, variance = self.leave_one_out()
        variance = variance + self.noise
        fit = np.sum((self.Y - mean) ** 2 / variance[:, None])
        return float(-0.5 * (fit + self.Y.shape[1] * np.sum(np.log(2.0 * np.pi * variance))))

    def mean(self, X):
        """Return the mean at new inputs, shape (m, n_outputs) (RW 2.25)."""
        return process_mean(self.source, self.alpha, X)

    def mean_and_variance(self, X):
        """Return the mean, shape (m, n_outputs), and the variance of the latent function, shape (m,) (RW 2.26)."""
        mean, variance = np.empty((len(X), self.alpha.shape[1])), np.empty(len(X))
        for block in row_blocks(len(X), self._block_rows):
            mean[block], variance[block] = self._predict(self.source.rows(X[block]))
        return mean, variance

    @property
    def _block_rows(self):
        return max(1, BLOCK_BYTES // (8 * self.source.n))

    def _predict(self, rows):
        """Return mean and latent variance at rows, which is never below the rounding of the prior's."""
        cross = self._cross(rows)
        mean = self.factor.tiles.transposed_product(cross, self.alpha)
        self.factor.half_solve(cross)
        explained = sum(np.einsum("ij,ij->j", tile, tile) for tile in cross)
        prior = self.source.diagonal(rows)
        return mean, np.maximum(prior - explained, ROUNDING * prior)

    def mean_and_covariance(self, X):
        """Return the mean, shape (m, n_outputs), and the covariance of the latent function, shape (m, m)."""
        rows = self.source.rows(X)
        cross = self._cross(rows)
        mean = self.factor.tiles.transposed_product(cross, self.alpha)
        self.factor.half_solve(cross)
        covariance = self.source.full(rows)
        for tile in cross:
            covariance -= tile.T @ tile
        own = np.diag_indices_from(covariance)
        covariance[own] = np.maximum(covariance[own], ROUNDING * self.source.diagonal(rows))
        return mean, covariance

    def _cross(self, rows):
        """Return the kernel of rows with the training rows, as tiles of shape (training rows, rows)."""
        tiles = self.factor.tiles
        cross = tiles.empty_blocks(len(rows.inputs))
        self.source.fill_cross(rows, tiles.placed(cross))
        return cross


def sample_gaussian(mean, covariance, n_samples, random_state):
    """Draw samples, shape (m, n_outputs, n_samples), of independent outputs with one covariance.

    A posterior covariance is often singular to working precision: where Cholesky fails, the eigenvalues below
    zero are taken as zero.
    """
    try:
        root = cholesky(covariance, lower=True)
    except np.linalg.LinAlgError:
        values, vectors = eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = random_state.standard_normal((*mean.shape, n_samples))
    return mean[:, :, None] + np.einsum("ij,jkl->ikl", root, normal, optimize=True)


def process_mean(source, alpha, X):
    """Return the kernel of new inputs with the training rows times alpha, shape (m, n_outputs)."""
    mean = np.empty((len(X), alpha.shape[1]))
    for block in row_blocks(len(X), MEAN_ROWS):
        mean[block] = source.dot(source.rows(X[block]), alpha)
    return mean


def row_blocks(n, size):
    """Return slices of at most ``size`` of n rows."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
