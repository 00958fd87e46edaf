"""Minimising a function with costly gradients in a box, from a guess of its curvature.

A projected quasi-Newton method (Bertsekas 1982; Kim, Sra & Dhillon 2010): variables that the gradient holds at a bound
stay there, the others take a step of Newton's method with a BFGS estimate B of the second derivatives. B is damped so
that it stays positive definite (Nocedal & Wright 2006, 18.15), and steps are shortened until the function falls.
SciPy's L-BFGS-B takes about twice as many gradients: it cannot begin with a known curvature, nor say what is left to
gain.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize
from scipy.linalg import LinAlgError, cho_factor, cho_solve

MAX_ITERATIONS = 200
MANY_VARIABLES = 1000  # B is a burden beyond
LONGEST = 1.5  # change of a variable in one step
MAX_SHORTENED = 12  # times that a step is shortened before it is given up
SUFFICIENT = 1e-4  # share of the fall that the slope promises, which a step must reach
SHORTER, LEAST_SHORTER = 0.5, 0.1  # factors that a step is shortened by
DAMPING = 0.2  # share of the known curvature that a step must show

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]  # of x: the value and the gradient


class Minimum(NamedTuple):
    """Where a minimisation ended.

    Attributes
    ----------
    x, gradient : ndarray of shape (p,)
    value : float
    curvature : ndarray of shape (p, p)
        B, positive definite.
    converged : bool
        Whether it ended by itself.
    """

    x: np.ndarray
    value: float
    gradient: np.ndarray
    curvature: np.ndarray
    converged: bool


def minimize(
    function: Function,
    start: np.ndarray,
    bounds: np.ndarray,
    curvature: np.ndarray,
    *,
    tolerance: float,
    in_time: Callable[[], bool] = lambda: True,
) -> Minimum:
    """Descend until a step promises to gain no more than the tolerance.

    Parameters
    ----------
    function : callable x -> (value, gradient)
    start : ndarray of shape (p,)
    bounds : ndarray of shape (p, 2)
    curvature : ndarray of shape (p, p)
        A guess of the second derivatives at the start, positive definite.
    tolerance : float
        In units of the value.
    in_time : callable () -> bool, optional
        Where it returns False the descent ends.
    """
    at = Minimum(start, *function(start), curvature, converged=False)
    for _ in range(MAX_ITERATIONS):
        if not in_time():
            return at
        step = _step(at, bounds)
        if -0.5 * at.gradient @ step <= tolerance:
            return at._replace(converged=True)
        found = _descended(function, at, step, bounds)
        if found is None and np.count_nonzero(at.curvature) > len(start):  # a wrong B: only its diagonal is kept
            at = at._replace(curvature=np.diag(np.diag(at.curvature)))
            found = _descended(function, at, _step(at, bounds), bounds)
        if found is None:
            return at._replace(converged=True)
        at = found
    return at


def minimize_many(
    function: Function, start: np.ndarray, bounds: np.ndarray, *, in_time: Callable[[], bool] = lambda: True
) -> bool:
    """Descend in more than ``MANY_VARIABLES`` by L-BFGS-B, which keeps no B; return whether it ended by itself."""

    def stop_in_time(_: np.ndarray) -> None:
        if not in_time():
            raise StopIteration

    options = {"maxiter": MAX_ITERATIONS, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-4}
    found = optimize.minimize(
        function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options, callback=stop_in_time
    )
    return found.nit < MAX_ITERATIONS and in_time()


def _step(at: Minimum, bounds: np.ndarray) -> np.ndarray:
    """Return -B⁻¹ ∇ of the variables that may move, 0 for the others, not longer than ``LONGEST``."""
    low, high = bounds.T
    held = ((at.x <= low) & (at.gradient > 0.0)) | ((at.x >= high) & (at.gradient < 0.0))
    free, step = np.flatnonzero(~held), np.zeros_like(at.x)
    if len(free):
        B, slope = at.curvature[np.ix_(free, free)], at.gradient[free]
        try:
            step[free] = -cho_solve(cho_factor(B), slope)
        except LinAlgError:  # rounding has made it singular
            step[free] = -slope / np.diag(B)
    return step * min(1.0, LONGEST / max(np.abs(step).max(initial=0.0), LONGEST))


def _descended(function: Function, at: Minimum, step: np.ndarray, bounds: np.ndarray) -> Minimum | None:
    """Return the first point on the way that is low enough, with what it shows of the curvature; None without one."""
    length = 1.0
    for _ in range(MAX_SHORTENED):
        x = np.clip(at.x + length * step, *bounds.T)
        value, gradient = function(x)
        if value <= at.value + SUFFICIENT * at.gradient @ (x - at.x):
            return Minimum(x, value, gradient, _updated(at.curvature, x - at.x, gradient - at.gradient), False)
        lowest = _lowest_between(at.value, at.gradient @ step, value, gradient @ step, length)
        length *= min(max(lowest, LEAST_SHORTER), SHORTER)
    return None


def _lowest_between(value: float, slope: float, other_value: float, other_slope: float, length: float) -> float:
    """Return where a cubic is lowest, as a share of the length between two points (Nocedal & Wright 2006, 3.59)."""
    d = slope + other_slope - 3.0 * (other_value - value) / length
    square = d * d - slope * other_slope
    if not (np.isfinite(square) and square >= 0.0):
        return SHORTER
    root = np.sqrt(square)
    share = 1.0 - (other_slope + root - d) / (other_slope - slope + 2.0 * root)
    return share if np.isfinite(share) else SHORTER


def _updated(B: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return B + y yᵀ/(yᵀs) - Bs sᵀB/(sᵀBs) for a step s and the change y of the gradient, damped."""
    Bs = B @ s
    known, shown = s @ Bs, y @ s
    if shown < DAMPING * known:
        share = (1.0 - DAMPING) * known / (known - shown)
        y = share * y + (1.0 - share) * Bs
        shown = y @ s
    return B + np.outer(y, y / shown) - np.outer(Bs, Bs / known)
