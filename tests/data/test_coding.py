"""Classes as vertices of a simplex, and scores of what is predicted of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth._data.coding import ClassCoding, class_vertices


@pytest.mark.parametrize("n_classes", [2, 3, 7, 100])
def test_vertices_of_a_regular_simplex(n_classes):
    vertices = class_vertices(n_classes)
    assert vertices.shape == (n_classes, n_classes - 1)
    cosine = -1.0 / (n_classes - 1)
    assert_allclose(vertices @ vertices.T, cosine + (1.0 - cosine) * np.eye(n_classes), atol=1e-13)
    assert_allclose(vertices.sum(axis=0), 0.0, atol=1e-12)
    distances = np.linalg.norm(vertices[:, None] - vertices, axis=2)[np.triu_indices(n_classes, 1)]
    assert_allclose(distances, np.sqrt(2.0 * n_classes / (n_classes - 1)), rtol=1e-13)


def test_two_classes_are_minus_one_and_one():
    assert_allclose(class_vertices(2), [[-1.0], [1.0]], rtol=1e-15)


@pytest.fixture(params=[2, 3, 7])
def coded(request):
    """A coding of unbalanced, weighted rows, with their labels and weights."""
    random = np.random.default_rng(request.param)
    label = np.r_[np.arange(request.param), random.binomial(request.param - 1, 0.3, 40)]
    weight = random.uniform(0.1, 3.0, len(label))
    return ClassCoding.of(label, weight), label, weight


def test_targets_are_centred_and_scaled(coded):
    coding, label, weight = coded
    n_classes, targets = len(coding.share), coding.targets(label)
    assert targets.shape == (len(label), n_classes - 1)
    assert_allclose(np.average(targets, axis=0, weights=weight), 0.0, atol=1e-13)
    assert_allclose(np.average(np.mean(targets**2, axis=1), weights=weight), 1.0, rtol=1e-13)
    assert_allclose(coding.share, [weight[label == c].sum() / weight.sum() for c in range(n_classes)], rtol=1e-13)


def test_scores_estimate_probabilities(coded):
    coding, label, _ = coded
    n_classes = len(coding.share)
    one_hot = np.eye(n_classes)[label]
    assert_allclose(coding.scores(coding.targets(label)), one_hot, atol=1e-13)
    assert_allclose(coding.scores(np.zeros((1, n_classes - 1))), coding.share[None], rtol=1e-12)  # nothing is known
    random = np.random.default_rng(0)
    mixing, latent = random.normal(size=(5, len(label))), 3.0 * random.normal(size=(9, n_classes - 1))
    mixing /= mixing.sum(axis=1, keepdims=True)
    assert_allclose(coding.scores(mixing @ coding.targets(label)), mixing @ one_hot, atol=1e-11)  # affine
    assert_allclose(coding.scores(latent).sum(axis=1), 1.0, rtol=1e-12)


def test_std_of_a_score(coded):
    coding = coded[0]
    n_outputs = len(coding.share) - 1
    slope = coding.scores(np.eye(n_outputs)) - coding.scores(np.zeros((1, n_outputs)))  # of the scores, latent by row
    for latent_std in (0.3, 2.0):
        std = np.sqrt(np.sum((latent_std * slope) ** 2, axis=0))
        assert_allclose(std, coding.score_std(latent_std), rtol=1e-12)
        assert std.shape == (n_outputs + 1,)
