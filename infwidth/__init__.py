"""Scikit-learn estimators for infinitely wide neural networks."""

from infwidth.estimators.classifier import InfiniteNetClassifier
from infwidth.estimators.nngp import NNGPRegressor
from infwidth.estimators.ntk import NTKRegressor

__all__ = ["InfiniteNetClassifier", "NNGPRegressor", "NTKRegressor"]
__version__ = "0.1.0"
