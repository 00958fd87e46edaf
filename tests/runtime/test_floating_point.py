"""Callers who have told NumPy and SciPy to raise floating-point errors get the same numbers and keep their settings."""

from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import special
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_linnerud

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth.activations import ACTIVATIONS
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.metrics import crps, interval_coverage, neg_crps_scorer, negative_log_predictive_density
from infwidth.networks import MLP

X, y = (values[:60] for values in load_diabetes(return_X_y=True))
FLOWERS, SPECIES = (values[::3] for values in load_iris(return_X_y=True))
NEW = np.r_[X[:3], 1e3 * X[3:6], np.zeros((1, 10))]  # known rows, rows far from the data, a row without features
TIMES = [1.0, 1e6]
ERF, RBF = MLP(1, "erf"), MLP(1, "rbf", ard=True)
plain = {"optimizer": None, "normalize_y": False, "feature_scaling": None}

REGRESSORS = {
    "nngp-standard": NNGPRegressor(RBF, feature_scaling="standard"),
    "nngp-power-loo": NNGPRegressor(RBF, feature_scaling="power", optimizer="loo"),
    "nngp-unscaled": NNGPRegressor(RBF, feature_scaling=None, normalize_y=False),
    "nngp-tiny": NNGPRegressor(MLP(1, bias_variance=0.0, weight_variance=1e-160), **plain),
    "ntk-power": NTKRegressor(MLP(1, "gaussian"), feature_scaling="power", optimizer=None),
    "ntk-time": NTKRegressor(ERF, optimizer=None, training_time=1e4),
    "ntk-steps": NTKRegressor(ERF, optimizer=None, training_time=1e4, learning_rate=0.5, momentum=0.5),
    "ntk-validation": NTKRegressor(RBF, optimizer=None, training_time="validation", random_state=0),
    "ntkgp": NTKRegressor(RBF, posterior="ntkgp"),
}
CLASSIFIERS = {
    "ntk": InfiniteNetClassifier(MLP(1, "rbf", ard=True), limit="ntk"),
    "power-loo": InfiniteNetClassifier(ERF, optimizer="loo", feature_scaling="power"),
    "uncalibrated": InfiniteNetClassifier(ERF, optimizer=None, calibration=None, feature_scaling=None),
}


@contextmanager
def raising():
    """Raise all floating-point errors inside, and look whether nobody has changed that."""
    with np.errstate(all="raise"), special.errstate(all="raise"):
        expected = np.geterr(), special.geterr()
        yield
        assert (np.geterr(), special.geterr()) == expected


def assert_same_where_errors_are_raised(ask):
    expected = ask()
    with raising():
        actual = ask()
    for a, b in zip(actual, expected, strict=True):
        assert_array_equal(a, b)


def fitted(model, inputs, targets):
    return clone(model).fit(inputs, targets, sample_weight=np.geomspace(1e-2, 3.0, len(inputs)))


@pytest.mark.parametrize("regressor", [NNGPRegressor, NTKRegressor])
def test_default_regressors(regressor):
    inputs, targets = load_linnerud(return_X_y=True)
    model = regressor(random_state=0)
    assert_same_where_errors_are_raised(lambda: model.fit(inputs, targets).predict(inputs, return_std=True))


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_default_classifier(limit):
    model = InfiniteNetClassifier(limit=limit, random_state=0)
    assert_same_where_errors_are_raised(lambda: [model.fit(FLOWERS, SPECIES).predict_proba(FLOWERS)])


@pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
def test_regressors(model):
    def ask():
        own = fitted(model, X, y)
        cov = own.predict(NEW, return_cov=True)[1]
        answers = [*own.predict(NEW, return_std=True), cov, own.predict_std(NEW, include_noise=False)]
        answers += [own.sample_y(NEW, 3, random_state=0), own.noise_variance_, own.feature_relevance_]
        theta = np.append(own.kernel_.theta, np.log(own.noise_variance_))
        answers += [*own.log_marginal_likelihood(theta, eval_gradient=True), own.score(X, y)]
        if isinstance(own, NTKRegressor) and own.posterior == "ensemble":
            stages = own.staged_predict(NEW, TIMES, return_std=True)
            answers += [*np.concatenate(list(stages)), own.training_loss(TIMES), own.max_learning_rate()]
        if getattr(own, "training_time", np.inf) == np.inf:
            answers += own.loo_predict()
        return answers

    assert_same_where_errors_are_raised(ask)


@pytest.mark.parametrize("model", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifier(model):
    def ask():
        own, new = fitted(model, FLOWERS, SPECIES), np.r_[FLOWERS, 100.0 * FLOWERS]
        answers = [own.predict(new), own.predict_proba(new), own.predict_log_proba(new), own.decision_function(new)]
        return [*answers, own.loo_decision_function(), own.evidence_]

    assert_same_where_errors_are_raised(ask)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kernels(activation):
    near = np.r_[NEW[:3], 1e-160 * NEW]
    inputs = near if activation == "exp" else np.r_[near, NEW]  # exp of large numbers is not finite, and an error
    limits = [NNGPKernel, NTKKernel] if ACTIVATIONS[activation].has_ntk else [NNGPKernel]

    def ask():
        network = MLP(2, activation, weight_variance=0.5)
        answers = [network.nngp(inputs), network.diag(inputs)]
        answers += network.kernels(inputs) if len(limits) == 2 else []
        for limit in limits:
            kernel = limit(network)
            answers += [*kernel(inputs, eval_gradient=True), kernel(inputs, near), kernel.diag(inputs), kernel.theta]
        return answers

    assert_same_where_errors_are_raised(ask)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_finite_networks(activation):
    def ask():
        network = MLP(2, activation, weight_variance=0.5)
        finite = FiniteNetwork(network, 20, n_features=10, n_networks=2, random_state=0)
        inputs = np.r_[NEW[:3], NEW[6:], 1e-160 * NEW]
        answers = [finite.forward(inputs), finite.empirical_nngp(inputs)]
        if not ACTIVATIONS[activation].has_ntk:
            return answers
        training = {"X": X, "y": y / 100.0, "learning_rate": 1e-3}
        answers += [finite.empirical_ntk(inputs), *finite.jacobian(inputs)]
        answers += [*finite.train(**training, n_steps=5).weights_]
        return [*answers, finite.staged_forward(inputs, **training, n_steps=(1, 3))]

    assert_same_where_errors_are_raised(ask)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    activation = ACTIVATIONS[activation]
    x = np.r_[np.linspace(-50.0, 50.0, 101), 1e-160, -1e-300]

    def ask():
        return [activation(x), activation.derivative(x)] if activation.has_ntk else [activation(x)]

    assert_same_where_errors_are_raised(ask)


def test_metrics():
    mean, std = np.r_[y[:-1], 1e4], np.full(60, 1e-5)
    metrics = [crps, negative_log_predictive_density, interval_coverage]
    assert_same_where_errors_are_raised(lambda: [metric(y, mean, std) for metric in metrics])
    model = NNGPRegressor(RBF, optimizer=None, noise_variance=1e-9).fit(X, y)
    assert_same_where_errors_are_raised(lambda: [neg_crps_scorer(model, NEW, y[:7])])


@pytest.mark.parametrize("scaling", ["standard", "power"])
def test_feature_scaler(scaling):
    scaler = NNGPRegressor(RBF, optimizer=None, feature_scaling=scaling).fit(X, y).feature_scaler_
    inputs = np.r_[NEW, 1e-320 * X]
    assert_same_where_errors_are_raised(lambda: [scaler.transform(inputs)])


@no_floating_point_errors
def stages():
    yield np.square(1e-200)
    yield np.square(1e-200)


def test_between_the_steps_of_a_generator_the_callers_settings_hold():
    with raising():
        steps = stages()
        assert next(steps) == 0.0
        with pytest.raises(FloatingPointError, match="underflow"):
            np.square(1e-200)
        assert next(steps) == 0.0
        assert list(steps) == []


def test_settings_are_back_after_an_error():
    with raising(), pytest.raises(ValueError, match="10 features"):
        NNGPRegressor(ERF, optimizer=None).fit(X, y).predict(X[:, :2])


def test_what_would_be_raised_is_a_warning_and_what_is_ignored_stays_so():
    exp = ACTIVATIONS["exp"]
    with raising(), pytest.warns(RuntimeWarning, match="overflow"):
        assert exp(1e3) == np.inf
    with np.errstate(all="ignore"):
        assert exp(1e3) == np.inf
