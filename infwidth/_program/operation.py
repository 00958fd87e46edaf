"""What an operation is: one step of a program, on the kernels of pairs of inputs and on those of single inputs.

A program keeps the kernels k (NNGP) and t (NTK) in *registers*. An operation changes one register in place, and may
read another. Each file of this package holds one operation, in four forms that must agree:

    rows            what it does to the kernels of single inputs with themselves, in NumPy
    forward         a compiled loop over the pairs of one input with a chunk of others
    adjoint         the loop that walks back, from ∂L/∂(kernels after) to ∂L/∂(kernels before) and ∂L/∂(numbers)
    tangent         the derivative of whole matrices along a direction, in NumPy

An input has one site, or several (pixels, time steps): kernels then have a first axis of pairs of sites.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np


class Values(NamedTuple):
    """Kernels, or derivatives of them: arrays of one shape, or in compiled loops t of size 0 where Θ is not wanted."""

    k: np.ndarray
    t: np.ndarray


SitePairs = tuple[tuple[int, int], ...]
ONE_SITE: SitePairs = ((0, 0),)


class Before(NamedTuple):
    """What an operation finds, of single inputs, shape (n_pairs, n), or of all pairs of them, (n_pairs, n, n).

    Attributes
    ----------
    own, source : Values
        Kernels in the register that changes, and in the one that is read.
    coefficients : ndarray of shape (n_sites, n_coefficients, n), or None
        What ``Operation.rows`` has given.
    pairs : SitePairs
    ntk : bool
        Whether t matters.
    """

    own: Values
    source: Values
    coefficients: Any
    pairs: SitePairs
    ntk: bool


class Direction(NamedTuple):
    """Derivatives of what an operation finds, along a direction.

    Attributes
    ----------
    own, source : Values of shape (n_pairs, n, n)
    numbers : ndarray of shape (n_numbers,)
        Of the operation's own numbers.
    """

    own: Values
    source: Values
    numbers: np.ndarray


def diagonal_places(pairs: SitePairs) -> list[int]:
    """Return the places of the pairs of each site with itself, site by site."""
    places = {left: place for place, (left, right) in enumerate(pairs) if left == right}
    return [places[site] for site in range(len(places))]


class Operation(ABC):
    """Base of the operations, which are frozen dataclasses.

    Attributes
    ----------
    target : int
        The register that changes.
    source : int
        The register that is read besides; the target itself where there is none.
    overwrites : bool
        Whether what the target held before does not matter.
    n_coefficients : int
        Numbers that one site of an input brings to the loops.
    n_numbers : int
        Numbers of the operation that have gradients.
    n_kept : int
        Matrices of all pairs that ``matrices`` makes, for the estimate of memory.
    across : bool
        Whether the loops work on all pairs of sites at once, arrays of shape (n_pairs, n), and not on one at a time.
    """

    target: int
    n_coefficients: ClassVar[int] = 0
    n_kept: ClassVar[int] = 2
    overwrites: ClassVar[bool] = False
    across: ClassVar[bool] = False

    @property
    def source(self) -> int:
        """The register that is read besides."""
        return self.target

    @property
    def n_numbers(self) -> int:
        """Numbers of the operation that have gradients."""
        return 0

    def require_ntk(self) -> None:
        """Raise a ValueError where the neural tangent kernel does not exist."""
        return

    def parameters(self) -> tuple[float, ...]:
        """Return the numbers that the loops take."""
        return ()

    def pairs_after(self, pairs: SitePairs) -> SitePairs:
        """Return the pairs of sites that the target has afterwards, given those of the source."""
        return pairs

    @abstractmethod
    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        """Return the kernels of single inputs, shape (n_pairs, n), and their coefficients.

        The coefficients have the shape (n_sites, n_coefficients, n); None where there are none.
        """

    @abstractmethod
    def rows_adjoint(
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        """Walk single inputs back.

        Parameters
        ----------
        before : Before
        bar : Values of shape (n_pairs, n)
            ∂L/∂(kernels after).
        q_bar : ndarray of shape (n_sites, n)
            ∂L/∂(variance of each site) through the coefficients of the loops.
        gradient : ndarray of shape (n_numbers,)
            ∂L/∂(the operation's numbers) is added to it.

        Returns
        -------
        own_bar : Values
            ∂L/∂(kernels before).
        source_bar : Values or None
            What is added to the derivatives of the source.
        """

    @abstractmethod
    def forward(self, ntk: bool) -> int:
        """Return the address of the forward loop; see ``loops``."""

    @abstractmethod
    def adjoint(self, ntk: bool) -> int:
        """Return the address of the adjoint loop."""

    def matrices(self, before: Before) -> tuple[Values, Any]:
        """Return matrices of all pairs, shape (n_pairs, n, n), and what ``tangent`` needs of them.

        The diagonals of a site with itself are those that ``rows`` gives. Here that is what ``rows`` does, entry by
        entry, for operations that treat all pairs alike.
        """
        return self.rows(before.own, before.source, before.pairs)

    @abstractmethod
    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        """Return the derivative of the matrices along a direction, given what ``matrices`` has kept."""
