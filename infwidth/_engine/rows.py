"""What a program needs to know of each input by itself: O(n) work, in NumPy, before any pair is looked at."""

from typing import NamedTuple

import numpy as np

from infwidth._program.operation import Values
from infwidth._program.program import Program

WalkedRows = tuple[list[Values], list[np.ndarray | None]]  # what ``walk_rows`` returns


class Rows(NamedTuple):
    """A set of inputs, ready for the fused pass.

    Attributes
    ----------
    inputs : ndarray of shape (n, n_features)
        x_f √(v_f / d): the Gram matrix of these is where a program starts.
    by_site : ndarray of shape (n_sites, n, n_features / n_sites)
        The same, site by site; with one site a view.
    coefficients : ndarray of shape (n_coefficients, n)
        Those of all operations and sites, one after the other.
    nngp, ntk : ndarray of shape (n,)
        Diagonals of both kernels; NaN in ``nngp`` where a variance on the way is not finite.
    """

    inputs: np.ndarray
    by_site: np.ndarray
    coefficients: np.ndarray
    nngp: np.ndarray
    ntk: np.ndarray

    def take(self, place: np.ndarray | slice) -> "Rows":
        """Return some of the inputs."""
        inputs, coefficients = self.inputs[place], np.ascontiguousarray(self.coefficients[:, place])
        by_site = split_by_site(inputs, len(self.by_site))
        return Rows(inputs, by_site, coefficients, self.nngp[place], self.ntk[place])


def compute_rows(program: Program, X: np.ndarray) -> Rows:
    """Follow the program's operations for single inputs, shape (n, n_features)."""
    inputs = np.multiply(X, program.input_scale, order="C")
    by_site = split_by_site(inputs, program.n_sites)
    values, coefficients = walk_rows(program, by_site)
    finite = np.all([np.isfinite(k).all(axis=0) for k, _ in values], axis=0)
    k, t = values[program.versions[1]]
    flat = [own.reshape(-1, len(inputs)) for own in coefficients if own is not None]
    table = np.concatenate([np.empty((0, len(inputs))), *flat])
    return Rows(inputs, by_site, table, np.where(finite, k[0], np.nan), t[0])


def walk_rows(program: Program, by_site: np.ndarray) -> WalkedRows:
    """Return the kernels of single inputs, shape (n_pairs, n), at the start and after each operation.

    And the coefficients of each operation, as ``Operation.rows`` gives them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # not finite: reported once, by the engine
        k = np.stack([np.einsum("ij,ij->i", by_site[left], by_site[right]) for left, right in program.pairs])
        values, coefficients = [Values(k, np.zeros_like(k))], []
        found, pairs = program.versions[0], program.pairs_of_values
        for operation, (own, source) in zip(program.operations, found, strict=True):
            after, own_coefficients = operation.rows(values[own], values[source], pairs[source])
            values.append(after)
            coefficients.append(own_coefficients)
    return values, coefficients


def split_by_site(inputs: np.ndarray, n_sites: int) -> np.ndarray:
    """Return the features of each site, shape (n_sites, n, n_features / n_sites)."""
    return np.ascontiguousarray(inputs.reshape(len(inputs), n_sites, inputs.shape[1] // n_sites).transpose(1, 0, 2))
