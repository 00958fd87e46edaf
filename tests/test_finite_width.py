"""Finite random networks: their kernels, averaged over many networks, must be the infinite-width ones.

A kernel of width N is off by O(1/N) on average and scatters by O(1/√N) from network to network. So the mean of n
networks has a bias that is about √(n/N) of its standard error: with n < N/20 it may be neglected beside the
tolerance of five standard errors.
"""

from itertools import pairwise

import numpy as np
import pytest

from infwidth.activations import ACTIVATIONS, LeakyReLU, RectifiedPower, Sin, get_activation
from infwidth.networks import MLP

W, B = 0.4, 0.1  # weight and bias variances; small, for the tails of exp
X = np.array([[1.0, 0.0, 0.5], [0.6, 0.8, -0.5], [-0.9, 0.1, -0.4], [0.0, 0.0, 0.0]])
NNGP_CASES = [*ACTIVATIONS.values(), LeakyReLU(-0.5), Sin(1.7, 0.4), RectifiedPower(0)]


def standard_normal(*shapes):
    rng = np.random.default_rng(7)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


@pytest.fixture(scope="module")
def two_layers():
    """Weights and biases of two hidden layers, for all activations: 25 networks of width 500."""
    n, width = 25, 500
    return standard_normal((n, X.shape[1], width), (n, 1, width), (n, width, width), (n, 1, width))


def assert_limit(samples, expected):
    """Compare the mean of finite networks' kernels, shape (n, rows, rows), with the kernel of the limit."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= 5 * error + 1e-12)
    assert np.all(error <= 0.05 * np.sqrt(np.outer(*[np.diag(expected)] * 2)))  # or nothing would be tested


@pytest.mark.parametrize("activation", NNGP_CASES, ids=repr)
def test_nngp_of_depth_2(activation, two_layers):
    """Conditional on the hidden layers, the outputs' covariance is B + W/N φ(h) · φ(h')."""
    w0, b0, w1, b1 = two_layers
    h = activation(np.sqrt(W / X.shape[1]) * (X @ w0) + np.sqrt(B) * b0)
    h = activation(np.sqrt(W / w1.shape[1]) * (h.astype(np.float32) @ w1) + np.sqrt(B) * b1)
    kernels = B + W * np.einsum("nik,njk->nij", h, h, optimize=True) / h.shape[2]
    assert_limit(kernels, MLP(depth=2, activation=activation, weight_variance=W, bias_variance=B).nngp(X))


def gradients(activation, weights, biases):
    """Gradients of a network's output with respect to all its weights and biases, one row for each row of X.

    Each layer computes h = √(W/n) φ(h) w + √B b from n inputs (NTK parametrisation).
    """
    inputs, slopes = [X], []
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = np.sqrt(W / len(w)) * inputs[-1] @ w + np.sqrt(B) * b
        inputs.append(activation(h))
        slopes.append(activation.derivative(h))
    parts, back = [], np.ones((len(X), 1))
    for place in reversed(range(len(weights))):
        w = weights[place]
        by_weight = np.sqrt(W / len(w)) * np.einsum("ij,ik->ijk", inputs[place], back)
        parts += [by_weight.reshape(len(X), -1), np.sqrt(B) * back]
        if place:
            back = np.sqrt(W / len(w)) * (back @ w.T) * slopes[place - 1]
    return np.hstack(parts)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", ["relu", "erf"])
def test_ntk_is_the_kernel_of_gradients(name, depth):
    n, width = 12, 250
    sizes = [X.shape[1], *[width] * depth, 1]
    weights = standard_normal(*[(n, a, b) for a, b in pairwise(sizes)])
    biases = standard_normal(*[(n, b) for b in sizes[1:]])
    kernels = []
    for i in range(n):
        g = gradients(get_activation(name), [w[i] for w in weights], [b[i] for b in biases])
        kernels.append(g @ g.T)
    assert_limit(np.array(kernels), MLP(depth=depth, activation=name, weight_variance=W, bias_variance=B).ntk(X))
