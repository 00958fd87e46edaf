"""Scores of probabilistic predictions, as functions and as scorers for GridSearchCV and cross_val_score.

All functions take means and standard deviations of new observations, in units of y, averaged over rows and outputs.
"""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from sklearn import get_config
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.metadata_routing import MetadataRequest

from infwidth._data.validation import is_number, require_numbers, shown
from infwidth._data.weights import checked_weights
from infwidth._runtime.floating_point import no_floating_point_errors


@no_floating_point_errors
def negative_log_predictive_density(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, std: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Mean of -log N(y; mean, std²): lower is better.

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Finite numbers; standard deviations are positive.
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
def crps(
    y_true: npt.ArrayLike, mean: npt.ArrayLike, std: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Continuous ranked probability score of normal predictions: lower is better (Gneiting & Raftery 2007, eq. 5).

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Finite numbers; standard deviations are positive.
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
def interval_coverage(
    y_true: npt.ArrayLike,
    mean: npt.ArrayLike,
    std: npt.ArrayLike,
    *,
    level: float = 0.9,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Share of observations inside the central interval of the given probability: best when equal to it.

    Parameters
    ----------
    y_true, mean, std : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Finite numbers; standard deviations are positive.
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
    if not (is_number(level) and 0.0 < level < 1.0):
        raise ValueError(f"level must be between 0 and 1, got {shown(level)}.")
    z, _ = _standardized(y_true, mean, std)
    return _average(np.abs(z) <= norm.ppf(0.5 + 0.5 * level), sample_weight)


class StdScorer:
    """A scorer that asks the estimator for means and standard deviations.

    Sample weights and other metadata are routed to it as to scikit-learn's own scorers.

    Parameters
    ----------
    metric : callable (y_true, mean, std, **parameters) -> float
        ``sample_weight`` is among its parameters if it takes weights.
    sign : {1, -1}, default=1
        -1 for metrics of which less is better, since a larger score is.
    **kwargs
        Further parameters of the metric, as in ``StdScorer(interval_coverage, level=0.5)``.

    Raises
    ------
    TypeError
        If the metric is not callable.
    ValueError
        If the sign is neither 1 nor -1.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import cross_val_score
    >>> from infwidth import NNGPRegressor
    >>> from infwidth.metrics import StdScorer, interval_coverage, neg_crps_scorer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> scores = cross_val_score(NNGPRegressor(optimizer=None), X, y, scoring=neg_crps_scorer, cv=3)
    >>> bool((scores > -40).all())
    True
    >>> StdScorer(interval_coverage, level=0.5)
    StdScorer(interval_coverage, level=0.5)
    """

    def __init__(self, metric: Callable[..., float], sign: int = 1, **kwargs: Any) -> None:
        if not callable(metric):
            raise TypeError(f"metric must be a function of (y_true, mean, std), such as crps; got {shown(metric)}.")
        if sign not in (1, -1):
            raise ValueError(f"sign must be 1 or -1, got {shown(sign)}.")
        self.metric, self.sign, self.kwargs = metric, sign, kwargs
        self._requests: dict[str, bool | str | None] = {}

    def __call__(
        self,
        estimator: Any,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        **params: Any,
    ) -> float:
        """Return the score of a fitted estimator whose ``predict`` takes ``return_std``.

        Parameters
        ----------
        estimator : estimator
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
        **params
            Further parameters of the metric; they override those of the scorer.

        Returns
        -------
        float
        """
        mean, std = estimator.predict(X, return_std=True)
        if sample_weight is not None:
            params["sample_weight"] = sample_weight
        return self.sign * self.metric(y, mean, std, **{**self.kwargs, **params})

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """Set which metadata the scorer asks for, as scikit-learn's scorers do: see its user guide.

        The scorers of this module are shared: ask on a copy of theirs, or on a ``StdScorer`` of your own.

        Parameters
        ----------
        **requests : bool, str or None
            Of ``sample_weight``, say: True to be given it, False not to, a name to be given it under that name, None
            for an error where it is passed.

        Returns
        -------
        self : StdScorer

        Raises
        ------
        RuntimeError
            Unless ``sklearn.set_config(enable_metadata_routing=True)``.
        ValueError
            If a request is neither a name nor True, False or None.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "requests have a meaning with metadata routing only: sklearn.set_config(enable_metadata_routing=True)."
            )
        routing = self.get_metadata_routing()
        for name, request in requests.items():
            routing.score.add_request(param=name, alias=request)  # or it raises
        self._requests = {**self._requests, **requests}
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what the scorer asks for: nothing at first, and an error where the metric could take what is passed.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRequest
        """
        routing = MetadataRequest(owner=repr(self))
        for name, request in {**dict.fromkeys(self._parameters()), **self._requests}.items():
            routing.score.add_request(param=name, alias=request)
        return routing

    def _accept_sample_weight(self) -> bool:
        """Whether the metric takes weights, which scikit-learn asks where metadata are not routed."""
        return "sample_weight" in self._parameters()

    def _parameters(self) -> list[str]:
        """Return the names of the metric's parameters after y_true, mean and std."""
        parameters = list(signature(self.metric).parameters.values())[3:]
        return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def __repr__(self) -> str:
        sign = {} if self.sign == 1 else {"sign": self.sign}
        return f"StdScorer({_called(self.metric)}{_listed({**sign, **self.kwargs})})"


log_predictive_density_scorer = StdScorer(negative_log_predictive_density, sign=-1)
neg_crps_scorer = StdScorer(crps, sign=-1)
coverage_scorer = StdScorer(interval_coverage)


def _called(metric: Callable[..., float]) -> str:
    """Return what a metric is called."""
    if isinstance(metric, partial):
        return f"partial({_called(metric.func)}{_listed(metric.keywords)})"
    return getattr(metric, "__name__", None) or repr(metric)


def _listed(parameters: dict[str, Any]) -> str:
    """Return parameters as they stand behind others in a call."""
    return "".join(f", {name}={value!r}" for name, value in parameters.items())


def _standardized(y_true: npt.ArrayLike, mean: npt.ArrayLike, std: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return (y - mean) / std and std."""
    y_true, mean = _finite(y_true, "y_true"), _finite(mean, "mean")
    std = _finite(std, "std", ensure_all_finite=False)
    check_consistent_length(y_true, mean, std)
    if y_true.shape != mean.shape or mean.shape != std.shape:
        raise ValueError(f"y_true, mean and std must have one shape, got {y_true.shape}, {mean.shape} and {std.shape}.")
    if not np.all((std > 0) & np.isfinite(std)):
        raise ValueError("std must be positive and finite: a prediction without uncertainty has no density.")
    return (y_true - mean) / std, std


def _finite(values: npt.ArrayLike, name: str, *, ensure_all_finite: bool = True) -> np.ndarray:
    """Return values as an array of finite floats, or raise an error that names them."""
    require_numbers(name, values, of_text="these are scores of regressors; for classes there is log_loss")
    return check_array(values, dtype=np.float64, ensure_2d=False, ensure_all_finite=ensure_all_finite, input_name=name)


def _average(values: np.ndarray, sample_weight: npt.ArrayLike | None) -> float:
    """Return the average over rows and outputs."""
    per_row = np.asarray(values, dtype=float).reshape(len(values), -1).mean(axis=1)
    return float(
        np.average(per_row, weights=None if sample_weight is None else checked_weights(sample_weight, per_row)[0])
    )
