"""What happens to the data before a model sees them: scaling of features and targets, and weights of rows."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import yeojohnson
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

FEATURE_SCALINGS = ("auto", "standard", "power", None)
MAX_POWER = 10.0


class WeightedPowerTransformer(TransformerMixin, BaseEstimator):
    """Yeo-Johnson transformation of each feature to a normal shape, then standardising.

    scikit-learn's ``PowerTransformer`` for rows with weights: a row of weight w does what w rows do.
    """

    def fit(self, X, y=None, sample_weight=None):
        """Find the power of each feature with the largest likelihood (Yeo & Johnson 2000)."""
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        self.lambdas_ = np.array([_power(x, weight) for x in X.T])
        self.scaler_ = StandardScaler().fit(self._warp(X), sample_weight=weight)
        return self

    def transform(self, X):
        """Return the warped and standardised features."""
        return self.scaler_.transform(self._warp(X))

    def _warp(self, X):
        with np.errstate(over="ignore"):
            return np.column_stack([yeojohnson(x, power) for x, power in zip(X.T, self.lambdas_, strict=True)])


def _power(x, weight):
    """Return the power of a feature; 1, which leaves it as it is, where it is constant."""
    values, place = np.unique(x, return_inverse=True)  # so that weights and repeated rows give the same numbers
    if len(values) == 1:
        return 1.0
    share = np.bincount(place, weight) / weight.sum()
    stretch = share @ (np.sign(values) * np.log1p(np.abs(values)))

    def cost(power):
        with np.errstate(over="ignore", invalid="ignore"):
            warped = yeojohnson(values, power)
            variance = share @ (warped - share @ warped) ** 2
            value = 0.5 * np.log(variance) - (power - 1.0) * stretch if variance > 0 else np.inf
        return value if np.isfinite(value) else 1e100

    return minimize_scalar(cost, bounds=(-MAX_POWER, MAX_POWER), method="bounded", options={"xatol": 1e-8}).x


def feature_scalers(kind, X, weight, *, choose):
    """Return the fitted scalings to choose from: one, or with "auto" and ``choose`` two. None leaves X as it is."""
    fitted = {
        "standard": lambda: StandardScaler().fit(X, sample_weight=weight),
        "power": lambda: WeightedPowerTransformer().fit(X, sample_weight=weight),
        None: lambda: None,
    }
    if kind == "auto":
        return [fitted["standard"](), fitted["power"]()] if choose else [fitted["standard"]()]
    return [fitted[kind]()]


def transform(scaler, X):
    """Apply a scaling."""
    return X if scaler is None else scaler.transform(X)


def target_scale(Y, weight, normalize):
    """Return what targets of shape (n, n_outputs) are centred and divided by, shape (n_outputs,) each."""
    if not normalize:
        return np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    scaler = StandardScaler().fit(Y, sample_weight=weight)
    return scaler.mean_, scaler.scale_


def row_weights(sample_weight, X):
    """Return the weights, shape (n,), and which rows they keep."""
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero: no row is left to fit.")
    return weight, used


def row_noise(noise_variance, weight):
    """Return the noise variance of rows with positive weights."""
    with np.errstate(over="ignore"):
        noise = noise_variance / weight
    if not np.isfinite(noise).all():
        raise ValueError(
            "a sample weight is so small that its noise variance is not finite: give the row weight 0 to drop it."
        )
    return noise


def class_weights(kind, classes, label, weight):
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
