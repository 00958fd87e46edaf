"""Rows that are added to a fitted model, against a model that is given all of them with the same variances."""

import pickle
from copy import deepcopy
from functools import cache, partial, partialmethod

import numpy as np
import pytest
from ntk_cases import close, everything
from numpy.testing import assert_array_equal
from scipy.linalg import LinAlgWarning
from scipy.special import logsumexp
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import learning_curve

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.tiles import TILE
from infwidth.networks import MLP

X, y = make_friedman1(100, n_features=5, noise=0.3, random_state=0)
X[70:80] = X[:10]  # equal rows, in other calls
NEW = make_friedman1(12, n_features=5, random_state=1)[0]
INSIDE = (X[:48:4] + X[1:49:4]) / 2  # of the box of all rows with a weight
FAR = np.concatenate([NEW, 3.0 * NEW - 1.0])  # outside of all rows too
Y = np.c_[y, np.sin(y) + 100.0 * X[:, 0]]
WEIGHT = np.arange(1, 101) % 4 / 2.0
CALLS = [slice(0, 60), slice(60, 61), slice(61, 75), slice(75, 100)]
NETWORK = MLP(1, "erf")
EXACT = {
    "learned": NNGPRegressor(NETWORK),
    "leave-one-out": NNGPRegressor(NETWORK, optimizer="loo", prior_std=0.5, feature_scaling="power"),
    "ard": NNGPRegressor(MLP(1, ard=True), feature_scaling="standard"),
    "as given": NNGPRegressor(NETWORK, optimizer=None, feature_scaling=None, normalize_y=False),
    "ntkgp": NTKRegressor(NETWORK, posterior="ntkgp"),
    "ensemble": NTKRegressor(NETWORK),
    "time": NTKRegressor(NETWORK, optimizer=None, training_time=20.0),
    "validation": NTKRegressor(NETWORK, optimizer=None, training_time="validation", random_state=0),
    "steps": NTKRegressor(NETWORK, optimizer=None, training_time=20.0, learning_rate=0.5, momentum=0.5),
}
NEIGHBOURS = {
    "neighbours": NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=20),
    "neighbours, ntkgp": NTKRegressor(NETWORK, optimizer=None, posterior="ntkgp", solver="neighbours", n_neighbours=20),
}
NUMBERS = {"one output": (y, None), "one column": (Y[:, :1], WEIGHT), "two outputs": (Y, None), "weights": (Y, WEIGHT)}
as_given = partial(InfiniteNetClassifier, NETWORK, optimizer=None)
CLASSIFIERS = {
    "classes, learned": InfiniteNetClassifier(NETWORK, feature_scaling="standard"),
    "classes, leave-one-out": InfiniteNetClassifier(NETWORK, optimizer="loo", feature_scaling="standard"),
    "classes, as given": as_given(feature_scaling=None),
    "classes, ntk": as_given(limit="ntk", calibration=None),
    "classes, balanced": as_given(class_weight="balanced"),
    "classes, neighbours": as_given(solver="neighbours", n_neighbours=20),
}
LABEL = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [0.3, 0.5]))]
CLASSES = {
    "three classes": (LABEL, None),
    "two classes": (y > 15.0, WEIGHT),
    "weights": (LABEL, WEIGHT),
    "new classes": (np.where(np.arange(100) < 70, LABEL, np.char.add("of the end: ", LABEL)), WEIGHT),
}
MODELS = EXACT | NEIGHBOURS | CLASSIFIERS
exact = pytest.mark.parametrize("name", EXACT)
models = pytest.mark.parametrize("name", MODELS)
targets = pytest.mark.parametrize("case", NUMBERS)
every = pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in EXACT | NEIGHBOURS for case in NUMBERS]
    + [(name, case) for name in CLASSIFIERS for case in CLASSES],
)


def target_and_weight(name, case=None):
    cases = CLASSES if name in CLASSIFIERS else NUMBERS
    return cases[case or next(iter(cases))]


@cache
def grown(name, case=None, n_calls=None):
    """A model that has learned from the rows of the first call, and was given those of the others."""
    return called(MODELS[name], *target_and_weight(name, case), CALLS[:n_calls])


def called(model, target, weight=None, calls=CALLS):
    model = clone(model)
    for rows in calls:
        model.partial_fit(X[rows], target[rows], sample_weight=None if weight is None else weight[rows])
    return model


def given_all(model, target, weight=None, rows=slice(None)):
    """A new model with the variances and the scalings of one, given all rows: in the units of that one's inside."""
    options = {"feature_scaling": None, "optimizer": None}
    if not is_classifier(model):
        options["normalize_y"], target = False, (target - model.y_mean_) / model.y_std_
    if isinstance(model, NTKRegressor):
        options["training_time"] = model.training_time_
    given = clone(model).set_params(network=model.network_, noise_variance=model.noise_variance_, **options)
    return given.fit(scaled(model, X[rows]), target[rows], None if weight is None else weight[rows])


def scaled(model, inputs):
    return inputs if model.feature_scaler_ is None else model.feature_scaler_.transform(inputs)


def in_units_of(model, given):
    """All answers of the other, as this one gives them: see ``answers``."""
    if is_classifier(model):
        return class_answers(given, scaled(model, FAR))
    mean, cov = given.predict(scaled(model, NEW), return_cov=True)
    std, latent = (given.predict_std(scaled(model, NEW), noise) for noise in (True, False))
    unit = model.y_std_ if mean.ndim == 2 else model.y_std_[0]
    answers = [mean * unit + model.y_mean_, std * unit, latent * unit, cov * unit**2]
    if has_leave_one_out(model):
        for noise in (True, False):
            mean, std = given.loo_predict(noise)
            answers += [mean * unit + model.y_mean_, std * unit]
    return answers


def has_leave_one_out(model):
    ended = np.isinf(getattr(model, "training_time_", np.inf)) and getattr(model, "learning_rate", None) is None
    return ended or getattr(model, "posterior", "") == "ntkgp"


def answers(model):
    """Mean, standard deviations, covariance and leave-one-out; or probabilities, leave-one-out and the prior."""
    if is_classifier(model):
        return class_answers(model, FAR)
    mean, cov = model.predict(NEW, return_cov=True)
    found = [mean, model.predict_std(NEW), model.predict_std(NEW, include_noise=False), cov]
    return found + ([*model.loo_predict(), *model.loo_predict(include_noise=False)] if has_leave_one_out(model) else [])


def class_answers(model, inputs):
    return [model.predict_log_proba(inputs), model.loo_decision_function(), model.class_prior_, model.jitter_]


@every
def test_all_answers_are_those_given_all_rows(name, case):
    model, (target, weight) = grown(name, case), target_and_weight(name, case)
    given, rtol = given_all(model, target, weight), 1e-10 if name in CLASSIFIERS else 1e-8
    for mine, expected in zip(answers(model), in_units_of(model, given), strict=True):
        assert np.shape(mine) == np.shape(expected)
        close(mine, expected, rtol=rtol)
    close(model.feature_relevance_, given.feature_relevance_)
    if name in CLASSIFIERS:
        assert_array_equal(model.classes_, given.classes_)


@pytest.mark.parametrize("name", EXACT | NEIGHBOURS)
@targets
def test_samples(name, case):
    model, (target, weight) = grown(name, case), NUMBERS[case]
    samples = model.sample_y(NEW[:4], 3, random_state=0)
    expected = given_all(model, target, weight).sample_y(scaled(model, NEW[:4]), 3, random_state=0)
    unit = model.y_std_ if target.ndim == 1 else model.y_std_[:, None]
    close(samples, expected * unit + model.y_mean_.reshape(unit.shape), rtol=1e-7)


@every
def test_what_was_learned_stays(name, case):
    first, model = grown(name, case, n_calls=1), grown(name, case)
    assert model.network_ == first.network_
    for kept in ("noise_variance_", "evidence_", "network_weights_", "solver_", "converged_"):
        assert_array_equal(getattr(model, kept), getattr(first, kept))
    for kept in ("training_time_", "y_mean_", "y_std_"):
        assert_array_equal(getattr(model, kept, 0), getattr(first, kept, 0))
    assert_array_equal(scaled(model, NEW), scaled(first, NEW))


@models
def test_rows_are_added_to_a_model_from_a_file(name):
    target, model = target_and_weight(name)[0], grown(name, n_calls=1)
    for rows in CALLS[1:]:
        model = pickle.loads(pickle.dumps(model)).partial_fit(X[rows], target[rows])
    for mine, expected in zip(answers(model), answers(grown(name)), strict=True):
        assert_array_equal(mine, expected)


@exact
@targets
def test_evidence_is_that_of_all_rows(name, case):
    model, (target, weight) = grown(name, case), NUMBERS[case]
    given = given_all(model, target, weight)
    close(model.log_marginal_likelihood_value_, given.log_marginal_likelihood_value_)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    close(value, given.log_marginal_likelihood_value_)
    close(gradient, given.log_marginal_likelihood(eval_gradient=True)[1], rtol=1e-7)


@pytest.mark.parametrize("name", ["time", "ensemble"])
def test_training_of_all_rows(name):
    model = grown(name)
    given = given_all(model, y)
    stages = zip(
        model.staged_predict(NEW, [1.0, 50.0]), given.staged_predict(scaled(model, NEW), [1.0, 50.0]), strict=True
    )
    for mine, expected in stages:
        close(mine, expected * model.y_std_ + model.y_mean_)
    close(model.training_loss([1.0, 50.0]), given.training_loss([1.0, 50.0]) * model.y_std_**2)
    close(model.max_learning_rate(), given.max_learning_rate(), rtol=1e-6)


@pytest.mark.parametrize("kind", [NNGPRegressor, NTKRegressor])
@targets
def test_averaged_networks(kind, case):
    target, weight = NUMBERS[case]
    model = called(kind(random_state=0), target, weight)
    weights = model.network_weights_[model.network_weights_ > 0]
    components = model._mixture.components
    assert len(weights) == len(components) > 1
    unit = model.y_std_ if target.ndim == 2 else model.y_std_[0]
    means, squares = [], []
    for component in components:
        options = {"optimizer": None, "feature_scaling": None, "normalize_y": False}
        part = kind(component.model.network, noise_variance=component.noise_variance, **options)
        part.fit(component.scaler.transform(X), (target - model.y_mean_) / model.y_std_, weight)
        laws = [part.predict(component.scaler.transform(NEW), return_std=True), part.loo_predict()]
        means.append([mean * unit + model.y_mean_ for mean, _ in laws])
        squares.append([(std * unit) ** 2 + mean**2 for (_, std), mean in zip(laws, means[-1], strict=True)])
    for place, mine in enumerate((model.predict(NEW, return_std=True), model.loo_predict())):
        mean = np.tensordot(weights, [own[place] for own in means], 1)
        second = np.tensordot(weights, [own[place] for own in squares], 1)
        close(mine[0], mean)
        close(mine[1], np.sqrt(second - mean**2), rtol=1e-7)


@exact
@pytest.mark.parametrize("tile", [7, 60, 64])
def test_results_do_not_depend_on_tiles(name, tile, monkeypatch):
    expected = everything(grown(name, "weights"), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))
    monkeypatch.setattr(Cholesky, "appended", partialmethod(Cholesky.appended, tile=tile))
    for mine, whole in zip(everything(called(EXACT[name], Y, WEIGHT), NEW), expected, strict=True):
        close(mine, whole)


def test_one_row_at_a_time_makes_no_tiles_of_one_row():
    calls = [slice(row, row + 1) for row in range(100)]
    model = called(EXACT["as given"], y, calls=calls)
    assert len(X) < TILE
    assert model._mixture.components[0].posterior.tiles.n_blocks == 1
    for mine, expected in zip(answers(model), in_units_of(model, given_all(model, y)), strict=True):
        close(mine, expected)


def test_nothing_is_factored_again(monkeypatch):
    model = deepcopy(grown("learned", n_calls=1))
    monkeypatch.setattr(Cholesky, "of", None)
    assert np.isfinite(model.partial_fit(X[60:], y[60:]).predict(NEW)).all()


def test_equal_rows_without_noise_take_jitter():
    model = NNGPRegressor(NETWORK, noise_variance=0.0, optimizer=None).fit(X[:40], y[:40])
    assert model.jitter_ == 0.0
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        model.partial_fit(X[40:90], y[40:90])
    assert model.jitter_ > 0.0
    with pytest.warns(LinAlgWarning):
        given = given_all(model, y, rows=slice(90))
    close(given.jitter_, model.jitter_)
    close(model.predict(NEW), in_units_of(model, given)[0], rtol=1e-6)
    jitter = model.jitter_
    model.partial_fit(X[90:], y[90:])
    assert model.jitter_ == jitter


def test_a_constant_output_begins_to_vary():
    target = Y.copy()
    target[:60, 1] = 7.0
    model = called(EXACT["learned"], target)
    for mine, expected in zip(answers(model), in_units_of(model, given_all(model, target)), strict=True):
        close(mine, expected)


@models
def test_a_first_call_is_a_fit(name):
    fitted = clone(MODELS[name]).fit(X[CALLS[0]], target_and_weight(name)[0][CALLS[0]])
    for mine, expected in zip(answers(grown(name, n_calls=1)), answers(fitted), strict=True):
        assert_array_equal(mine, expected)


# Classes


def test_equal_rows_of_other_classes_come_later():
    assert (LABEL[70:80] != LABEL[:10]).any()


def test_averaged_networks_of_classes():
    target, weight = CLASSES["new classes"]
    model = called(InfiniteNetClassifier(random_state=0), target, weight)
    components = model._mixture.components
    assert len(components) == np.count_nonzero(model.network_weights_) > 1
    laws = []
    for component in components:
        part = InfiniteNetClassifier(component.model.network, optimizer=None, feature_scaling=None)
        part.set_params(noise_variance=component.noise_variance[0]).fit(component.scaler.transform(X), target, weight)
        laws.append(part.predict_log_proba(component.scaler.transform(INSIDE)))
    weights = np.array([component.weight for component in components])
    close(model.predict_log_proba(INSIDE), logsumexp(laws, axis=0, b=weights[:, None, None]), rtol=1e-10)


def test_warped_features():
    model = called(as_given(feature_scaling="power"), *CLASSES["weights"])
    given = given_all(model, *CLASSES["weights"])
    close(model.predict_log_proba(INSIDE), given.predict_log_proba(scaled(model, INSIDE)), rtol=1e-10)
    used = WEIGHT > 0
    close(model.loo_decision_function()[used], given.loo_decision_function()[used], rtol=1e-10)


def test_class_weights_by_name():
    model = called(as_given(class_weight={"a": 0.3, "b": 2.0, "c": 1.0}), *CLASSES["weights"])
    given = given_all(model, *CLASSES["weights"])
    for mine, expected in zip(answers(model), in_units_of(model, given), strict=True):
        close(mine, expected, rtol=1e-10)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 0.3, "b": 2.0, "c": 1.0}], ids=str)
def test_classes_that_are_to_come(class_weight):
    first, last = np.flatnonzero(LABEL != "b"), np.flatnonzero(LABEL == "b")
    rows = np.append(first, last)
    late = as_given(class_weight=class_weight)
    late.partial_fit(X[first], LABEL[first], classes=["c", "b", "a", "d"])
    without = as_given(class_weight=class_weight).fit(X[first], LABEL[first])
    assert_array_equal(late.classes_, ["a", "b", "c", "d"])
    assert_array_equal(late.predict_log_proba(FAR)[:, [0, 2]], without.predict_log_proba(FAR))
    for log_proba in (late.predict_log_proba(FAR), late.loo_decision_function()):
        assert_array_equal(log_proba[:, [1, 3]], -np.inf)
    own = late.loo_decision_function()
    assert_array_equal(own[:, 2] - own[:, 0], without.loo_decision_function())
    assert_array_equal(late.class_prior_[[0, 2]], without.class_prior_)
    assert_array_equal(late.class_prior_[[1, 3]], 0.0)
    assert_array_equal(late.predict_proba(FAR)[:, [1, 3]], 0.0)
    assert_array_equal(late.predict(FAR), without.predict(FAR))
    late.partial_fit(X[last], LABEL[last])
    given = given_all(late, LABEL, rows=rows)
    close(late.predict_log_proba(FAR)[:, :3], given.predict_log_proba(scaled(late, FAR)), rtol=1e-10)
    assert_array_equal(late.predict_proba(FAR)[:, 3], 0.0)


def test_classes_are_refused_where_all_were_told():
    model = as_given().partial_fit(X[:50], LABEL[:50], ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"there are rows of 'd', 'e', but the .* are 'a', 'b', 'c'"):
        model.partial_fit(X[50:53], ["e", "d", "a"])
    model.partial_fit(X[50:53], ["e", "d", "a"], sample_weight=[0.0, 0.0, 1.0])
    assert_array_equal(model.classes_, ["a", "b", "c"])
    assert len(model.loo_decision_function()) == 53
    with pytest.raises(ValueError, match="there are rows of 'c', but"):
        model.partial_fit(X[53:60], LABEL[53:60], classes=["a", "b"])
    model.partial_fit(X[50:53], ["e", "d", "a"], classes=["a", "b", "c", "d", "e", "f"])
    assert_array_equal(model.classes_, ["a", "b", "c", "d", "e", "f"])
    model.fit(X, LABEL).partial_fit(X[:2], ["d", "e"])  # nothing was told
    assert_array_equal(model.classes_, ["a", "b", "c", "d", "e"])


def test_classes_that_are_told_late():
    model = as_given().fit(X[:50], LABEL[:50]).partial_fit(X[50:], LABEL[50:], classes=list("abcd"))
    assert_array_equal(model.predict_proba(FAR)[:, 3], 0.0)
    with pytest.raises(ValueError, match="there are rows of 'e'"):
        model.partial_fit(X[:1], ["e"])


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (["a", "b"], "there are rows of 'c', but the classes that were given to partial_fit are 'a', 'b'"),
        ([0, 1, 2], "the classes are numbers .0, 1, 2., but those of y are text .'a', 'b', 'c'."),
        ([["a", "b", "c"]], "1d array"),
        ([0.5, np.nan], "contains NaN"),
        ([], "0 sample"),
    ],
)
def test_classes_that_make_no_sense(classes, match):
    model = as_given()
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, LABEL, classes)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_kinds_of_classes_are_not_mixed():
    model = as_given().fit(X, y > 15.0)
    with pytest.raises(ValueError, match=r"the classes are numbers \(False, True\), but those of y are text"):
        model.partial_fit(X, LABEL)
    assert_array_equal(model.partial_fit(X[:1], [2]).classes_, [0, 1, 2])
    texts = as_given().fit(X, LABEL.astype(object)).partial_fit(X[:1], np.array(["longer than the others"]))
    assert_array_equal(texts.classes_, np.array(["a", "b", "c", "longer than the others"], dtype=object))


def test_the_first_call_needs_two_classes():
    with pytest.raises(ValueError, match="one class only, a"):
        as_given().partial_fit(X[:5], ["a"] * 5, classes=["a", "b"])


def test_learning_curve():
    """scikit-learn gives further rows to the same model, and all classes from the beginning."""
    options = {"cv": 3, "train_sizes": [0.3, 0.6, 1.0], "shuffle": True, "random_state": 0, "scoring": "neg_log_loss"}
    model = as_given(feature_scaling=None)
    grown_scores = learning_curve(model, X, LABEL, exploit_incremental_learning=True, **options)
    for mine, expected in zip(grown_scores, learning_curve(model, X, LABEL, **options), strict=True):
        close(mine, expected, rtol=1e-10)


# What goes wrong

FAILURES = {
    "features": (ValueError, "X has 4 features, but .* is expecting 5", {"X": X[:5, :4]}),
    "NaN in X": (ValueError, "Input X contains NaN", {"X": np.full((5, 5), np.nan)}),
    "lengths": (ValueError, "inconsistent numbers of samples", {"X": X[:4]}),
    "no row": (ValueError, "0 sample", {"X": X[:0], "y": y[:0]}),
    "weight of 0": (ValueError, "zero", {"sample_weight": np.zeros(5)}),
    "negative weight": (ValueError, "Negative", {"sample_weight": -np.ones(5)}),
    "parameter": (ValueError, "n_restarts_optimizer must be", {"n_restarts_optimizer": -1}),
    "memory": (MemoryError, "adding 5 rows, 105 in all, needs .* Nothing was allocated", {"max_memory": 99}),
    "too large": (ValueError, "features are too large for this network", {"X": np.full((5, 5), 1e200)}),
}
OF_NUMBERS = {
    "outputs": (ValueError, "y has 1 outputs, but NNGPRegressor was fitted with 2", {"y": y[:5]}),
    "NaN in y": (ValueError, "Input y contains NaN", {"y": np.c_[y[:5], np.full(5, np.nan)]}),
    "text": (ValueError, "y has text", {"y": np.full((5, 2), "high")}),
}
OF_CLASSES = {
    "columns": (ValueError, "a classifier takes one class a row", {"y": Y[:5]}),
    "NaN in y": (ValueError, "Input y contains NaN", {"y": np.full(5, np.nan)}),
    "numbers": (ValueError, "Unknown label type", {"y": y[:5]}),
    "kinds": (
        ValueError,
        "the classes are text .* but those of y are numbers .0, 1.",
        {"y": np.array([0, 1, 0, 1, 0])},
    ),
    "classes": (ValueError, "there are rows of 'c', but", {"classes": ["a", "b"]}),
}
FAILING = [
    (name, case, failure)
    for name, case, failures in (
        ("as given", "two outputs", FAILURES | OF_NUMBERS),
        ("ensemble", "two outputs", FAILURES),
        ("classes, as given", "three classes", FAILURES | OF_CLASSES),
    )
    for failure in failures.values()
]


@pytest.mark.parametrize(("name", "case", "failure"), FAILING)
def test_a_call_that_fails_loses_nothing(name, case, failure):
    kind, match, options = failure
    model = deepcopy(grown(name, case))
    before, attributes = answers(model), dict(vars(model))
    parameters = {name: options[name] for name in options if name in attributes}
    arguments = {"X": X[:5], "y": target_and_weight(name, case)[0][:5]}
    arguments |= {name: options[name] for name in options if name not in attributes}
    original = {name: getattr(model, name) for name in parameters}
    with pytest.raises(kind, match=match):
        model.set_params(**parameters).partial_fit(**arguments)
    model.set_params(**original)
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert vars(model).keys() == attributes.keys()
    for mine, expected in zip(answers(model), before, strict=True):
        assert_array_equal(mine, expected)


@pytest.mark.parametrize("kind", [NNGPRegressor, NTKRegressor, InfiniteNetClassifier])
def test_a_first_call_that_fails_leaves_nothing(kind):
    model = kind(NETWORK, max_memory=99)
    with pytest.raises(MemoryError):
        model.partial_fit(X, LABEL if is_classifier(model) else y)
    with pytest.raises(NotFittedError):
        model.predict(X)
