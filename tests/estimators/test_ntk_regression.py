"""NTKRegressor against published values, its prior, its end, and Bayes' rule."""

import numpy as np
import pytest
from ntk_cases import LAST_LAYER, NETWORK, NEWM, XM, YM, as_given, close, descents, everything, weights
from numpy.testing import assert_allclose

from infwidth import NNGPRegressor, NTKRegressor
from infwidth.networks import MLP, Activation, Dense, Sequential

ROWS, TARGETS, POINT = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, -1.0]), np.array([[-0.8, 0.6]])
ERF = MLP(1, "erf", weight_variance=2.25, bias_variance=0.01)
FROZEN = Sequential(
    [
        Dense(weight_variance=2.25, bias_variance=0.01, trainable=False),
        Activation("erf"),
        Dense(weight_variance=2.25, bias_variance=0.01),
    ]
)
VALUES = [  # computed with neural-tangents (Lee et al. 2019); network, options, mean, variance of the function
    (ERF, {"training_time": 0}, 0.0, 1.1090668532),
    (ERF, {"training_time": 1}, -0.6660126504, 0.4829472556),
    (ERF, {"training_time": 10}, -1.4721463752, 0.2202376098),
    (ERF, {}, -1.4757977483, 0.2197776114),
    (ERF, {"noise_variance": 0.1}, -1.3623071576, 0.237261246),
    (ERF, {"posterior": "ntkgp"}, -1.4757977483, 0.7936752881),
    (ERF, {"posterior": "ntkgp", "noise_variance": 0.1}, -1.3623071576, 0.9042405148),
    (FROZEN, {"training_time": 0}, 0.0, 1.1090668532),
    (FROZEN, {"training_time": 1}, -0.370416664, 0.683226802),
    (FROZEN, {"training_time": 10}, -1.5788584635, 0.209420426),
    (FROZEN, {}, -1.7365154325, 0.2034570014),
    (FROZEN, {"posterior": "ntkgp"}, -1.7365154325, 0.2034570014),
    (FROZEN, {"posterior": "ntkgp", "noise_variance": 0.1}, -1.4370350679, 0.3381362641),
]


@pytest.mark.parametrize(("network", "options", "mean", "variance"), VALUES)
def test_known_values(network, options, mean, variance):
    model = NTKRegressor(network, **{**as_given, "noise_variance": 0.0, **options}).fit(ROWS, TARGETS)
    assert_allclose(model.predict(POINT), mean, rtol=0, atol=6e-11)
    assert_allclose(model.predict_std(POINT, include_noise=False) ** 2, variance, rtol=0, atol=6e-11)
    noise = options.get("noise_variance", 0.0)
    assert_allclose(model.predict_std(POINT) ** 2, variance + noise, rtol=0, atol=6e-11)


def test_known_values_by_stages():
    model = NTKRegressor(ERF, noise_variance=0.0, **as_given).fit(ROWS, TARGETS)
    expected = [
        (0.0, 1.1090668532),
        (-0.6660126504, 0.4829472556),
        (-1.4721463752, 0.2202376098),
        (-1.4757977483, 0.2197776114),
    ]
    stages = model.staged_predict(POINT, [0, 1, 10, np.inf], return_std=True)
    assert_allclose([(mean[0], std[0] ** 2) for mean, std in stages], expected, rtol=0, atol=6e-11)


@pytest.mark.parametrize("network", [NETWORK, MLP(3), LAST_LAYER], ids=["erf", "relu", "last layer"])
@descents
def test_before_training_is_the_prior(network, descent):
    model = NTKRegressor(network, training_time=0, noise_variance=0.3, **as_given, **descent).fit(XM, YM)
    mean, cov = model.predict(NEWM, return_cov=True)
    assert np.all(mean == 0)
    close(cov, np.repeat((network.nngp(NEWM) + 0.3 * np.eye(6))[:, :, None], 3, axis=2), rtol=1e-12)
    normalised = NTKRegressor(network, training_time=0, optimizer=None).fit(XM, 5 + 3 * YM)
    assert_allclose(normalised.predict(NEWM), 5.0)
    prior = network.nngp(normalised.feature_scaler_.transform(NEWM)).diagonal()
    close(normalised.predict_std(NEWM, include_noise=False), 3 * np.sqrt(np.tile(prior, (3, 1)).T))


@pytest.mark.parametrize("options", [as_given, {"optimizer": None}], ids=["as given", "scaled"])
@weights
@descents
def test_late_times_are_the_end(options, weight, descent):
    """The eigenvectors at t -> ∞, and those at ∞, against the Cholesky factor."""
    end = NTKRegressor(NETWORK, noise_variance=0.05, **options).fit(XM, YM, weight)
    late = NTKRegressor(NETWORK, training_time=1e7, noise_variance=0.05, **options, **descent).fit(XM, YM, weight)
    never = NTKRegressor(NETWORK, noise_variance=0.05, **options, **descent).fit(XM, YM, weight)
    for model in (late, never):
        close(model.predict(NEWM), end.predict(NEWM))
        for actual, expected in zip(
            model.predict(NEWM, return_cov=True), end.predict(NEWM, return_cov=True), strict=True
        ):
            close(actual, expected)
    for mean, std in end.staged_predict(NEWM, [1e7, 1e12, np.inf], return_std=True):
        close(mean, end.predict(NEWM))
        close(std, end.predict_std(NEWM))


def test_training_the_last_layer_without_noise_is_bayes_rule():
    ntk = NTKRegressor(LAST_LAYER, noise_variance=0, **as_given).fit(XM, YM)
    bayes = NNGPRegressor(LAST_LAYER, noise_variance=0, **as_given).fit(XM, YM)
    close(ntk.predict(NEWM), bayes.predict(NEWM))
    close(ntk.predict(NEWM, return_cov=True)[1], bayes.predict(NEWM, return_cov=True)[1])
    close(ntk.predict_std(NEWM), bayes.predict_std(NEWM))
    for actual, expected in zip(ntk.loo_predict(), bayes.loo_predict(), strict=True):
        close(actual, expected)


@weights
def test_training_the_last_layer_with_noise_has_the_mean_of_bayes_rule(weight):
    """Its networks scatter less: they are pulled to their start, but do not see the noise."""
    bayes = NNGPRegressor(LAST_LAYER, **as_given).fit(XM, YM, weight)
    trained = NTKRegressor(LAST_LAYER, **as_given).fit(XM, YM, weight)
    process = NTKRegressor(LAST_LAYER, posterior="ntkgp", **as_given).fit(XM, YM, weight)
    close(trained.predict(NEWM), bayes.predict(NEWM))
    assert np.all(trained.predict_std(NEWM) < bayes.predict_std(NEWM))
    for actual, expected in zip(everything(process, NEWM), everything(bayes, NEWM), strict=True):
        close(actual, expected)


@pytest.mark.parametrize("options", [{}, {"training_time": 6.0}, {"posterior": "ntkgp"}], ids=["end", "6", "ntkgp"])
def test_shapes(options):
    for target in (YM[:, 0], YM[:, :1], YM[:, :2]):
        shape = target.shape[1:]
        model = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, target)
        mean, std = model.predict(NEWM, return_std=True)
        cov = model.predict(NEWM, return_cov=True)[1]
        assert mean.shape == std.shape == model.predict_std(NEWM).shape == (6, *shape)
        assert cov.shape == (6, 6, *shape)
        close(np.einsum("ii...->i...", cov), std**2)
        close(std**2, model.predict_std(NEWM, include_noise=False) ** 2 + 0.1 * np.var(target, axis=0))
        assert model.sample_y(NEWM, 5).shape == (6, *shape, 5)
        if model.posterior == "ensemble":
            assert [stage.shape for stage in model.staged_predict(NEWM, [1, 2])] == [(6, *shape)] * 2
            pairs = list(model.staged_predict(NEWM, [1, 2], return_std=True))
            assert [(m.shape, s.shape) for m, s in pairs] == [((6, *shape),) * 2] * 2
        if np.isinf(model.training_time_):
            assert [part.shape for part in model.loo_predict()] == [(20, *shape)] * 2
        column = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, YM[:, 0])
        if shape == (1,):
            for actual, expected in zip(everything(model, NEWM), everything(column, NEWM), strict=True):
                close(np.ravel(actual), np.ravel(expected))
