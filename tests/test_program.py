"""Programs written by hand: operations, registers and sites."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._engine.gradient import ProgramGradient, gradient_shape, program_gradient
from infwidth._engine.tangent import tangents
from infwidth._linalg.tiles import LowerTiles
from infwidth._program.add import Add
from infwidth._program.affine import Affine
from infwidth._program.branch import Branch
from infwidth._program.diagonal import Diagonal
from infwidth._program.dual import Dual
from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.multiply import Multiply
from infwidth._program.normalise import Normalise
from infwidth._program.operation import ONE_SITE, Operation, Values, diagonal_places
from infwidth._program.program import Program
from infwidth._runtime.jit import inline
from infwidth.activations import Erf, LeakyReLU, ReLU, Sin, get_activation

X = np.array(
    [
        [0.33043707618338714, -1.303157231604361, 0.9053558666731177, 0.4463745723640113],
        [-1.0739064707205703, 1.1622362083927062, 0.7291447923721515, 0.588264993311052],
        [0.014211120657898394, 0.27335649330622347, -0.36822704350083346, -0.08145497399652639],
    ]
)
X = np.vstack([X, -X[0], X[1]])  # an antiparallel and an equal row


def dense(target=0, first=False):
    return Affine(1.0 if first else 1.71, 0.29, 1.0 if first else 1.71, 0.29, target)


def dual(name, target=0):
    return Dual(get_activation(name), target=target)


def residual(*branch):
    return (Branch(0, 1), *branch, Add(1, 0))


NETWORKS = {
    "residual_pre": (dense(first=True), *3 * residual(dual("relu", 1), dense(1)), dual("relu"), dense()),
    "residual_two_layer": (
        dense(first=True),
        *2 * residual(dual("erf", 1), dense(1), dual("erf", 1), dense(1)),
        dual("erf"),
        dense(),
    ),
    "layernorm": (
        dense(first=True),
        *(Normalise(), dual("gelu"), dense()),
        *(Normalise(), dual("relu"), dense()),
    ),
    "dropout": (
        dense(first=True),
        *(dual("relu"), Diagonal(1 / 0.7), dense()),
        *(dual("relu"), Diagonal(1 / 0.9), dense()),
    ),
    "sum": (
        *(Branch(0, 1), dense(1, first=True), dual("erf", 1), dense(1), dual("erf", 1), dense(1)),
        *(dense(first=True), dual("relu"), dense()),
        Add(1, 0),
    ),
    "product": (
        *(Branch(0, 1), dense(1, first=True), dual("erf", 1), dense(1)),
        *(dense(first=True), dual("relu"), dense()),
        *(Multiply(1, 0), dense()),
    ),
}
# Upper triangles of K and Θ by neural-tangents: weight variance 1.71, bias variance 0.29
REFERENCE = {
    "residual_pre": (
        [
            10.027902202220895,
            5.9979323147365875,
            3.8851416733121202,
            4.5131657862353185,
            5.9979323147365875,
            11.323822135880585,
            4.701190364699627,
            7.645110468958457,
            11.323822135880585,
            3.940426967224483,
            5.40649937424647,
            4.701190364699627,
            10.027902202220895,
            7.645110468958457,
            11.323822135880585,
        ],
        [
            32.07078001058726,
            9.420724993708427,
            6.469540315828156,
            5.427619047572826,
            9.420724993708427,
            36.454552268843365,
            9.074532988894878,
            15.519125595135828,
            36.454552268843365,
            11.47837725965976,
            12.870159988807522,
            9.074532988894878,
            32.07078001058726,
            15.519125595135828,
            36.454552268843365,
        ],
    ),
    "residual_two_layer": (
        [
            1.4717691277433942,
            0.4966577751987743,
            0.6189771467718376,
            0.1707083572590923,
            0.49665777519877424,
            1.486912688953287,
            0.8017161515190836,
            0.8395191678878386,
            1.486912688953287,
            1.365183315122172,
            1.1038865825151112,
            0.8017161515190836,
            1.4717691277433942,
            0.8395191678878388,
            1.486912688953287,
        ],
        [
            6.7821636597270425,
            0.8121230272225447,
            1.1821021138250989,
            -0.14206733772391236,
            0.8121230272225445,
            6.861439502516538,
            1.848875014864247,
            1.909878066860107,
            6.861439502516538,
            6.039072498063753,
            3.374984312974325,
            1.848875014864247,
            6.7821636597270425,
            1.9098780668601072,
            6.861439502516538,
        ],
    ),
    "layernorm": (
        [
            1.145,
            0.7497261307758928,
            0.7599980901310394,
            0.6624005439684882,
            0.7497261307758928,
            1.145,
            0.8595570240196932,
            0.8864403273296074,
            1.145,
            1.1449999999999998,
            1.0308198528727304,
            0.8595570240196932,
            1.145,
            0.8864403273296074,
            1.145,
        ],
        [
            2.6552531012651297,
            0.9435983695578162,
            0.9762000637321016,
            0.7014027961722743,
            0.9435983695578162,
            2.6552531012651297,
            1.3177317168075449,
            1.4169872739720015,
            2.6552531012651297,
            2.6552530911345333,
            2.004461845867992,
            1.3177317168075449,
            2.6552531012651297,
            1.4169872739720015,
            2.6552531012651297,
        ],
    ),
    "dropout": (
        [
            2.304010618436828,
            1.2244119741904713,
            0.8696114515308949,
            1.040865936448475,
            1.2244119741904713,
            2.579542586060527,
            0.9772964120631966,
            1.4313730371312536,
            1.8917883430149005,
            1.0097223018566421,
            1.0608678438068277,
            0.9772964120631966,
            2.304010618436828,
            1.4313730371312536,
            2.579542586060527,
        ],
        [
            6.056531855310483,
            1.5483140741849262,
            1.1268152151528406,
            1.1156910790810228,
            1.5483140741849262,
            6.883127749354404,
            1.4256285867710528,
            2.244443585266634,
            4.018165394807307,
            2.1736669022479918,
            1.8190742877623256,
            1.4256285867710528,
            6.056531855310483,
            2.244443585266634,
            6.883127749354404,
        ],
    ),
    "sum": (
        [
            2.7175228951965504,
            1.1162406634524369,
            0.9818128665048368,
            0.5280322904943848,
            1.1162406634524369,
            2.932073279605474,
            1.31607357738628,
            1.7783880337643256,
            2.932073279605474,
            1.6199416657984158,
            1.7311976508334292,
            1.31607357738628,
            2.7175228951965504,
            1.7783880337643256,
            2.932073279605474,
        ],
        [
            6.200470492285028,
            1.1781216377800063,
            1.1687155884057163,
            -0.20826360741798014,
            1.1781216377800061,
            6.719965365700336,
            2.0339592830436,
            2.8597191136152564,
            6.719965365700336,
            3.345202268169184,
            3.3134528260171066,
            2.0339592830436,
            6.200470492285028,
            2.859719113615257,
            6.719965365700336,
        ],
    ),
    "product": (
        [
            3.5482497825500707,
            0.5588486098744817,
            0.519612191780902,
            0.13891878358781926,
            0.5588486098744816,
            4.105159128137964,
            0.8559308037103994,
            1.4846421644373418,
            4.105159128137964,
            1.111566163457206,
            1.4106302966626525,
            0.8559308037103994,
            3.5482497825500707,
            1.484642164437342,
            4.105159128137964,
        ],
        [
            16.03540169926687,
            1.0091584582734066,
            0.9626520827765661,
            -0.44411991158069397,
            1.0091584582734061,
            18.994710646518797,
            2.3666748640765953,
            4.992052731181378,
            18.994710646518797,
            3.7433458589336874,
            4.97453768947108,
            2.3666748640765953,
            16.03540169926687,
            4.99205273118138,
            18.994710646518797,
        ],
    ),
}


def program_of(operations, n_features=4, weight_variance=1.71):
    return Program(np.full(n_features, np.sqrt(weight_variance / n_features)), tuple(operations))


def matrices(program, inputs):
    engine = KernelEngine(program, ntk=True, n_jobs=1)
    return engine.symmetric(engine.rows(inputs), nngp=True, ntk=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_by_hand(name):
    """Θ of equal and of antiparallel rows has half the digits, in the reference on the diagonal too: √(1 - |ρ|)."""
    left, right = np.triu_indices(5)
    singular = (left == right) | ((left == 1) & (right == 4)) | ((left == 0) & (right == 3))
    K, T = (matrix[left, right] for matrix in matrices(program_of(NETWORKS[name]), X))
    expected_K, expected_T = map(np.array, REFERENCE[name])
    assert_allclose(K, expected_K, rtol=1e-12)
    assert_allclose(T[~singular], expected_T[~singular], rtol=1e-10)
    assert_allclose(T[singular], expected_T[singular], rtol=2e-7)


def test_diagonal_of_a_residual_network():
    """Of ReLU T(q, q, q) = q / 2 and Ṫ(q, q, q) = 1 / 2."""
    q = 0.29 + 1.71 * np.sum(X * X, axis=1) / 4
    t = q
    for skip in (1, 1, 1, 0):
        k = 0.29 + 1.71 * q / 2
        q, t = skip * q + k, skip * t + k + 1.71 * t / 2
    K, T = matrices(program_of(NETWORKS["residual_pre"]), X)
    assert_allclose(np.diag(K), q, rtol=1e-14)
    assert_allclose(np.diag(T), t, rtol=1e-14)


# What every operation must satisfy


@dataclass(frozen=True)
class Series(Operation):
    """k <- k + Σ_m qᵐ q'ᵐ / m!², with more coefficients than any activation has."""

    target: int = 0
    n_coefficients = 7

    def rows(self, own, source, pairs):
        powers = np.cumprod([np.ones_like(own.k), *(own.k / m for m in range(1, 7))], axis=0)
        sites = powers[:, diagonal_places(pairs)].transpose(1, 0, 2)
        added = [(sites[left] * sites[right]).sum(axis=0) for left, right in pairs]
        return Values(own.k + added, own.t), sites

    def rows_adjoint(self, before, bar, q_bar, gradient):
        sites, k_bar, places = before.coefficients, bar.k.copy(), diagonal_places(before.pairs)
        k_bar[places] += q_bar
        for place, (left, right) in enumerate(before.pairs):
            k_bar[places[left]] += bar.k[place] * (sites[left, :-1] * sites[right, 1:]).sum(axis=0)
            k_bar[places[right]] += bar.k[place] * (sites[right, :-1] * sites[left, 1:]).sum(axis=0)
        return Values(k_bar, bar.t), None

    def forward(self, ntk):
        return forward_loop(series, "series", n_coefficients=7)

    def adjoint(self, ntk):
        return adjoint_loop(series_adjoint, "series", n_coefficients=7)

    def matrices(self, before):
        added = [before.coefficients[left].T @ before.coefficients[right] for left, right in before.pairs]
        return Values(before.own.k + added, before.own.t), None

    def tangent(self, before, kept, change):
        coefficients, places, dk = before.coefficients, diagonal_places(before.pairs), change.own.k.copy()
        for place, (left, right) in enumerate(before.pairs):
            dq = [np.diagonal(change.own.k[places[site]]) for site in (left, right)]
            dk[place] += (coefficients[left, :-1] * dq[0]).T @ coefficients[right, 1:]
            dk[place] += coefficients[left, 1:].T @ (coefficients[right, :-1] * dq[1])
        return Values(dk, change.own.t)


@inline
def series(chunk):
    for m in range(7):
        for j in range(chunk.own.k.size):
            chunk.own.k[j] += chunk.row[m] * chunk.columns[m, j]


@inline
def series_adjoint(chunk, after, bar, scratch):
    for m in range(1, 7):  # the derivative of qᵐ / m! is the one before
        for j in range(chunk.own.k.size):
            bar.q_row[0] += bar.own.k[j] * chunk.row[m - 1] * chunk.columns[m, j]
            bar.q_columns[j] += bar.own.k[j] * chunk.row[m] * chunk.columns[m - 1, j]


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


@dataclass(frozen=True)
class MeanOfSites(Operation):
    """The mean over all pairs of sites: a network's mean over its sites."""

    n_pairs: int
    target: int = 0
    across = True

    def pairs_after(self, pairs):
        return ONE_SITE

    def rows(self, own, source, pairs):
        return Values(own.k.mean(axis=0, keepdims=True), own.t.mean(axis=0, keepdims=True)), None

    def rows_adjoint(self, before, bar, q_bar, gradient):
        return Values(*(np.repeat(part / self.n_pairs, self.n_pairs, axis=0) for part in bar)), None

    def forward(self, ntk):
        return forward_loop(mean, "mean", across=True)

    def adjoint(self, ntk):
        return adjoint_loop(mean_adjoint, "mean", across=True)

    def tangent(self, before, kept, change):
        return self.rows(change.own, change.source, before.pairs)[0]


@inline
def mean(chunk):
    for array in chunk.own:
        n_pairs = array.shape[0]
        for pair in range(1, n_pairs):
            for j in range(array.shape[1]):
                array[0, j] += array[pair, j]
        for j in range(array.shape[1]):
            array[0, j] /= n_pairs


@inline
def mean_adjoint(chunk, after, bar, scratch):
    for array in bar.own:
        n_pairs = array.shape[0]
        for j in range(array.shape[1]):
            array[0, j] /= n_pairs
        for pair in range(1, n_pairs):
            for j in range(array.shape[1]):
                array[pair, j] = array[0, j]


FOUR = ((0, 0), (0, 1), (1, 0), (1, 1))
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


def test_what_a_program_cannot_be():
    with pytest.raises(ValueError, match="reads register 1, to which nothing was written"):
        program_of([dense(), Add(1, 0)])
    with pytest.raises(ValueError, match="must end with one pair of sites, but this one ends with 4"):
        Program(np.ones(4), (dense(),), FOUR)
