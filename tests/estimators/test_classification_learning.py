"""How InfiniteNetClassifier learns, and how it behaves in scikit-learn's company."""

import pickle
import re

import numpy as np
import pytest
from classification_cases import (
    NETWORK,
    NEW,
    REGRESSORS,
    X,
    as_given,
    assert_same,
    every,
    y,
)
from learning_cases import fit_counted
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import InfiniteNetClassifier
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP


@pytest.mark.parametrize(("limit", "kernel"), [("nngp", NNGPKernel), ("ntk", NTKKernel)])
def test_limit_is_the_kernel(limit, kernel):
    model = InfiniteNetClassifier(NETWORK, limit=limit, feature_scaling="standard", random_state=0).fit(X, y)
    assert type(model.kernel_) is kernel
    assert_allclose(model.kernel_(NEW), getattr(model.network_, limit)(NEW), rtol=1e-12)
    assert model.network_ != NETWORK
    assert_allclose(model.feature_relevance_, model.network_.input_variance / model.network_.input_variance.sum())
    network, noise_variance = model.network_, model.noise_variance_
    fixed = InfiniteNetClassifier(network, limit=limit, noise_variance=noise_variance, **as_given)
    fixed.fit(model.feature_scaler_.transform(X), y)  # conditioned with the kernel that was learned
    expected = fixed.predict_log_proba(model.feature_scaler_.transform(NEW))
    assert_allclose(model.predict_log_proba(NEW), expected, rtol=1e-6)


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_learning_raises_the_evidence_of_the_regression(limit):
    """Each objective is best for the variances that were learned by it, on the coded classes: few, with one optimum."""
    models = {
        optimizer: InfiniteNetClassifier(
            MLP(1, "erf"), limit=limit, optimizer=optimizer, feature_scaling="standard", prior_std=None
        ).fit(X, y)
        for optimizer in ("lml", "loo")
    }
    targets = models["lml"]._mixture.components[0].posterior.coding.targets(y)
    options = {"posterior": "ntkgp"} if limit == "ntk" else {}
    evidence, density = {}, {}
    for optimizer, model in models.items():
        options |= {"noise_variance": model.noise_variance_, "normalize_y": False, "optimizer": None}
        regressor = REGRESSORS[limit](model.network_, **options).fit(X, targets)
        evidence[optimizer] = regressor.log_marginal_likelihood_value_
        density[optimizer] = norm.logpdf(targets, *regressor.loo_predict()).sum()
    assert evidence["lml"] > evidence["loo"] + 0.1
    assert density["loo"] > density["lml"] + 0.1


def test_an_optimizer_of_ones_own():
    ends = []

    def optimizer(obj_func, initial_theta, bounds):
        value, gradient = obj_func(initial_theta)
        ends.append(initial_theta - 0.01 * gradient)
        return ends[-1], value

    model = InfiniteNetClassifier(NETWORK, optimizer=optimizer, feature_scaling="standard").fit(X, y)
    theta = ends[-1]
    assert [len(end) for end in ends] == [5, 10]  # with one common input variance, then with six
    assert len(model.networks_) == 1
    assert_allclose(model.kernel_.theta, theta[:-1])
    assert_allclose(model.noise_variance_, np.exp(theta[-1]), rtol=1e-3)


def test_warm_start(evaluated):
    model = InfiniteNetClassifier(NETWORK, warm_start=True, random_state=0)
    counts = []
    for limit in ("nngp", "nngp", "ntk"):  # what was learned belongs to its limit
        counts.append(len(fit_counted(model.set_params(limit=limit), evaluated, X, y)))
        fresh = InfiniteNetClassifier(NETWORK, limit=limit, random_state=0).fit(X, y)
        assert_allclose(model.predict_proba(NEW), fresh.predict_proba(NEW), atol=1e-3)
        assert model.converged_
    assert counts[1] < 0.3 * min(counts[0], counts[2])


def test_a_limit_of_time_ends_learning(averaged):
    model = InfiniteNetClassifier(random_state=0, max_optimizer_time=1e-6)
    with pytest.warns(ConvergenceWarning, match="larger max_optimizer_time"):
        model.fit(X, y)
    assert averaged.converged_
    assert not model.converged_
    assert len(model.networks_) < len(averaged.networks_)
    assert np.isfinite(model.predict_log_proba(NEW)).all()
    assert model.score(X, y) > 0.6


def test_verbose_tells_what_is_learned(capsys):
    model = InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=True).fit(X, y)
    out, err = capsys.readouterr()
    lines = re.findall(r"MLP\(.*?\): evidence -\d+\.\d\d of 60 rows\n", out, re.DOTALL)
    assert len(lines) == 4  # both scalings, with one common input variance and with one a feature
    assert "".join(lines) == out
    assert "Cholesky factorisation" in err


# In scikit-learn's company


@pytest.mark.parametrize("model", ["averaged", "learned"])
def test_pickle_and_clone(model, request):
    model = request.getfixturevalue(model)
    again = pickle.loads(pickle.dumps(model))
    assert_same(again, model, rtol=1e-13)
    assert_array_equal(again.predict(NEW), model.predict(NEW))
    copy = clone(again)
    assert not hasattr(copy, "classes_")
    assert copy.get_params().keys() == model.get_params().keys()
    assert copy.network == model.network


def test_fit_leaves_parameters_and_data_alone():
    network = MLP(1, "erf", input_variance=np.linspace(0.5, 1.5, X.shape[1]))
    model = InfiniteNetClassifier(network, optimizer=None, class_weight={0: 2.0}, random_state=0)
    before, network_before, data = model.get_params(), clone(network), [X.copy(), y.copy(), np.ones(60)]
    for array in data:
        array.flags.writeable = False
    model.fit(*data)
    after = model.get_params()
    assert all(after[name] is before[name] for name in before)
    assert network == network_before
    expected = model.predict_log_proba(NEW)
    network.input_variance[:] = 7.0  # the fitted model has its own
    assert_array_equal(model.predict_log_proba(NEW), expected)


def test_pipeline():
    wild = X * np.logspace(-6, 6, X.shape[1]) + 3.0
    inside = InfiniteNetClassifier(optimizer=None).fit(wild, y)
    pipeline = make_pipeline(StandardScaler(), InfiniteNetClassifier(optimizer=None)).fit(wild, y)
    assert_allclose(pipeline.predict_proba(wild), inside.predict_proba(wild), rtol=1e-6)
    assert_array_equal(pipeline.classes_, inside.classes_)
    weight = np.linspace(0.1, 2.0, 60)
    pipeline.fit(wild, y, infinitenetclassifier__sample_weight=weight)
    assert np.all(pipeline.predict_proba(wild) != inside.predict_proba(wild))


def test_grid_search():
    grid = {"network__depth": [1, 3], "limit": ["nngp", "ntk"], "calibration": ["loo", None]}
    model = InfiniteNetClassifier(MLP(), optimizer=None)
    found = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss", error_score="raise").fit(X, y)
    assert len(np.unique(found.cv_results_["mean_test_score"].round(12))) == 8  # each parameter reached the model
    assert found.best_params_["calibration"] == "loo"
    assert found.best_estimator_.network_.depth == found.best_params_["network__depth"]
    by_hand = clone(model).set_params(**found.best_params_).fit(X, y)
    assert_allclose(found.predict_proba(NEW), by_hand.predict_proba(NEW))


def test_cross_validation():
    inputs, label = every(1, "wine")
    assert cross_val_score(InfiniteNetClassifier(optimizer=None), inputs, label, cv=5).min() > 0.9


def test_meta_estimators():
    inputs, label = every(1, "iris")
    train, new = slice(0, None, 2), inputs[1::2]
    model = InfiniteNetClassifier(optimizer=None).fit(inputs[train], label[train])
    others = LogisticRegression().fit(inputs[train], label[train])
    voting = VotingClassifier([("net", clone(model)), ("line", LogisticRegression())], voting="soft")
    voting.fit(inputs[train], label[train])
    assert_allclose(voting.predict_proba(new), (model.predict_proba(new) + others.predict_proba(new)) / 2)
    calibrated = CalibratedClassifierCV(InfiniteNetClassifier(optimizer=None, calibration=None), cv=3)
    calibrated.fit(inputs[train], label[train])
    assert calibrated.score(new, label[1::2]) > 0.9
    raw = clone(model).set_params(calibration=None).fit(inputs[train], label[train])
    losses = [log_loss(label[1::2], m.predict_proba(new)) for m in (calibrated, raw)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("optimizer", ["lml", "loo"])
@pytest.mark.parametrize("seed", [0, 1])
def test_wide_data_tell_nothing_by_their_mean(optimizer, seed):
    """24 rows of 56 features and three classes that depend on three of them: the prior is about all that there is."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 4, (424, 56)).astype(float)
    label = np.digitize(inputs[:, :3].sum(axis=1) + 1.5 * rng.standard_normal(424), [3.0, 6.0])
    model = InfiniteNetClassifier(optimizer=optimizer, random_state=0).fit(inputs[:24], label[:24])
    loss = log_loss(label[24:], model.predict_proba(inputs[24:]))
    assert loss < log_loss(label[24:], np.tile(model.class_prior_, (400, 1))) + 0.1
    assert np.mean(model.loo_decision_function().argmax(axis=1) == label[:24]) < 0.9
