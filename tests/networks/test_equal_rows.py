"""Equal rows stay equal, and pairs within what rows allow, however deep the network and whatever it amplifies."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth import NNGPRegressor
from infwidth.activations import ACTIVATIONS, RectifiedPower, get_activation
from infwidth.networks import MLP

KINDS = [*ACTIVATIONS, RectifiedPower(0)]
BOUNDED = ["erf", "normal_cdf", "sign", "sin", "cos", "gaussian", "rbf", "relu", "leaky_relu", "abs", "gelu"]


def table(n_features):
    """Rows, the same again, and their opposites, in units in which no network overflows."""
    X = np.random.default_rng(0).standard_normal((12, n_features))
    return 0.3 * np.concatenate([X, X, -X])


@pytest.mark.parametrize("n_features", [3, 40])
@pytest.mark.parametrize(
    ("activation", "depth"),
    [(a, depth) for a in KINDS for depth in (1, 2, 5) if (a, depth) != ("exp", 5)],  # which overflows
    ids=str,
)
def test_equal_rows_have_equal_kernels(activation, depth, n_features):
    K = MLP(depth, activation).nngp(table(n_features))
    assert_allclose(np.diag(K[:12, 12:24]), np.diag(K)[:12], rtol=1e-13)


@pytest.mark.parametrize("depth", [5, 20])
@pytest.mark.parametrize("activation", BOUNDED)
def test_pairs_are_within_what_rows_allow(activation, depth):
    network, X = MLP(depth, activation, weight_variance=9.0), table(6)
    has_ntk = get_activation(activation).has_ntk
    for kernel in network.kernels(X) if has_ntk else [network.nngp(X)]:
        root = np.sqrt(np.diag(kernel))
        assert np.isfinite(kernel).all()
        assert np.all(np.abs(kernel) <= np.outer(root, root) * (1 + 1e-9))


@pytest.mark.parametrize("activation", ["sign", RectifiedPower(0)], ids=str)
def test_deep_steps_interpolate(activation):
    X = np.random.default_rng(1).standard_normal((40, 5))
    y = np.sin(3 * X[:, 0])
    model = NNGPRegressor(MLP(5, activation), noise_variance=1e-10, optimizer=None).fit(X, y)
    assert_allclose(model.predict(X), y, atol=1e-6)
