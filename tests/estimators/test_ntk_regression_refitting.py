"""NTKRegressor against refitting: rows that are left out, dropped or repeated."""

from functools import partial

import numpy as np
import pytest
from ntk_cases import NETWORK, NEW, NEWM, XM, YM, X, as_given, close, targets, weights, y
from scipy.linalg import LinAlgWarning
from sklearn.base import clone

from infwidth import NTKRegressor


@pytest.mark.parametrize(
    "options",
    [
        {"training_time": 6.0},
        {"training_time": 6.0, "learning_rate": 0.5, "momentum": 0.7},
        {},
        {"posterior": "ntkgp"},
        {"training_time": 6.0, **as_given},
        {"training_time": 6.0, **as_given, "noise_variance": 0.0},
    ],
    ids=["flow", "momentum", "end", "ntkgp", "as given", "no noise"],
)
def test_integer_weights_equal_repeated_rows(options):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    options = {"optimizer": None, **options}
    model = NTKRegressor(NETWORK, **options).fit(X, y, weight)
    repeated = NTKRegressor(NETWORK, **options)
    if options.get("noise_variance") == 0:
        with pytest.warns(LinAlgWarning, match="added to its diagonal"):
            repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    else:
        repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    rtol = 1e-8 if options.get("noise_variance") != 0 else 1e-6
    for ask in (NTKRegressor.predict, partial(NTKRegressor.predict, return_cov=True)):
        for actual, expected in zip(ask(model, NEW), ask(repeated, NEW), strict=True):
            close(actual, expected, rtol)
    close(model.max_learning_rate(), repeated.max_learning_rate())
    if model.posterior == "ensemble":
        close(model.training_loss([1.0, 20.0]), repeated.training_loss([1.0, 20.0]), rtol)
        close(
            list(model.staged_predict(NEW, [1.0, 20.0], True)),
            list(repeated.staged_predict(NEW, [1.0, 20.0], True)),
            rtol,
        )


def test_row_of_weight_zero_is_dropped():
    weight = np.where(np.arange(20) % 5, 1.0, 0.0)
    used, outlier = weight > 0, YM + 1e4 * (weight == 0)[:, None]
    model = NTKRegressor(NETWORK, optimizer=None, feature_scaling=None).fit(XM, outlier, weight)
    without = NTKRegressor(NETWORK, optimizer=None, feature_scaling=None).fit(XM[used], YM[used])
    close(model.training_loss([1.0]), without.training_loss([1.0]))
    close(model.predict(NEWM, return_std=True), without.predict(NEWM, return_std=True))
    for whole, part, new in zip(
        model.loo_predict(), without.loo_predict(), without.predict(XM, return_std=True), strict=True
    ):
        close(whole[used], part)
        close(whole[~used], new[~used])


@weights
@targets
@pytest.mark.parametrize("posterior", ["ensemble", "ntkgp"])
@pytest.mark.parametrize("include_noise", [True, False])
def test_leave_one_out_equals_refitting(target, weight, posterior, include_noise):
    model = NTKRegressor(NETWORK, noise_variance=0.5, posterior=posterior, **as_given).fit(XM, target, weight)
    mean, std = model.loo_predict(include_noise=include_noise)
    assert mean.shape == std.shape == target.shape
    for row in range(len(XM)):
        others = np.arange(len(XM)) != row
        own = None if weight is None else weight[others]
        refitted = clone(model).fit(XM[others], target[others], own)
        close(mean[[row]], refitted.predict(XM[[row]]))
        close(std[[row]], refitted.predict_std(XM[[row]], include_noise=include_noise))


@pytest.mark.parametrize("options", [{"training_time": 5.0}, {"learning_rate": 0.5}], ids=["time", "steps"])
def test_leave_one_out_is_of_the_end_of_training(options):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, YM)
    with pytest.raises(ValueError, match=r"end of training only: use training_time=inf.*or cross_val_predict"):
        model.loo_predict()
