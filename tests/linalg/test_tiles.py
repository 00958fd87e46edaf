"""The lower triangle of a matrix in tiles: their edges, their bytes, and the whole."""

import numpy as np
import pytest
from linalg_cases import SHAPES, MatrixSource, positive_definite, shapes
from numpy.testing import assert_array_equal

from infwidth._linalg.tiles import LowerTiles


@shapes
def test_dense_is_symmetric(n, tile):
    A = positive_definite(n)
    tiles = LowerTiles(n, tile)
    MatrixSource(A).fill(tiles)
    assert_array_equal(tiles.dense(), np.tril(A) + np.tril(A, -1).T)


@pytest.mark.parametrize("tile", [1, 7, 33, 1024])
def test_tiles_share_the_rows_evenly(tile):
    for n in (1, tile, tile + 1, 3 * tile, 3 * tile + 1, 10 * tile - 1):
        tiles = LowerTiles(n, tile)
        sizes = np.diff(tiles.edges)
        assert sizes.sum() == tiles.n == n
        assert 1 <= sizes.max() <= tile
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("n", "tile"), [*SHAPES, (3000, 1024)])
def test_bytes_are_those_allocated(n, tile):
    assert LowerTiles.n_bytes(n, tile) == sum(block.nbytes for _, _, block in LowerTiles(n, tile))
