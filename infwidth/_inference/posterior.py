"""Exact Gaussian-process inference on a kernel source (Rasmussen & Williams 2006 = RW)."""

import numpy as np
from scipy.linalg import cholesky, eigh

from infwidth._linalg.cholesky import factorize

BLOCK_BYTES = 128 * 2**20  # of the kernel between training rows and a block of new rows
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
    max_memory : int or str, optional
    verbose : bool, default=False
    """

    def __init__(self, source, Y, noise, *, max_memory=None, verbose=False):
        self.source, self.Y, self.noise = source, Y, noise
        self.factor, self.jitter = factorize(source, noise, max_memory=max_memory, verbose=verbose)
        self.alpha = self.factor.solve(Y)

    def log_marginal_likelihood(self):
        """Return log p(Y), summed over the outputs (RW 2.30)."""
        n, n_outputs = self.Y.shape
        fit = np.einsum("ij,ij->", self.Y, self.alpha)
        return float(-0.5 * fit - 0.5 * n_outputs * (self.factor.log_determinant() + n * np.log(2.0 * np.pi)))

    def leave_one_out(self, n_rows=None):
        """Return mean, shape (n, n_outputs), and variance, shape (n,), of each target given the others (RW 5.12).

        With ``n_rows`` only those of the last rows, so many at least: for a few of many rows it is much less work.
        """
        variance = 1.0 / self.factor.inverse_diagonal(n_rows)
        first = len(self.Y) - len(variance)
        return self.Y[first:] - self.alpha[first:] * variance[:, None], variance

    def leave_one_out_log_density(self):
        """Return the log density of each target given the others, summed (RW 5.10)."""
        mean, variance = self.leave_one_out()
        fit = np.sum((self.Y - mean) ** 2 / variance[:, None])
        return float(-0.5 * (fit + self.Y.shape[1] * np.sum(np.log(2.0 * np.pi * variance))))

    def mean(self, X):
        """Return the mean at new inputs, shape (m, n_outputs) (RW 2.25)."""
        return process_mean(self.source, self.alpha, X)

    def mean_and_variance(self, X):
        """Return the mean, shape (m, n_outputs), and the variance of the latent function, shape (m,) (RW 2.26)."""
        mean, variance = np.empty((len(X), self.alpha.shape[1])), np.empty(len(X))
        for block in row_blocks(len(X), max(1, BLOCK_BYTES // (8 * self.source.n))):
            rows, cross = self._cross(X[block])
            mean[block] = self.factor.tiles.transposed_product(cross, self.alpha)
            self.factor.half_solve(cross)
            explained = sum(np.einsum("ij,ij->j", tile, tile) for tile in cross)
            variance[block] = self.source.diagonal(rows) - explained
        return mean, np.maximum(variance, 0.0)

    def mean_and_covariance(self, X):
        """Return the mean, shape (m, n_outputs), and the covariance of the latent function, shape (m, m)."""
        rows, cross = self._cross(X)
        mean = self.factor.tiles.transposed_product(cross, self.alpha)
        self.factor.half_solve(cross)
        covariance = self.source.full(rows)
        for tile in cross:
            covariance -= tile.T @ tile
        return mean, covariance

    def _cross(self, X):
        """Return new rows, and their kernel with the training rows as tiles of shape (training rows, new rows)."""
        rows, tiles = self.source.rows(X), self.factor.tiles
        cross = tiles.empty_blocks(len(X))
        self.source.fill_cross(rows, tiles.placed(cross))
        return rows, cross


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
