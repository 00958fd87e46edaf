"""What is said of parameters that are not valid: one sentence, before any work, and the model of before stays."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from word_cases import NETWORK, REGRESSORS, X, estimators, regressors, target, y

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP
from infwidth.networks.theta import theta_of, with_theta

# Parameters

SWITCHES = [(value, rf"must be True or False, got {shown}") for value, shown in (("yes", "'yes'"), (None, "None"))]
CHOICES = [
    ("loud", "got 'loud'"),
    (np.ones(2), r"got an array of shape \(2,\)"),
    (["auto"], r"got \['auto'\]"),
    (True, "got True"),
]


@estimators
@pytest.mark.parametrize("name", ["warm_start", "verbose"])
@pytest.mark.parametrize(("value", "match"), SWITCHES)
def test_switches(refused, kind, name, value, match):
    refused(kind, ValueError, f"{name} {match}", **{name: value})


@regressors
@pytest.mark.parametrize(("value", "match"), SWITCHES)
def test_switch_of_regressors(refused, kind, value, match):
    refused(kind, ValueError, f"normalize_y {match}", normalize_y=value)


@estimators
@pytest.mark.parametrize(("value", "match"), CHOICES)
@pytest.mark.parametrize("name", ["feature_scaling", "solver", "optimizer"])
def test_choices(refused, kind, name, value, match):
    refused(kind, ValueError, rf"{name} must be '\w+'.* or .*, {match}", **{name: value})


@pytest.mark.parametrize(("value", "match"), CHOICES)
@pytest.mark.parametrize(
    ("kind", "name"),
    [(NTKRegressor, "posterior"), (InfiniteNetClassifier, "limit"), (InfiniteNetClassifier, "calibration")],
)
def test_choices_of_one_estimator(refused, kind, name, value, match):
    refused(kind, ValueError, rf"{name} must be '\w+' or .*, {match}", **{name: value})


@estimators
def test_class_for_an_optimizer(refused, kind):
    match = "optimizer must be 'lml', 'loo', a callable or None, got the class MLP"
    refused(kind, ValueError, match, optimizer=MLP)


@estimators
@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"random_state": "now"}, "'now' cannot be used to seed"),
        ({"n_jobs": "2"}, "n_jobs must be None or an integer other than 0, got '2'"),
        ({"max_memory": "lots"}, "max_memory must be a positive number of bytes"),
        ({"max_optimizer_samples": 1.5}, "max_optimizer_samples must be an integer"),
        ({"n_restarts_optimizer": np.ones(2)}, r"n_restarts_optimizer must be an integer.*an array of shape \(2,\)"),
        ({"prior_std": "3"}, "prior_std must be a positive number or None, got '3'"),
        ({"prior_std": 10**400}, "prior_std must be a positive number or None, got 1000.* …"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_other_parameters(refused, kind, parameters, match):
    refused(kind, ValueError, match, **parameters)


ROWS = r"For noise variances s of single rows, fit with sample_weight=s.mean\(\) / s"


@estimators
@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.ones(30), rf"noise_variance is a variance: it must be .*{ROWS}"),
        (np.ones((30, 1)), rf"noise_variance is a variance: it must be one number, got an array .*{ROWS}"),
        ("learn", "noise_variance is a variance: it must be a number, 0 or larger, got 'learn'"),
    ],
    ids=["rows", "column", "text"],
)
def test_noise(refused, kind, value, match):
    refused(kind, ValueError, match, noise_variance=value)


@estimators
@pytest.mark.parametrize("optimizer", ["lml", "loo", lambda *_: None])
def test_no_noise_while_learning(refused, kind, optimizer):
    match = "noise_variance.*while it is learned it must be a positive number, got 0. .*1e-6, or use optimizer=None"
    refused(kind, ValueError, match, noise_variance=0, optimizer=optimizer)


@regressors
def test_noise_of_outputs(refused, kind):
    outputs = np.c_[y, y**2]
    model = kind(NETWORK, optimizer=None, noise_variance=[0.1, 0.2]).fit(X, outputs)
    assert_allclose(model.noise_variance_, [0.1, 0.2])
    match = f"one for each of the 2 outputs of y; got 3 numbers. {ROWS}"
    refused(kind, ValueError, match, targets=outputs, noise_variance=[0.1, 0.2, 0.3])
    match = "noise_variance.*while it is learned it must be a positive number, got 0.0"
    refused(kind, ValueError, match, targets=outputs, noise_variance=[0.1, 0.0], optimizer="lml")


def test_noise_variances_of_rows_are_weights():
    """What the sentence says to do."""
    s = 0.1 + np.arange(30) / 30.0
    options = {"optimizer": None, "feature_scaling": None, "normalize_y": False}
    model = NNGPRegressor(NETWORK, noise_variance=s.mean(), **options).fit(X, y, sample_weight=s.mean() / s)
    expected = NETWORK.nngp(X) @ np.linalg.solve(NETWORK.nngp(X) + np.diag(s), y)
    assert_allclose(model.predict(X), expected, rtol=1e-8)


# Logarithms of variances

THETA = [
    (0.0, "must have the shape .*; got 0.0"),
    ([1.0], r"must have the shape .*; got \[1.0\]"),
    (np.zeros(9), r"must have the shape .*; got an array of shape \(9,\)"),
    (np.zeros((3, 1)), r"must have the shape .*; got an array of shape \(3, 1\)"),
    ("zero", "must have the shape .*; got 'zero'"),
    (None, "must have the shape .*; got None"),
]
NOT_LOGARITHMS = [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (1e5, "100000.0"), (-1e5, "-100000.0")]


@pytest.mark.parametrize(("theta", "match"), THETA, ids=[str(case[0]) for case in THETA])
def test_shape_of_theta(theta, match):
    for kind in REGRESSORS:
        model = kind(NETWORK, optimizer=None).fit(X, y)
        if theta is not None:
            with pytest.raises(ValueError, match="theta " + match):
                model.log_marginal_likelihood(theta, eval_gradient=True)
    kernel = NNGPKernel(MLP())
    for take in (kernel.clone_with_theta, lambda t: setattr(kernel, "theta", t), lambda t: with_theta(MLP(), t)):
        with pytest.raises(ValueError, match="theta " + match):
            take(theta)
    assert kernel == NNGPKernel(MLP())


@pytest.mark.parametrize(("value", "shown"), NOT_LOGARITHMS)
def test_values_of_theta(value, shown):
    match = f"theta holds logarithms of variances, .*; entry 1 is {shown}"
    for kind in REGRESSORS:
        model = kind(NETWORK, optimizer=None).fit(X, y)
        with pytest.raises(ValueError, match=match):
            model.log_marginal_likelihood([0.0, value, 0.0])
    kernel = NTKKernel(MLP())
    for take in (kernel.clone_with_theta, lambda t: setattr(kernel, "theta", t), lambda t: with_theta(MLP(), t)):
        with pytest.raises(ValueError, match=match):
            take([0.0, value])
    assert kernel == NTKKernel(MLP())


PAIR = r"an optimizer must return the pair \(theta, func_min\); yours returned"
SHAPE = r"the theta of your optimizer must have the shape \(5,\): .* 4 free variances .* 1 noise variances; got"
OPTIMIZERS = {
    "theta alone": (lambda f, theta, bounds: theta, rf"{PAIR} an array of shape \(5,\)"),
    "nothing": (lambda f, theta, bounds: None, f"{PAIR} None"),
    "three": (lambda f, theta, bounds: (theta, f(theta)[0], True), PAIR),
    "short": (lambda f, theta, bounds: (theta[:-1], 0.0), rf"{SHAPE} an array of shape \(4,\)"),
    "long": (lambda f, theta, bounds: (np.append(theta, 0.0), 0.0), rf"{SHAPE} an array of shape \(6,\)"),
    "number": (lambda f, theta, bounds: (0.0, 0.0), f"{SHAPE} 0.0"),
    "text": (lambda f, theta, bounds: ("theta", 0.0), f"{SHAPE} 'theta'"),
    "nan": (lambda f, theta, bounds: (np.nan * theta, 0.0), "the theta of your optimizer holds .*; entry 0 is nan"),
    "asks short": (lambda f, theta, bounds: (theta, f(theta[1:])[0]), rf"{SHAPE} an array of shape \(4,\)"),
    "asks nan": (lambda f, theta, bounds: (theta, f(np.nan * theta)[0]), "your optimizer holds .*; entry 0 is nan"),
}


@estimators
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_optimizers_that_break_their_contract(kind, case):
    optimizer, match = OPTIMIZERS[case]
    model = kind(NETWORK, optimizer=None).fit(X, target(kind))
    before = model.predict(X)
    with pytest.raises(ValueError, match=match):
        model.set_params(optimizer=optimizer).fit(X, target(kind))
    assert_array_equal(model.predict(X), before)


@estimators
@pytest.mark.parametrize("container", [tuple, list])
def test_optimizers_that_keep_it(kind, container):
    def optimizer(obj_func, initial_theta, bounds):
        assert len(bounds) == len(initial_theta)
        return container([initial_theta.tolist(), obj_func(initial_theta, eval_gradient=False)])

    model = kind(NETWORK, optimizer=optimizer, prior_std=None).fit(X, target(kind))
    assert model.noise_variance_ == pytest.approx(0.1)
    assert_allclose(theta_of(model.network_), theta_of(NETWORK.untied()))


# Training times


@pytest.mark.parametrize("weight", [None, np.r_[1.0, 1.0, np.zeros(28)]], ids=["two rows", "two rows with a weight"])
def test_a_validated_time_needs_two_rows(refused, weight):
    options = {"training_time": "validation"}
    match = "training_time='validation' holds rows out: it needs two rows of positive weight, or give a number"
    one = np.r_[1.0, np.zeros(29)]
    refused(NTKRegressor, ValueError, match, weight=one, **options)
    refused(NTKRegressor, ValueError, match, inputs=X[:1], targets=y[:1], **options)
    rows = slice(None) if weight is not None else slice(2)
    model = NTKRegressor(NETWORK, optimizer=None, random_state=0, **options).fit(X[rows], y[rows], weight)
    assert model.training_time_ > 0


@pytest.mark.parametrize(
    ("time", "rate", "match"),
    [
        (1e300, 1e-300, r"training time of 1e\+300 takes more steps of learning_rate=1e-300 than there are numbers"),
        (1.0, 1e-320, "takes more steps of learning_rate=1e-320 than there are numbers: use training_time=inf"),
        (10**400, None, "training_time must be a number, 0 or larger, or inf; got 1000.* …"),
        (10**400, 0.1, "training_time must be a number, 0 or larger, or inf; got 1000.* …"),
        (np.ones(2), 0.1, r"training_time must be a number.*got an array of shape \(2,\)"),
        (10.0, 10**400, "learning_rate must be a positive number or None, got 1000.* …"),
        (10.0, "fast", "learning_rate must be a positive number or None, got 'fast'"),
    ],
    ids=["many", "denormal", "large flow", "large", "array", "large rate", "text"],
)
def test_steps_that_overflow(refused, time, rate, match):
    refused(NTKRegressor, ValueError, match, training_time=time, learning_rate=rate)


@pytest.mark.parametrize(("time", "rate"), [(1e300, None), (1e308, None), (1e300, 1e-3)])
def test_times_that_do_not_overflow(time, rate):
    model = NTKRegressor(MLP(), optimizer=None, training_time=time, learning_rate=rate).fit(X, y)
    end = NTKRegressor(MLP(), optimizer=None).fit(X, y)
    assert_allclose(model.predict(X, return_std=True), end.predict(X, return_std=True), rtol=1e-6)


def test_times_of_stages():
    model = NTKRegressor(NETWORK, optimizer=None, learning_rate=0.1).fit(X, y)
    for ask in (lambda times: list(model.staged_predict(X, times)), model.training_loss):
        for times, match in (
            (5.0, "times must be a list of training times, got 5.0"),
            (None, "times must be a list of training times, got None"),
            ("late", "times must be a list of training times, got 'late'"),
            (["late"], "a training time must be a number, 0 or larger, or inf; got 'late'"),
            ([10**400], "a training time must be a number, 0 or larger, or inf; got 1000"),
            ([1e308], "takes more steps of learning_rate=0.1 than there are numbers"),
        ):
            with pytest.raises(ValueError, match=match):
                ask(times)
