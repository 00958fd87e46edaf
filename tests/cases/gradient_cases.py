"""Inputs, networks and finite differences for the tests of gradients."""

import numpy as np

from infwidth._linalg.tiles import LowerTiles
from infwidth.networks import MLP

N_FEATURES = 3


def inputs(n, seed=0):
    return 0.7 * np.random.default_rng(seed).standard_normal((n, N_FEATURES))


def symmetric(n, seed=1):
    M = np.random.default_rng(seed).standard_normal((n, n))
    return M + M.T


def as_tiles(A, tile):
    tiles = LowerTiles(len(A), tile)
    for i in range(tiles.n_blocks):
        for j in range(i + 1):
            tiles[i, j][:] = A[tiles.rows(i), tiles.rows(j)]
    return tiles


def differences(function, theta, step=1e-3):
    """Central differences of fourth order."""
    steps = step * np.eye(len(theta))
    return np.array(
        [
            (8 * (function(theta + h) - function(theta - h)) - function(theta + 2 * h) + function(theta - 2 * h))
            / (12 * step)
            for h in steps
        ]
    )


def network_of(activation):
    """A network whose every variance, and every parameter of the activation, is in theta."""
    return MLP(
        2,
        activation,
        weight_variance=0.9,
        bias_variance=0.2,
        input_variance=[0.5, 1.0, 1.5],
        output_variance=1.3,
        learn_activation=bool(getattr(activation, "learnable", ())),
    )
