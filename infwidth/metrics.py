"""Scores of probabilistic predictions, as functions and as scorers for GridSearchCV and cross_val_score.

All functions take means and standard deviations of new observations, in units of y, averaged over rows and outputs.
"""

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_consistent_length

from infwidth._floating_point import no_floating_point_errors


@no_floating_point_errors
def negative_log_predictive_density(y_true, mean, std, *, sample_weight=None):
    """Mean of -log N(y; mean, std²): lower is better.

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Standard deviations are positive.
    sample_weight : array-like of shape (n_samples,), optional

    Returns
    -------
    float
        In nats an observation.

    Examples
    --------
    >>> from infwidth.metrics import negative_log_predictive_density
    >>> round(negative_log_predictive_density([0.0, 1.0], [0.0, 0.0], [1.0, 1.0]), 4)
    1.1689
    """
    z, std = _standardized(y_true, mean, std)
    return _average(0.5 * z**2 + np.log(std) + 0.5 * np.log(2.0 * np.pi), sample_weight)


@no_floating_point_errors
def crps(y_true, mean, std, *, sample_weight=None):
    """Continuous ranked probability score of normal predictions: lower is better (Gneiting & Raftery 2007, eq. 5).

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Standard deviations are positive.
    sample_weight : array-like of shape (n_samples,), optional

    Returns
    -------
    float
        In units of y; with std -> 0 it is the mean absolute error.

    Examples
    --------
    >>> from infwidth.metrics import crps
    >>> round(crps([0.0], [0.0], [1.0]), 4)
    0.2337
    """
    z, std = _standardized(y_true, mean, std)
    score = std * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - 1.0 / np.sqrt(np.pi))
    return _average(score, sample_weight)


@no_floating_point_errors
def interval_coverage(y_true, mean, std, *, level=0.9, sample_weight=None):
    """Share of observations inside the central interval of the given probability: best when equal to it.

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Standard deviations are positive.
    level : float, default=0.9
        Between 0 and 1.
    sample_weight : array-like of shape (n_samples,), optional

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> from infwidth.metrics import interval_coverage
    >>> interval_coverage([0.0, 3.0], [0.0, 0.0], [1.0, 1.0])
    0.5
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
    z, _ = _standardized(y_true, mean, std)
    return _average(np.abs(z) <= norm.ppf(0.5 + 0.5 * level), sample_weight)


class StdScorer:
    """A scorer that asks the estimator for means and standard deviations.

    Parameters
    ----------
    metric : callable (y_true, mean, std, *, sample_weight) -> float
    sign : {1, -1}, default=1
        -1 for metrics of which less is better, since a larger score is.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import cross_val_score
    >>> from infwidth import NNGPRegressor
    >>> from infwidth.metrics import neg_crps_scorer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> scores = cross_val_score(NNGPRegressor(optimizer=None), X, y, scoring=neg_crps_scorer, cv=3)
    >>> bool((scores > -40).all())
    True
    """

    def __init__(self, metric, sign=1):
        self.metric, self.sign = metric, sign

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return the score of a fitted estimator whose ``predict`` takes ``return_std``."""
        mean, std = estimator.predict(X, return_std=True)
        return self.sign * self.metric(y, mean, std, sample_weight=sample_weight)

    def __repr__(self):
        return f"StdScorer({self.metric.__name__}, sign={self.sign})"


log_predictive_density_scorer = StdScorer(negative_log_predictive_density, sign=-1)
neg_crps_scorer = StdScorer(crps, sign=-1)
coverage_scorer = StdScorer(interval_coverage)


def _standardized(y_true, mean, std):
    y_true, mean, std = (np.asarray(values, dtype=float) for values in (y_true, mean, std))
    check_consistent_length(y_true, mean, std)
    if y_true.shape != mean.shape or mean.shape != std.shape:
        raise ValueError(f"y_true, mean and std must have one shape, got {y_true.shape}, {mean.shape} and {std.shape}.")
    if not np.all(std > 0):
        raise ValueError("std must be positive: a prediction without uncertainty has no density.")
    return (y_true - mean) / std, std


def _average(values, sample_weight):
    per_row = np.asarray(values, dtype=float).reshape(len(values), -1).mean(axis=1)
    return float(np.average(per_row, weights=sample_weight))
