"""The tiled Cholesky factorisation against NumPy and SciPy, and what it says before memory or precision run out."""

import sys
import tracemalloc
import types
import warnings

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.jitter import JITTERS, NotPositiveDefiniteError
from infwidth._linalg.tiles import LowerTiles
from infwidth._runtime import memory
from infwidth._runtime.memory import available_memory, memory_limit, require_memory
from infwidth._runtime.progress import progress

SHAPES = [(1, 4), (7, 16), (10, 5), (11, 4), (97, 10), (5, 1)]  # rows and tile: 1, 1, 2, 3, 10 and 5 block rows
shapes = pytest.mark.parametrize(("n", "tile"), SHAPES)


class MatrixSource:
    """What ``Cholesky.of`` asks of a kernel, from a matrix in memory.

    Above the diagonal a tile holds NaN: only its lower triangle may be read.
    """

    def __init__(self, A):
        self.A, self.n = np.asarray(A, dtype=float), len(A)

    def diagonal(self):
        return np.diag(self.A).copy()

    def fill(self, tiles):
        for i0, j0, tile in tiles:
            tile[:] = self.A[i0 : i0 + tile.shape[0], j0 : j0 + tile.shape[1]]
            if i0 == j0:
                tile[np.triu_indices_from(tile, 1)] = np.nan


def positive_definite(n):
    half = np.random.default_rng(n).standard_normal((n, n + 5))
    return half @ half.T / n + 0.5 * np.eye(n)


def factor_of(A, tile=10, noise=0.0, **options):
    factor, jitter = Cholesky.of(MatrixSource(A), np.full(len(A), noise), tile=tile, **options)
    assert jitter == 0.0
    return factor


def targets(n, m=3):
    return np.random.default_rng(0).standard_normal((n, m))


@shapes
def test_solve(n, tile):
    A, B = positive_definite(n), targets(n)
    given = B.copy()
    assert_allclose(factor_of(A, tile).solve(B), np.linalg.solve(A, B), rtol=1e-10, atol=1e-12)
    assert_array_equal(B, given)


@shapes
def test_half_solve_overwrites_the_blocks(n, tile):
    A, B = positive_definite(n), targets(n)
    factor = factor_of(A, tile)
    blocks = factor.tiles.split(B)
    factor.half_solve(blocks)
    expected = scipy.linalg.solve_triangular(np.linalg.cholesky(A), B, lower=True)
    assert_allclose(np.concatenate(blocks), expected, rtol=1e-10, atol=1e-12)


def test_half_solve_from_a_later_block():
    A, B = positive_definite(30), targets(30)
    B[:20] = 0.0
    factor = factor_of(A, tile=10)
    blocks = factor.tiles.split(B)
    factor.half_solve(blocks, first=2)
    expected = scipy.linalg.solve_triangular(np.linalg.cholesky(A), B, lower=True)
    assert_allclose(np.concatenate(blocks), expected, rtol=1e-10, atol=1e-12)


@shapes
def test_log_determinant(n, tile):
    A = positive_definite(n)
    assert_allclose(factor_of(A, tile).log_determinant(), np.linalg.slogdet(A).logabsdet, rtol=1e-11)


def test_log_determinant_where_the_determinant_overflows():
    assert_allclose(factor_of(1e8 * np.eye(60)).log_determinant(), 60 * np.log(1e8), rtol=1e-13)


@shapes
def test_inverse_diagonal_leaves_the_factor(n, tile):
    A, B = positive_definite(n), targets(n)
    factor = factor_of(A, tile)
    expected = np.diag(np.linalg.inv(A))
    assert_allclose(factor.inverse_diagonal(), expected, rtol=1e-10)
    for n_rows in (1, n // 2 + 1, n, 2 * n):
        last = factor.inverse_diagonal(n_rows)
        assert min(n_rows, n) <= len(last) <= min(n_rows + tile, n)
        assert_allclose(last, expected[n - len(last) :], rtol=1e-10)
    assert_allclose(factor.solve(B), np.linalg.solve(A, B), rtol=1e-10, atol=1e-12)


@shapes
def test_inverse_takes_no_new_memory(n, tile):
    A = positive_definite(n)
    factor = factor_of(A, tile)
    own = [block for _, _, block in factor.tiles]
    inverse = factor.inverse()
    assert_allclose(inverse.dense(), np.linalg.inv(A), rtol=1e-9, atol=1e-12)
    assert all(block is before for (_, _, block), before in zip(inverse, own, strict=True))
    assert factor.tiles is None


@shapes
def test_dense_is_symmetric(n, tile):
    A = positive_definite(n)
    tiles = LowerTiles(n, tile)
    MatrixSource(A).fill(tiles)
    assert_array_equal(tiles.dense(), np.tril(A) + np.tril(A, -1).T)


@shapes
def test_noise_of_each_row_is_added(n, tile):
    A, noise, B = positive_definite(n), np.linspace(0.1, 2.0, n), targets(n)
    factor, _ = Cholesky.of(MatrixSource(A), noise, tile=tile)
    assert_allclose(factor.solve(B), np.linalg.solve(A + np.diag(noise), B), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tile", [1, 7, 33, 1024])
def test_tiles_share_the_rows_evenly(tile):
    for n in (1, tile, tile + 1, 3 * tile, 3 * tile + 1, 10 * tile - 1):
        tiles = LowerTiles(n, tile)
        sizes = np.diff(tiles.edges)
        assert sizes.sum() == tiles.n == n
        assert 1 <= sizes.max() <= tile
        assert sizes.max() - sizes.min() <= 1


def test_result_does_not_depend_on_the_tile():
    A, B = positive_definite(97), targets(97)
    whole = factor_of(A, tile=97).solve(B)
    for tile in (1, 8, 50, 96):
        assert_allclose(factor_of(A, tile).solve(B), whole, rtol=1e-11, atol=1e-13)


# Precision


@pytest.mark.parametrize("pivot", [1, 8, 25])
def test_bad_pivot_is_named(pivot):
    A = np.eye(25)
    A[pivot - 1, pivot - 1] = -1.0
    tiles = LowerTiles(25, 10)
    MatrixSource(A).fill(tiles)
    with pytest.raises(NotPositiveDefiniteError, match=f"pivot {pivot} is not positive"):
        Cholesky(tiles)


def test_singular_matrix_gets_jitter_and_a_solution():
    A, Y = np.full((20, 20), 4.0), np.full((20, 1), 3.0)  # equal rows: every pivot but the first is exactly 0
    with pytest.warns(scipy.linalg.LinAlgWarning, match="4e-10 added to its diagonal.*noise_variance") as warned:
        factor, jitter = Cholesky.of(MatrixSource(A), np.zeros(20), tile=6)
    assert len(warned) == 1
    assert jitter == 4.0 * JITTERS[1]
    alpha = factor.solve(Y)
    assert_allclose(A @ alpha, Y, rtol=1e-6)
    assert_allclose((A + jitter * np.eye(20)) @ alpha, Y, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 7.0])
def test_equal_rows_are_noticed_whatever_the_rounding(scale):
    # scale - √scale² is rounding: negative, zero, or so small a positive pivot that the solution would be noise
    with pytest.warns(scipy.linalg.LinAlgWarning, match="not positive definite to working precision"):
        factor, _ = Cholesky.of(MatrixSource(np.full((2, 2), scale)), np.zeros(2))
    alpha = factor.solve(np.array([[1.0], [2.0]]))  # no function has two values: the best one is their mean
    assert_allclose(scale * alpha.sum(), 1.5, rtol=1e-3)


def test_jitter_grows_until_it_is_enough():
    A = np.diag(np.r_[np.ones(9), -1e-9])
    with pytest.warns(scipy.linalg.LinAlgWarning) as warned:
        factor, jitter = Cholesky.of(MatrixSource(A), np.zeros(10), tile=4)
    scale = np.mean(np.diag(A))
    assert jitter == pytest.approx(1e-8 * scale)
    for warning, amount in zip(warned, JITTERS[1:3], strict=True):
        assert f"{scale * amount:.3g} added" in str(warning.message)
    assert_allclose(factor.solve(np.eye(10)), np.linalg.inv(A + jitter * np.eye(10)), rtol=1e-6)


def test_indefinite_matrix_is_an_error_that_names_the_remedy():
    A = np.diag(np.r_[np.ones(9), -0.5])
    with (
        pytest.warns(scipy.linalg.LinAlgWarning) as warned,
        pytest.raises(scipy.linalg.LinAlgError, match=r"not positive definite.*raise noise_variance"),
    ):
        Cholesky.of(MatrixSource(A), np.zeros(10), tile=4)
    assert len(warned) == len(JITTERS) - 1


@pytest.mark.parametrize("place", [(0, 0), (7, 7), (3, 1), (8, 2)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_entry_that_is_not_finite_is_an_error_before_any_jitter(place, value):
    A = positive_definite(10)
    A[place] = A[place[::-1]] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of jitter would come first
        with pytest.raises(scipy.linalg.LinAlgError, match=r"entries that are not finite.*Scale the features"):
            Cholesky.of(MatrixSource(A), np.full(10, 0.1), tile=4)


# Memory


@pytest.mark.parametrize(("n", "tile"), [*SHAPES, (3000, 1024)])
def test_bytes_are_those_allocated(n, tile):
    assert LowerTiles.n_bytes(n, tile) == sum(block.nbytes for _, _, block in LowerTiles(n, tile))


def test_factorisation_allocates_nothing_else():
    source = MatrixSource(np.eye(600))
    tracemalloc.start()
    try:
        Cholesky.of(source, np.zeros(600), tile=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert LowerTiles.n_bytes(600, 100) <= peak < 1.1 * LowerTiles.n_bytes(600, 100)


class UntouchableSource:
    """A kernel of 200 000 rows that fails if anything is asked of it but their number."""

    n = 200_000


@pytest.mark.parametrize(("max_memory", "word"), [("8GB", "max_memory allows"), (None, "is free")])
def test_too_little_memory_is_said_before_it_is_taken(max_memory, word, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 10**9)
    needed = f"{LowerTiles.n_bytes(200_000):,} bytes"
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match=f"200,000 rows needs {needed}.*8,000,000,000.*{word}") as caught:
            Cholesky.of(UntouchableSource(), np.zeros(200_000), max_memory=max_memory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20
    assert ("raise max_memory" in str(caught.value)) == (max_memory is not None)


def test_memory_that_just_fits():
    require_memory(1000, 1000, "it")
    with pytest.raises(MemoryError, match="it needs 1,001 bytes"):
        require_memory(1001, 1000, "it")


@pytest.mark.parametrize(
    ("max_memory", "expected"),
    [
        ("8GB", 8 * 10**9),
        ("512MiB", 2**29),
        ("1.5kb", 1500),
        (" 2 TiB ", 2**41),
        ("3G", 3 * 10**9),
        ("100", 100),
        (12345, 12345),
        (2.5e9, 2_500_000_000),
        (np.int64(7), 7),
    ],
)
def test_memory_limit(max_memory, expected):
    assert memory_limit(max_memory) == expected


@pytest.mark.parametrize(
    "max_memory",
    ["", "lots", "GB", ".", "1.2.3GB", "-8GB", "8iB", "8 GB RAM", "0GB", 0, -5, True, np.nan, np.inf, [], {}],
    ids=repr,
)
def test_memory_limit_that_makes_no_sense(max_memory):
    with pytest.raises(ValueError, match="max_memory must be a positive number of bytes or text such as '8GB'"):
        memory_limit(max_memory)


def test_available_memory_is_the_lesser_of_machine_and_control_group(monkeypatch):
    assert available_memory() > 0
    monkeypatch.setattr(memory, "_machine_memory", lambda: 500)
    for group, expected in ((200, 200), (900, 500), (None, 500)):
        monkeypatch.setattr(memory, "_control_group_memory", lambda group=group: group)
        assert available_memory() == memory_limit(None) == expected


def test_memory_of_a_control_group(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path)
    assert memory._control_group_memory() is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("450\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 50\n")
    assert memory._control_group_memory() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._control_group_memory() is None


# Progress


def hide_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError


def test_progress_with_tqdm(monkeypatch):
    seen = []
    tqdm = types.ModuleType("tqdm.auto")
    tqdm.tqdm = lambda items, desc: (seen.append((desc, item)) or item for item in items)
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    factor_of(positive_definite(30), tile=10, verbose=True)
    assert seen == [("Cholesky factorisation", k) for k in range(3)]


def test_progress_without_tqdm(monkeypatch, capsys):
    hide_tqdm(monkeypatch)
    factor_of(positive_definite(30), tile=10, verbose=True)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Cholesky factorisation: {k}/3" for k in (1, 2, 3)]
    assert captured.out == ""


def test_progress_is_silent_unless_asked_for(monkeypatch, capsys):
    hide_tqdm(monkeypatch)
    factor_of(positive_definite(30), tile=10)
    assert capsys.readouterr() == ("", "")


def test_progress_of_an_empty_loop(monkeypatch):
    hide_tqdm(monkeypatch)
    assert list(progress([], "nothing", enabled=True)) == []
    assert list(progress(range(3), "something", enabled=True)) == [0, 1, 2]
