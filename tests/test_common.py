"""scikit-learn's own checks for every estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from infwidth import NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

ESTIMATORS = [
    NNGPRegressor(optimizer=None),
    NNGPRegressor(MLP(depth=1, activation="erf", ard=True)),
    # the NTK of ReLU networks is off by 1e-8 where rows repeat, and "auto" scaling depends on there being weights:
    # both are more than rows and weights may differ by in the check that compares them
    NTKRegressor(MLP(activation="erf"), optimizer=None),
    NTKRegressor(MLP(activation="erf"), optimizer=None, training_time=20.0),
    NTKRegressor(MLP(depth=1, activation="erf", ard=True), feature_scaling="standard"),
]


@parametrize_with_checks(ESTIMATORS, xfail_strict=True)
def test_sklearn_checks(estimator, check):
    check(estimator)
