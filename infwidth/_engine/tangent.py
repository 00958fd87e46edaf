"""Derivatives of whole kernel matrices: the one place where an (n, n, p) tensor is built.

scikit-learn's ``kernel(X, eval_gradient=True)`` asks for it. Learning inside this package uses the adjoint pass.
"""

import numpy as np

from infwidth._engine.rows import sites, walk_rows
from infwidth._program.operation import Values

WORKING_MATRICES = 10  # that a step of one direction holds besides those that are kept


def tangents(program, X, directions, *, ntk=False):
    """Return derivatives of the kernel matrix of X along p directions.

    Parameters
    ----------
    program : Program
    X : ndarray of shape (n, n_features)
    directions : list of ProgramGradient
        Each a change of the numbers of the operations and of the logarithms of the input variances.
    ntk : bool, default=False
        Whether the derivatives are those of Θ instead of K.

    Returns
    -------
    ndarray of shape (n, n, p)
    """
    inputs = np.multiply(X, program.input_scale, order="C")
    primal = _primal(program, inputs, ntk)
    result = np.empty((len(inputs), len(inputs), len(directions)))
    for index, direction in enumerate(directions):
        result[:, :, index] = _along(program, inputs, *primal, direction, ntk)
    return result


def tangent_bytes(program, n, n_directions):
    """Return the most bytes that ``tangents`` of n rows takes."""
    pairs = program.pairs_of_values()
    kept = [len(pairs[place]) * operation.n_kept for place, operation in enumerate(program.operations)]
    return 8 * (n_directions + sum(kept) + WORKING_MATRICES * len(program.pairs)) * n**2


def _primal(program, inputs, ntk):
    """Return the matrices at the start and after each operation, and of each operation what it keeps.

    The diagonals of the matrices are the kernels of single inputs.
    """
    of_sites, (of_rows, coefficients) = sites(program, inputs), walk_rows(program, inputs)
    k = np.stack([of_sites[left] @ of_sites[right].T for left, right in program.pairs])
    for place, own in enumerate(of_rows[0].k):
        np.fill_diagonal(k[place], own)
    values, kept, pairs = [Values(k, np.zeros_like(k))], [], program.pairs_of_values()
    found = program.versions()[0]
    for operation, (own, source), row in zip(program.operations, found, coefficients, strict=True):
        after, own_kept = operation.matrices(values[own], values[source], row, pairs[source], ntk)
        values.append(after)
        kept.append(own_kept)
    return values, kept, coefficients


def _along(program, inputs, values, kept, coefficients, direction, ntk):
    """Follow one direction through the operations."""
    of_sites, of_logs = sites(program, inputs), np.split(direction.log_input, program.n_sites)
    dk = np.stack([_gram_tangent(of_sites, of_logs, *pair) for pair in program.pairs])
    changes, pairs = [Values(dk, np.zeros_like(dk))], program.pairs_of_values()
    found, last = program.versions()
    for place, operation in enumerate(program.operations):
        own, source = found[place]
        change = operation.tangent(
            values[own],
            values[source],
            kept[place],
            changes[own],
            changes[source],
            direction.operations[place, : operation.n_numbers],
            coefficients[place],
            pairs[source],
            ntk,
        )
        changes.append(change)
    return changes[last].t[0] if ntk else changes[last].k[0]


def _gram_tangent(of_sites, of_logs, left, right):
    if left == right:
        return (of_sites[left] * of_logs[left]) @ of_sites[left].T
    return (of_sites[left] * (0.5 * (of_logs[left] + of_logs[right]))) @ of_sites[right].T
