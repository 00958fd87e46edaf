"""What a program needs to know of each input by itself: O(n) work, in NumPy, before any pair is looked at."""

from typing import NamedTuple

import numpy as np

from infwidth._recursion.loops import loop_address
from infwidth._recursion.program import Affine, Program
from infwidth.activations.base import N_COEFFICIENTS, N_PARAMETERS

AFFINE = 0  # code of a dense layer; an activation's code is the address of its loop


class Rows(NamedTuple):
    """A set of inputs, ready for the fused pass.

    Attributes
    ----------
    inputs : ndarray of shape (n, n_features)
        x_f √(v_f / d): the Gram matrix of these is where a program starts.
    coefficients : ndarray of shape (n_operations, N_COEFFICIENTS, n)
    nngp, ntk : ndarray of shape (n,)
        Diagonals of both kernels; NaN in ``nngp`` where a variance on the way is not finite.
    """

    inputs: np.ndarray
    coefficients: np.ndarray
    nngp: np.ndarray
    ntk: np.ndarray


def compute_rows(program: Program, X) -> Rows:
    """Follow the program's operations for single inputs, shape (n, n_features)."""
    inputs = np.multiply(X, program.input_scale, order="C")
    coefficients = np.zeros((len(program.operations), N_COEFFICIENTS, len(inputs)))
    with np.errstate(over="ignore", invalid="ignore"):  # not finite: reported once, by the caller
        q = np.einsum("ij,ij->i", inputs, inputs)
        t = np.zeros_like(q)
        finite = np.isfinite(q)
        for place, operation in enumerate(program.operations):
            if isinstance(operation, Affine):
                t = operation.w * t + operation.u * q + operation.s
                q = operation.w * q + operation.b
            else:
                family, p = operation.activation.family, _parameters(operation)
                rows = family.rows(q, p)
                for target, row in zip(coefficients[place], rows.coefficients, strict=False):
                    target[:] = row
                q, t = rows.value, rows.derivative * t
            finite &= np.isfinite(q)
    return Rows(inputs, coefficients, np.where(finite, q, np.nan), t)


def encode(program: Program, with_ntk: bool):
    """Return the operations as arrays: codes, shape (n_operations,), and parameters (n_operations, N_PARAMETERS)."""
    codes = np.empty(len(program.operations), dtype=np.int64)
    parameters = np.zeros((len(program.operations), N_PARAMETERS))
    for place, operation in enumerate(program.operations):
        if isinstance(operation, Affine):
            codes[place] = AFFINE
            parameters[place, :4] = operation.w, operation.b, operation.u, operation.s
        else:
            codes[place] = loop_address(operation.activation.family, with_ntk)
            parameters[place] = _parameters(operation)
    return codes, parameters


def _parameters(dual):
    values = dual.activation.dual_parameters()
    return np.array([*values, *[0.0] * (N_PARAMETERS - len(values))])
