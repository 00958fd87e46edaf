"""A program as arrays, for the compiled passes."""

from typing import NamedTuple

import numpy as np

from infwidth._program.operation import diagonal_places
from infwidth._program.program import Program

# What stands in the columns of ``Encoded.calls``
PLACE, FORWARD, ADJOINT = 0, 1, 2  # of the operation, and the addresses of its loops
TARGET, SOURCE = 3, 4  # registers
OWN, READ = 5, 6  # the values that are found in them: see ``Program.versions``
PAIR, N_PAIRS = 7, 8  # of sites: the first that this call works on, and how many the operation has
LEFT, RIGHT = 9, 10  # the first row of the coefficients of both sites, among those of all operations
LEFT_SITE, RIGHT_SITE = 11, 12  # both sites, among those of all operations


class Encoded(NamedTuple):
    """A program for one limit.

    Attributes
    ----------
    parameters : ndarray of shape (n_operations, most parameters)
    calls : ndarray of int, shape (n_calls, 13)
        One row for each call of a loop, first to last: one a pair of sites, or one for all of them.
    pairs : ndarray of int, shape (n_pairs, 2)
        Pairs of sites at the start.
    n_registers : int
    """

    parameters: np.ndarray
    calls: np.ndarray
    pairs: np.ndarray
    n_registers: int


def encode(program: Program, ntk: bool, adjoint: bool = False) -> Encoded:
    """Return the program as arrays; the adjoint loops are compiled only where they are asked for."""
    operations = program.operations
    parameters = [operation.parameters() for operation in operations]
    table = np.zeros((len(operations), max(map(len, parameters))))
    (found, _), of_values, calls = program.versions, program.pairs_of_values, []
    coefficient, site = 0, 0
    for place, operation in enumerate(operations):
        table[place, : len(parameters[place])] = parameters[place]
        pairs, width = of_values[found[place][1]], operation.n_coefficients
        loops = operation.forward(ntk), operation.adjoint(ntk) if adjoint else 0
        head = (place, *loops, operation.target, operation.source, *found[place])
        for pair, (left, right) in enumerate(pairs[:1] if operation.across else pairs):
            coefficients = coefficient + left * width, coefficient + right * width
            calls.append((*head, pair, len(pairs), *coefficients, site + left, site + right))
        n_sites = len(diagonal_places(pairs))
        coefficient, site = coefficient + n_sites * width, site + n_sites
    return Encoded(table, np.array(calls, dtype=np.int64), np.array(program.pairs, dtype=np.int64), program.n_registers)
