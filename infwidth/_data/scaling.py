"""Scalings of the features that compete."""

from copy import deepcopy
from typing import Literal, TypeAlias

import numpy as np
from sklearn.preprocessing import StandardScaler

from infwidth._data.standardizer import standardized, standardizer
from infwidth._data.warp import WeightedPowerTransformer

FeatureScaling = Literal["auto", "standard", "power", None]
FEATURE_SCALINGS = ("auto", "standard", "power", None)
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
    """Apply a scaling to valid features."""
    if scaler is None:
        return X
    return scaler.warped(X) if isinstance(scaler, WeightedPowerTransformer) else standardized(scaler, X)


def with_names(scaler: Scaler, feature_names: np.ndarray | None) -> Scaler:
    """Return a copy of a scaling that was fitted without the names of the features, for those who have them."""
    scaler = deepcopy(scaler)
    if scaler is not None and feature_names is not None:
        scaler.feature_names_in_ = feature_names
    return scaler
