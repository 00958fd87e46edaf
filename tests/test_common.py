"""scikit-learn's own checks for every estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from infwidth import NNGPRegressor
from infwidth.networks import MLP


@parametrize_with_checks([NNGPRegressor(), NNGPRegressor(MLP(depth=1, activation="erf"))], xfail_strict=True)
def test_sklearn_checks(estimator, check):
    check(estimator)
