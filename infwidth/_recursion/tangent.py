"""Derivatives of whole kernel matrices: the one place where an (n, n, p) tensor is built.

scikit-learn's ``kernel(X, eval_gradient=True)`` asks for it. Learning inside this package uses the adjoint pass.
"""

from functools import cache

import numpy as np

from infwidth._jit import jit
from infwidth._recursion.program import Affine
from infwidth._recursion.rows import parameters_of, walk_rows
from infwidth.activations.base import N_COEFFICIENTS

WORKING_MATRICES = 10  # that a step of one direction holds besides those that are kept


def tangents(program, X, directions, *, ntk=False):
    """Return derivatives of the kernel matrix of X along p directions.

    Parameters
    ----------
    program : Program
    X : ndarray of shape (n, n_features)
    directions : list of ProgramGradient
        Each a change of w, b, u, s of the dense layers and of the logarithms of the input variances.
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
    kept = [2 if isinstance(operation, Affine) else 7 for operation in program.operations]
    return 8 * (n_directions + sum(kept) + WORKING_MATRICES) * n**2


def _primal(program, inputs, ntk):
    """Return, before each operation, coefficients and (q, t) of single inputs, and k, t and curvature of all pairs."""
    coefficients = np.zeros((len(program.operations), N_COEFFICIENTS, len(inputs)))
    steps = walk_rows(program, inputs, coefficients)
    k, t, values = inputs @ inputs.T, np.zeros((len(inputs),) * 2), []
    for place, operation in enumerate(program.operations):
        if isinstance(operation, Affine):
            values.append((k, t, None))
            k, t = operation.w * k + operation.b, operation.w * t + operation.u * k + operation.s
        else:
            p = tuple(parameters_of(operation))
            curvature = _elementwise(operation.activation.family.curvature)(k, coefficients[place], p)
            values.append((k, t, curvature))
            k, t = curvature[0], curvature[1] * t if ntk else t
    return coefficients, steps, values


def _along(program, inputs, coefficients, steps, values, direction, ntk):
    """Follow one direction through the operations: dk and dt of the pairs, dq and dr of single inputs."""
    dk = (inputs * direction.log_input) @ inputs.T
    dq = np.diag(dk).copy()
    dt, dr = np.zeros_like(dk), np.zeros_like(dq)
    for place, operation in enumerate(program.operations):
        (q, r), (k, t, curvature) = steps[place], values[place]
        if isinstance(operation, Affine):
            w, u = operation.w, operation.u
            dw, db, du, ds = direction.operations[place]
            dt, dr = w * dt + dw * t + u * dk + du * k + ds, w * dr + dw * r + u * dq + du * q + ds
            dk, dq = w * dk + dw * k + db, w * dq + dw * q + db
            continue
        family, p = operation.activation.family, parameters_of(operation)
        _, slope, second, t_i, t_j, d_i, d_j = curvature
        value_slope, derivative_slope = family.row_slopes(q, p)
        log_scale, linear = direction.operations[place, 0], direction.operations[place, 1 : 1 + family.n_linear]
        dk, dq = dk + log_scale * k, dq + log_scale * q  # φ(bx) on K is φ(x) on b²K, and Ṫ has a factor b²
        if ntk:
            dt = second * t * dk + slope * (dt + log_scale * t) + t * (d_i * dq[:, None] + d_j * dq)
            dr = family.rows(q, p).derivative * (dr + log_scale * r) + r * derivative_slope * dq
        dk = slope * dk + t_i * dq[:, None] + t_j * dq
        dq = value_slope * dq
        for number in np.flatnonzero(linear):
            moved = p + np.eye(len(p))[number]
            pairs = _elementwise(family.curvature)(k, coefficients[place], tuple(moved))
            here, there = family.rows(q, p), family.rows(q, moved)
            dk = dk + linear[number] * (pairs[0] - curvature[0])
            dq = dq + linear[number] * (there.value - here.value)
            if ntk:
                dt = dt + linear[number] * t * (pairs[1] - slope)
                dr = dr + linear[number] * r * (there.derivative - here.derivative)
    result, diagonal = (dt, dr) if ntk else (dk, dq)
    np.fill_diagonal(result, diagonal)  # never from the pair formula
    return result


@cache
def _elementwise(curvature):
    @jit
    def loop(k, coefficients, p):
        n, m = k.shape
        out = np.empty((7, n, m))
        for i in range(n):
            a = (coefficients[0, i], coefficients[1, i], coefficients[2, i])
            for j in range(m):
                b = (coefficients[0, j], coefficients[1, j], coefficients[2, j])
                both = curvature(k[i, j], a, b, p)
                for c in range(7):
                    out[c, i, j] = both[c]
        return out

    return loop
