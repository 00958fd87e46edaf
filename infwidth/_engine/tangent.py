"""Derivatives of whole kernel matrices: the one place where an (n, n, p) tensor is built.

scikit-learn's ``kernel(X, eval_gradient=True)`` asks for it. Learning inside this package uses the adjoint pass.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from infwidth._engine.gradient import ProgramGradient
from infwidth._engine.rows import split_by_site, walk_rows
from infwidth._program.operation import Before, Direction, Values
from infwidth._program.program import Program

WORKING_MATRICES = 10  # that a step of one direction holds besides those that are kept


def tangents(
    program: Program, X: np.ndarray, directions: Sequence[ProgramGradient], *, ntk: bool = False
) -> np.ndarray:
    """Return derivatives of the kernel matrix of X along p directions.

    Parameters
    ----------
    program : Program
    X : ndarray of shape (n, n_features)
    directions : sequence of ProgramGradient
        Each a change of the numbers of the operations and of the logarithms of the input variances.
    ntk : bool, default=False
        Whether the derivatives are those of Θ instead of K.

    Returns
    -------
    ndarray of shape (n, n, p)
    """
    by_site = split_by_site(np.multiply(X, program.input_scale, order="C"), program.n_sites)
    primal = _primal(program, by_site, ntk)
    result = np.empty((len(X), len(X), len(directions)))
    for index, direction in enumerate(directions):
        result[:, :, index] = _along(program, by_site, primal, direction, ntk)
    return result


def tangent_bytes(program: Program, n: int, n_directions: int) -> int:
    """Return the most bytes that ``tangents`` of n rows takes."""
    pairs, found = program.pairs_of_values, program.versions[0]
    kept = [len(pairs[source]) * op.n_kept for op, (_, source) in zip(program.operations, found, strict=True)]
    working = WORKING_MATRICES + 2 * (program.n_registers - 1)
    return 8 * (n_directions + sum(kept) + working * len(program.pairs)) * n**2


def _primal(program: Program, by_site: np.ndarray, ntk: bool) -> list[tuple[Before, Any]]:
    """Return the matrices that each operation finds, and what it keeps of them.

    The diagonals of the matrices are the kernels of single inputs.
    """
    of_rows, coefficients = walk_rows(program, by_site)
    k = np.stack([by_site[left] @ by_site[right].T for left, right in program.pairs])
    for place, own in enumerate(of_rows[0].k):
        np.fill_diagonal(k[place], own)
    values, steps, pairs = [Values(k, np.zeros_like(k))], [], program.pairs_of_values
    found = program.versions[0]
    for operation, (own, source), row in zip(program.operations, found, coefficients, strict=True):
        before = Before(values[own], values[source], row, pairs[source], ntk)
        after, kept = operation.matrices(before)
        values.append(after)
        steps.append((before, kept))
    return steps


def _along(
    program: Program, by_site: np.ndarray, primal: list[tuple[Before, Any]], direction: ProgramGradient, ntk: bool
) -> np.ndarray:
    """Follow one direction through the operations."""
    logs = direction.log_input.reshape(program.n_sites, -1)
    dk = np.stack([_gram_tangent(by_site, logs, *pair) for pair in program.pairs])
    changes = {0: Values(dk, np.zeros_like(dk))}  # of what is in the registers
    for operation, numbers, (before, kept) in zip(program.operations, direction.operations, primal, strict=True):
        source = changes[operation.source]
        own = changes.get(operation.target, source)  # of a register that is written first it does not matter
        change = Direction(own, source, numbers[: operation.n_numbers])
        changes[operation.target] = operation.tangent(before, kept, change)
    return changes[0].t[0] if ntk else changes[0].k[0]


def _gram_tangent(by_site: np.ndarray, logs: np.ndarray, left: int, right: int) -> np.ndarray:
    return (by_site[left] * (0.5 * (logs[left] + logs[right]))) @ by_site[right].T
