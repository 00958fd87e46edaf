"""The map from scores and variances to probabilities, against brute force."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

from infwidth._inference import calibration
from infwidth._inference.calibration import (
    CENTER,
    PRIOR_STD,
    TAIL,
    Calibration,
    _log_positive_part,
    _log_positive_part_slope,
    fit_calibration,
)

# The expected positive part


def log_positive_part(z):
    """log E max(z + ξ, 0) by quadrature, with φ(t - z) = φ(z) exp(z t - t²/2) below 0, where φ(z) underflows."""
    if z > 0.0:
        return np.log(quad(lambda t: t * norm.pdf(t - z), 0.0, z + 10.0, points=[z], epsabs=0.0, epsrel=1e-12)[0])
    reach = min(12.0, 60.0 / max(-z, 1e-9))
    part = quad(lambda t: t * np.exp(t * (z - 0.5 * t)), 0.0, reach, epsabs=0.0, epsrel=1e-12)[0]
    return norm.logpdf(z) + np.log(part)


@pytest.mark.parametrize("z", [*range(-8, 9), -0.3, -1e-12, 1e-12, 0.4, 25.0, -30.0, -500.0, -999.0])
def test_log_positive_part_equals_quadrature(z):
    expected = log_positive_part(float(z))
    assert_allclose(_log_positive_part(z), expected, rtol=1e-12)
    assert_allclose(_log_positive_part_slope(z), np.exp(norm.logcdf(z) - expected), rtol=1e-9)


GRID = np.r_[-np.logspace(6, -3, 200), 0.0, np.logspace(-3, 6, 200)]


def test_slope_equals_differences():
    step = 1e-5 * np.maximum(np.abs(GRID), 1.0)
    differences = (_log_positive_part(GRID + step) - _log_positive_part(GRID - step)) / (2.0 * step)
    assert_allclose(_log_positive_part_slope(GRID), differences, rtol=3e-6)


def test_log_positive_part_rises_and_is_concave():
    assert np.all(np.diff(_log_positive_part(GRID)) > 0)
    assert np.all(np.diff(_log_positive_part_slope(GRID)) < 0)


def test_tail_is_continuous():
    above, below = TAIL * (1.0 - 1e-12), TAIL * (1.0 + 1e-12)
    value, slope = _log_positive_part(np.array([above, below])), _log_positive_part_slope(np.array([above, below]))
    assert_allclose(value[0] - slope[0] * (above - below), value[1], rtol=0, atol=4.0 / TAIL**2)
    assert_allclose(slope[0], slope[1], rtol=4.0 / TAIL**2)


@pytest.mark.parametrize("z", [-1e6, -1e10, -1e100])
def test_far_below(z):
    assert_allclose(_log_positive_part(z), norm.logpdf(z) - 2.0 * np.log(-z), rtol=1e-15)
    assert_allclose(_log_positive_part_slope(z), -z, rtol=1e-9)


@pytest.mark.parametrize("z", [1e2, 1e6, 1e100])
def test_far_above(z):
    assert_allclose(_log_positive_part(z), np.log(z), rtol=1e-15)
    assert_allclose(_log_positive_part_slope(z), 1.0 / z, rtol=1e-15)


# The map, and how it is fitted


def problem(seed, n=60, n_classes=3):
    """Scores that say less about the class where the variance is large, with weights and a prior."""
    random = np.random.default_rng(seed)
    label = np.r_[np.arange(n_classes), random.integers(0, n_classes, n - n_classes)]
    variance = random.uniform(0.01, 8.0, n)
    std = np.sqrt(0.02 + 0.05 * variance)
    noise = random.normal(size=(n, n_classes)) * std[:, None]
    scores = np.eye(n_classes)[label] + noise - noise.mean(axis=1, keepdims=True)
    weight = random.integers(1, 4, n).astype(float)
    log_prior = np.log(np.bincount(label, weight) / weight.sum())
    return scores, std, variance, label, weight, log_prior


def probabilities(theta, scores, std, variance, prior):
    """The formula of the module, without logarithms."""
    power, width, variance_weight = np.exp(theta)
    z = scores / (width * std[:, None])
    informed = (z * norm.cdf(z) + norm.pdf(z)) ** power
    informed /= informed.sum(axis=1, keepdims=True)
    certainty = 1.0 / (1.0 + variance_weight * variance[:, None])
    pooled = informed**certainty * prior ** (1.0 - certainty)
    return pooled / pooled.sum(axis=1, keepdims=True)


def cost(theta, scores, std, variance, label, weight, log_prior):
    """Minus the log posterior density of the parameters, up to a constant."""
    proba = probabilities(theta, scores, std, variance, np.exp(log_prior))[np.arange(len(label)), label]
    return 0.5 * np.sum(((theta - CENTER) / PRIOR_STD) ** 2) - weight @ np.log(proba)


def theta_of(fitted):
    return np.log([fitted.power, fitted.width, fitted.variance_weight])


@pytest.mark.parametrize("theta", [CENTER, [1.0, -0.5, 0.3], [-0.7, 0.6, -2.0]])
def test_log_proba_equals_the_formula(theta):
    scores, std, variance, _, _, log_prior = problem(0)
    log_proba = Calibration(*np.exp(theta), log_prior).log_proba(scores, std, variance)
    assert_allclose(np.exp(log_proba), probabilities(theta, scores, std, variance, np.exp(log_prior)), rtol=1e-9)


def test_certain_scores_are_probabilities_as_they_are():
    scores = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    prior = np.log([0.2, 0.3, 0.5])
    log_proba = Calibration(1.0, 1e-9, 0.5, prior).log_proba(scores, np.ones(2), np.zeros(2))
    assert_allclose(np.exp(log_proba), scores, rtol=1e-12)


@pytest.mark.parametrize("unknown", [1e18, np.inf])
def test_nothing_known_is_the_prior(unknown):
    scores, std, _, label, _, log_prior = problem(0)
    fitted = fit_calibration(*problem(0))
    log_proba = fitted.log_proba(1e3 * scores, std, np.full(len(label), unknown))
    assert_allclose(log_proba, np.tile(log_prior, (len(label), 1)), rtol=1e-9)


def test_probabilities_of_extreme_scores():
    """A score far below 0 has a finite log-probability, in its right order, where the probability underflows."""
    scores = np.array([[1.0 + 3e5, -1e5, -2e5], [1e9, -1e9, 1.0]])
    log_proba = Calibration(2.0, 0.5, 0.05, np.log([0.2, 0.3, 0.5])).log_proba(scores, np.ones(2), np.zeros(2))
    assert np.isfinite(log_proba).all()
    assert log_proba[0, 0] == 0.0
    assert log_proba[0, 2] < log_proba[0, 1] < -1e9


@pytest.mark.parametrize("seed", range(3))
def test_fit_finds_the_largest_posterior_density(seed):
    data = problem(seed)
    found = theta_of(fit_calibration(*data))
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    reference = minimize(cost, CENTER, args=data, method="Nelder-Mead", options=options)
    assert reference.success
    assert_allclose(found, reference.x, atol=1e-4)
    assert np.abs(found - CENTER).max() > 0.2  # there was something to learn


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_cost_and_its_gradient(monkeypatch, n_classes):
    """What the optimiser sees is the cost, at points away from the optimum too."""
    data, seen = problem(5, n_classes=n_classes), []

    def watched(function, *how, **options):
        seen.append(function)
        return minimize(function, *how, **options)

    monkeypatch.setattr(calibration, "minimize", watched)
    fit_calibration(*data)
    for away in ([0.0, 0.0, 0.0], [0.9, -0.4, 1.5], [-0.5, 0.8, 3.0]):
        theta = CENTER + np.array(away)
        value, gradient = seen[0](theta)
        assert_allclose(value, cost(theta, *data), rtol=1e-10)
        steps = 1e-4 * np.eye(3)
        differences = [(cost(theta + step, *data) - cost(theta - step, *data)) / 2e-4 for step in steps]
        assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6)


def test_weights_equal_repeated_rows():
    *rows, weight, log_prior = problem(1)
    repeated = [np.repeat(part, weight.astype(int), axis=0) for part in rows]
    weighted = fit_calibration(*rows, weight, log_prior)
    plain = fit_calibration(*repeated, np.ones(len(repeated[0])), log_prior)
    assert_allclose(theta_of(weighted), theta_of(plain), rtol=1e-7)
    unweighted = fit_calibration(*rows, np.ones(len(weight)), log_prior)
    assert np.abs(theta_of(weighted) - theta_of(unweighted)).max() > 0.01


def test_order_of_classes_and_rows_does_not_matter():
    scores, std, variance, label, weight, log_prior = problem(2)
    classes, rows = np.array([2, 0, 1]), np.random.default_rng(0).permutation(len(label))
    new = np.argsort(classes)
    other = fit_calibration(
        scores[rows][:, classes], std[rows], variance[rows], new[label[rows]], weight[rows], log_prior[classes]
    )
    assert_allclose(theta_of(other), theta_of(fit_calibration(*problem(2))), rtol=1e-7)
    assert_allclose(other.log_prior, log_prior[classes])


@pytest.mark.parametrize("repeats", [1, 1000])
@pytest.mark.parametrize("wrong", [False, True], ids=["separated", "all wrong"])
def test_prior_holds_the_parameters(repeats, wrong):
    """Six rows whose scores are perfect would otherwise drive the power to infinity."""
    label = np.tile(np.arange(3), 2)
    scores, std, variance = np.eye(3)[(label + wrong) % 3], np.full(6, 0.3), np.full(6, 0.5)
    data = scores, std, variance, label, np.full(6, float(repeats)), np.log(np.full(3, 1 / 3))
    found = theta_of(fit_calibration(*data))
    away = (found - CENTER) / PRIOR_STD
    assert np.isfinite(found).all()
    assert 0.5 * away @ away < cost(CENTER, *data)  # the most that leaving the prior's centre can gain
    assert cost(found, *data) < cost(CENTER, *data)
    if wrong:
        assert away[0] < 0  # less power
        assert away[2] > 0  # more of the prior
    else:
        assert away[0] > 0
        assert away[2] < 0


def test_useless_scores_give_way_to_the_prior():
    scores, std, variance, label, weight, log_prior = problem(3, n=400)
    random = np.random.default_rng(0)
    certain = variance < 4.0
    useless = np.where(certain[:, None], scores, scores[random.permutation(len(label))])
    informative = fit_calibration(scores, std, variance, label, weight, log_prior)
    other = fit_calibration(useless, std, variance, label, weight, log_prior)
    assert other.variance_weight > 2.0 * informative.variance_weight


@pytest.mark.parametrize("seed", [3, 4])
def test_no_line_search_leaves_the_range_of_numbers(seed):
    """Heavy rows make the first slope steep: without bounds some of these overflow."""
    random = np.random.default_rng(seed)
    for _ in range(250):
        n = random.integers(4, 40)
        label = (np.arange(n) % 3 == 0).astype(int)
        score = np.clip(label + random.normal(size=n) * 10 ** random.uniform(-3, 0.5), -3, 3)
        std, variance = np.full(n, 10 ** random.uniform(-4, 0)), 10 ** random.uniform(-8, 4, size=n)
        parts = np.stack([1 - score, score], axis=1), std, variance
        weight = np.full(n, 10 ** random.uniform(0, 6))
        fitted = calibration.fit_calibration(*parts, label, weight, np.log([0.5, 0.5]))
        assert np.isfinite(fitted.log_proba(*parts)).all()
