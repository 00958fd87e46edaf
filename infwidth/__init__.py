"""Scikit-learn estimators for infinitely wide neural networks."""

from infwidth.regression import NNGPRegressor

__all__ = ["NNGPRegressor"]
__version__ = "0.1.0"
