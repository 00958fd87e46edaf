"""Small processes, each conditioned on the rows of its leaf: kernels, factors and solutions without the GIL."""

from typing import NamedTuple, Self

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning

from infwidth._engine.encoding import Encoded
from infwidth._engine.forward import fused_pass
from infwidth._engine.rows import Rows
from infwidth._linalg.cholesky import ROUNDING
from infwidth._linalg.jitter import JITTERS
from infwidth._linalg.lapack import Routines, factor_in_place, half_solve
from infwidth._runtime.jit import entry_point, jit
from infwidth._runtime.warnings import warn_user


class Leaves(NamedTuple):
    """Rows that are predicted together, and what they are conditioned on, leaf after leaf.

    Attributes
    ----------
    asked, asked_edges : ndarray of int
        Indices of the rows to predict; leaf i has those from edge i to edge i + 1.
    given, given_edges : ndarray of int
        The same for the training rows.
    own : ndarray of int
        The place of each row among the training rows of its leaf, where rows are training rows; else empty.
    """

    asked: np.ndarray
    asked_edges: np.ndarray
    given: np.ndarray
    given_edges: np.ndarray
    own: np.ndarray


class Conditions(NamedTuple):
    """Training rows with their targets and noise.

    Attributes
    ----------
    rows : Rows
    targets : ndarray of shape (n_outputs + 1, n)
        The last are 1.
    group : ndarray of int, shape (n_outputs,)
        The group of each output: those that share a noise variance.
    noise : ndarray of shape (n_groups, n)
        Noise variance of each row.
    unit : ndarray of shape (n,)
        What a jitter of 1 adds to the diagonal.
    """

    rows: Rows
    targets: np.ndarray
    group: np.ndarray
    noise: np.ndarray
    unit: np.ndarray


class Solved(NamedTuple):
    """What leaves are solved for, of each row asked; b is its right-hand side: its kernel, or its unit vector.

    Attributes
    ----------
    fit, total_fit : ndarray of shape (n_asked, n_outputs)
        bᵀ A⁻¹ Y, and 1ᵀ A⁻¹ Y of its leaf.
    explained, of_one, total : ndarray of shape (n_asked, n_groups)
        bᵀ A⁻¹ b, bᵀ A⁻¹ 1, and 1ᵀ A⁻¹ 1 of its leaf.
    jitter : ndarray of shape (n_asked, n_groups)
        In units of ``Conditions.unit``; infinite where no jitter makes A positive definite.
    """

    fit: np.ndarray
    total_fit: np.ndarray
    explained: np.ndarray
    of_one: np.ndarray
    total: np.ndarray
    jitter: np.ndarray

    @classmethod
    def empty(cls, n_asked: int, n_outputs: int, n_groups: int) -> Self:
        """Return memory for so many rows."""
        return cls(*np.empty((2, n_asked, n_outputs)), *np.empty((4, n_asked, n_groups)))


@jit
def _take(rows: Rows, chosen: np.ndarray) -> Rows:
    by_site = np.empty((rows.by_site.shape[0], chosen.size, rows.by_site.shape[2]))
    for site in range(rows.by_site.shape[0]):
        for i in range(chosen.size):
            by_site[site, i] = rows.by_site[site, chosen[i]]
    coefficients = np.empty((rows.coefficients.shape[0], chosen.size))
    for place in range(rows.coefficients.shape[0]):
        for i in range(chosen.size):
            coefficients[place, i] = rows.coefficients[place, chosen[i]]
    return Rows(by_site[0], by_site, coefficients, rows.nngp[chosen], rows.ntk[chosen])


@jit
def _block(program: Encoded, a: Rows, b: Rows, is_ntk: bool, out: np.ndarray, upper: bool) -> None:
    nothing = np.empty((0, 0))
    nngp, ntk = (nothing, out) if is_ntk else (out, nothing)
    fused_pass(program, a, 0, a.nngp.size, b, 0, b.nngp.size, nngp, ntk, 0, 0, upper, False)


@entry_point
def factor(
    routines: Routines, K: np.ndarray, diagonal: np.ndarray, noise: np.ndarray, unit: np.ndarray, A: np.ndarray
) -> float:
    """Write the factor of K + noise to A, and return the jitter that it took, or infinity."""
    for jitter in JITTERS:
        A[:] = K
        for i in range(diagonal.size):
            A[i, i] = diagonal[i] + noise[i] + jitter * unit[i]
        if factor_in_place(routines, A) == 0:
            definite = True
            for i in range(diagonal.size):
                definite &= A[i, i] ** 2 > ROUNDING * (diagonal[i] + noise[i])
            if definite:
                return jitter
    return np.inf


@entry_point
def leaf_pass(
    routines: Routines,
    program: Encoded,
    is_ntk: bool,
    conditions: Conditions,
    new: Rows,
    leaves: Leaves,
    first: int,
    last: int,
    solved: Solved,
) -> None:
    """Solve for the rows asked of the leaves from ``first`` to before ``last``.

    Parameters
    ----------
    routines : Routines
    program : Encoded
    is_ntk : bool
    conditions : Conditions
    new : Rows
        The rows asked, unless they are training rows.
    leaves : Leaves
    solved : Solved
        Written.
    """
    n_targets, n_groups = conditions.targets.shape[0], conditions.noise.shape[0]
    for leaf in range(first, last):
        start, stop = leaves.asked_edges[leaf], leaves.asked_edges[leaf + 1]
        given = leaves.given[leaves.given_edges[leaf] : leaves.given_edges[leaf + 1]]
        n, m = given.size, stop - start
        rows = _take(conditions.rows, given)
        K, A, right = np.empty((n, n)), np.empty((n, n)), np.zeros((m, n))
        _block(program, rows, rows, is_ntk, K, True)
        if leaves.own.size:
            for i in range(m):
                right[i, leaves.own[leaves.asked[start + i]]] = 1.0
        else:
            _block(program, _take(new, leaves.asked[start:stop]), rows, is_ntk, right, False)
        targets = np.empty((n_targets, n))
        for target in range(n_targets):
            targets[target] = conditions.targets[target][given]
        diagonal = rows.ntk if is_ntk else rows.nngp
        for group in range(n_groups):
            noise = conditions.noise[group][given]
            jitter = factor(routines, K, diagonal, noise, conditions.unit[given], A)
            B, Z = right.copy(), targets.copy()
            half_solve(routines, A, B)
            half_solve(routines, A, Z)
            fit, totals = np.dot(B, Z.T), np.dot(Z, Z[-1])
            for i in range(m):
                asked = leaves.asked[start + i]
                for output in range(n_targets - 1):
                    if conditions.group[output] == group:
                        solved.fit[asked, output] = fit[i, output]
                        solved.total_fit[asked, output] = totals[output]
                solved.explained[asked, group] = np.sum(B[i] ** 2)
                solved.of_one[asked, group] = fit[i, -1]
                solved.total[asked, group] = totals[-1]
                solved.jitter[asked, group] = jitter


def require_definite(jitter: float, unit: float) -> None:
    """Raise where no jitter was enough."""
    if np.isinf(jitter):
        raise LinAlgError(
            f"the kernel matrix of neighbours is not positive definite, even with {JITTERS[-1] * unit:.3g} added to "
            "its diagonal: raise noise_variance."
        )


def warn_of_jitter(jitter: float, unit: float) -> None:
    """Warn where jitter was needed."""
    if jitter > 0:
        warn_user(
            "the kernel matrix of neighbours is not positive definite to working precision: up to "
            f"{jitter * unit:.3g} was added to its diagonal. A larger noise_variance avoids this.",
            LinAlgWarning,
        )
