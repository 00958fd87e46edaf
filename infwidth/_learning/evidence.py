"""How well a kernel explains the targets, and the derivative of that with respect to every entry of the matrix."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from infwidth._linalg import blas
from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.tiles import LowerTiles


class Evidence(NamedTuple):
    """A value L of A = K + diag(noise), and its derivative.

    Attributes
    ----------
    value : float
    derivative : callable () -> LowerTiles
        Returns M, symmetric, with dL = Σ_ij M_ij dA_ij, in the memory of A: once.
    """

    value: float
    derivative: Callable[[], LowerTiles]


EvidenceFunction = Callable[[LowerTiles, np.ndarray], Evidence]


def log_marginal_likelihood(tiles: LowerTiles, Y: np.ndarray) -> Evidence:
    """Return the log marginal likelihood, summed over outputs, and ∂/∂A = ½(αᵀα summed - t A⁻¹) (maths 6.3, RW 5.9).

    Parameters
    ----------
    tiles : LowerTiles
        A; overwritten.
    Y : ndarray of shape (n, t)
    """
    factor = Cholesky(tiles)
    alpha = factor.solve(Y)
    n, t = Y.shape
    fit = np.einsum("ij,ij->", Y, alpha)
    value = float(-0.5 * fit - 0.5 * t * (factor.log_determinant() + n * np.log(2.0 * np.pi)))

    def derivative() -> LowerTiles:
        M = factor.inverse()
        _add_outer(M, 0.5, alpha, alpha, -0.5 * t)
        return M

    return Evidence(value, derivative)


def leave_one_out_density(tiles: LowerTiles, Y: np.ndarray) -> Evidence:
    """Return the leave-one-out log predictive density (RW 5.4.2), summed over outputs, and its ∂/∂A.

    The mean of the targets is not known (maths 6.21): B = A⁻¹ - s b bᵀ with b = A⁻¹ 1, and α = B Y. With r_i = α_i/B_ii
    and c_i = ½ (t/B_ii + Σ r_i²): M = ½ (α (Br)ᵀ + (Br) αᵀ) - B diag(c) B.

    Parameters
    ----------
    tiles : LowerTiles
        A; overwritten.
    Y : ndarray of shape (n, t)
    """
    factor = Cholesky(tiles)
    alpha, b = factor.solve(Y), factor.solve(np.ones((len(Y), 1)))
    share = share_of_mean(float(b.sum()), Y)
    alpha -= share * b * alpha.sum(axis=0)
    t = Y.shape[1]
    inverse = factor.inverse()
    _add_outer(inverse, -share, b, b, 1.0)
    own = inverse.diagonal()
    r = alpha / own[:, None]
    value = float(np.sum(0.5 * t * np.log(own) - 0.5 * np.einsum("ij,ij->i", alpha, r) - 0.5 * t * np.log(2.0 * np.pi)))

    def derivative() -> LowerTiles:
        weight = 0.5 * (t / own + np.einsum("ij,ij->i", r, r))
        B = inverse.dense()
        product = B @ r
        B *= np.sqrt(weight)[:, None]
        left = B.T  # B diag(c) B = (√c B)ᵀ(√c B), and B is in C order
        for i in range(inverse.n_blocks):
            inverse[i, i][:] = 0.0
            blas.syrk(-1.0, left[inverse.rows(i)], inverse[i, i])
            for j in range(i):
                blas.gemm(-1.0, left[inverse.rows(i)], left[inverse.rows(j)], 0.0, inverse[i, j], trans_b=True)
        _add_outer(inverse, 0.5, alpha, product, 1.0)
        _add_outer(inverse, 0.5, product, alpha, 1.0)
        return inverse

    return Evidence(value, derivative)


def share_of_mean(total: float | np.ndarray, Y: np.ndarray) -> Any:
    """Return s of (A + c 1 1ᵀ)⁻¹ = A⁻¹ - s b bᵀ, given 1ᵀ A⁻¹ 1: b = A⁻¹ 1, c is the mean square of Y (maths 6.21).

    Outputs that are 0 do not count.
    """
    n_used = int(np.count_nonzero(Y.any(axis=0)))
    variance = float(np.sum(Y**2)) / (len(Y) * max(1, n_used))
    return variance / (1.0 + variance * total)


def _add_outer(tiles: LowerTiles, scale: float, left: np.ndarray, right: np.ndarray, keep: float) -> None:
    """Overwrite the tiles of S by scale · left rightᵀ + keep · S."""
    a, b = tiles.split(left), tiles.split(right)
    for i in range(tiles.n_blocks):
        for j in range(i + 1):
            blas.gemm(scale, a[i], b[j], keep, tiles[i, j], trans_b=True)
