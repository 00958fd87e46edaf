"""A program as arrays, for the compiled passes."""

from typing import NamedTuple

import numpy as np

from infwidth._program.operation import diagonal_places
from infwidth._program.program import Program

# What stands in the columns of ``Encoded.layout``
TARGET, SOURCE = 0, 1  # registers
OWN, READ = 2, 3  # the values that are found in them: see ``Program.versions``
COEFFICIENT, N_COEFFICIENTS = 4, 5  # the first row among all coefficients, and how many a site has
SITE = 6  # the first among all sites of all operations
PAIR, N_PAIRS, N_CALLS = 7, 8, 9  # the first row of ``Encoded.pairs``, how many pairs of sites, and calls of the loop
N_COLUMNS = 10


class Encoded(NamedTuple):
    """A program for one limit.

    Attributes
    ----------
    forward, adjoint : ndarray of int, shape (n_operations,)
        Addresses of the loops.
    parameters : ndarray of shape (n_operations, most parameters)
    layout : ndarray of int, shape (n_operations, N_COLUMNS)
    pairs : ndarray of int, shape (total, 2)
        Pairs of sites: those of the start, then those of each operation.
    n_registers, n_sites, n_pairs : int
        The last two are those of the start.
    """

    forward: np.ndarray
    adjoint: np.ndarray
    parameters: np.ndarray
    layout: np.ndarray
    pairs: np.ndarray
    n_registers: int
    n_sites: int
    n_pairs: int


def encode(program: Program, ntk: bool, adjoint: bool = False) -> Encoded:
    """Return the program as arrays; the adjoint loops are compiled only where they are asked for."""
    operations = program.operations
    parameters = [operation.parameters() for operation in operations]
    table = np.zeros((len(operations), max(map(len, parameters))))
    layout = np.zeros((len(operations), N_COLUMNS), dtype=np.int64)
    pairs, (found, _), of_values = list(program.pairs), program.versions(), program.pairs_of_values()
    coefficient, site = 0, 0
    for place, operation in enumerate(operations):
        table[place, : len(parameters[place])] = parameters[place]
        own_pairs = of_values[found[place][1]]
        n_sites, n_calls = len(diagonal_places(own_pairs)), 1 if operation.across else len(own_pairs)
        layout[place, :SITE] = operation.target, operation.source, *found[place], coefficient, operation.n_coefficients
        layout[place, SITE:] = site, len(pairs), len(own_pairs), n_calls
        pairs += own_pairs
        coefficient, site = coefficient + n_sites * operation.n_coefficients, site + n_sites
    forward = [operation.forward(ntk) for operation in operations]
    back = [operation.adjoint(ntk) for operation in operations] if adjoint else []
    return Encoded(
        np.array(forward, dtype=np.int64),
        np.array(back, dtype=np.int64),
        table,
        layout,
        np.array(pairs, dtype=np.int64),
        program.n_registers,
        program.n_sites,
        len(program.pairs),
    )
