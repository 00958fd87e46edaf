"""Kernels against matrices computed in 50-digit arithmetic: the precision that the package promises.

``fixtures/reference_kernels.npz`` holds the inputs as ``X/<activation>/<w>/<b>`` and, under
``<activation>/<depth>/<w>/<b>``, the kernels ``nngp`` and ``ntk`` of networks with weight variance w and bias
variance b. The twelve rows include a zero row (eleven without it where b = 0), a duplicate, one 1e-9 away,
an antiparallel one, a multiple, a tiny and a large one. The mask ``near`` marks the pairs with 1 - |ρ| < 1e-12
where they enter some activation, ρ being their correlation there, computed in 50 digits as well: the NTK depends on
√(1 - |ρ|), of which a covariance in double precision knows no more than eight digits.
"""

from pathlib import Path

import numpy as np
import pytest

from infwidth.activations import LeakyReLU
from infwidth.networks import MLP

REFERENCE = dict(np.load(Path(__file__).parent / "fixtures" / "reference_kernels.npz"))
NETWORKS = sorted({key.rpartition("/")[0] for key in REFERENCE if not key.startswith("X/")})
networks = pytest.mark.parametrize("name", NETWORKS)


def setting(name):
    """The inputs, the network and the three reference matrices of that name."""
    activation, depth, w, b = name.split("/")
    network = MLP(
        int(depth),
        LeakyReLU(0.1) if activation == "leaky_relu_0.1" else activation,
        weight_variance=float(w),
        bias_variance=float(b),
    )
    return REFERENCE[f"X/{activation}/{w}/{b}"], network, *(REFERENCE[f"{name}/{m}"] for m in ("nngp", "ntk", "near"))


def relative_error(kernel, reference):
    """Of each entry; of the geometric mean of both diagonal entries where the entry is 0."""
    scale = np.sqrt(np.outer(np.diag(reference), np.diag(reference)))
    return np.abs(kernel - reference) / np.where(reference == 0, scale, np.abs(reference))


@networks
def test_nngp(name):
    X, network, reference, _, _ = setting(name)
    assert np.max(relative_error(network.nngp(X), reference)) < 1e-12
    assert np.max(relative_error(network.nngp(X, X), reference)) < 1e-12


@networks
def test_ntk(name):
    X, network, _, reference, near = setting(name)
    tolerance = np.where(near, 2e-7, 1e-10)
    assert np.all(relative_error(network.ntk(X), reference) < tolerance)
    assert np.all(relative_error(network.ntk(X, X), reference) < tolerance)


@networks
def test_diagonals(name):
    X, network, nngp, ntk, _ = setting(name)
    for kernel, reference in zip(network.kernels(X), (nngp, ntk), strict=True):
        assert np.max(np.diag(relative_error(kernel, reference))) < 1e-13


def test_the_masks_are_sparse():
    """Seven pairs at most: three of a row and its duplicates, and one of each row with what was made of it."""
    for name in NETWORKS:
        near = REFERENCE[f"{name}/near"]
        assert len(near) < np.sum(near) <= len(near) + 14
