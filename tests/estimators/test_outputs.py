"""Several outputs: a noise variance for each, and all else in common."""

import pickle
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_linnerud, make_friedman1

from infwidth import NNGPRegressor, NTKRegressor
from infwidth._linalg.cholesky import Cholesky
from infwidth.metrics import interval_coverage
from infwidth.networks import MLP

XM, YM = load_linnerud(return_X_y=True)  # 20 rows, three targets
NEW = XM[:6] + 10.0
NOISES = np.array([0.5, 0.02, 0.1])
WEIGHT = np.linspace(0.2, 3.0, 20)
ERF = MLP(1, "erf")
MODELS = {
    "nngp": NNGPRegressor,
    "end": NTKRegressor,
    "time": partial(NTKRegressor, training_time=30.0),
    "steps": partial(NTKRegressor, training_time=30.0, learning_rate=0.5, momentum=0.5),
    "ntkgp": partial(NTKRegressor, posterior="ntkgp"),
}
models = pytest.mark.parametrize("ask", MODELS.values(), ids=MODELS)


def waves(n, seed):
    """Two outputs, with noise of the standard deviations 0.02 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    truth = np.c_[np.sin(2 * X[:, 0]), np.cos(2 * X[:, 1])]
    return X, truth + np.array([0.02, 1.0]) * rng.standard_normal((n, 2))


def everything(model, new):
    """Every number that a fitted model can be asked for, the outputs last, without random ones."""
    mean, cov = model.predict(new, return_cov=True)
    parts = [mean, model.predict_std(new), model.predict_std(new, include_noise=False), cov]
    time = getattr(model, "training_time_", np.inf)
    if getattr(model, "posterior", "") == "ensemble":
        parts += [np.array(list(model.staged_predict(new, [time, np.inf], return_std=True)))]
        parts += [np.array(list(model.staged_predict(new, [time, np.inf])))]
    if np.isinf(time):
        parts += [*model.loo_predict(), *model.loo_predict(include_noise=False)]
    return parts


def close(actual, expected, rtol=1e-8):
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected)))


@models
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_each_output_is_a_model_of_its_own_noise(ask, weight):
    """With k outputs in the place of one the unit of time is k times as long (maths 7.1)."""
    model = ask(ERF, optimizer=None, noise_variance=NOISES).fit(XM, YM, weight)
    assert_allclose(model.noise_variance_, NOISES)
    results, value = everything(model, NEW), 0.0
    for output, noise_variance in enumerate(NOISES):
        single = ask(ERF, optimizer=None, noise_variance=noise_variance)
        if getattr(single, "training_time", np.inf) != np.inf:
            single.set_params(training_time=10.0)
            if single.learning_rate is not None:
                single.set_params(learning_rate=0.5 / 3)
        single.fit(XM, YM[:, output], weight)
        value += single.log_marginal_likelihood()
        for result, own in zip(results, everything(single, NEW), strict=True):
            close(result[..., output], own)
    close(model.log_marginal_likelihood(), value)


def test_learned_noises_give_the_same_model():
    model = NNGPRegressor(ERF, feature_scaling="standard").fit(XM, YM)
    assert model.noise_variance_.shape == (3,)
    assert len(set(model.noise_variance_)) == 3
    given = {"optimizer": None, "feature_scaling": "standard"}
    again = NNGPRegressor(model.network_, noise_variance=model.noise_variance_, **given).fit(XM, YM)
    for actual, expected in zip(everything(again, NEW), everything(model, NEW), strict=True):
        close(actual, expected)
    for output, noise_variance in enumerate(model.noise_variance_):
        single = NNGPRegressor(model.network_, noise_variance=noise_variance, **given).fit(XM, YM[:, output])
        for whole, own in zip(everything(model, NEW), everything(single, NEW), strict=True):
            close(whole[..., output], own)


@models
def test_intervals_hold_what_they_promise(ask):
    X, Y = waves(150, 0)
    new, truth = waves(2000, 1)
    model = ask(MLP(1, "rbf"), optimizer="lml", random_state=0).fit(X, Y)
    assert_allclose(model.noise_variance_ * model.y_std_**2, [4e-4, 1.0], rtol=0.5)
    if getattr(model, "posterior", "") == "ensemble":
        return  # its standard deviation is the spread of trained networks
    mean, std = model.predict(new, return_std=True)
    for output in range(2):
        assert 0.86 < interval_coverage(truth[:, output], mean[:, output], std[:, output]) < 0.94


@pytest.mark.parametrize("optimizer", ["lml", "loo", None])
@pytest.mark.parametrize("ask", [NNGPRegressor, NTKRegressor])
def test_shape_of_the_noise(ask, optimizer):
    for target in (YM[:, 0], YM[:, :1], YM):
        model = ask(ERF, optimizer=optimizer, noise_variance=0.2, random_state=0).fit(XM, target)
        assert np.shape(model.noise_variance_) == target.shape[1:]
        assert isinstance(model.noise_variance_, np.ndarray if target.ndim == 2 else float)
        of_y, of_f = model.predict_std(NEW), model.predict_std(NEW, include_noise=False)
        scale = model.y_std_ if target.ndim == 2 else model.y_std_[0]
        close(of_y**2, of_f**2 + model.noise_variance_ * scale**2)
        cov = model.predict(NEW, return_cov=True)[1]
        close(np.einsum("ii...->i...", cov), of_y**2, rtol=1e-12)


@models
def test_moments_of_samples(ask):
    n = 20_000
    model = ask(ERF, optimizer=None, noise_variance=NOISES).fit(XM, YM)
    mean, cov = model.predict(NEW[:3], return_cov=True)
    samples = model.sample_y(NEW[:3], n, random_state=0)
    for output in range(3):
        C = cov[:, :, output]
        variance = np.diag(C)
        assert np.all(np.abs(samples[:, output].mean(axis=1) - mean[:, output]) < 5 * np.sqrt(variance / n))
        assert np.all(np.abs(np.cov(samples[:, output]) - C) < 5 * np.sqrt((np.outer(variance, variance) + C**2) / n))


@pytest.mark.parametrize("ask", [NNGPRegressor, partial(NTKRegressor, posterior="ntkgp")], ids=["nngp", "ntk"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("n_outputs", [2, 3])
def test_gradient_of_the_log_marginal_likelihood(ask, weight, n_outputs):
    model = ask(ERF, feature_scaling="standard").fit(XM, YM[:, :n_outputs], weight)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    close(value, model.log_marginal_likelihood_value_, rtol=1e-9)
    theta = np.append(model.kernel_.theta, np.log(model.noise_variance_))
    close(model.log_marginal_likelihood(theta), value, rtol=1e-9)
    theta += 0.3  # away from the optimum
    gradient = model.log_marginal_likelihood(theta, eval_gradient=True)[1]
    assert gradient.shape == theta.shape
    for place, step in enumerate(1e-4 * np.eye(len(theta))):
        slope = (model.log_marginal_likelihood(theta + step) - model.log_marginal_likelihood(theta - step)) / 2e-4
        assert_allclose(gradient[place], slope, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=rf"theta must have the shape .* of {n_outputs} noise variances; got .*\(5,\)"):
        model.log_marginal_likelihood(theta[:5])


# Constant outputs


@pytest.mark.parametrize("optimizer", ["lml", "loo", None])
@pytest.mark.parametrize("ask", MODELS.values(), ids=MODELS)
def test_constant_outputs_change_nothing(ask, optimizer):
    """But the unit of time, which is the number of outputs."""
    constant = np.tile([3.7, 0.0, -1e6 / 3], (20, 1))
    both = np.c_[constant[:, :1], YM[:, :2], constant[:, 1:]]
    model, without = (ask(ERF, optimizer=optimizer) for _ in range(2))
    if getattr(model, "training_time", np.inf) != np.inf:
        model.set_params(training_time=75.0)
        if model.learning_rate is not None:
            model.set_params(learning_rate=1.25)
    model, without = model.fit(XM, both), without.fit(XM, YM[:, :2])
    close(model.noise_variance_[1:3], without.noise_variance_, rtol=1e-12)
    assert np.all(model.noise_variance_[[0, 3, 4]] == model.noise_variance_[1:3].min())
    for result, expected in zip(everything(model, NEW), everything(without, NEW), strict=True):
        close(result[..., 1:3], expected, rtol=1e-10)
    close(model.log_marginal_likelihood(), without.log_marginal_likelihood())
    close(model.evidence_, without.evidence_)
    assert np.all(model.predict(NEW)[:, [0, 3, 4]] == constant[:6])
    assert np.all(model.predict_std(NEW) > 0)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    close(value, model.log_marginal_likelihood())
    assert np.all(gradient[[-5, -2, -1]] == 0)


def test_constant_outputs_do_not_narrow_the_intervals_of_others():
    X, Y = waves(120, 0)
    new, truth = waves(2000, 1)
    model = NNGPRegressor(MLP(1, "rbf")).fit(X, np.c_[Y[:, 1], np.ones((120, 9))])
    mean, std = (part[:, 0] for part in model.predict(new, return_std=True))
    assert 0.86 < interval_coverage(truth[:, 1], mean, std) < 0.94


def test_an_output_that_is_constant_to_working_precision():
    nearly = 1e9 * (1.0 + 1e-16 * np.random.default_rng(0).integers(-2, 3, 20))
    nearly[0] = np.nextafter(1e9, np.inf)
    model, without = NNGPRegressor(ERF).fit(XM, np.c_[YM[:, 0], nearly]), NNGPRegressor(ERF).fit(XM, YM[:, :1])
    close(model.predict(NEW)[:, 0], without.predict(NEW)[:, 0])
    assert_allclose(model.predict(NEW)[:, 1], 1e9, rtol=1e-15)


@pytest.mark.parametrize("ask", [NNGPRegressor, NTKRegressor])
@pytest.mark.parametrize("optimizer", ["lml", "loo", None])
def test_all_outputs_constant(ask, optimizer):
    model = ask(ERF, optimizer=optimizer).fit(XM, np.tile([2.0, -1.0], (20, 1)))
    mean, std = model.predict(NEW, return_std=True)
    assert np.all(mean == [2.0, -1.0])
    assert np.isfinite(std).all()
    assert np.all(std > 0)
    assert np.isfinite(model.log_marginal_likelihood(eval_gradient=True)[0])


@pytest.mark.parametrize("optimizer", ["lml", None])
def test_constant_outputs_that_are_not_centred(optimizer):
    """They are not learned from."""
    target, options = (YM - YM.mean(axis=0)) / YM.std(axis=0), {"optimizer": optimizer, "normalize_y": False}
    model = NNGPRegressor(ERF, **options).fit(XM, np.c_[target[:, :2], np.full(20, 5.0)])
    without = NNGPRegressor(ERF, **options).fit(XM, target[:, :2])
    close(model.predict(NEW)[:, :2], without.predict(NEW))
    close(model.predict_std(NEW)[:, :2], without.predict_std(NEW))


# What it costs


def count_factors(monkeypatch):
    made, init = [], Cholesky.__init__
    monkeypatch.setattr(Cholesky, "__init__", lambda self, *args: made.append(1) or init(self, *args))
    return made


@pytest.mark.parametrize(
    ("noise_variance", "n_factors"), [(0.1, 1), ([0.1, 0.2, 0.1, 0.1], 2), ([0.1, 0.2, 0.3, 0.4], 4)]
)
def test_one_factorisation_for_each_distinct_noise(monkeypatch, noise_variance, n_factors):
    made = count_factors(monkeypatch)
    model = NNGPRegressor(optimizer=None, noise_variance=noise_variance).fit(XM, np.c_[YM, YM[:, 0] ** 2])
    assert len(made) == len(model._mixture.components[0].posterior.factors) == n_factors
    model.predict(XM, return_std=True)
    assert len(made) == n_factors


def test_constant_outputs_cost_no_factorisation():
    model = NNGPRegressor(ERF).fit(XM, np.c_[YM[:, :2], np.zeros((20, 5))])
    assert len(model._mixture.components[0].posterior.factors) == 2


@pytest.mark.parametrize(
    ("ask", "n_matrices"),
    [(NNGPRegressor, 3), (partial(NTKRegressor, posterior="ntkgp"), 3), (NTKRegressor, 4)],
    ids=["nngp", "ntkgp", "ensemble"],
)
@pytest.mark.parametrize("noise_variance", [[0.1, 0.2, 0.3, 0.1], 0.1], ids=["given", "learned"])
def test_all_factors_are_in_the_plan_of_memory(no_kernels, ask, n_matrices, noise_variance):
    no_kernels()
    optimizer, last = (None, YM[:, 0]) if isinstance(noise_variance, list) else ("lml", np.zeros(20))
    needed = n_matrices * 8 * 20**2
    model = ask(ERF, optimizer=optimizer, noise_variance=noise_variance, max_memory=needed - 1)
    with pytest.raises(MemoryError, match=f"a fit of 20 rows needs {needed:,} bytes"):
        model.fit(XM, np.c_[YM, last])
    with pytest.raises(AssertionError, match="the kernel was computed"):
        model.set_params(max_memory=needed).fit(XM, np.c_[YM, last])


# The rest of the surface


@pytest.mark.parametrize("bad", [[0.1, 0.2], np.ones(4), np.ones((1, 3)), [0.1, -0.1, 0.2], [0.1, np.nan, 0.2], []])
def test_noises_that_are_refused(bad):
    with pytest.raises(ValueError, match="noise_variance"):
        NNGPRegressor(optimizer=None, noise_variance=bad).fit(XM, YM)


def test_starts_of_the_noises():
    model = NNGPRegressor(ERF, noise_variance=[1e-3, 0.1, 1.0]).fit(XM, YM)
    assert np.isfinite(model.predict(NEW)).all()
    with pytest.raises(ValueError, match=r"noise_variance is a variance.*positive number, got .*0\.0"):
        NNGPRegressor(ERF, noise_variance=[0.0, 0.1, 1.0]).fit(XM, YM)


def test_restarts_with_several_noises():
    one, more = (NNGPRegressor(ERF, n_restarts_optimizer=n, random_state=0, prior_std=None) for n in (0, 2))
    one, more = one.fit(XM, YM), more.fit(XM, YM)
    assert more.log_marginal_likelihood_value_ > one.log_marginal_likelihood_value_ - 0.1


def test_optimizer_of_ones_own_sees_all_noises():
    sizes = []

    def optimizer(obj_func, initial_theta, bounds):
        value, gradient = obj_func(initial_theta)
        sizes.append((len(initial_theta), len(bounds), len(gradient)))
        return initial_theta, value

    model = NNGPRegressor(ERF, optimizer=optimizer, feature_scaling="standard").fit(XM, YM)
    assert set(sizes) == {(len(model.kernel_.theta) + 3,) * 3}


def test_average_of_networks():
    X, y = make_friedman1(50, n_features=5, noise=0.3, random_state=0)
    Y, new = np.c_[y, X[:, 0] + 0.5 * np.sin(9 * y), np.ones(50)], X[:7] + 0.05
    for ask in (NNGPRegressor, NTKRegressor):
        model = ask(random_state=0).fit(X, Y)
        assert len(model._mixture.components) > 1
        mean, std = model.predict(new, return_std=True)
        close(np.einsum("iio->io", model.predict(new, return_cov=True)[1]), std**2)
        assert np.all(np.abs(mean[:, 2] - 1.0) < 1e-15)
        again = pickle.loads(pickle.dumps(model))
        assert np.all(again.predict(new, return_std=True)[1] == std)
        assert model.sample_y(new, 3, random_state=0).shape == (7, 3, 3)
        assert model.loo_predict()[1].shape == Y.shape


def test_warm_start_keeps_the_noises_of_as_many_outputs(monkeypatch):
    model = NNGPRegressor(ERF, warm_start=True, random_state=0).fit(XM, YM)
    learned, made = model.noise_variance_, count_factors(monkeypatch)
    model.fit(XM, YM)
    again = len(made)
    assert_allclose(model.noise_variance_, learned, rtol=0.05)
    for target in (YM[:, :2], np.c_[YM[:, :2], np.ones(20)], YM[:, 0]):  # others: learning begins anew
        model.fit(XM, YM)
        model.fit(XM, target)
        fresh = NNGPRegressor(ERF, random_state=0).fit(XM, target)
        assert_allclose(model.noise_variance_, fresh.noise_variance_, rtol=1e-12)
    made.clear()
    NNGPRegressor(ERF, random_state=0).fit(XM, YM)
    assert again < 0.5 * len(made)


@pytest.mark.parametrize("descent", [{}, {"learning_rate": 0.5, "momentum": 0.3}], ids=["flow", "steps"])
def test_validated_time_with_several_noises(descent):
    """Two outputs with one target and noises that differ: the choice is that of both errors together."""
    X, Y = waves(60, 0)
    model = NTKRegressor(MLP(1), training_time="validation", noise_variance=[1e-6, 0.3], optimizer=None, **descent)
    model.set_params(random_state=0).fit(X, Y)
    assert model.training_time_ > 0
    same = NTKRegressor(MLP(1), training_time="validation", noise_variance=[0.3, 0.3], optimizer=None, **descent)
    one = NTKRegressor(MLP(1), training_time="validation", noise_variance=0.3, optimizer=None, **descent)
    same, one = (m.set_params(random_state=0).fit(X, Y) for m in (same, one))
    assert same.training_time_ == one.training_time_


def test_the_largest_noise_decides_on_the_learning_rate():
    model = NTKRegressor(ERF, optimizer=None, noise_variance=NOISES).fit(XM, YM)
    largest = NTKRegressor(ERF, optimizer=None, noise_variance=NOISES.max()).fit(XM, YM)
    assert_allclose(model.max_learning_rate(), largest.max_learning_rate(), rtol=1e-12)
    with pytest.raises(ValueError, match="diverges"):
        NTKRegressor(ERF, optimizer=None, noise_variance=NOISES, learning_rate=1.001 * model.max_learning_rate()).fit(
            XM, YM
        )
