"""Estimators with solver="neighbours": each prediction given its nearest training rows."""

import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgWarning

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._inference import solver_choice
from infwidth.networks import MLP

N, D = 150, 3
rng = np.random.default_rng(0)
X, NEW = rng.standard_normal((N, D)), rng.standard_normal((40, D))
Y = np.stack([np.sin(X.sum(axis=1)), X[:, 0] ** 2], axis=1) + 0.1 * rng.standard_normal((N, 2))
WEIGHT = rng.uniform(0.5, 1.5, N)
NETWORK = MLP(depth=2, activation="erf")


def ntkgp(*args, **options):
    return NTKRegressor(*args, posterior="ntkgp", **options)


def pair(kind, n_neighbours, *data, **options):
    """The same model, exact and given neighbours."""
    options = {"optimizer": None} | options
    return (
        kind(NETWORK, solver="cholesky", **options).fit(*data),
        kind(NETWORK, solver="neighbours", n_neighbours=n_neighbours, **options).fit(*data),
    )


@pytest.mark.parametrize("kind", [NNGPRegressor, ntkgp])
@pytest.mark.parametrize("noise_variance", [0.1, [0.1, 0.03]])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_all_neighbours_are_the_exact_process(kind, noise_variance, weight):
    exact, given = pair(kind, N, X, Y, weight, noise_variance=noise_variance)
    for mine, expected in zip(given.predict(NEW, return_std=True), exact.predict(NEW, return_std=True), strict=True):
        assert_allclose(mine, expected, rtol=1e-9, atol=1e-12)
    assert_allclose(given.predict_std(NEW, include_noise=False), exact.predict_std(NEW, include_noise=False), rtol=1e-9)
    for mine, expected in zip(given.predict(NEW, return_cov=True), exact.predict(NEW, return_cov=True), strict=True):
        assert_allclose(mine, expected, rtol=1e-9, atol=1e-12)
    for mine, expected in zip(given.loo_predict(), exact.loo_predict(), strict=True):
        assert_allclose(mine, expected, rtol=1e-9, atol=1e-12)
    assert_allclose(
        given.sample_y(NEW, 3, random_state=0), exact.sample_y(NEW, 3, random_state=0), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
def test_all_neighbours_are_the_exact_classifier(limit):
    label = np.digitize(Y[:, 0], [-0.5, 0.5])
    exact, given = pair(InfiniteNetClassifier, N, X, label, limit=limit)
    assert_allclose(given.predict_proba(NEW), exact.predict_proba(NEW), rtol=1e-7)
    assert_allclose(given.loo_decision_function(), exact.loo_decision_function(), rtol=1e-7, atol=1e-9)
    assert_allclose(given.evidence_, exact.evidence_, rtol=1e-9)


@pytest.mark.parametrize("solver", ["cholesky", "neighbours"])
def test_learning_with_either(solver):
    model = NNGPRegressor(MLP(1, ard=True), solver=solver, random_state=0).fit(X, Y[:, 0])
    assert model.solver_ == solver
    assert model.score(NEW, np.sin(NEW.sum(axis=1))) > 0.9


def test_one_row_is_conditioned_on_its_nearest():
    given = NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=20, normalize_y=False)
    given.set_params(feature_scaling=None).fit(X, Y)
    for new in NEW[:5]:
        nearest = np.argsort(np.sum((X - new) ** 2, axis=1))[:20]
        alone = NNGPRegressor(NETWORK, optimizer=None, normalize_y=False, feature_scaling=None).fit(
            X[nearest], Y[nearest]
        )
        for mine, expected in zip(
            given.predict(new[None], return_std=True), alone.predict(new[None], return_std=True), strict=True
        ):
            assert_allclose(mine, expected, rtol=1e-9)


def test_input_variances_say_who_is_near():
    """A feature of variance 0 moves no prediction."""
    blind = MLP(1, input_variance=[1.0, 1.0, 0.0])
    model = NNGPRegressor(blind, optimizer=None, solver="neighbours", n_neighbours=30).fit(X, Y)
    moved = NEW + np.array([0.0, 0.0, 5.0])
    assert_allclose(model.predict(moved), model.predict(NEW), rtol=1e-9)


def test_more_rows_at_once_share_at_least_their_neighbours():
    """A leaf is given the neighbours of all its rows, so variances are no larger than those of single rows."""
    model = NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=30).fit(X, Y[:, 0])
    together = model.predict_std(NEW, include_noise=False)
    alone = np.concatenate([model.predict_std(new[None], include_noise=False) for new in NEW])
    assert (together <= alone * (1 + 1e-9)).all()


def test_equal_rows_are_one_neighbour():
    """Of 400 rows with 20 different inputs 15 neighbours are 15 inputs, with all their targets."""
    inputs, place = X[:20], rng.integers(0, 20, 400)
    place[:20] = np.arange(20)
    targets = Y[place, 0] + 0.1 * rng.standard_normal(400)
    exact, given = pair(NNGPRegressor, 20, inputs[place], targets)
    for mine, expected in zip(given.predict(NEW, return_std=True), exact.predict(NEW, return_std=True), strict=True):
        assert_allclose(mine, expected, rtol=1e-8)
    for mine, expected in zip(given.loo_predict(), exact.loo_predict(), strict=True):
        assert mine.shape == (400,)
        assert_allclose(mine, expected, rtol=1e-8)
    few = NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=15).fit(inputs[place], targets)
    assert_allclose(few.predict(inputs), exact.predict(inputs), atol=0.05)


def test_leave_one_out_is_a_fit_without_the_row():
    options = {"optimizer": None, "solver": "neighbours", "normalize_y": False, "feature_scaling": None}
    model = NNGPRegressor(NETWORK, n_neighbours=149, **options).fit(X, Y[:, 0], WEIGHT)
    mean, std = model.loo_predict()
    for row in (0, 77):
        rest = np.arange(N) != row
        without = NNGPRegressor(NETWORK, n_neighbours=149, **options).fit(X[rest], Y[rest, 0], WEIGHT[rest])
        own_mean, own_std = without.predict(X[[row]], return_std=True)
        assert_allclose([mean[row], std[row]], [own_mean[0], own_std[0]], rtol=1e-9)


def test_rows_whose_noise_hides_them():
    weight = WEIGHT.copy()
    weight[::10] = 1e-9
    exact, given = pair(NNGPRegressor, N, X, Y[:, 0], weight)
    for mine, expected in zip(given.loo_predict(), exact.loo_predict(), strict=True):
        assert_allclose(mine, expected, rtol=1e-7)


def test_rows_of_weight_zero():
    weight = WEIGHT.copy()
    weight[::3] = 0.0
    exact, given = pair(NNGPRegressor, 100, X, Y[:, 0], weight)
    for mine, expected in zip(given.loo_predict(), exact.loo_predict(), strict=True):
        assert_allclose(mine, expected, rtol=1e-9)


def test_far_away_the_prior_returns():
    far = np.full((1, D), 1e3)
    for model in pair(NNGPRegressor, 20, X, Y[:, 0]):
        model.set_params(network=MLP(1, "rbf", bias_variance=0.0)).fit(X, Y[:, 0])
        mean, std = model.predict(far, return_std=True)
        prior = model.kernel_.diag(model.feature_scaler_.transform(far))[0] + model.noise_variance_
        assert_allclose([mean[0], std[0]], [model.y_mean_[0], np.sqrt(prior) * model.y_std_[0]], rtol=1e-9, atol=1e-9)


def test_same_numbers_on_any_number_of_threads():
    one, two = (
        NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=30, n_jobs=n_jobs).fit(X, Y)
        for n_jobs in (1, 2)
    )
    assert_array_equal(one.predict(NEW), two.predict(NEW))
    assert_array_equal(one.loo_predict(), two.loo_predict())


def test_pickles_hold_the_rows_and_no_matrix():
    many = rng.standard_normal((3000, D))
    model = NNGPRegressor(NETWORK, optimizer=None, solver="neighbours", n_neighbours=30).fit(many, many[:, 0])
    text = pickle.dumps(model)
    assert len(text) < 40 * 8 * many.size
    assert_array_equal(pickle.loads(text).predict(NEW), model.predict(NEW))


def test_auto_is_exact_up_to_a_number_of_rows(monkeypatch):
    monkeypatch.setattr(solver_choice, "EXACT_ROWS", N)
    few = NNGPRegressor(NETWORK, optimizer=None).fit(X, Y)
    assert (few.solver_, few.solver_reason_) == ("cholesky", "150 rows are at most 150")
    monkeypatch.setattr(solver_choice, "EXACT_ROWS", N - 1)
    assert NNGPRegressor(NETWORK, optimizer=None).fit(X, Y).solver_ == "neighbours"
    assert ntkgp(NETWORK, optimizer=None).fit(X, Y).solver_ == "neighbours"
    assert NTKRegressor(NETWORK, optimizer=None).fit(X, Y).solver_ == "cholesky"
    assert InfiniteNetClassifier(NETWORK, optimizer=None).fit(X, Y[:, 0] > 0).solver_ == "neighbours"


SMOOTH = X.sum(axis=1)


@pytest.mark.parametrize(
    ("limits", "options", "solver", "reason"),
    [
        ({}, {}, "cholesky", r"more than 100; neighbours lose \d\.\d{3} of log density a row to all rows$"),
        (
            {},
            {"noise_variance": 0.5, "n_neighbours": 60},
            "neighbours",
            r"neighbours lose -?0\.0\d\d of log density a row to all rows$",
        ),
        ({"MOST_EXACT_ROWS": 149}, {}, "neighbours", "but these are more than 149$"),
        ({}, {"max_memory": 1000}, "neighbours", "but these do not fit into memory$"),
        ({}, {"solver": "neighbours"}, "neighbours", "^as given$"),
        ({}, {"n_neighbours": N}, "neighbours", r"lose 0\.000"),
    ],
)
@pytest.mark.parametrize("kind", [NNGPRegressor, ntkgp])
def test_auto_compares_both_on_held_out_rows(monkeypatch, limits, options, solver, reason, kind):
    for name, value in {"EXACT_ROWS": 100, **limits}.items():
        monkeypatch.setattr(solver_choice, name, value)
    options = {"n_neighbours": 5, "noise_variance": 1e-4, "optimizer": None} | options
    model, near = kind(NETWORK, **options).fit(X, SMOOTH), solver == "neighbours"
    assert model.solver_ == solver
    assert re.search(reason, model.solver_reason_)
    alone = kind(NETWORK, **options | {"solver": solver, "n_neighbours": model.n_neighbours if near else None})
    assert_allclose(model.predict(NEW), alone.fit(X, SMOOTH).predict(NEW), rtol=1e-9)


def test_auto_meets_equal_rows_exactly_each_with_its_own_target(monkeypatch):
    monkeypatch.setattr(solver_choice, "EXACT_ROWS", 100)
    twice, targets = np.concatenate([X, X[:50]]), np.concatenate([SMOOTH, SMOOTH[:50] + 0.01])
    options = {"n_neighbours": 5, "noise_variance": 1e-4, "optimizer": None}
    model = NNGPRegressor(NETWORK, **options).fit(twice, targets)
    assert model.solver_ == "cholesky"
    exact = NNGPRegressor(NETWORK, noise_variance=1e-4, optimizer=None, solver="cholesky").fit(twice, targets)
    assert_allclose(model.loo_predict(), exact.loo_predict(), rtol=1e-9)


@pytest.mark.parametrize("kind", [NNGPRegressor, ntkgp])
def test_rows_that_say_little(kind):
    """All inputs equal, one row, and more neighbours than there are different inputs."""
    same = kind(NETWORK, optimizer=None, solver="neighbours", n_neighbours=10).fit(np.ones((30, 2)), Y[:30, 0])
    assert_allclose(same.predict(np.ones((2, 2))), Y[:30, 0].mean(), rtol=0.02)
    assert np.isfinite(same.loo_predict()).all()
    one = kind(NETWORK, optimizer=None, solver="neighbours").fit(X[:1], Y[:1])
    assert np.isfinite(one.predict(NEW, return_std=True)).all()


def test_one_informative_feature_among_many():
    inputs = rng.uniform(-1, 1, (600, 50))
    targets = np.sin(4 * inputs[:, 7]) + 0.05 * rng.standard_normal(600)
    model = NNGPRegressor(MLP(1, "erf", ard=True), solver="neighbours", n_neighbours=60, random_state=0)
    model.fit(inputs[:500], targets[:500])
    assert model.feature_relevance_.argmax() == 7
    assert model.score(inputs[500:], targets[500:]) > 0.95


def test_noise_free_rows_need_jitter_and_say_so():
    line = np.linspace(0, 1, 200)[:, None] ** [1, 1]
    model = NNGPRegressor(MLP(1, "rbf", input_variance=1e-4), noise_variance=0, optimizer=None, solver="neighbours")
    with pytest.warns(LinAlgWarning, match="of neighbours is not positive definite to working precision"):
        model.set_params(n_neighbours=100).fit(line, line[:, 0])


REFUSED = [
    (
        NNGPRegressor,
        {"solver": "neighbours", "n_neighbours": N + 1},
        "n_neighbours=151 is more than the 150 rows in use",
    ),
    (NNGPRegressor, {"solver": "cholesky", "n_neighbours": 10}, "takes all rows, not n_neighbours=10"),
    (NNGPRegressor, {"solver": "neighbours", "n_neighbours": 0}, "n_neighbours must be"),
    (NNGPRegressor, {"solver": "neighbours", "n_neighbours": 2.5}, "n_neighbours must be"),
    (NTKRegressor, {"solver": "neighbours"}, "has no ensemble.*posterior='ntkgp', or solver='cholesky'"),
]


@pytest.mark.parametrize(("kind", "options", "match"), REFUSED)
def test_what_cannot_work_says_what_to_do(kind, options, match):
    with pytest.raises(ValueError, match=match):
        kind(NETWORK, optimizer=None, **options).fit(X, Y[:, 0])


def test_no_log_marginal_likelihood():
    model = NNGPRegressor(NETWORK, optimizer=None, solver="neighbours").fit(X, Y[:, 0])
    assert np.isnan(model.log_marginal_likelihood_value_)
    with pytest.raises(ValueError, match="no log marginal likelihood: use solver='cholesky'"):
        model.log_marginal_likelihood()
