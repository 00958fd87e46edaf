"""A power warp of features to a normal shape, whatever their origins and units."""

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.stats import yeojohnson
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import _check_n_features, check_is_fitted, validate_data

from infwidth._data.standardizer import standardized, standardizer
from infwidth._data.validation import require_numbers
from infwidth._data.weights import checked_weights
from infwidth._runtime.floating_point import no_floating_point_errors

MOST_UNEVEN = 1e4  # largest ratio of a warp's slopes among the training rows, beyond which values are no longer apart
SAME_SHARE = 1e-9  # a smaller difference of shares is rounding
MOST_VALUES = 20_000  # of a feature that its power is found from
FAR = 1e100  # cost of a warp that overflows
LEAST_POWER, MAX_POWER = 1.0, 4.0  # distance of λ from 1: a logarithm is always allowed


@no_floating_point_errors
class WeightedPowerTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Yeo-Johnson transformation of each feature to a normal shape, whatever its origin and unit; then standardising.

    The power λ belongs to z = (x - origin) / spread, so that adding a constant to a feature, changing its unit or its
    sign changes nothing. The origin is the median, the smallest or the largest value, by likelihood: a long tail that
    begins at an end needs the origin there. λ is kept where all training rows stay resolved. Outside of their range the
    warp goes on with the slope that it has at the end of it. A row of weight w does what w rows do.

    Attributes
    ----------
    origin_, spread_ : ndarray of shape (n_features,)
        Spread is a quantile of the distances from the origin, of the rows that differ from it: ½ from the median, ⅒
        from an end.
    lambdas_ : ndarray of shape (n_features,)
    low_, high_ : ndarray of shape (n_features,)
        Range of z.
    scaler_ : StandardScaler
        Of the warped features.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where X had string column names.
    """

    def fit(self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Find the power of each feature with the largest likelihood (Yeo & Johnson 2000).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self : object
        """
        require_numbers("X", X)
        inputs = validate_data(self, X, dtype=np.float64)
        weight, used = checked_weights(sample_weight, inputs)
        if not used.all():
            inputs, weight = inputs[used], weight[used]
        self.origin_, self.spread_, self.lambdas_ = np.transpose([_warp_of(x, weight) for x in inputs.T])
        Z = self._centred(inputs)
        self.low_, self.high_ = Z.min(axis=0), Z.max(axis=0)
        self.scaler_ = standardizer(self._warp(Z), weight)
        return self

    def transform(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the warped and standardised features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        require_numbers("X", X)
        return self.warped(validate_data(self, X, dtype=np.float64, reset=False))

    def warped(self, X: np.ndarray) -> np.ndarray:
        """Return the same of an array that is known to be valid."""
        return standardized(self.scaler_, self._warp(self._centred(X)))

    def inverse_transform(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the features whose ``transform`` is X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        warped = check_array(X, dtype=np.float64)  # whatever its columns are called, as scikit-learn's own do
        _check_n_features(self, warped, reset=False)
        return self.origin_ + self.spread_ * self._unwarp(self.scaler_.inverse_transform(warped))

    def _centred(self, X: np.ndarray) -> np.ndarray:
        return (X - self.origin_) / self.spread_

    def _warp(self, Z: np.ndarray) -> np.ndarray:
        """Return ψ(z) of each feature, linear outside of the range."""
        inside = np.clip(Z, self.low_, self.high_)
        warped = self._warp_inside(inside)
        with np.errstate(over="ignore"):  # not finite: reported by the engine, with the row
            return warped + self._slope(inside) * (Z - inside)

    def _unwarp(self, W: np.ndarray) -> np.ndarray:
        """Return z of each feature from ψ(z)."""
        low, high = self._warp_inside(np.stack([self.low_, self.high_]))
        inside = np.clip(W, low, high)
        Z = np.column_stack([_inverse_power(w, power) for w, power in zip(inside.T, self.lambdas_, strict=True)])
        Z = np.clip(Z, self.low_, self.high_)
        with np.errstate(over="ignore"):
            return Z + (W - inside) / self._slope(Z)

    def _warp_inside(self, Z: np.ndarray) -> np.ndarray:
        """Return ψ(z) = sign(z) (exp(e log(1 + |z|)) - 1) / e with e = λ for z >= 0 and 2 - λ below."""
        exponent, logs = np.where(Z >= 0.0, self.lambdas_, 2.0 - self.lambdas_), np.log1p(np.abs(Z))
        tends_to_log = np.abs(exponent) < np.finfo(float).eps
        exponent[tends_to_log] = 1.0
        return np.sign(Z) * np.where(tends_to_log, logs, np.expm1(exponent * logs) / exponent)

    def _slope(self, Z: np.ndarray) -> np.ndarray:
        """Return ψ'(z) = (1 + |z|)^(±(λ - 1)) for z >< 0."""
        return np.exp(np.sign(Z) * (self.lambdas_ - 1.0) * np.log1p(np.abs(Z)))


def _inverse_power(w: np.ndarray, power: float) -> np.ndarray:
    """Return z with ψ(z) = w of one feature, shape (n,)."""
    z = np.empty_like(w)
    for side, sign, exponent in ((w >= 0, 1.0, power), (w < 0, -1.0, 2.0 - power)):  # ψ(-z; λ) = -ψ(z; 2 - λ)
        size = sign * w[side]
        logs = size if abs(exponent) < np.finfo(float).eps else np.log1p(exponent * size) / exponent
        z[side] = sign * np.expm1(logs)
    return z


def _warp_of(x: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Return origin, spread and power of a feature; the power 1 leaves it as it is, where it has two values or one."""
    values, place = np.unique(x, return_inverse=True)  # so that weights and repeated rows give the same numbers
    if len(values) <= 2:
        return values[0], values[-1] - values[0] or 1.0, 1.0
    share = np.bincount(place, weight) / weight.sum()
    if len(values) > MOST_VALUES:
        values, share = _thinned(values, share)
    found = []
    for origin, level in ((_quantile(values, share, 0.5), 0.5), (values[0], 0.1), (values[-1], 0.1)):
        distance = np.abs(values - origin)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > 0]
        spread = _quantile(distance[order], share[order] / share[order].sum(), level)
        cost, power = _power((values - origin) / spread, share)
        found.append((cost + np.log(spread), origin, spread, power))
    return min(found, key=lambda one: one[0])[1:]


def _thinned(values: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of neighbouring values, ``MOST_VALUES`` in all, and their shares; both ends stay as they are."""
    edges = np.concatenate([[0], np.linspace(1, len(values) - 1, MOST_VALUES - 1).astype(int)])
    total = np.add.reduceat(share, edges)
    return np.add.reduceat(values * (share / np.repeat(total, np.diff([*edges, len(values)]))), edges), total


def _quantile(values: np.ndarray, share: np.ndarray, level: float) -> float:
    """Return a quantile of sorted values: the mean of the two neighbours where the level falls between them."""
    below = np.cumsum(share) - level
    close = np.abs(below) < SAME_SHARE
    lower = int(np.argmax((below > 0) | close))
    return 0.5 * values[lower] + 0.5 * values[min(lower + int(close[lower]), len(values) - 1)]


def _power(z: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Return minus the log-likelihood of a row, and the power that is best by it, of sorted values and their shares."""
    logs = np.sign(z) * np.log1p(np.abs(z))
    stretch = share @ logs

    def cost(power: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            warped = yeojohnson(z, power)
            value = 0.5 * np.log(share @ (warped - share @ warped) ** 2) - (power - 1.0) * stretch
        return value if np.isfinite(value) else FAR

    most = np.clip(np.log(MOST_UNEVEN) / (logs[-1] - logs[0]), LEAST_POWER, MAX_POWER)  # slopes are e^{(λ - 1) logs}
    found = minimize_scalar(cost, bounds=(1.0 - most, 1.0 + most), method="bounded", options={"xatol": 1e-8})
    return found.fun, found.x
