"""NNGPRegressor in scikit-learn's company: parameters, clones, pipelines and searches."""

import numpy as np
from nngp_cases import NEW, X, close, y
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor
from infwidth.networks import MLP


def test_fit_leaves_parameters_and_network_alone():
    network = MLP(depth=2, activation="erf", input_variance=np.linspace(0.5, 1.5, X.shape[1]))
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.2, max_memory="1GB", n_jobs=1, random_state=0)
    before = model.get_params()
    network_before = clone(network)
    model.fit(X, y)
    after = model.get_params()
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)
    assert model.network is network
    assert network == network_before
    assert model.network_ == network
    expected = model.predict(NEW)
    network.set_params(depth=5, weight_variance=0.1)  # the fitted model has its own
    network.input_variance[:] = 7.0
    close(model.predict(NEW), expected)
    assert model.network_ == network_before


def test_clone_is_unfitted_and_equal():
    model = NNGPRegressor(MLP(depth=3), optimizer=None, noise_variance=0.2).fit(X, y)
    copy = clone(model)
    assert not hasattr(copy, "network_")
    assert copy.network == model.network
    assert copy.network is not model.network
    close(copy.fit(X, y).predict(NEW), model.predict(NEW))


def test_pipeline():
    wild = X * np.logspace(-6, 6, X.shape[1]) + 3.0
    inside = NNGPRegressor(optimizer=None).fit(wild, y)
    pipeline = make_pipeline(StandardScaler(), NNGPRegressor(optimizer=None)).fit(
        wild, y
    )  # scaling twice changes nothing
    close(pipeline.predict(wild), inside.predict(wild))
    close(pipeline.predict(wild, return_std=True)[1], inside.predict_std(wild))
    weight = np.linspace(0.0, 2.0, len(y))
    pipeline.fit(wild, y, nngpregressor__sample_weight=weight)
    assert np.all(pipeline.predict(wild) != inside.predict(wild))


def test_grid_search():
    network = MLP()
    grid = {
        "network__depth": [1, 3],
        "network__activation": ["relu", "erf"],
        "noise_variance": [0.1, 1.0],
        "normalize_y": [True],
    }
    search = GridSearchCV(NNGPRegressor(network, optimizer=None), grid, cv=3, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(np.unique(scores.round(12))) == 8  # each parameter reached the model
    best = search.best_estimator_
    assert best.network_.depth == search.best_params_["network__depth"]
    assert best.network_.activation == search.best_params_["network__activation"]
    assert best.noise_variance_ == search.best_params_["noise_variance"]
    by_hand = NNGPRegressor(
        MLP(search.best_params_["network__depth"], search.best_params_["network__activation"]),
        optimizer=None,
        noise_variance=search.best_params_["noise_variance"],
    ).fit(X, y)
    close(search.predict(NEW), by_hand.predict(NEW))
    assert network == MLP()
