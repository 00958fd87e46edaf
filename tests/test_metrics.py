"""Scores of probabilistic predictions."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV

from infwidth import NNGPRegressor
from infwidth.metrics import (
    coverage_scorer,
    crps,
    interval_coverage,
    log_predictive_density_scorer,
    neg_crps_scorer,
    negative_log_predictive_density,
)
from infwidth.networks import MLP

Y, MEAN, STD = np.array([0.3, -1.0, 2.5]), np.array([0.0, -1.2, 1.0]), np.array([0.5, 1.0, 2.0])


def _square(function):
    return lambda x: function(x) ** 2


def test_density():
    expected = -norm.logpdf(Y, MEAN, STD).mean()
    assert negative_log_predictive_density(Y, MEAN, STD) == pytest.approx(expected, rel=1e-14)


def test_crps_is_its_integral():
    """∫ (F(x) - 1[x >= y])² dx."""
    expected = []
    for y, m, s in zip(Y, MEAN, STD, strict=True):
        below, above = norm(m, s).cdf, norm(m, s).sf
        expected.append(quad(_square(below), -30, y)[0] + quad(_square(above), y, 30)[0])
    assert crps(Y, MEAN, STD) == pytest.approx(np.mean(expected), rel=1e-8)


def test_crps_of_a_sharp_prediction_is_the_absolute_error():
    assert crps(Y, MEAN, np.full(3, 1e-9)) == pytest.approx(np.abs(Y - MEAN).mean(), rel=1e-8)


def test_coverage_of_true_normals():
    y = np.random.default_rng(0).standard_normal(100_000)
    for level in (0.5, 0.9, 0.99):
        share = interval_coverage(y, np.zeros_like(y), np.ones_like(y), level=level)
        assert abs(share - level) < 5 * np.sqrt(level * (1 - level) / len(y))


@pytest.mark.parametrize("metric", [negative_log_predictive_density, crps, interval_coverage])
class TestContract:
    def test_weights_are_repeated_rows(self, metric):
        rows = np.repeat([0, 1, 2], [1, 3, 2])
        repeated = metric(Y[rows], MEAN[rows], STD[rows])
        assert metric(Y, MEAN, STD, sample_weight=[1, 3, 2]) == pytest.approx(repeated, rel=1e-14)

    def test_outputs_are_averaged(self, metric):
        both = metric(np.c_[Y, MEAN], np.c_[MEAN, MEAN], np.c_[STD, STD])
        assert both == pytest.approx((metric(Y, MEAN, STD) + metric(MEAN, MEAN, STD)) / 2, rel=1e-14)

    def test_bad_input(self, metric):
        with pytest.raises(ValueError, match="std must be positive"):
            metric(Y, MEAN, [0.0, 1.0, 1.0])
        with pytest.raises(ValueError, match="std must be positive"):
            metric(Y, MEAN, [np.nan, 1.0, 1.0])
        with pytest.raises(ValueError, match="must have one shape"):
            metric(Y[:, None], MEAN, STD)
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            metric(Y, MEAN[:2], STD)


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_bad_level(level):
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        interval_coverage(Y, MEAN, STD, level=level)


@pytest.mark.parametrize(
    ("scorer", "metric", "sign"),
    [
        (log_predictive_density_scorer, negative_log_predictive_density, -1),
        (neg_crps_scorer, crps, -1),
        (coverage_scorer, interval_coverage, 1),
    ],
    ids=["density", "crps", "coverage"],
)
def test_scorers(scorer, metric, sign):
    X, y = load_diabetes(return_X_y=True)
    model = NNGPRegressor(MLP(1), optimizer=None, noise_variance=0.5).fit(X[:200], y[:200])
    expected = sign * metric(y[200:], *model.predict(X[200:], return_std=True))
    assert scorer(model, X[200:], y[200:]) == pytest.approx(expected, rel=1e-12)


def test_density_chooses_the_noise():
    X, y = load_diabetes(return_X_y=True)
    model = NNGPRegressor(MLP(1), optimizer=None)
    grid = {"noise_variance": [1e-3, 0.5, 30.0]}
    search = GridSearchCV(model, grid, scoring=log_predictive_density_scorer, cv=3).fit(X, y)
    assert search.best_params_ == {"noise_variance": 0.5}
