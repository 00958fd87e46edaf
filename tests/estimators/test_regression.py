"""NNGPRegressor against scikit-learn's Gaussian process, against refitting, and against itself."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_linnerud
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor
from infwidth._engine import engine
from infwidth._engine.engine import ProgramSource
from infwidth._inference import posterior
from infwidth._linalg.cholesky import Cholesky
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP, Activation, Dense, Sequential

X, y = (a[:150] for a in load_diabetes(return_X_y=True))  # one target
NEW = load_diabetes().data[150:190]
XM, YM = load_linnerud(return_X_y=True)  # 20 rows, three targets

NETWORKS = [
    MLP(depth=1, activation="erf"),
    MLP(depth=3, activation="relu", weight_variance=1.7, bias_variance=0.2, input_variance=0.8),
    Sequential(
        [
            Dense(weight_variance=1.5, bias_variance=0.3),
            Activation("erf"),
            Dense(weight_variance=2.0, bias_variance=0.0),
            Activation("relu"),
            Dense(weight_variance=1.2, bias_variance=0.1),
        ]
    ),
]
networks = pytest.mark.parametrize("network", NETWORKS, ids=["erf", "relu", "sequential"])
as_given = {"normalize_y": False, "feature_scaling": None}


def close(actual, expected, rtol=1e-9):
    """Relative to the largest entry, as a backward stable solver promises."""
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected)))


def everything(model, X_new):
    """Every number that a fitted model can be asked for, without random ones."""
    mean, cov = model.predict(X_new, return_cov=True)
    _, std = model.predict(X_new, return_std=True)
    std_f = model.predict_std(X_new, include_noise=False)
    return [mean, std, std_f, cov, *model.loo_predict(), *model.loo_predict(include_noise=False)]


# The posterior


@networks
def test_posterior_equals_sklearn(network):
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.3, **as_given).fit(X, y)
    observed = GaussianProcessRegressor(NNGPKernel(network) + WhiteKernel(0.3), alpha=0, optimizer=None).fit(X, y)
    latent = GaussianProcessRegressor(NNGPKernel(network), alpha=0.3, optimizer=None).fit(X, y)
    mean, std = observed.predict(NEW, return_std=True)
    close(model.predict(NEW), mean)
    close(model.predict(NEW, return_std=True)[1], std)
    close(model.predict(NEW, return_cov=True)[1], observed.predict(NEW, return_cov=True)[1])
    close(model.predict_std(NEW, include_noise=False), latent.predict(NEW, return_std=True)[1])
    close(model.log_marginal_likelihood(), observed.log_marginal_likelihood_value_)
    assert model.log_marginal_likelihood_value_ == model.log_marginal_likelihood()


@networks
def test_scaling_inside_equals_scaling_by_hand(network):
    scaler, target_scaler = StandardScaler().fit(X), StandardScaler().fit(y[:, None])
    location, scale = target_scaler.mean_[0], target_scaler.scale_[0]
    model = NNGPRegressor(network, optimizer=None, noise_variance=0.3).fit(X, y)
    reference = GaussianProcessRegressor(NNGPKernel(network) + WhiteKernel(0.3), alpha=0, optimizer=None)
    reference.fit(scaler.transform(X), (y - location) / scale)
    mean, cov = reference.predict(scaler.transform(NEW), return_cov=True)
    close(model.predict(NEW), location + scale * mean)
    close(model.predict(NEW, return_cov=True)[1], scale**2 * cov)
    close(model.predict_std(NEW), scale * np.sqrt(np.diag(cov)))
    close(model.log_marginal_likelihood(), reference.log_marginal_likelihood_value_)


def test_several_outputs_equal_sklearn():
    model = NNGPRegressor(NETWORKS[0], optimizer=None, noise_variance=0.2, feature_scaling=None).fit(
        XM[:15] / 100, YM[:15]
    )
    reference = GaussianProcessRegressor(
        NNGPKernel(NETWORKS[0]) + WhiteKernel(0.2), alpha=0, optimizer=None, normalize_y=True
    ).fit(XM[:15] / 100, YM[:15])
    mean, std = reference.predict(XM[15:] / 100, return_std=True)
    close(model.predict(XM[15:] / 100), mean)
    close(model.predict(XM[15:] / 100, return_std=True)[1], std)
    close(model.predict(XM[15:] / 100, return_cov=True)[1], reference.predict(XM[15:] / 100, return_cov=True)[1])
    close(model.log_marginal_likelihood(), reference.log_marginal_likelihood_value_)


def test_more_rows_than_a_tile():
    pixels, digit = load_digits(return_X_y=True)
    pixels, rows, new = pixels / 16, slice(0, 1100), slice(1100, 1150)
    model = NNGPRegressor(MLP(depth=2), optimizer=None, noise_variance=0.3, **as_given).fit(pixels[rows], digit[rows])
    assert model._mixture.components[0].posterior.tiles.n_blocks == 2
    reference = GaussianProcessRegressor(NNGPKernel(MLP(depth=2)), alpha=0.3, optimizer=None)
    mean, std = reference.fit(pixels[rows], digit[rows]).predict(pixels[new], return_std=True)
    close(model.predict(pixels[new]), mean)
    close(model.predict_std(pixels[new], include_noise=False), std)


def test_std_with_noise_and_without():
    model = NNGPRegressor(optimizer=None, noise_variance=0.4).fit(XM, YM)
    with_noise, without = model.predict_std(XM), model.predict_std(XM, include_noise=False)
    close(with_noise**2, without**2 + 0.4 * model.y_std_**2)
    close(with_noise, model.predict(XM, return_std=True)[1])


def test_diagonal_of_the_covariance_is_the_variance():
    for target in (YM[:, 0], YM):
        model = NNGPRegressor(optimizer=None).fit(XM, target)
        cov, std = model.predict(XM, return_cov=True)[1], model.predict_std(XM)
        close(np.einsum("ii...->i...", cov), std**2)
        assert_allclose(cov, np.swapaxes(cov, 0, 1), rtol=1e-10)


# Leave-one-out and weights

weights = pytest.mark.parametrize("weight", [None, np.linspace(0.2, 3.0, 20)], ids=["unweighted", "weighted"])
targets = pytest.mark.parametrize("target", [YM[:, 0], YM[:, :1], YM], ids=["n", "n1", "n3"])


@weights
@targets
@pytest.mark.parametrize("include_noise", [True, False])
def test_leave_one_out_equals_refitting(target, weight, include_noise):
    model = NNGPRegressor(NETWORKS[1], optimizer=None, noise_variance=0.5, **as_given).fit(
        XM / 100, target, sample_weight=weight
    )
    mean, std = model.loo_predict(include_noise=include_noise)
    assert mean.shape == std.shape == target.shape
    for row in range(len(XM)):
        others = np.arange(len(XM)) != row
        own = None if weight is None else weight[others]
        refitted = clone(model).fit(XM[others] / 100, target[others], sample_weight=own)
        close(mean[[row]], refitted.predict(XM[[row]] / 100))
        close(std[[row]], refitted.predict_std(XM[[row]] / 100, include_noise=include_noise))


@targets
def test_row_of_weight_zero_is_dropped(target):
    weight = np.linspace(0.2, 3.0, 20)
    weight[[0, 7, 19]] = 0.0
    used = weight > 0
    outlier = target.copy()
    outlier[~used] += 1e4
    model = NNGPRegressor(optimizer=None).fit(XM, outlier, sample_weight=weight)
    without = NNGPRegressor(optimizer=None).fit(XM[used], target[used], sample_weight=weight[used])
    for actual, expected in zip(everything(model, XM)[:4], everything(without, XM)[:4], strict=True):
        close(actual, expected)
    close(model.log_marginal_likelihood(), without.log_marginal_likelihood())
    for include_noise in (True, False):
        mean, std = model.loo_predict(include_noise=include_noise)
        mean_without, std_without = without.loo_predict(include_noise=include_noise)
        close(mean[used], mean_without)
        close(std[used], std_without)
        close(mean[~used], without.predict(XM[~used]))
        close(std[~used], without.predict_std(XM[~used], include_noise=include_noise))


@pytest.mark.parametrize("options", [{}, as_given], ids=["scaled", "as given"])
def test_integer_weights_equal_repeated_rows(options):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    model = NNGPRegressor(optimizer=None, **options).fit(X, y, sample_weight=weight)
    repeated = NNGPRegressor(optimizer=None, **options).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for actual, expected in zip(
        model.predict(NEW, return_cov=True), repeated.predict(NEW, return_cov=True), strict=True
    ):
        close(actual, expected)


def test_equal_weights_divide_the_noise():
    weighted = NNGPRegressor(optimizer=None, noise_variance=0.4).fit(X, y, sample_weight=np.full(len(X), 4.0))
    plain = NNGPRegressor(optimizer=None, noise_variance=0.1).fit(X, y)
    close(weighted.predict(NEW), plain.predict(NEW))
    close(weighted.predict_std(NEW, include_noise=False), plain.predict_std(NEW, include_noise=False))


# Shapes and units of the target


@pytest.mark.parametrize("normalize_y", [True, False])
def test_each_output_is_its_own_model(normalize_y):
    model = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM)
    results = everything(model, XM[:7])
    samples = model.sample_y(XM[:7], 5, random_state=0)
    assert [r.shape for r in results] == [(7, 3)] * 3 + [(7, 7, 3)] + [(20, 3)] * 4
    assert samples.shape == (7, 3, 5)
    likelihood = 0.0
    for output in range(3):
        single = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM[:, output])
        column = NNGPRegressor(optimizer=None, normalize_y=normalize_y).fit(XM, YM[:, [output]])
        likelihood += single.log_marginal_likelihood()
        for result, own, own_column in zip(
            results, everything(single, XM[:7]), everything(column, XM[:7]), strict=True
        ):
            assert own.shape == result.shape[:-1]
            assert own_column.shape == (*own.shape, 1)
            close(result[..., output], own)
            close(own_column[..., 0], own)
        own, own_column = single.sample_y(XM[:7], 5, random_state=0), column.sample_y(XM[:7], 5, random_state=0)
        assert own.shape == (7, 5)
        close(own_column, own[:, None, :])
    close(model.log_marginal_likelihood(), likelihood)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@targets
def test_results_are_in_units_of_the_target(factor, target):
    plain, scaled = (
        NNGPRegressor(optimizer=None).fit(XM, target),
        NNGPRegressor(optimizer=None).fit(XM, factor * target),
    )
    for power, a, b in zip(
        [1, 1, 1, 2, 1, 1, 1, 1], everything(plain, XM[:7]), everything(scaled, XM[:7]), strict=True
    ):
        close(b, factor**power * a)
    close(scaled.sample_y(XM[:3], 4, random_state=0), factor * plain.sample_y(XM[:3], 4, random_state=0))
    close(scaled.log_marginal_likelihood(), plain.log_marginal_likelihood())


# Samples


@pytest.mark.parametrize("include_noise", [True, False])
def test_moments_of_samples(include_noise):
    n_samples = 20_000
    model = NNGPRegressor(optimizer=None, noise_variance=0.3).fit(XM[:12], YM[:12])
    mean, cov = model.predict(XM[12:16], return_cov=True)
    if not include_noise:
        cov = cov - 0.3 * model.y_std_**2 * np.eye(4)[:, :, None]
    samples = model.sample_y(XM[12:16], n_samples, random_state=0, include_noise=include_noise)
    for output in range(3):
        own, C = samples[:, output], cov[:, :, output]
        variance = np.diag(C)
        assert np.all(np.abs(own.mean(axis=1) - mean[:, output]) < 5 * np.sqrt(variance / n_samples))
        error = np.sqrt((np.outer(variance, variance) + C**2) / n_samples)  # of a sample covariance (Isserlis)
        assert np.all(np.abs(np.cov(own) - C) < 5 * error)
    correlation = np.corrcoef(samples[0])  # outputs are independent
    assert np.all(np.abs(correlation[np.triu_indices(3, 1)]) < 5 / np.sqrt(n_samples))


def test_samples_are_reproducible():
    model = NNGPRegressor(optimizer=None, random_state=3).fit(X, y)
    first = model.sample_y(NEW, 2, random_state=0)
    close(model.sample_y(NEW, 2, random_state=0), first)
    close(model.sample_y(NEW, 2), model.sample_y(NEW, 2, random_state=3))
    assert np.all(model.sample_y(NEW, 2) != first)
    assert np.all(first[:, 0] != first[:, 1])


def test_samples_of_a_function_agree_where_inputs_do():
    model = NNGPRegressor(optimizer=None).fit(X, y)
    samples = model.sample_y(np.r_[NEW, NEW], 3, random_state=0, include_noise=False)  # a singular covariance
    close(samples[: len(NEW)], samples[len(NEW) :], rtol=1e-5)
    assert np.isfinite(samples).all()


# What is computed, and in which pieces


def forbidden(*_, **__):
    raise AssertionError("this was not asked for")


def test_mean_alone_needs_no_solve(monkeypatch):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = model.predict(NEW, return_std=True)[0]
    monkeypatch.setattr(Cholesky, "half_solve", forbidden)
    monkeypatch.setattr(ProgramSource, "full", forbidden)
    close(model.predict(NEW), expected, rtol=1e-12)
    for ask in (model.predict_std, partial(model.predict, return_std=True), partial(model.predict, return_cov=True)):
        with pytest.raises(AssertionError, match="not asked for"):
            ask(NEW)


def test_std_never_forms_the_matrix_of_the_new_rows(monkeypatch):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = np.sqrt(np.diag(model.predict(NEW, return_cov=True)[1]))
    monkeypatch.setattr(ProgramSource, "full", forbidden)
    close(model.predict(NEW, return_std=True)[1], expected)
    close(model.predict_std(NEW), expected)
    model.loo_predict()


def test_predictions_do_not_depend_on_blocks(monkeypatch):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = everything(model, NEW)
    monkeypatch.setattr(posterior, "BATCH_BYTES", 8 * len(X) * 7)  # 7 new rows at a time
    monkeypatch.setattr(posterior, "MEAN_ROWS", 9)
    monkeypatch.setattr(engine, "COLUMNS", 40)
    monkeypatch.setattr(engine, "PANEL", 6)
    close(model.predict(NEW), expected[0], rtol=1e-12)
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole, rtol=1e-12)


def test_memory_does_not_grow_with_the_new_rows(monkeypatch):
    many = np.tile(NEW, (500, 1))  # 20 000 rows: their kernel with the training rows has 24 MB
    model = NNGPRegressor(optimizer=None).fit(X, y)
    monkeypatch.setattr(posterior, "BATCH_BYTES", 2**20)
    monkeypatch.setattr(posterior, "MEAN_ROWS", 1000)
    tracemalloc.start()
    try:
        mean, std = model.predict(many), model.predict_std(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * many.nbytes < 10 * 2**20
    close(mean, np.tile(model.predict(NEW), 500))
    close(std, np.tile(model.predict_std(NEW), 500))


@pytest.mark.parametrize("tile", [12, 40, 149])
def test_results_do_not_depend_on_tiles(tile, monkeypatch):
    expected = everything(NNGPRegressor(optimizer=None).fit(X, y), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))
    model = NNGPRegressor(optimizer=None).fit(X, y)
    assert model._mixture.components[0].posterior.tiles.n_blocks > 1
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole)


def test_results_do_not_depend_on_the_order_of_rows():
    order = np.random.default_rng(0).permutation(len(X))
    plain, shuffled = NNGPRegressor(optimizer=None).fit(X, y), NNGPRegressor(optimizer=None).fit(X[order], y[order])
    close(shuffled.predict(NEW, return_cov=True)[1], plain.predict(NEW, return_cov=True)[1])
    close(shuffled.loo_predict()[0], plain.loo_predict()[0][order])


# In scikit-learn's company


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
