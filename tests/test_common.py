"""scikit-learn's own checks for every estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._data.warp import WeightedPowerTransformer
from infwidth.networks import MLP

ESTIMATORS = [
    NNGPRegressor(optimizer=None),
    NNGPRegressor(MLP(depth=1, activation="erf", ard=True)),
    NTKRegressor(optimizer=None),
    NTKRegressor(optimizer=None, training_time=20.0),
    NTKRegressor(MLP(depth=1, activation="erf", ard=True)),
    InfiniteNetClassifier(optimizer=None),
    InfiniteNetClassifier(MLP(depth=1, activation="erf", ard=True)),
    InfiniteNetClassifier(optimizer=None, limit="ntk", calibration=None),
    WeightedPowerTransformer(),
]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_checks(estimator, check):
    check(estimator)
