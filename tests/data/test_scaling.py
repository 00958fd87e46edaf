"""Scalings of the features: units, warps, weights, and what is outside of the training rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import PowerTransformer

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._data.warp import WeightedPowerTransformer
from infwidth.networks import MLP

X, y = load_diabetes(return_X_y=True)
X, y = X[:150], y[:150]


@pytest.mark.parametrize("scaling", ["power", "auto", "standard"])
def test_weights_are_repeated_rows_to_the_scaling(scaling):
    weight = np.arange(60) % 3
    skewed, rows = np.exp(3 * X[:60]), np.repeat(np.arange(60), weight)
    options = {"network": MLP(1, "erf"), "feature_scaling": scaling}
    weighted = NNGPRegressor(**options).fit(skewed, y[:60], sample_weight=weight)
    repeated = NNGPRegressor(**options).fit(skewed[rows], y[:60][rows])
    assert type(weighted.feature_scaler_) is type(repeated.feature_scaler_)
    assert_allclose(weighted.predict(skewed), repeated.predict(skewed), rtol=1e-8)


SKEWED = np.column_stack([np.exp(30 * X[:, 0]), np.exp(30 * X[:, 2]), np.full(len(X), 3.0), -np.exp(20 * X[:, 2])])


def test_power_is_scikit_learns_of_centred_features():
    ours, vary = WeightedPowerTransformer().fit(SKEWED), [0, 1, 3]
    centred = ((SKEWED - ours.origin_) / ours.spread_)[:, vary]
    theirs = PowerTransformer().fit(centred)
    assert_allclose(ours.lambdas_[vary], theirs.lambdas_, atol=1e-5)
    assert_allclose(ours.transform(SKEWED)[:, vary], theirs.transform(centred), atol=1e-5)
    assert_allclose(ours.transform(SKEWED)[:, 2], 0.0)


@pytest.mark.parametrize("unit", [1e-200, 1e-6, -1.0, 1e3, 1e200])
@pytest.mark.parametrize("scaling", ["standard", "power"])
def test_origin_and_unit_of_a_feature_do_not_matter(scaling, unit):
    weight = np.arange(len(X)) % 3 + 1.0

    def scaler_of(table):
        return NNGPRegressor(optimizer=None, feature_scaling=scaling).fit(table, y, weight).feature_scaler_

    scaler, other = scaler_of(SKEWED), scaler_of(unit * SKEWED)
    new = SKEWED * 1.5 - 0.3
    new[:, 2] = 3.0
    assert_allclose(other.transform(unit * new), np.sign(unit) * scaler.transform(new), rtol=1e-5, atol=1e-6)
    if abs(unit) == 1.0:
        assert_allclose(scaler_of(SKEWED + 1000.0).transform(new + 1000.0), scaler.transform(new), rtol=1e-5, atol=1e-6)


def test_a_year_is_as_good_as_an_age():
    """Where λ was found on raw values, the years fell together: all of them were one number to the model."""
    rng = np.random.default_rng(0)
    age, price = np.floor(rng.exponential(8, 150)).clip(0, 45), np.exp(2 * rng.standard_normal(150))
    target = np.log(price) + np.sin(age / 4) + 0.05 * rng.standard_normal(150)
    models = [
        NNGPRegressor(MLP(1, "erf", ard=True), feature_scaling="power").fit(
            np.column_stack([age + year, price]), target
        )
        for year in (0, 1980)
    ]
    tables = [np.column_stack([age + year, price]) for year in (0, 1980)]
    assert_allclose(models[0].predict(tables[0]), models[1].predict(tables[1]), rtol=1e-3, atol=1e-3)
    assert models[1].score(tables[1], target) > 0.97


def test_a_warp_goes_on_with_its_slope_outside_of_the_training_rows():
    tail = 1e3 * (np.random.default_rng(0).pareto(2, 200) + 1)[:, None]
    scaler = WeightedPowerTransformer().fit(tail)
    low, high, step = tail.min(), tail.max(), 1e-4
    for end, sign in ((low, -1.0), (high, 1.0)):
        reach = np.ptp(tail)
        inside = np.diff(scaler.transform([[end - sign * step], [end]])[:, 0])[0]
        outside = np.diff(scaler.transform([[end], [end + sign * reach]])[:, 0])[0]
        assert outside / reach == pytest.approx(inside / step, rel=1e-3)
    target = np.tanh((tail[:, 0] - np.median(tail)) / tail.std())
    model = NNGPRegressor(MLP(1, "relu"), feature_scaling="power").fit(tail, target)
    assert abs(model.predict([[low - tail.std()]])[0]) < 10


def test_a_warp_that_maps_two_rows_to_one():
    """Neighbouring numbers of very different sizes have one logarithm, but two standard scores."""
    large = np.exp(np.random.default_rng(0).uniform(20.0, 60.0, 40))
    features = np.r_[large, np.nextafter(large, np.inf)][:, None]
    target = np.log(np.r_[large, large])
    model = NNGPRegressor(MLP(1, "erf"), random_state=0).fit(features, target)
    assert len(np.unique(model.feature_scaler_.transform(features))) < len(np.unique(features))
    assert model.score(features, target) > 0.99


def test_the_inverse_of_a_warp_on_and_beyond_the_training_rows():
    rng = np.random.default_rng(0)
    table = np.column_stack([SKEWED, rng.standard_t(1.2, len(X)), 2000.0 + rng.integers(0, 30, len(X)), X[:, 1] > 0])
    scaler = WeightedPowerTransformer().fit(table)
    width, middle = np.ptp(table, axis=0), np.median(table, axis=0)
    assert scaler.lambdas_.min() < 0.5
    assert scaler.lambdas_.max() > 1.5
    for new in (table, middle + 3.0 * (table - middle), table.max(axis=0) + [[1e3], [1e6]] * width):
        warped = scaler.transform(new)
        assert_allclose(scaler.inverse_transform(warped), new, rtol=1e-11, atol=1e-11 * width.max())
        assert_allclose(scaler.transform(scaler.inverse_transform(warped)), warped, rtol=1e-11, atol=1e-11)
    assert_allclose(scaler.inverse_transform(np.zeros((1, 7)))[0, 2], 3.0)  # the constant column


@pytest.mark.parametrize("power", [0.0, 1e-17, 1e-9, 0.3, 1.0, 1.9, 2.0, 2.5, -1.5])
def test_the_inverse_of_every_power(power):
    scaler = WeightedPowerTransformer().fit(np.linspace(-2.0, 2.0, 9)[:, None])
    scaler.origin_, scaler.spread_, scaler.lambdas_ = np.zeros(1), np.ones(1), np.array([power])
    new = np.linspace(-3.0, 3.0, 25)[:, None]
    assert_allclose(scaler.inverse_transform(scaler.transform(new)), new, rtol=1e-13, atol=1e-13)


def test_rows_of_weight_zero_are_no_rows_to_a_warp():
    weight = np.ones(len(X))
    weight[::3] = 0.0
    spoiled = np.where(weight[:, None] > 0, SKEWED, 1e9)
    assert_allclose(
        WeightedPowerTransformer().fit(spoiled, sample_weight=weight).transform(SKEWED),
        WeightedPowerTransformer().fit(SKEWED[weight > 0]).transform(SKEWED),
        rtol=1e-12,
    )
    with pytest.raises(ValueError, match=r"[Ss]ample weights"):
        WeightedPowerTransformer().fit(SKEWED, sample_weight=np.zeros(len(X)))


models = pytest.mark.parametrize(
    "model",
    [
        NNGPRegressor(MLP(1), optimizer=None),
        NTKRegressor(MLP(1), optimizer=None),
        InfiniteNetClassifier(MLP(1), optimizer=None),
    ],
    ids=lambda model: type(model).__name__,
)


@models
@pytest.mark.parametrize("scaling", ["standard", "power"])
def test_the_scaling_of_a_model_is_a_transformer_of_its_tables(model, scaling):
    """Also where there are as many rows as columns, which once were taken for each other."""
    pandas = pytest.importorskip("pandas")
    names = ["age", "price", "unit", "debt"]
    frame, label = pandas.DataFrame(SKEWED, columns=names), (y > np.median(y)).astype(int)
    model.set_params(feature_scaling=scaling).fit(frame, label)
    scaler, few = model.feature_scaler_, frame.iloc[:4]
    expected = scaler.transform(frame)[:4]
    assert_allclose(scaler.transform(few), expected)
    assert_allclose(scaler.inverse_transform(expected), few, rtol=1e-10)
    assert scaler.n_features_in_ == 4
    assert list(scaler.get_feature_names_out()) == list(scaler.feature_names_in_) == names
    assert list(scaler.set_output(transform="pandas").transform(few).columns) == names
    assert_allclose(model.predict(few), model.predict(frame)[:4])  # a user's settings do not reach the model's own
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(few[names[::-1]])
