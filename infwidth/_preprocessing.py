"""What happens to the data before a model sees them: scaling of features and targets, and weights of rows."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.stats import yeojohnson
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_n_features, _check_sample_weight, check_is_fitted, validate_data

from infwidth._floating_point import no_floating_point_errors
from infwidth._validation import require_numbers
from infwidth._warnings import warn_user

FeatureScaling = Literal["auto", "standard", "power", None]
FEATURE_SCALINGS = ("auto", "standard", "power", None)
ClassWeight = Mapping[Any, float] | Literal["balanced"] | None
LEAST_MEAN_WEIGHT, LARGEST_MEAN_WEIGHT = 0.1, 10.0  # without a warning
MOST_UNEVEN = 1e4  # largest ratio of a warp's slopes among the training rows, beyond which values are no longer apart
SAME_SHARE = 1e-9  # a smaller difference of shares is rounding
FAR = 1e100  # cost of a warp that overflows
SAME = 8 * np.finfo(float).eps  # relative difference of targets that is rounding
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
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        return self.scaler_.transform(self._warp(self._centred(inputs)))

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
        return np.column_stack([yeojohnson(z, power) for z, power in zip(Z.T, self.lambdas_, strict=True)])

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
    found = []
    for origin, level in ((_quantile(values, share, 0.5), 0.5), (values[0], 0.1), (values[-1], 0.1)):
        distance = np.abs(values - origin)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > 0]
        spread = _quantile(distance[order], share[order] / share[order].sum(), level)
        cost, power = _power((values - origin) / spread, share)
        found.append((cost + np.log(spread), origin, spread, power))
    return min(found, key=lambda one: one[0])[1:]


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


Scaler: TypeAlias = "StandardScaler | WeightedPowerTransformer | None"


def feature_scalers(kind: FeatureScaling, X: np.ndarray, weight: np.ndarray, *, choose: bool) -> list[Scaler]:
    """Return the fitted scalings to choose from: one, or with "auto" and ``choose`` two. None leaves X as it is."""
    fitted = {
        "standard": lambda: standardizer(X, weight),
        "power": lambda: WeightedPowerTransformer().set_output(transform="default").fit(X, sample_weight=weight),
        None: lambda: None,
    }
    if kind == "auto":
        return [fitted["standard"](), fitted["power"]()] if choose else [fitted["standard"]()]
    return [fitted[kind]()]


def transform(scaler: Scaler, X: np.ndarray) -> np.ndarray:
    """Apply a scaling."""
    return X if scaler is None else scaler.transform(X)


def with_names(scaler: Scaler, feature_names: np.ndarray | None) -> Scaler:
    """Return a copy of a scaling that was fitted without the names of the features, for those who have them."""
    scaler = deepcopy(scaler)
    if scaler is not None and feature_names is not None:
        scaler.feature_names_in_ = feature_names
    return scaler


def scaled_targets(Y: np.ndarray, weight: np.ndarray, normalize: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets of shape (n, n_outputs), centred and divided, and by what, shape (n_outputs,) each.

    Targets that differ by no more than rounding are constant: they become 0.
    """
    if not normalize:
        return Y, np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    scaler, constant = standardizer(Y, weight), np.ptp(Y, axis=0) <= SAME * np.abs(Y).max(axis=0)
    mean, scale = np.where(constant, Y[0], scaler.mean_), np.where(constant, 1.0, scaler.scale_)
    return np.where(constant, 0.0, (Y - mean) / scale), mean, scale


def least_noise(y: np.ndarray, weight: np.ndarray) -> float:
    """Return a lower bound of the noise variance for targets of which more than half are equal (maths 6.20), else 0.

    The targets have the shape (n,). The density of equal numbers has no limit, so evidence would explain the few others
    by chance, for the price of a noise variance of 0.
    """
    total, most = weight.sum(), _most_frequent(y, weight)
    if most <= 0.5 * total or most == total:
        return 0.0
    mean = np.average(y, weights=weight)
    return np.average((y - mean) ** 2, weights=weight) / max(1.0, total - most)


def informative_share(y: np.ndarray, weight: np.ndarray) -> float:
    """Return the share of targets, shape (n,), that is left where the most frequent one counts once (maths 6.16)."""
    return min(1.0, (weight.sum() - _most_frequent(y, weight) + 1.0) / weight.sum())


def _most_frequent(y: np.ndarray, weight: np.ndarray) -> float:
    """Return the weight of all targets with the most frequent value."""
    return np.bincount(np.unique(y, return_inverse=True)[1], weight).max()


def standardizer(X: np.ndarray, weight: np.ndarray) -> StandardScaler:
    """Return a fitted ``StandardScaler``, whatever origin and unit: squares of huge and tiny numbers do not exist.

    It returns arrays, whatever ``transform_output`` is.
    """
    low, width = X.min(axis=0), np.ptp(X, axis=0)
    width = np.where(width > 0, width, 1.0)
    scaler = StandardScaler().set_output(transform="default").fit((X - low) / width, sample_weight=weight)
    scaler.mean_, scaler.scale_ = low + width * scaler.mean_, width * scaler.scale_
    with np.errstate(over="ignore", under="ignore"):
        scaler.var_ = width**2 * scaler.var_
    return scaler


def checked_weights(sample_weight: npt.ArrayLike | None, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, shape (n,), and which rows they keep."""
    require_numbers("sample_weight", sample_weight, of_text="weights count rows")
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero: no row is left to fit.")
    return weight, used


def row_weights(sample_weight: npt.ArrayLike | None, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of an estimator's rows, with a warning where weights are not near 1."""
    weight, used = checked_weights(sample_weight, X)
    mean = np.mean(weight[used])
    if not LEAST_MEAN_WEIGHT <= mean <= LARGEST_MEAN_WEIGHT:
        warn_user(
            f"the sample weights are {mean:.3g} on average. A row of weight w counts as w rows: its noise variance is "
            "divided by w, and predictions speak of rows of weight 1. Weights that say which rows matter more, or "
            "inverse variances, should average 1: sample_weight * len(y) / sample_weight.sum().",
            UserWarning,
        )
    return weight, used


def row_noise(noise_variance: float, weight: np.ndarray) -> np.ndarray:
    """Return the noise variance of rows with positive weights."""
    with np.errstate(over="ignore"):
        noise = noise_variance / weight
    if not np.isfinite(noise).all():
        raise ValueError(
            "a sample weight is so small that its noise variance is not finite: give the row weight 0 to drop it, or "
            "rescale sample_weight to a mean of 1."
        )
    return noise


def class_weights(kind: ClassWeight, classes: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return what ``class_weight`` multiplies the weights of rows with classes ``classes[label]`` by."""
    if isinstance(kind, str) and kind == "balanced":
        factor = weight.sum() / (len(classes) * np.bincount(label, weight))
    else:
        factor = compute_class_weight(kind, classes=classes, y=classes[label])
    if not np.all((factor > 0) & np.isfinite(factor)):
        raise ValueError(
            "class_weight must be positive and finite for every class; to drop a class, leave out its rows."
        )
    return factor[label]
