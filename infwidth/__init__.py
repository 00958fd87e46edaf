"""Scikit-learn estimators for infinitely wide neural networks."""

from infwidth.classification import InfiniteNetClassifier
from infwidth.ntk_regression import NTKRegressor
from infwidth.regression import NNGPRegressor

__all__ = ["InfiniteNetClassifier", "NNGPRegressor", "NTKRegressor"]
__version__ = "0.1.0"
