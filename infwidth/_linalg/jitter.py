"""What is added to the diagonal of a kernel matrix that is not positive definite to working precision."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from scipy.linalg import LinAlgError

# Shares of the mean diagonal, in the order in which they are tried. What is learned always has a little, so that the
# objective does not jump where it becomes needed; a model that is given has none unless it needs some.
NUGGETS = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
JITTERS = (0.0, 1e-10, 1e-8, 1e-6)

Result = TypeVar("Result")


class NotPositiveDefiniteError(LinAlgError):
    """A pivot is not positive."""


def first_definite(shares: Sequence[float], attempt: Callable[[float], Result]) -> tuple[Result, float] | None:
    """Return what the first attempt returns that finds a positive definite matrix, and its share; None if none does."""
    for share in shares:
        try:
            return attempt(share), share
        except NotPositiveDefiniteError:
            continue
    return None
