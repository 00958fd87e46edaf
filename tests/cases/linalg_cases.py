"""Matrices for the tests of solvers, as a kernel gives them."""

import numpy as np
import pytest

from infwidth._linalg.cholesky import Cholesky

SHAPES = [(1, 4), (7, 16), (10, 5), (11, 4), (97, 10), (5, 1)]  # rows and tile: 1, 1, 2, 3, 10 and 5 block rows
shapes = pytest.mark.parametrize(("n", "tile"), SHAPES)


class MatrixSource:
    """What ``Cholesky.of`` asks of a kernel, from a matrix in memory.

    Above the diagonal a tile holds NaN: only its lower triangle may be read.
    """

    def __init__(self, A):
        self.A, self.n = np.asarray(A, dtype=float), len(A)

    def diagonal(self):
        return np.diag(self.A).copy()

    def fill(self, tiles):
        for i0, j0, tile in tiles:
            tile[:] = self.A[i0 : i0 + tile.shape[0], j0 : j0 + tile.shape[1]]
            if i0 == j0:
                tile[np.triu_indices_from(tile, 1)] = np.nan


def positive_definite(n):
    half = np.random.default_rng(n).standard_normal((n, n + 5))
    return half @ half.T / n + 0.5 * np.eye(n)


def factor_of(A, tile=10, noise=0.0, **options):
    factor, jitter = Cholesky.of(MatrixSource(A), np.full(len(A), noise), tile=tile, **options)
    assert jitter == 0.0
    return factor


def targets(n, m=3):
    return np.random.default_rng(0).standard_normal((n, m))
