"""Scores of probabilistic predictions."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm
from sklearn import config_context
from sklearn.datasets import load_diabetes
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from infwidth import NNGPRegressor, NTKRegressor
from infwidth.metrics import (
    StdScorer,
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
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            metric([], [], [])
        with pytest.raises(ValueError, match="std must be positive"):
            metric(Y, MEAN, -STD)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize(("place", "name"), list(enumerate(["y_true", "mean", "std"])))
    def test_numbers_that_are_not_finite(self, metric, value, place, name):
        arguments = [Y.copy(), MEAN.copy(), STD.copy()]
        arguments[place][1] = value
        match = "std must be positive and finite" if name == "std" else f"Input {name} contains"
        with pytest.raises(ValueError, match=match):
            metric(*arguments)

    def test_what_is_no_number(self, metric):
        with pytest.raises(ValueError, match=r"y_true has text \('a'\).*log_loss"):
            metric(["a", "b", "c"], MEAN, STD)
        masked = np.ma.masked_array(MEAN, mask=[True, False, False])
        with pytest.raises(ValueError, match="mean is a masked array with 1 masked values"):
            metric(Y, masked, STD)

    @pytest.mark.parametrize(
        ("weight", "match"),
        [
            ([1.0, 1.0], "sample_weight.shape"),
            ([1, np.nan, 1], "NaN"),
            ([1, -1, 1], "Negative"),
            ([0, 0, 0], r"non-zero|are zero"),
        ],
    )
    def test_bad_weights(self, metric, weight, match):
        with pytest.raises(ValueError, match=match):
            metric(Y, MEAN, STD, sample_weight=weight)


@pytest.mark.parametrize("level", [0.0, 1.0, 90, np.nan, "0.9", None])
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


# Routing

X, y = (a[:80] for a in load_diabetes(return_X_y=True))
WEIGHT = np.arange(80) % 3 + 1.0
MODEL = NNGPRegressor(MLP(1), optimizer=None)
scorers = pytest.mark.parametrize(
    "scorer",
    [StdScorer(crps, sign=-1), StdScorer(partial(interval_coverage, level=0.5)), coverage_scorer],
    ids=["crps", "partial", "coverage"],
)


def weighted_model():
    return NNGPRegressor(MLP(1), optimizer=None).set_fit_request(sample_weight=True)


def by_hand(scorer, *, weights_to_scorer):
    """Scores of two folds, of models that are fitted with weights."""
    scores = []
    for test in (np.arange(40), np.arange(40, 80)):
        train = np.setdiff1d(np.arange(80), test)
        model = NNGPRegressor(MLP(1), optimizer=None).fit(X[train], y[train], WEIGHT[train])
        scores.append(scorer(model, X[test], y[test], sample_weight=WEIGHT[test] if weights_to_scorer else None))
    return scores


@scorers
@pytest.mark.parametrize("request_", [True, False, "importance"])
def test_weights_are_routed_as_they_are_asked_for(scorer, request_):
    with config_context(enable_metadata_routing=True):
        scorer = copy.deepcopy(scorer).set_score_request(sample_weight=request_)
        params = {"sample_weight": WEIGHT} | ({"importance": WEIGHT} if request_ == "importance" else {})
        options = {"params": params, "cv": 2}
        single = cross_validate(weighted_model(), X, y, scoring=scorer, **options)["test_score"]
        several = cross_validate(weighted_model(), X, y, scoring={"one": scorer, "two": scorer}, **options)["test_two"]
        search = GridSearchCV(weighted_model(), {"noise_variance": [0.1]}, scoring=scorer, cv=2).fit(X, y, **params)
    expected = by_hand(scorer, weights_to_scorer=bool(request_))
    assert_allclose(single, expected, rtol=1e-10)
    assert_allclose(several, expected, rtol=1e-10)
    for fold in (0, 1):
        assert_allclose(search.cv_results_[f"split{fold}_test_score"], expected[fold], rtol=1e-10)
    assert by_hand(scorer, weights_to_scorer=True) != by_hand(scorer, weights_to_scorer=False)


@pytest.mark.parametrize("scorer", [coverage_scorer, neg_crps_scorer, log_predictive_density_scorer], ids=repr)
def test_weights_that_nobody_asked_for(scorer):
    """An error, as of scikit-learn's own scorers where one of them has a request to be asked about."""
    theirs = make_scorer(mean_absolute_error)
    with config_context(enable_metadata_routing=True):
        theirs = theirs.set_score_request(sample_weight=None)
        for one in (scorer, theirs):
            with pytest.raises(UnsetMetadataPassedError, match=r"sample_weight"):
                cross_validate(weighted_model(), X, y, scoring={"one": one}, params={"sample_weight": WEIGHT}, cv=2)
            search = GridSearchCV(weighted_model(), {"noise_variance": [0.1]}, scoring=one, cv=2)
            with pytest.raises(UnsetMetadataPassedError, match=r"set_score_request\("):
                search.fit(X, y, sample_weight=WEIGHT)
    assert scorer.get_metadata_routing().score.requests["sample_weight"] is None  # the shared scorer is as it was


def test_other_metadata_are_routed_too():
    with config_context(enable_metadata_routing=True):
        scorer = StdScorer(interval_coverage).set_score_request(level="share", sample_weight=True)
        model = MODEL.fit(X, y)
        routed = cross_val_score(MODEL, X, y, scoring=scorer, params={"share": 0.5}, cv=2)
        assert scorer.get_metadata_routing().score.requests == {"level": "share", "sample_weight": True}
        assert scorer(model, X, y, level=0.5) == StdScorer(interval_coverage, level=0.5)(model, X, y)
    assert_allclose(routed, cross_val_score(MODEL, X, y, scoring=StdScorer(interval_coverage, level=0.5), cv=2))


def test_requests_need_routing():
    scorer = StdScorer(crps)
    with config_context(enable_metadata_routing=True), pytest.raises(ValueError, match="alias"):
        scorer.set_score_request(sample_weight=3.0)
    assert scorer.get_metadata_routing().score.requests == {"sample_weight": None}
    with pytest.raises(RuntimeError, match=r"set_config\(enable_metadata_routing=True\)"):
        StdScorer(crps).set_score_request(sample_weight=True)


@scorers
def test_several_scorers_of_a_weighted_search_without_routing(scorer):
    search = GridSearchCV(MODEL, {"noise_variance": [0.1]}, scoring={"one": scorer, "two": scorer}, refit="two", cv=2)
    assert np.isfinite(search.fit(X, y, sample_weight=WEIGHT).best_score_)


# Metrics of all kinds


class WidthOfIntervals:
    def __call__(self, y_true, mean, std, factor=1.0):
        return factor * float(np.mean(std))

    def __repr__(self):
        return "WidthOfIntervals()"


def width(y_true, mean, std, **options):
    return options.get("factor", 1.0) * float(np.mean(std))


KINDS = {
    "StdScorer(partial(interval_coverage, level=0.5))": StdScorer(partial(interval_coverage, level=0.5)),
    "StdScorer(interval_coverage, level=0.5)": StdScorer(interval_coverage, level=0.5),
    "StdScorer(<lambda>, sign=-1)": StdScorer(lambda y, mean, std: float(np.mean(std)), sign=-1),
    "StdScorer(WidthOfIntervals(), factor=2.0)": StdScorer(WidthOfIntervals(), factor=2.0),
    "StdScorer(width, sign=-1, factor=3.0)": StdScorer(width, -1, factor=3.0),
}


@pytest.mark.parametrize("shown", KINDS)
@pytest.mark.parametrize("model", [MODEL, NTKRegressor(MLP(1), optimizer=None)], ids=lambda model: type(model).__name__)
def test_every_kind_of_metric(shown, model):
    scorer = KINDS[shown]
    assert repr(scorer) == shown
    search = GridSearchCV(model, {"noise_variance": [0.1, 1.0]}, scoring=scorer, cv=2, error_score="raise").fit(X, y)
    assert shown in repr(search.set_params(estimator=None, param_grid={}))
    std = search.best_estimator_.predict_std(X)
    expected = {"lambda": -1.0, "Width": 2.0, "(width": -3.0}
    for part, factor in expected.items():
        if part in shown:
            assert scorer(search.best_estimator_, X, y) == pytest.approx(factor * std.mean())
    with config_context(enable_metadata_routing=True):
        assert np.isfinite(cross_val_score(model, X, y, scoring=scorer, params={}, cv=2)).all()


def test_a_parameter_is_that_of_the_metric():
    model = MODEL.fit(X, y)
    mean, std = model.predict(X, return_std=True)
    for scorer in (StdScorer(partial(interval_coverage, level=0.3)), StdScorer(interval_coverage, level=0.3)):
        again = pickle.loads(pickle.dumps(scorer))
        assert again(model, X, y) == scorer(model, X, y) == interval_coverage(y, mean, std, level=0.3)


def test_bad_scorers():
    with pytest.raises(TypeError, match=r"metric must be a function .* got 'crps'"):
        StdScorer("crps")
    with pytest.raises(ValueError, match="sign must be 1 or -1, got 0"):
        StdScorer(crps, 0)
