"""NNGPRegressor against refitting: rows that are left out, dropped or repeated."""

import numpy as np
import pytest
from nngp_cases import NETWORKS, NEW, XM, X, as_given, close, everything, targets, y
from sklearn.base import clone

from infwidth import NNGPRegressor

weights = pytest.mark.parametrize("weight", [None, np.linspace(0.2, 3.0, 20)], ids=["unweighted", "weighted"])


@weights
@targets
@pytest.mark.parametrize("include_noise", [True, False])
def test_leave_one_out_equals_refitting(target, weight, include_noise):
    model = NNGPRegressor(NETWORKS[1], optimizer=None, noise_variance=0.5, **as_given).fit(
        XM / 100, target, sample_weight=weight
    )
    mean, std = model.loo_predict(include_noise=include_noise)
    assert mean.shape == std.shape == target.shape
    for row in range(len(XM)):
        others = np.arange(len(XM)) != row
        own = None if weight is None else weight[others]
        refitted = clone(model).fit(XM[others] / 100, target[others], sample_weight=own)
        close(mean[[row]], refitted.predict(XM[[row]] / 100))
        close(std[[row]], refitted.predict_std(XM[[row]] / 100, include_noise=include_noise))


@targets
def test_row_of_weight_zero_is_dropped(target):
    weight = np.linspace(0.2, 3.0, 20)
    weight[[0, 7, 19]] = 0.0
    used = weight > 0
    outlier = target.copy()
    outlier[~used] += 1e4
    model = NNGPRegressor(optimizer=None).fit(XM, outlier, sample_weight=weight)
    without = NNGPRegressor(optimizer=None).fit(XM[used], target[used], sample_weight=weight[used])
    for actual, expected in zip(everything(model, XM)[:4], everything(without, XM)[:4], strict=True):
        close(actual, expected)
    close(model.log_marginal_likelihood(), without.log_marginal_likelihood())
    for include_noise in (True, False):
        mean, std = model.loo_predict(include_noise=include_noise)
        mean_without, std_without = without.loo_predict(include_noise=include_noise)
        close(mean[used], mean_without)
        close(std[used], std_without)
        close(mean[~used], without.predict(XM[~used]))
        close(std[~used], without.predict_std(XM[~used], include_noise=include_noise))


@pytest.mark.parametrize("options", [{}, as_given], ids=["scaled", "as given"])
def test_integer_weights_equal_repeated_rows(options):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    model = NNGPRegressor(optimizer=None, **options).fit(X, y, sample_weight=weight)
    repeated = NNGPRegressor(optimizer=None, **options).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for actual, expected in zip(
        model.predict(NEW, return_cov=True), repeated.predict(NEW, return_cov=True), strict=True
    ):
        close(actual, expected)


def test_equal_weights_divide_the_noise():
    weighted = NNGPRegressor(optimizer=None, noise_variance=0.4).fit(X, y, sample_weight=np.full(len(X), 4.0))
    plain = NNGPRegressor(optimizer=None, noise_variance=0.1).fit(X, y)
    close(weighted.predict(NEW), plain.predict(NEW))
    close(weighted.predict_std(NEW, include_noise=False), plain.predict_std(NEW, include_noise=False))
