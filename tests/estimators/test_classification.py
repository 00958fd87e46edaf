"""InfiniteNetClassifier against the public regressors, against refitting, and its probabilities."""

from itertools import compress

import numpy as np
import pytest
from classification_cases import (
    LOADERS,
    NEW,
    REGRESSORS,
    X,
    as_given,
    every,
    kernel_and_variance_of_mean,
    predicted,
    y,
)
from learning_cases import SCALINGS
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._inference import tasks
from infwidth._learning import search
from infwidth.estimators import base
from infwidth.networks import MLP

# The second path to the same numbers: public regressors on the coded classes

WEIGHTS = {"unweighted": None, "weighted": lambda n: np.arange(n) % 5 / 2.0, "repeated": lambda n: np.arange(n) % 4}


@pytest.fixture(params=["breast_cancer", "iris"])
def rows(request):
    """Two and three classes; training rows and new ones, half of them farther away."""
    inputs, label = every({"breast_cancer": 15, "iris": 4}[request.param], request.param)
    new = every(40 if request.param == "breast_cancer" else 20, request.param, start=1)[0]
    return inputs, label, np.r_[new, 3.0 * new]


@pytest.fixture(params=WEIGHTS)
def weight(request, rows):
    return WEIGHTS[request.param] and WEIGHTS[request.param](len(rows[0])).astype(float)


@pytest.fixture(params=["nngp", "ntk"])
def pair(request, rows):
    """A classifier and the regressor of its latent values, with input variances that differ."""
    network = MLP(2, "erf", weight_variance=1.5, input_variance=np.linspace(0.5, 2.0, rows[0].shape[1]))
    options = {**as_given, "noise_variance": 0.3}
    regressors = {
        "nngp": NNGPRegressor(network, normalize_y=False, **options),
        "ntk": NTKRegressor(network, normalize_y=False, posterior="ntkgp", **options),
    }
    return InfiniteNetClassifier(network, limit=request.param, **options), regressors[request.param]


def coding_of(model):
    return model._mixture.components[0].posterior.coding


def decision(model, mean, std, unit, distance=0.0):
    """The classifier's decision function, given the mean and the std of the latent values."""
    part = model._mixture.components[0].posterior
    coding = part.coding
    score_std = coding.score_std(np.sqrt(std**2 + model.noise_variance))
    log_proba = part.calibration.log_proba(coding.scores(mean), score_std, std**2 / unit + distance)
    return log_proba[:, 1] - log_proba[:, 0] if len(model.classes_) == 2 else log_proba


def test_predictions_equal_those_of_regressors(rows, weight, pair):
    """Leave-one-out by the equations without the row, or with one less of it; new rows by one fit."""
    inputs, label, new = rows
    model, regressor = pair
    model.fit(inputs, label, sample_weight=weight)
    targets = coding_of(model).targets(label)
    weight = np.ones(len(label)) if weight is None else weight
    used = weight > 0

    K, of_mean = kernel_and_variance_of_mean(model.network, model.limit, inputs, targets, weight)

    def latent(row, others):  # a row of weight 0 is a new one
        mean, variance = predicted(K + of_mean * used[row], row, targets, model.noise_variance, others)
        return np.append(mean, np.sqrt(variance))

    one_less = [
        np.where(np.arange(len(label)) == row, np.maximum(weight - 1.0, 0.0), weight) for row in range(len(label))
    ]
    mean, std = np.split([latent(row, others) for row, others in enumerate(one_less)], [-1], axis=1)
    other_inputs = [np.where((inputs == inputs[row]).all(axis=1), 0.0, weight) for row in range(len(label))]
    alone = np.array([latent(row, others)[-1] for row, others in enumerate(other_inputs)])
    std, unit = std[:, 0], np.average((alone**2 + model.noise_variance)[used], weights=weight[used])
    low, high = inputs[used].min(axis=0), inputs[used].max(axis=0)
    spread = np.cov(inputs.T, aweights=weight, ddof=0).diagonal()
    relevance = model.network.input_variance / (model.network.input_variance @ spread)

    def distance(points):  # Σ v_f excess² / Σ v_f var_f
        return (np.maximum(points - high, 0.0) + np.maximum(low - points, 0.0)) ** 2 @ relevance

    assert_allclose(
        model.loo_decision_function(), decision(model, mean, std, unit, distance(inputs)), rtol=1e-7, atol=1e-9
    )
    regressor.fit(inputs, targets, sample_weight=weight)
    mean, std = regressor.predict(new), regressor.predict_std(new, include_noise=False)[:, 0]
    assert 0 < np.count_nonzero(distance(new)) < len(new)
    assert_allclose(model.decision_function(new), decision(model, mean, std, unit, distance(new)), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_without_calibration_softmax_of_scores(rows, limit):
    """Centred one-hot targets lead to the same scores."""
    inputs, label, new = rows
    model = InfiniteNetClassifier(limit=limit, calibration=None, **as_given).fit(inputs, label)
    options = {"posterior": "ntkgp"} if limit == "ntk" else {}
    one_hot = (label[:, None] == model.classes_) - model.class_prior_
    regressor = REGRESSORS[limit](normalize_y=False, **options, **as_given).fit(inputs, one_hot)
    scores = model.class_prior_ + regressor.predict(new)
    assert_allclose(model.predict_proba(new), softmax(scores, axis=1), rtol=1e-8)
    K, of_mean = kernel_and_variance_of_mean(MLP(), limit, inputs, coding_of(model).targets(label), np.ones(len(label)))
    noise, alone = model.noise_variance_, 1.0 - np.eye(len(label))
    left_out = [predicted(K + of_mean, row, one_hot, noise, weight)[0] for row, weight in enumerate(alone)]
    scores = log_softmax(model.class_prior_ + np.array(left_out), axis=1)
    expected = scores if len(model.classes_) > 2 else scores[:, 1] - scores[:, 0]
    assert_allclose(model.loo_decision_function(), expected, rtol=1e-8)


def test_average_of_networks(averaged):
    """Each prediction is the average over models of one network each."""
    model, weights = averaged, averaged.network_weights_
    parts = [
        InfiniteNetClassifier(
            component.model.network,
            noise_variance=component.noise_variance.item(),
            feature_scaling=SCALINGS[type(component.scaler).__name__],
            optimizer=None,
        ).fit(X, y)
        for component in model._mixture.components
    ]
    used = weights > 0
    assert len(parts) == np.count_nonzero(used) > 2
    assert_allclose(weights.sum(), 1.0)
    assert np.all(np.diff(weights[used]) <= 0)
    assert np.all(np.diff(model.evidence_) <= 0)
    assert np.ptp(weights[used]) > 0.01  # not a plain average
    assert_allclose([part.evidence_[0] for part in parts], model.evidence_[used], rtol=1e-7)
    for ask in (lambda m: m.predict_proba(NEW), lambda m: np.exp(m.loo_decision_function())):
        expected = sum(w * ask(part) for w, part in zip(weights[used], parts, strict=True))
        assert_allclose(ask(model), expected, rtol=1e-6)
    assert [part.network_ for part in parts] == list(compress(model.networks_, used))
    assert model.network_ == model.networks_[0]
    assert model.noise_variance_ == parts[0].noise_variance_


def test_the_best_alone_on_many_rows(monkeypatch, averaged):
    monkeypatch.setattr(base, "AVERAGED_ROWS", len(X) - 1)
    best = InfiniteNetClassifier(random_state=0).fit(X, y)
    assert best.networks_ == averaged.networks_
    assert_allclose(best.evidence_, averaged.evidence_)
    assert best.network_weights_.tolist() == [1.0] + [0.0] * (len(best.networks_) - 1)
    (component,) = best._mixture.components
    assert component.weight == 1.0
    same = averaged._mixture.components[0].posterior
    expected = same.log_proba(component.scaled(NEW), averaged._mixture.box.outside(NEW))
    assert_allclose(best.predict_log_proba(NEW), expected, rtol=1e-9)
    assert_allclose(component.posterior.leave_one_out(), best.loo_decision_function())
    assert np.abs(best.predict_proba(NEW) - averaged.predict_proba(NEW)).max() > 0.01


def test_on_many_rows_a_network_with_one_input_variance_is_a_finalist(monkeypatch):
    for name, rows in {
        "SCREENING_ROWS": 20,
        "RELEVANCE_ROWS": 30,
        "WHOLE_ROWS": 40,
        "JUDGED_ROWS": 40,
        "LEAF_ROWS": 30,
    }.items():
        monkeypatch.setattr(search, name, rows)
    monkeypatch.setattr(base, "AVERAGED_ROWS", 40)
    model = InfiniteNetClassifier(random_state=0).fit(X, y)
    assert sorted(np.ndim(network.input_variance) for network in model.networks_) == [0, 1]
    assert model.network_weights_.tolist() == [1.0, 0.0]
    assert np.diff(model.evidence_) <= 0
    alone = InfiniteNetClassifier(MLP(1, "erf"), random_state=0).fit(X, y)  # has no other kind
    assert [np.ndim(network.input_variance) for network in alone.networks_] == [0]


@pytest.mark.parametrize("weight", [None, np.arange(60) % 4 / 3], ids=["unweighted", "weighted"])
def test_evidence_is_the_loss_of_leave_one_out(weight):
    model = InfiniteNetClassifier(optimizer=None).fit(X, y, sample_weight=weight)
    proba = np.exp(model.loo_decision_function())
    assert_allclose(model.evidence_, [-log_loss(y, proba, normalize=False, sample_weight=weight)])
    assert model.network_weights_.tolist() == [1.0]


def test_many_rows_are_calibrated_on_a_sample(monkeypatch):
    inputs, label = make_classification(1500, 6, n_informative=4, n_classes=3, random_state=0)
    monkeypatch.setattr(tasks, "CALIBRATION_ROWS", 700)
    model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    log_proba = model.loo_decision_function()  # of all rows
    own = log_proba[np.arange(1500), label]
    sample = model._mixture.components[0].posterior.labels.group >= 750  # two tiles
    assert_allclose(model.evidence_[0], 2.0 * own[sample].sum(), rtol=1e-9)
    assert_allclose(model.evidence_[0], own.sum(), rtol=0.2)
    monkeypatch.setattr(tasks, "CALIBRATION_ROWS", 1500)
    whole = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    assert_allclose(whole.evidence_[0], whole.loo_decision_function()[np.arange(1500), label].sum(), rtol=1e-9)
    assert_allclose(model.predict_proba(NEW), whole.predict_proba(NEW), atol=0.05)
    assert np.abs(model.predict_proba(NEW) - whole.predict_proba(NEW)).max() > 1e-4


# Probabilities


def test_answers_agree(averaged):
    proba, log_proba = averaged.predict_proba(NEW), averaged.predict_log_proba(NEW)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    assert_allclose(np.log(proba), log_proba, rtol=1e-12, atol=1e-12)
    assert_allclose(averaged.decision_function(NEW), log_proba)
    assert_array_equal(averaged.predict(NEW), averaged.classes_[np.argmax(proba, axis=1)])
    assert averaged.loo_decision_function().shape == (len(X), 3)


def test_two_classes_have_log_odds():
    inputs, label = every(6, "breast_cancer")
    model = InfiniteNetClassifier(optimizer=None).fit(inputs, label)
    proba = model.predict_proba(inputs)
    assert_allclose(model.decision_function(inputs), np.log(proba[:, 1] / proba[:, 0]), rtol=1e-6)
    assert_array_equal(model.predict(inputs), model.decision_function(inputs) > 0)
    assert model.loo_decision_function().shape == label.shape


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
@pytest.mark.parametrize("network", [*base.default_networks(), None], ids=str)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_far_away_the_prior(limit, network, share):
    inputs, label = make_classification(80, 6, n_informative=4, weights=[share], flip_y=0.0, random_state=0)
    options = {"optimizer": None} if network is not None else {"random_state": 0}
    model = InfiniteNetClassifier(network, limit=limit, **options).fit(inputs, label)
    assert_allclose(model.class_prior_, np.bincount(label) / len(label), rtol=1e-12)
    assert np.abs(model.predict_proba(inputs) - model.class_prior_).mean() > 0.1
    direction = np.random.default_rng(0).normal(size=(200, 6)) * inputs.std(axis=0)
    for distance in (1e3, 1e6, 1e30):
        far = model.predict_proba(distance * direction)
        assert np.abs(far - model.class_prior_).max() < 0.05


def test_far_away_the_prior_where_features_are_warped():
    """Yeo-Johnson powers below 0 are bounded above: a skewed feature is never far away after them."""
    random = np.random.default_rng(0)
    inputs = np.exp(1.5 * random.normal(size=(120, 4)))
    label = (np.log(inputs[:, 0]) + 0.3 * random.normal(size=120) > 0).astype(int)
    far = 1e6 * inputs.std(axis=0) * np.abs(random.normal(size=(20, 4)))
    model = InfiniteNetClassifier(optimizer=None, feature_scaling="power").fit(inputs, label)
    assert np.abs(model.predict_proba(far) - model.class_prior_).max() < 0.05


@pytest.mark.parametrize("unit", [1e-4, 1e3])
def test_units_of_features_belong_to_the_input_variance(unit):
    """Without scaling, features in other units with the input variance in theirs are the same kernel."""
    new = np.r_[X, 3.0 * X, 1e3 * X]
    plain = InfiniteNetClassifier(MLP(2, "erf", input_variance=2.0), **as_given).fit(X, y)
    other = InfiniteNetClassifier(MLP(2, "erf", input_variance=2.0 / unit**2), **as_given).fit(unit * X, y)
    assert_allclose(other.loo_decision_function(), plain.loo_decision_function(), rtol=1e-6)
    assert_allclose(other.predict_log_proba(unit * new), plain.predict_log_proba(new), rtol=1e-6)


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "wine"])
def test_calibration_lowers_the_loss_on_new_rows(name):
    inputs, label = LOADERS[name](return_X_y=True)
    train = np.random.default_rng(0).permutation(len(label)) < min(400, len(label) // 2)
    losses = [
        log_loss(label[~train], model.fit(inputs[train], label[train]).predict_proba(inputs[~train]))
        for model in (InfiniteNetClassifier(optimizer=None, calibration=kind) for kind in ("loo", None))
    ]
    assert losses[0] < 0.5 * losses[1]


@pytest.mark.parametrize(("name", "least"), [("iris", 0.93), ("wine", 0.97), ("breast_cancer", 0.95), ("digits", 0.95)])
def test_accuracy_and_loss(name, least):
    inputs, label = LOADERS[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(label))
    train, test = np.split(order, [600 if name == "digits" else len(label) // 2])
    model = InfiniteNetClassifier(random_state=0).fit(inputs[train], label[train])
    assert model.score(inputs[test], label[test]) > least
    loss = log_loss(label[test], model.predict_proba(inputs[test]))
    expected = -model.evidence_[0] / len(train)  # what leave-one-out foretells
    assert 0.3 * expected < loss < 3.0 * expected
