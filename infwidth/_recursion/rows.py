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

    def take(self, place):
        """Return some of the inputs."""
        return Rows(self.inputs[place], self.coefficients[:, :, place], self.nngp[place], self.ntk[place])


def compute_rows(program: Program, X) -> Rows:
    """Follow the program's operations for single inputs, shape (n, n_features)."""
    inputs = np.multiply(X, program.input_scale, order="C")
    coefficients = np.zeros((len(program.operations), N_COEFFICIENTS, len(inputs)))
    steps = walk_rows(program, inputs, coefficients)
    finite = np.all([np.isfinite(q) for q, _ in steps], axis=0)
    q, t = steps[-1]
    return Rows(inputs, coefficients, np.where(finite, q, np.nan), t)


def walk_rows(program: Program, inputs, coefficients=None):
    """Return (q, t) before each operation and after the last, and fill in the coefficients of the activations."""
    with np.errstate(over="ignore", invalid="ignore"):  # not finite: reported once, by the engine
        q = np.einsum("ij,ij->i", inputs, inputs)
        t = np.zeros_like(q)
        steps = [(q, t)]
        for place, operation in enumerate(program.operations):
            if isinstance(operation, Affine):
                t = operation.w * t + operation.u * q + operation.s
                q = operation.w * q + operation.b
            else:
                rows = operation.activation.family.rows(q, parameters_of(operation))
                if coefficients is not None:
                    for target, row in zip(coefficients[place], rows.coefficients, strict=False):
                        target[:] = row
                q, t = rows.value, rows.derivative * t
            steps.append((q, t))
    return steps


def encode(program: Program, with_ntk: bool, adjoint=False):
    """Return the operations as arrays: codes, shape (n_operations,), and parameters (n_operations, N_PARAMETERS)."""
    codes = np.empty(len(program.operations), dtype=np.int64)
    parameters = np.zeros((len(program.operations), N_PARAMETERS))
    for place, operation in enumerate(program.operations):
        if isinstance(operation, Affine):
            codes[place] = AFFINE
            parameters[place, :4] = operation.w, operation.b, operation.u, operation.s
        else:
            codes[place] = loop_address(operation.activation.family, with_ntk, adjoint)
            parameters[place] = parameters_of(operation)
    return codes, parameters


def parameters_of(dual):
    """Return the activation's numbers, shape (N_PARAMETERS,)."""
    values = dual.activation.dual_parameters()
    return np.array([*values, *[0.0] * (N_PARAMETERS - len(values))])
