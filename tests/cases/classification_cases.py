"""Data for the tests of InfiniteNetClassifier, and what they compare."""

import numpy as np
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

LOADERS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
REGRESSORS = {"nngp": NNGPRegressor, "ntk": NTKRegressor}
as_given = {"optimizer": None, "feature_scaling": None}

X, y = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
NEW = 1.5 * make_classification(30, 6, n_informative=4, n_classes=3, random_state=1)[0]  # some outside the data
NETWORK = MLP(1, "erf", ard=True)


def every(step, name, start=0):
    """Each ``step``-th row of a data set, standardised."""
    inputs, label = LOADERS[name](return_X_y=True)
    return StandardScaler().fit_transform(inputs)[start::step], label[start::step]


def kernel_and_variance_of_mean(network, limit, inputs, targets, weight):
    """The kernel of inputs, and the variance of the targets' mean: their mean square, one row for all equal inputs."""
    used = weight > 0
    _, group = np.unique(inputs[used], axis=0, return_inverse=True)
    count = np.bincount(group, weight[used])
    mean = np.stack([np.bincount(group, weight[used] * column) / count for column in targets[used].T])
    return getattr(network, limit)(inputs), np.mean(mean**2)


def predicted(K, row, targets, noise_variance, weight):
    """Mean and latent variance of a row given those of positive weight, by the textbook (RW 2.25, 2.26)."""
    used = weight > 0
    A = K[np.ix_(used, used)] + np.diag(noise_variance / weight[used])
    explain = np.linalg.solve(A, K[used, row])
    return explain @ targets[used], K[row, row] - explain @ K[used, row]


def numbers(model):
    """What a fitted model says about the new rows and about its own."""
    return [model.predict_log_proba(NEW), model.loo_decision_function(), model.class_prior_, model.evidence_]


def assert_same(model, other, rtol=1e-8):
    for actual, expected in zip(numbers(model), numbers(other), strict=True):
        assert_allclose(actual, expected, rtol=rtol, atol=rtol)
