"""What is said of inputs that are not valid: one sentence, before any work, and the model of before stays."""

import datetime

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._inference.search import Objective
from infwidth._preprocessing import WeightedPowerTransformer
from infwidth._recursion.engine import KernelSource
from infwidth.activations import LeakyReLU, ReLU, get_activation
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP, Activation, Dense, Sequential
from infwidth.networks.theta import theta_of, with_theta

X, label = load_iris(return_X_y=True)
X, label = X[::5], label[::5]
y, names = X @ [1.0, -2.0, 0.5, 0.0], np.array(["red", "green", "blue"])[label]
NETWORK = MLP(1, "erf")

REGRESSORS = [NNGPRegressor, NTKRegressor]
CLASSIFIERS = [InfiniteNetClassifier]
estimators = pytest.mark.parametrize("kind", REGRESSORS + CLASSIFIERS)
regressors = pytest.mark.parametrize("kind", REGRESSORS)


def target(kind):
    return label if kind is InfiniteNetClassifier else y


@pytest.fixture
def refused(monkeypatch):
    """A fit that must fail in these words before any kernel, and must not touch the model of before."""

    def work(*_):
        raise AssertionError("a kernel was computed")

    def check(kind, error, match, inputs=X, targets=None, weight=None, **parameters):
        for options in ({"optimizer": None}, {}):
            model = kind(NETWORK, optimizer=None).fit(X, target(kind))
            before = model.predict(X)
            own = {"network": NETWORK} | options | parameters
            original = {name: getattr(model, name) for name in own}
            with monkeypatch.context() as patch:
                patch.setattr(KernelSource, "fill", work)
                patch.setattr(Objective, "evaluate", work)
                with pytest.raises(error, match=match) as caught:
                    model.set_params(**own).fit(inputs, target(kind) if targets is None else targets, weight)
            assert "\n" not in str(caught.value)
            assert_array_equal(model.set_params(**original).predict(X), before)

    return check


# Text and dates

TEXT = r"X has text in column 4 \('red'\).*OneHotEncoder\(sparse_output=False\) or OrdinalEncoder"
DATES = r"X has dates or durations in column 4.*convert.*days since the first date"
DAYS = np.datetime64("2020-01-31") + np.arange(30)


def with_column(cells):
    table = np.empty((30, 5), dtype=object)
    table[:, :4], table[:, 4] = X, cells
    return table


@estimators
@pytest.mark.parametrize(
    "cells",
    [np.where(label == 0, "red", "blue"), ["red", None] * 15, ["3", "red"] * 15],
    ids=["text", "missing", "numerals"],
)
def test_text_in_an_array(refused, kind, cells):
    refused(kind, ValueError, TEXT, with_column(cells))
    model = kind(NETWORK, optimizer=None).fit(np.c_[X, y], target(kind))
    with pytest.raises(ValueError, match=TEXT):
        model.predict(with_column(cells))


@estimators
def test_text_in_every_column(refused, kind):
    refused(kind, ValueError, r"X has text in columns 0, 1 \('red'\)", np.full((30, 2), "red"))
    refused(kind, ValueError, r"X has text in columns 0, 1 \('red'\)", [["red", "blue"]] * 30)
    refused(kind, ValueError, r"X has text in columns 0, 1, 2, 3, 4 and 95 more \('red'\)", np.full((30, 100), "red"))


@estimators
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_in_a_data_frame(refused, kind, library):
    frames = pytest.importorskip(library)
    columns = {"width": X[:, 0], "colour": names.tolist(), "length": X[:, 1], "shape": ["round", None, "flat"] * 10}
    match = r"X has text in columns 'colour', 'shape' \('red'\).*OneHotEncoder"
    refused(kind, ValueError, match, frames.DataFrame(columns))
    columns = {"width": X[:, 0], "day": DAYS.tolist(), "length": X[:, 1]}
    match = r"X has dates or durations in column 'day'.*convert"
    refused(kind, ValueError, match, frames.DataFrame(columns))


@estimators
def test_types_of_pandas(refused, kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"width": X[:, 0], "length": X[:, 1]})
    match = r"X has text in column 'colour' \('red'\)"
    refused(kind, ValueError, match, frame.assign(colour=pandas.Categorical(names)))
    for cells in (
        pandas.Series(DAYS),
        pandas.Series(DAYS).dt.tz_localize("UTC"),
        pandas.Series(DAYS - DAYS[0]),
        pandas.period_range("2020-01", periods=30, freq="M"),
    ):
        refused(kind, ValueError, "X has dates or durations in column 'day'", frame.assign(day=cells))
    refused(kind, ValueError, "X has dates or durations in column 'day'", pandas.DataFrame({"day": DAYS}))
    good = frame.assign(size=pandas.Categorical(label), known=pandas.array([True, False] * 15, dtype="boolean"))
    expected = kind(NETWORK, optimizer=None).fit(good.to_numpy(dtype=float), target(kind))
    model = kind(NETWORK, optimizer=None).fit(good, target(kind))
    assert_array_equal(model.predict(good), expected.predict(good.to_numpy(dtype=float)))


@estimators
@pytest.mark.parametrize(
    "cells",
    [DAYS, [datetime.date(2020, 1, 31)] * 30, [datetime.timedelta(3)] * 30, (DAYS - DAYS[0]).tolist(), [DAYS[3]] * 30],
    ids=["datetime64", "date", "timedelta", "timedelta64", "cells"],
)
def test_dates_in_an_array(refused, kind, cells):
    refused(kind, ValueError, DATES, with_column(cells))


@estimators
def test_nothing_but_dates(refused, kind):
    """NumPy makes numbers of them without a word."""
    refused(kind, ValueError, "X has dates or durations in column 0", DAYS[:, None])


@regressors
def test_targets_that_are_no_numbers(refused, kind):
    for text in (names, names.astype(object), names.tolist(), names[:, None]):
        refused(kind, ValueError, r"y has text.* \('red'\).*InfiniteNetClassifier", targets=text)
    refused(kind, ValueError, "y has dates or durations.*convert", targets=DAYS)
    refused(kind, ValueError, "y has dates or durations in column 1.*convert", targets=with_column(DAYS)[:, 3:])


@estimators
def test_numerals_are_numbers(kind):
    model = kind(NETWORK, optimizer=None).fit(X.astype(str), target(kind))
    assert_array_equal(model.predict(X), kind(NETWORK, optimizer=None).fit(X, target(kind)).predict(X))


# Masked, sparse and one-hot


@estimators
def test_masked_arrays(refused, kind):
    masked = np.ma.masked_greater(X, 6.0)
    match = rf"X is a masked array with {masked.mask.sum()} masked values.*leave out their rows"
    refused(kind, ValueError, match, masked)
    goal = np.ma.masked_array(target(kind), mask=np.arange(30) < 3)
    refused(kind, ValueError, "y is a masked array with 3 masked values", targets=goal)
    weight = np.ma.masked_array(np.ones(30), mask=np.arange(30) < 3)
    refused(kind, ValueError, "sample_weight is a masked array with 3 masked values", weight=weight)
    model = kind(NETWORK, optimizer=None).fit(np.ma.masked_array(X), target(kind))  # nothing is masked
    with pytest.raises(ValueError, match=match):
        model.predict(masked)


@estimators
def test_sparse_inputs(refused, kind):
    match = r"X is sparse, but dense data is required: .*toarray.*OneHotEncoder\(sparse_output=False\)"
    for make in (scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        refused(kind, TypeError, match, make(X))
    refused(kind, TypeError, "y is sparse, but dense data", targets=scipy.sparse.csr_matrix(np.atleast_2d(label).T))
    for sparse_output in (True, False):
        pipeline = make_pipeline(OneHotEncoder(sparse_output=sparse_output), kind(NETWORK, optimizer=None))
        if not sparse_output:
            assert pipeline.fit(X, target(kind)).predict(X).shape == (30,)
            continue
        with pytest.raises(TypeError, match=match):
            pipeline.fit(X, target(kind))


def test_one_hot_classes(refused):
    pandas = pytest.importorskip("pandas")
    match = r"y should be a 1d array, got an array of shape \(30, 3\).*one class a row.*np.argmax\(y, axis=1\)"
    one_hot = np.eye(3, dtype=int)[label]
    for classes in (one_hot, one_hot.astype(float), one_hot.astype(bool), one_hot.tolist(), pandas.get_dummies(names)):
        refused(InfiniteNetClassifier, ValueError, match, targets=classes)
    taken = InfiniteNetClassifier(NETWORK, optimizer=None).fit(X, np.argmax(one_hot, axis=1))
    assert_array_equal(taken.predict(X), InfiniteNetClassifier(NETWORK, optimizer=None).fit(X, label).predict(X))


def test_the_same_words_elsewhere():
    """Wherever a table is taken, the same is said of it."""
    finite = FiniteNetwork(NETWORK, 4, n_features=5, random_state=0)
    takers = [MLP().nngp, MLP().ntk, MLP().diag, NNGPKernel(), NTKKernel().diag, finite.forward, finite.empirical_ntk]
    takers += [lambda table: MLP().nngp(np.c_[X, y], table), lambda table: finite.train(np.c_[X, y], table)]
    takers += [WeightedPowerTransformer().fit, WeightedPowerTransformer().fit(np.c_[X, y]).transform]
    for take in takers:
        for table, error, match in (
            (with_column(names), ValueError, r"has text in column 4 \('red'\)"),
            (with_column(DAYS), ValueError, "has dates or durations in column 4"),
            (np.ma.masked_greater(np.c_[X, y], 6.0), ValueError, "is a masked array with"),
            (scipy.sparse.csr_matrix(np.c_[X, y]), TypeError, "is sparse, but dense data is required"),
        ):
            with pytest.raises(error, match=match):
                take(table)


# Networks

NOT_NETWORKS = [
    (MLP, r"got the class MLP: write MLP\(\)"),
    ("relu", r"got 'relu', an activation: write MLP\(activation='relu'\)"),
    (ReLU(), r"got ReLU\(\), an activation: write MLP\(activation=ReLU\(\)\)"),
    (np.ones((3, 4)), r"got an array of shape \(3, 4\)"),
    (Dense(), r"got Dense\(\)"),
]


@estimators
@pytest.mark.parametrize(("network", "match"), NOT_NETWORKS, ids=[str(case[0]) for case in NOT_NETWORKS])
def test_what_is_no_network(refused, kind, network, match):
    refused(kind, TypeError, "network must be a network of infwidth.networks, .*" + match, network=network)
    for kernel in (NNGPKernel(network), NTKKernel(network)):
        for ask in (lambda k: k(X), lambda k: k.theta, repr):
            with pytest.raises(TypeError, match=match):
                ask(kernel)
    with pytest.raises(TypeError, match=match):
        FiniteNetwork(network, 8, n_features=4)


NOT_ACTIVATIONS = [
    (ReLU, TypeError, r"activation must be a name or an object of .*, got the class ReLU: write ReLU\(\)"),
    ("tanh", ValueError, "'tanh' has no dual in closed form: use 'erf', which is close. The names are abs, .*relu"),
    ("sigmoid", ValueError, "'sigmoid' has no dual in closed form: use 'normal_cdf'"),
    ("swish", ValueError, "'swish' has no dual in closed form: use 'gelu'"),
    ("ReLU", ValueError, "unknown activation 'ReLU'; the names are abs, .*relu, sign"),
    (np.tanh, TypeError, "activation must be a name or an object of infwidth.activations, got .*tanh.*the names are"),
    (None, TypeError, "activation must be a name or an object of infwidth.activations, got None"),
]


@estimators
@pytest.mark.parametrize(
    ("activation", "error", "match"), NOT_ACTIVATIONS, ids=[str(case[0]) for case in NOT_ACTIVATIONS]
)
def test_what_is_no_activation(refused, kind, activation, error, match):
    for network in (MLP(activation=activation), Sequential([Dense(), Activation(activation), Dense()])):
        refused(kind, error, match, network=network)
        for ask in (network.nngp, network.ntk, NNGPKernel(network)):
            with pytest.raises(error, match=match):
                ask(X)


def test_names_and_objects_are_activations():
    assert get_activation("relu") == get_activation(ReLU()) == ReLU()
    assert_array_equal(MLP(activation="relu").nngp(X), MLP(activation=ReLU()).nngp(X))


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        (Dense(), r"layers must be a list of Dense and Activation layers, got Dense\(\)"),
        ([Dense(), "relu", Dense()], r"got 'relu': write Activation\('relu'\)"),
        ([Dense(), ReLU(), Dense()], r"got ReLU\(\): write Activation\(ReLU\(\)\)"),
        ([Dense(), Activation(), Dense], r"got the class Dense: write Dense\(\)"),
        ([Dense(), MLP(), Dense()], r"got MLP\(\)\."),
    ],
    ids=["no list", "name", "object", "class", "network"],
)
def test_what_are_no_layers(layers, match):
    with pytest.raises(TypeError, match=match):
        Sequential(layers).nngp(X)


@pytest.mark.parametrize("value", ["yes", 1, None, np.ones(2)], ids=str)
def test_switches_of_networks(value):
    for network, name in (
        (MLP(ard=value), "ard"),
        (MLP(learn_activation=value), "learn_activation"),
        (Sequential([Dense(trainable=value), Activation(), Dense()]), "trainable"),
        (Sequential([Dense(), Activation(learn=value), Dense()]), "learn"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be True or False, got"):
            network.nngp(X)
    assert_array_equal(MLP(ard=np.True_).nngp(X), MLP().nngp(X))


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
    ids=str,
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
    ids=str,
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


# What cannot be learned


def apart(**options):
    return Dense(parametrization="standard", width=8, **options)


@estimators
@pytest.mark.parametrize(
    "network",
    [
        MLP(ard=True, parametrization="standard", width=8),
        MLP(input_variance=np.ones(4), parametrization="standard", width=8),
        Sequential([apart(weight_variance=np.ones(4)), Activation(), apart()]),
    ],
    ids=["ard", "array", "Sequential"],
)
def test_single_input_variances_of_the_standard_parametrization(refused, kind, network):
    match = r"the standard parametrization takes one input variance .* parametrization='ntk', or .*\(ard=False\)"
    for optimizer in ("lml", "loo"):
        refused(kind, ValueError, match, network=network, optimizer=optimizer)
    assert kind(network, optimizer=None).fit(X, target(kind)).predict(X).shape == (30,)  # not learned: no matter


@estimators
def test_networks_that_do_not_fit_the_data(refused, kind):
    match = r"\(input_variance\) have shape \(3,\), but X has 4 features"
    refused(kind, ValueError, match, network=MLP(input_variance=np.ones(3)))
    refused(kind, ValueError, "weight_variance is a variance", network=MLP(weight_variance=-1.0))
    if kind is not NNGPRegressor:
        limit = {"limit": "ntk"} if kind is InfiniteNetClassifier else {}
        match = r"Sign\(\) has no neural tangent kernel: .* Use the NNGP kernel, or another activation"
        refused(kind, ValueError, match, network=MLP(activation="sign"), **limit)


# Subclasses with other parameters


class Deep(MLP):
    """No variance is a parameter: none can be learned."""

    def __init__(self, depth=2):
        super().__init__(depth, "erf", weight_variance=1.5)


class Tied(MLP):
    """One variance is."""

    def __init__(self, weight_variance=1.0, activation="erf"):
        super().__init__(1, activation, weight_variance=weight_variance, learn_activation=activation != "erf")


class Relevant(MLP):
    """``ard`` needs a place for what is learned."""

    def __init__(self, ard=True):
        super().__init__(1, "erf", ard=ard)


class Layered(Sequential):
    """A recipe with one parameter."""

    def __init__(self, activation="erf"):
        self.activation = activation
        super().__init__([Dense(), Activation(activation), Dense()])


FEWER = [(Deep(), 0), (Tied(), 1), (Tied(activation=LeakyReLU(0.1)), 2), (Relevant(ard=False), 0), (Layered(), 0)]
subclasses = pytest.mark.parametrize(("network", "n_learned"), FEWER, ids=[type(case[0]).__name__ for case in FEWER])


@estimators
@subclasses
def test_parameters_of_a_subclass_are_what_is_learned(kind, network, n_learned):
    assert len(theta_of(network)) == n_learned
    model = kind(network, random_state=0).fit(X, target(kind))
    assert type(model.network_) is type(network)
    assert model.noise_variance_ != 0.1
    assert (model.network_ == network) == (n_learned == 0)
    again = clone(model.network_)  # nothing that is learned is lost
    assert again == model.network_
    assert_array_equal(again.ntk(X), model.network_.ntk(X))
    fixed = kind(model.network_, optimizer=None, noise_variance=model.noise_variance_, feature_scaling="standard")
    if model.feature_scaler_.__class__.__name__ == "StandardScaler":
        assert_allclose(model.predict(X), fixed.fit(X, target(kind)).predict(X))


@subclasses
@pytest.mark.parametrize("kernel", [NNGPKernel, NTKKernel])
def test_gradients_of_a_subclass(network, n_learned, kernel):
    kernel = kernel(network)
    gradient = kernel(X[:4], eval_gradient=True)[1]
    assert gradient.shape == (4, 4, n_learned)
    assert kernel.bounds.size == 2 * n_learned
    for i, j in ((0, 0), (1, 3)):
        numeric = approx_fprime(kernel.theta, lambda t, i=i, j=j: kernel.clone_with_theta(t)(X[:4])[i, j])
        assert_allclose(gradient[i, j], numeric, rtol=1e-5, atol=1e-7)


@estimators
def test_relevance_needs_a_place(refused, kind):
    match = "Relevant has ard=True, but its __init__ does not take input_variance.*or use ard=False"
    refused(kind, ValueError, match, network=Relevant(), optimizer="lml")
    assert kind(Relevant(), optimizer=None).fit(X, target(kind)).predict(X).shape == (30,)


def test_parameters_of_a_layered_subclass():
    network = Layered()
    assert network.get_params() == {"activation": "erf"}
    assert network.set_params(activation="relu").activation == "relu"
    with pytest.raises(ValueError, match="has no parameter 'depth'"):
        network.set_params(depth=2)
