"""NTKRegressor with learned variances, and averages of networks against their parts."""

import pickle
from itertools import compress

import numpy as np
import pytest
from learning_cases import SCALINGS
from ntk_cases import NEW, X, close, everything, y
from numpy.testing import assert_allclose
from sklearn.datasets import make_friedman1

from infwidth import NTKRegressor
from infwidth.networks import MLP


@pytest.mark.parametrize("optimizer", ["lml", "loo"])
@pytest.mark.parametrize("options", [{"training_time": 50.0}, {"posterior": "ntkgp"}], ids=["ensemble", "ntkgp"])
def test_learned_variances(optimizer, options):
    learned = NTKRegressor(MLP(1, "erf"), optimizer=optimizer, feature_scaling="standard", random_state=0, **options)
    learned.fit(X, y)
    assert learned.network_ != learned.network
    fixed = NTKRegressor(
        learned.network_, optimizer=None, feature_scaling="standard", noise_variance=learned.noise_variance_, **options
    ).fit(X, y)
    for actual, expected in zip(everything(learned, NEW), everything(fixed, NEW), strict=True):
        close(actual, expected)
    start = NTKRegressor(MLP(1, "erf"), optimizer=None, **options).fit(X, y)
    if optimizer == "lml":
        value = fixed.log_marginal_likelihood()
        assert value > start.log_marginal_likelihood() + 1
        theta = np.append(fixed.kernel_.theta, np.log(fixed.noise_variance_))
        assert_allclose(fixed.log_marginal_likelihood(theta), value, rtol=1e-10)


FX, FY = make_friedman1(40, n_features=5, noise=0.3, random_state=0)
FNEW = make_friedman1(10, n_features=5, random_state=1)[0]


@pytest.fixture(
    scope="module", params=[{}, {"training_time": 30.0}, {"posterior": "ntkgp"}], ids=["end", "30", "ntkgp"]
)
def average(request):
    """A model that averages networks, and each of its parts as a model of its own."""
    model = NTKRegressor(random_state=0, **request.param).fit(FX, FY)
    used = model.network_weights_ > 0
    parts = [
        NTKRegressor(
            network,
            noise_variance=component.noise_variance,
            feature_scaling=SCALINGS[type(component.scaler).__name__],
            optimizer=None,
            **request.param,
        ).fit(FX, FY)
        for component, network in zip(model._mixture.components, compress(model.networks_, used), strict=True)
    ]
    assert len(parts) > 1
    return model, model.network_weights_[used], parts


def test_average_of_networks(average):
    model, weights, parts = average
    assert_allclose(weights.sum(), 1.0)
    predictions = [part.predict(FNEW, return_cov=True) for part in parts]
    mean = sum(w * own for w, (own, _) in zip(weights, predictions, strict=True))
    second = sum(w * (cov + np.outer(own, own)) for w, (own, cov) in zip(weights, predictions, strict=True))
    cov = second - np.outer(mean, mean)
    close(model.predict(FNEW), mean)
    close(model.predict(FNEW, return_cov=True)[1], cov, rtol=1e-7)
    close(model.predict_std(FNEW), np.sqrt(np.diag(cov)), rtol=1e-7)


def test_stages_of_an_average(average):
    model, weights, parts = average
    if model.posterior == "ntkgp":
        return
    times = [0.0, 3.0, 300.0, np.inf]
    stages = list(model.staged_predict(FNEW, times, return_std=True))
    own = [list(part.staged_predict(FNEW, times, return_std=True)) for part in parts]
    for place, ((mean, std), alone) in enumerate(zip(stages, model.staged_predict(FNEW, times), strict=True)):
        expected = sum(w * o[place][0] for w, o in zip(weights, own, strict=True))
        second = sum(w * (o[place][1] ** 2 + o[place][0] ** 2) for w, o in zip(weights, own, strict=True))
        close(mean, expected)
        close(alone, expected)
        close(std**2, second - expected**2, rtol=1e-6)
    close(model.training_loss(times), [0.5 * np.mean((FY - m) ** 2) for m in model.staged_predict(FX, times)], 1e-7)


def test_leave_one_out_of_an_average(average):
    model, weights, parts = average
    if not np.isinf(model.training_time_):
        with pytest.raises(ValueError, match="end of training only"):
            model.loo_predict()
        return
    own = [part.loo_predict() for part in parts]
    mean = sum(w * o[0] for w, o in zip(weights, own, strict=True))
    second = sum(w * (o[1] ** 2 + o[0] ** 2) for w, o in zip(weights, own, strict=True))
    close(model.loo_predict(), [mean, np.sqrt(second - mean**2)], rtol=1e-6)


def test_pickle_of_an_average(average):
    model = average[0]
    again = pickle.loads(pickle.dumps(model))
    for actual, expected in zip(everything(again, FNEW), everything(model, FNEW), strict=True):
        assert np.all(actual == expected)
    assert again.max_learning_rate() == model.max_learning_rate()
