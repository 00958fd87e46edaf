"""What every operation must satisfy: its four forms are compared with one another, with one site and with two."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from program_cases import FOUR, MeanOfSites, Series, matrices

from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._engine.gradient import ProgramGradient, gradient_shape, program_gradient
from infwidth._engine.tangent import tangents
from infwidth._linalg.tiles import LowerTiles
from infwidth._program.add import Add
from infwidth._program.affine import Affine
from infwidth._program.branch import Branch
from infwidth._program.diagonal import Diagonal
from infwidth._program.dual import Dual
from infwidth._program.multiply import Multiply
from infwidth._program.normalise import Normalise
from infwidth._program.operation import ONE_SITE
from infwidth._program.program import Program
from infwidth.activations import Erf, LeakyReLU, ReLU, Sin

OPERATIONS = (
    Affine(0.8, 0.3, 0.7, 0.2),
    Dual(ReLU()),
    Dual(Erf(), target=1),
    Dual(LeakyReLU(0.3), learned=True),
    Dual(Sin(0.9, 0.4), learned=True),
    Normalise(),
    Normalise(target=1),
    Diagonal(1 / 0.7),
    Branch(0, 1),
    Branch(1, 0),
    Add(1, 0),
    Add(0, 1),
    Multiply(1, 0),
    Multiply(0, 1),
    Series(),
)
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
N_FEATURES = 4


def around(operation, pairs=ONE_SITE):
    """A program in which the operation finds two different registers, and both matter for the result."""
    before = (
        Affine(1.2, 0.3, 1.1, 0.2),
        Branch(0, 1),
        Dual(Erf(), target=1),
        Affine(0.9, 0.1, 0.8, 0.4, 1),
    )
    pool = (MeanOfSites(4), MeanOfSites(4, target=1)) if len(pairs) > 1 else ()
    after = (Affine(0.7, 0.2, 0.9, 0.1, 1), *pool, Multiply(1, 0), Affine(1.1, 0.1, 0.6, 0.3))
    return Program(np.array([0.6, 0.4, 0.5, 0.3]), (*before, operation, *after), pairs)


def moved(program, place, number, step):
    operation = program.operations[place]
    name = ("w", "b", "u", "s")[number]
    new = replace(operation, **{name: getattr(operation, name) + step})
    return replace(program, operations=(*program.operations[:place], new, *program.operations[place + 1 :]))


def differences(program, value):
    """∂/∂ the numbers of all dense layers, then the logarithms of the input variances."""
    numbers = [
        (place, number) for place, op in enumerate(program.operations) if isinstance(op, Affine) for number in range(4)
    ]
    functions = [lambda step, at=at: moved(program, *at, step) for at in numbers]
    for feature in range(N_FEATURES):
        unit = np.eye(N_FEATURES)[feature]
        functions.append(
            lambda step, unit=unit: replace(program, input_scale=program.input_scale * np.exp(0.5 * step * unit))
        )
    slopes = []
    for function in functions:
        values = [value(function(step)) for step in (1e-3, -1e-3, 2e-3, -2e-3)]
        slopes.append((8 * (values[0] - values[1]) - values[2] + values[3]) / 12e-3)
    return numbers, np.array(slopes)


def inputs(n=30, seed=0):
    return np.random.default_rng(seed).standard_normal((n, N_FEATURES))


def symmetric(n, seed=1):
    M = np.random.default_rng(seed).standard_normal((n, n))
    return M + M.T


def adjoint(program, Z, M, limit):
    engine = KernelEngine(program, ntk=limit == "ntk", n_jobs=1)
    tiles = LowerTiles(len(Z), 16)
    for i in range(tiles.n_blocks):
        for j in range(i + 1):
            tiles[i, j][:] = M[tiles.rows(i), tiles.rows(j)]
    return program_gradient(ProgramSource(engine, engine.rows(Z), limit), tiles)


limits = pytest.mark.parametrize("limit", ["nngp", "ntk"])
sites = pytest.mark.parametrize("pairs", [ONE_SITE, FOUR], ids=["one site", "two sites"])


@each_operation
def test_rows_are_the_diagonal_of_pairs(operation):
    """But for what is meant for an input with itself alone."""
    prefix = around(operation).operations[:4]
    engine = KernelEngine(Program(np.full(4, 0.5), (*prefix, operation, Affine(1.0, 0.0, 0.0, 0.0))), ntk=True)
    rows = engine.rows(inputs())
    factor = getattr(operation, "factor", 1.0)
    for own, pairs in zip((rows.nngp, rows.ntk), engine.cross(rows, rows, nngp=True, ntk=True), strict=True):
        assert_allclose(own, factor * np.diag(pairs), rtol=1e-7)


@each_operation
@sites
@limits
def test_adjoint_is_the_derivative_of_forward(operation, pairs, limit):
    program, Z, M = around(operation, pairs), inputs(), symmetric(30)
    numbers, expected = differences(program, lambda p: np.sum(M * matrices(p, Z)[limit == "ntk"]))
    found = adjoint(program, Z, M, limit)
    actual = np.array([*(found.operations[at] for at in numbers), *found.log_input])
    assert_allclose(actual, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


@each_operation
@sites
@limits
def test_tangent_is_the_transpose_of_adjoint(operation, pairs, limit):
    program, Z, M = around(operation, pairs), inputs(12), symmetric(12)
    found = adjoint(program, Z, M, limit)
    directions = []
    for kind, shape in enumerate((gradient_shape(program), (N_FEATURES,))):
        for place in np.ndindex(shape):
            if kind == 1 or place[1] < program.operations[place[0]].n_numbers:
                parts = np.zeros(gradient_shape(program)), np.zeros(N_FEATURES)
                parts[kind][place] = 1.0
                directions.append(((kind, place), ProgramGradient(*parts)))
    tensor = tangents(program, Z, [direction for _, direction in directions], ntk=limit == "ntk")
    expected = [(found.operations, found.log_input)[kind][place] for (kind, place), _ in directions]
    scale = np.abs(expected).max()
    assert_allclose(np.einsum("ij,ijp->p", M, tensor), expected, rtol=1e-9, atol=1e-11 * scale)


@each_operation
def test_two_sites_are_two_inputs_of_one(operation):
    """Each site has the kernel of an input with its features; then the mean over the sites of both inputs is taken."""
    Z, n, both = inputs(300), 300, around(operation, FOUR)
    of_sites = (Z * both.input_scale).reshape(n, 2, 2).transpose(1, 0, 2).reshape(2 * n, 2)
    pixels = tuple(op for op in both.operations if not isinstance(op, MeanOfSites))[:-2]
    ends = ((), (Branch(1, 0),))  # register 0, and what stands in register 1
    means = []
    for end in ends:
        program = Program(np.ones(2), (*pixels, *end))
        means.append([A.reshape(2, n, 2, n).mean(axis=(0, 2)) for A in matrices(program, of_sites)])
    (K, T), (K1, T1) = means
    K, T = K * K1, T * K1 + K * T1
    K, T = 1.1 * K + 0.1, 1.1 * T + 0.6 * K + 0.3
    for found, expected in zip(matrices(both, Z), (K, T), strict=True):
        assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
