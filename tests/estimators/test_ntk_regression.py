"""NTKRegressor against published values, matrix exponentials, refitting, Bayes' rule, and itself."""

import pickle
from functools import partial
from itertools import compress

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import LinAlgWarning, expm
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_linnerud, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, cross_val_score

from infwidth import NNGPRegressor, NTKRegressor
from infwidth._engine.engine import ProgramSource
from infwidth._inference import ensemble, posterior
from infwidth._inference.dynamics import DENSE_BYTES
from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.tiles import LowerTiles
from infwidth.kernels import NTKKernel
from infwidth.networks import MLP, Activation, Dense, Sequential

X, y = (a[:120] for a in load_diabetes(return_X_y=True))  # one target
NEW = load_diabetes().data[150:170]
XM, YM = load_linnerud(return_X_y=True)  # 20 rows, three targets
XM = XM / 100
YM = (YM - YM.mean(axis=0)) / YM.std(axis=0)
NEWM = XM[:6] + 0.1
WEIGHT = np.linspace(0.2, 3.0, 20)

as_given = {"optimizer": None, "normalize_y": False, "feature_scaling": None}
NETWORK = MLP(2, "erf", weight_variance=1.7, bias_variance=0.2)
LAST_LAYER = Sequential(  # all that is trained is linear: Θ = K
    [
        Dense(weight_variance=1.7, bias_variance=0.2, trainable=False),
        Activation("relu"),
        Dense(weight_variance=1.3, bias_variance=0.1),
    ]
)
TIMES = [0.0, 0.5, 8.0, 200.0, np.inf]  # multiples of the learning rates
targets = pytest.mark.parametrize("target", [YM[:, 0], YM[:, :1], YM[:, :2]], ids=["n", "n1", "n2"])
weights = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
DESCENTS = {
    "flow": {},
    "steps": {"learning_rate": 0.5},
    "momentum": {"learning_rate": 0.5, "momentum": 0.8},
}
descents = pytest.mark.parametrize("descent", DESCENTS.values(), ids=DESCENTS)


def close(actual, expected, rtol=1e-8):
    """Relative to the largest entry."""
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected)))


def everything(model, X_new):
    """Every number that a fitted model, NNGPRegressor or NTKRegressor, can be asked for, without random ones."""
    mean, cov = model.predict(X_new, return_cov=True)
    parts = [mean, model.predict_std(X_new), model.predict_std(X_new, include_noise=False), cov]
    process = getattr(model, "posterior", "process") != "ensemble"
    if not process:
        parts += [np.array(list(model.staged_predict(X_new, [0.5, 20.0], return_std=True)))]
        parts += [np.array(list(model.staged_predict(X_new, [0.5, 20.0]))), model.training_loss([0.5, 20.0])]
    if process or (np.isinf(model.training_time_) and model.learning_rate is None):
        parts += [*model.loo_predict(), *model.loo_predict(include_noise=False)]
    return parts


def law_of_training(network, rows, target, new, time, ridge, weight=None, learning_rate=None, momentum=0.0):
    """Mean and covariance of trained networks at new rows, from the equation of motion alone.

    With g = f - f₀ on new and training rows, dg/dt = -(Θ W g + ρ g)/N + Θ W (y - f₀)/N, Θ between all rows and the
    training rows. It is linear, so g = B (y - f₀); B comes from one matrix exponential, or from a loop of steps.
    """
    n, points = len(rows), np.r_[rows, new]
    weight = np.ones(n) if weight is None else weight
    N = weight.sum() * np.ravel(target).size / n
    T, K = network.ntk(points), network.nngp(points)
    drive = T[:, :n] * weight / N
    motion = -ridge / N * np.eye(len(points))
    motion[:, :n] -= drive
    if np.isinf(time):  # by the fixed point on the training rows
        B = T[:, :n] @ np.linalg.inv(T[:n, :n] + np.diag(ridge / weight))
    elif learning_rate is None:
        both = np.zeros((len(points) + n, len(points) + n))
        both[: len(points)] = np.c_[motion, drive]
        B = expm(both * time)[: len(points), len(points) :]
    else:
        B = before = np.zeros_like(drive)
        for _ in range(round(time / learning_rate)):
            B, before = B + learning_rate * (motion @ B + drive) + momentum * (B - before), B
    B, cross = B[n:], K[n:, :n]
    covariance = K[n:, n:] + B @ K[:n, :n] @ B.T - B @ cross.T - cross @ B.T
    return B @ target, covariance


# Published and known values

ROWS, TARGETS, POINT = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, -1.0]), np.array([[-0.8, 0.6]])
ERF = MLP(1, "erf", weight_variance=2.25, bias_variance=0.01)
FROZEN = Sequential(
    [
        Dense(weight_variance=2.25, bias_variance=0.01, trainable=False),
        Activation("erf"),
        Dense(weight_variance=2.25, bias_variance=0.01),
    ]
)
VALUES = [  # computed with neural-tangents (Lee et al. 2019); network, options, mean, variance of the function
    (ERF, {"training_time": 0}, 0.0, 1.1090668532),
    (ERF, {"training_time": 1}, -0.6660126504, 0.4829472556),
    (ERF, {"training_time": 10}, -1.4721463752, 0.2202376098),
    (ERF, {}, -1.4757977483, 0.2197776114),
    (ERF, {"noise_variance": 0.1}, -1.3623071576, 0.237261246),
    (ERF, {"posterior": "ntkgp"}, -1.4757977483, 0.7936752881),
    (ERF, {"posterior": "ntkgp", "noise_variance": 0.1}, -1.3623071576, 0.9042405148),
    (FROZEN, {"training_time": 0}, 0.0, 1.1090668532),
    (FROZEN, {"training_time": 1}, -0.370416664, 0.683226802),
    (FROZEN, {"training_time": 10}, -1.5788584635, 0.209420426),
    (FROZEN, {}, -1.7365154325, 0.2034570014),
    (FROZEN, {"posterior": "ntkgp"}, -1.7365154325, 0.2034570014),
    (FROZEN, {"posterior": "ntkgp", "noise_variance": 0.1}, -1.4370350679, 0.3381362641),
]


@pytest.mark.parametrize(("network", "options", "mean", "variance"), VALUES)
def test_known_values(network, options, mean, variance):
    model = NTKRegressor(network, **{**as_given, "noise_variance": 0.0, **options}).fit(ROWS, TARGETS)
    assert_allclose(model.predict(POINT), mean, rtol=0, atol=6e-11)
    assert_allclose(model.predict_std(POINT, include_noise=False) ** 2, variance, rtol=0, atol=6e-11)
    noise = options.get("noise_variance", 0.0)
    assert_allclose(model.predict_std(POINT) ** 2, variance + noise, rtol=0, atol=6e-11)


def test_known_values_by_stages():
    model = NTKRegressor(ERF, noise_variance=0.0, **as_given).fit(ROWS, TARGETS)
    expected = [
        (0.0, 1.1090668532),
        (-0.6660126504, 0.4829472556),
        (-1.4721463752, 0.2202376098),
        (-1.4757977483, 0.2197776114),
    ]
    stages = model.staged_predict(POINT, [0, 1, 10, np.inf], return_std=True)
    assert_allclose([(mean[0], std[0] ** 2) for mean, std in stages], expected, rtol=0, atol=6e-11)


@pytest.mark.parametrize("network", [NETWORK, MLP(3), LAST_LAYER], ids=["erf", "relu", "last layer"])
@descents
def test_before_training_is_the_prior(network, descent):
    model = NTKRegressor(network, training_time=0, noise_variance=0.3, **as_given, **descent).fit(XM, YM)
    mean, cov = model.predict(NEWM, return_cov=True)
    assert np.all(mean == 0)
    close(cov, np.repeat((network.nngp(NEWM) + 0.3 * np.eye(6))[:, :, None], 3, axis=2), rtol=1e-12)
    normalised = NTKRegressor(network, training_time=0, optimizer=None).fit(XM, 5 + 3 * YM)
    assert_allclose(normalised.predict(NEWM), 5.0)
    prior = network.nngp(normalised.feature_scaler_.transform(NEWM)).diagonal()
    close(normalised.predict_std(NEWM, include_noise=False), 3 * np.sqrt(np.tile(prior, (3, 1)).T))


@pytest.mark.parametrize("options", [as_given, {"optimizer": None}], ids=["as given", "scaled"])
@weights
@descents
def test_late_times_are_the_end(options, weight, descent):
    """The eigenvectors at t -> ∞, and those at ∞, against the Cholesky factor."""
    end = NTKRegressor(NETWORK, noise_variance=0.05, **options).fit(XM, YM, weight)
    late = NTKRegressor(NETWORK, training_time=1e7, noise_variance=0.05, **options, **descent).fit(XM, YM, weight)
    never = NTKRegressor(NETWORK, noise_variance=0.05, **options, **descent).fit(XM, YM, weight)
    for model in (late, never):
        close(model.predict(NEWM), end.predict(NEWM))
        for actual, expected in zip(
            model.predict(NEWM, return_cov=True), end.predict(NEWM, return_cov=True), strict=True
        ):
            close(actual, expected)
    for mean, std in end.staged_predict(NEWM, [1e7, 1e12, np.inf], return_std=True):
        close(mean, end.predict(NEWM))
        close(std, end.predict_std(NEWM))


def test_training_the_last_layer_without_noise_is_bayes_rule():
    ntk = NTKRegressor(LAST_LAYER, noise_variance=0, **as_given).fit(XM, YM)
    bayes = NNGPRegressor(LAST_LAYER, noise_variance=0, **as_given).fit(XM, YM)
    close(ntk.predict(NEWM), bayes.predict(NEWM))
    close(ntk.predict(NEWM, return_cov=True)[1], bayes.predict(NEWM, return_cov=True)[1])
    close(ntk.predict_std(NEWM), bayes.predict_std(NEWM))
    for actual, expected in zip(ntk.loo_predict(), bayes.loo_predict(), strict=True):
        close(actual, expected)


@weights
def test_training_the_last_layer_with_noise_has_the_mean_of_bayes_rule(weight):
    """Its networks scatter less: they are pulled to their start, but do not see the noise."""
    bayes = NNGPRegressor(LAST_LAYER, **as_given).fit(XM, YM, weight)
    trained = NTKRegressor(LAST_LAYER, **as_given).fit(XM, YM, weight)
    process = NTKRegressor(LAST_LAYER, posterior="ntkgp", **as_given).fit(XM, YM, weight)
    close(trained.predict(NEWM), bayes.predict(NEWM))
    assert np.all(trained.predict_std(NEWM) < bayes.predict_std(NEWM))
    for actual, expected in zip(everything(process, NEWM), everything(bayes, NEWM), strict=True):
        close(actual, expected)


# The law of trained networks


@descents
@weights
@targets
def test_law_of_training(target, weight, descent):
    ridge = 0.3
    for time in TIMES:
        model = NTKRegressor(NETWORK, noise_variance=ridge, training_time=time, **as_given, **descent)
        model.fit(XM, target, weight)
        mean, covariance = law_of_training(NETWORK, XM, target, NEWM, time, ridge, weight, **descent)
        close(model.predict(NEWM), mean)
        close(
            model.predict_std(NEWM, include_noise=False).T, np.broadcast_to(np.sqrt(np.diag(covariance)), mean.T.shape)
        )
        actual = model.predict(NEWM, return_cov=True)[1]
        expected = covariance + ridge * np.eye(6)
        close(actual, expected if target.ndim == 1 else np.repeat(expected[:, :, None], target.shape[1], axis=2))


@descents
@targets
def test_stages_and_losses(target, descent):
    model = NTKRegressor(NETWORK, noise_variance=0.3, **as_given, **descent).fit(XM, target, WEIGHT)
    both = list(model.staged_predict(NEWM, TIMES, return_std=True))
    losses = model.training_loss(TIMES)
    for time, stage, (mean, std), loss in zip(TIMES, model.staged_predict(NEWM, TIMES), both, losses, strict=True):
        law = partial(law_of_training, NETWORK, XM, target, time=time, ridge=0.3, weight=WEIGHT, **descent)
        expected, covariance = law(new=NEWM)
        close(stage, expected)
        close(mean, expected)
        close(std.T, np.broadcast_to(np.sqrt(np.diag(covariance) + 0.3), mean.T.shape))
        squares = (target - law(new=XM)[0]) ** 2
        close(loss, 0.5 * np.average(squares.reshape(20, -1).mean(axis=1), weights=WEIGHT))
    assert losses.shape == (5,)


def test_losses_fall_and_are_in_units_of_y():
    plain = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    times = np.geomspace(0.01, 1e4, 30)
    losses = plain.training_loss(times)
    assert np.all(np.diff(losses) < 0)
    scale, shift = np.array([10.0, 0.5, 1.0]), np.array([3.0, -100.0, 0.0])
    target = scale * YM + shift
    scaled = NTKRegressor(NETWORK, optimizer=None).fit(XM, target)
    expected = [0.5 * np.mean((target - mean) ** 2) for mean in scaled.staged_predict(XM, times)]
    close(scaled.training_loss(times), expected)
    close(scaled.training_loss([0.0]), [0.5 * np.mean(scale**2)])
    close(plain.training_loss(iter(times)), losses)


@pytest.mark.parametrize(
    "options",
    [
        {"training_time": 6.0},
        {"training_time": 6.0, "learning_rate": 0.5, "momentum": 0.7},
        {},
        {"posterior": "ntkgp"},
        {"training_time": 6.0, **as_given},
        {"training_time": 6.0, **as_given, "noise_variance": 0.0},
    ],
    ids=["flow", "momentum", "end", "ntkgp", "as given", "no noise"],
)
def test_integer_weights_equal_repeated_rows(options):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    options = {"optimizer": None, **options}
    model = NTKRegressor(NETWORK, **options).fit(X, y, weight)
    repeated = NTKRegressor(NETWORK, **options)
    if options.get("noise_variance") == 0:
        with pytest.warns(LinAlgWarning, match="added to its diagonal"):
            repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    else:
        repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    rtol = 1e-8 if options.get("noise_variance") != 0 else 1e-6
    for ask in (NTKRegressor.predict, partial(NTKRegressor.predict, return_cov=True)):
        for actual, expected in zip(ask(model, NEW), ask(repeated, NEW), strict=True):
            close(actual, expected, rtol)
    close(model.max_learning_rate(), repeated.max_learning_rate())
    if model.posterior == "ensemble":
        close(model.training_loss([1.0, 20.0]), repeated.training_loss([1.0, 20.0]), rtol)
        close(
            list(model.staged_predict(NEW, [1.0, 20.0], True)),
            list(repeated.staged_predict(NEW, [1.0, 20.0], True)),
            rtol,
        )


def test_row_of_weight_zero_is_dropped():
    weight = np.where(np.arange(20) % 5, 1.0, 0.0)
    used, outlier = weight > 0, YM + 1e4 * (weight == 0)[:, None]
    model = NTKRegressor(NETWORK, optimizer=None, feature_scaling=None).fit(XM, outlier, weight)
    without = NTKRegressor(NETWORK, optimizer=None, feature_scaling=None).fit(XM[used], YM[used])
    close(model.training_loss([1.0]), without.training_loss([1.0]))
    close(model.predict(NEWM, return_std=True), without.predict(NEWM, return_std=True))
    for whole, part, new in zip(
        model.loo_predict(), without.loo_predict(), without.predict(XM, return_std=True), strict=True
    ):
        close(whole[used], part)
        close(whole[~used], new[~used])


def test_the_unit_of_time_is_the_number_of_targets():
    """Two outputs share the mean, so each learns at half the speed."""
    both = NTKRegressor(NETWORK, training_time=14.0, **as_given).fit(XM, YM[:, :2])
    single = NTKRegressor(NETWORK, training_time=7.0, **as_given).fit(XM, YM[:, 1])
    close(both.predict(NEWM)[:, 1], single.predict(NEWM))
    close(both.predict(NEWM, return_cov=True)[1][:, :, 1], single.predict(NEWM, return_cov=True)[1])
    close(both.max_learning_rate(), 2 * single.max_learning_rate())
    twice = NTKRegressor(NETWORK, training_time=14.0, noise_variance=0.2, **as_given)
    twice.fit(np.r_[XM, XM], np.r_[YM[:, 1], YM[:, 1]])  # twice the rows and the ridge: the same networks
    slow = NTKRegressor(NETWORK, training_time=14.0, **as_given).fit(XM, YM[:, 1])
    close(twice.predict(NEWM), slow.predict(NEWM))
    close(twice.predict_std(NEWM, include_noise=False), slow.predict_std(NEWM, include_noise=False))


@pytest.mark.parametrize("options", [{}, {"training_time": 6.0}, {"posterior": "ntkgp"}], ids=["end", "6", "ntkgp"])
def test_shapes(options):
    for target in (YM[:, 0], YM[:, :1], YM[:, :2]):
        shape = target.shape[1:]
        model = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, target)
        mean, std = model.predict(NEWM, return_std=True)
        cov = model.predict(NEWM, return_cov=True)[1]
        assert mean.shape == std.shape == model.predict_std(NEWM).shape == (6, *shape)
        assert cov.shape == (6, 6, *shape)
        close(np.einsum("ii...->i...", cov), std**2)
        close(std**2, model.predict_std(NEWM, include_noise=False) ** 2 + 0.1 * np.var(target, axis=0))
        assert model.sample_y(NEWM, 5).shape == (6, *shape, 5)
        if model.posterior == "ensemble":
            assert [stage.shape for stage in model.staged_predict(NEWM, [1, 2])] == [(6, *shape)] * 2
            pairs = list(model.staged_predict(NEWM, [1, 2], return_std=True))
            assert [(m.shape, s.shape) for m, s in pairs] == [((6, *shape),) * 2] * 2
        if np.isinf(model.training_time_):
            assert [part.shape for part in model.loo_predict()] == [(20, *shape)] * 2
        column = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, YM[:, 0])
        if shape == (1,):
            for actual, expected in zip(everything(model, NEWM), everything(column, NEWM), strict=True):
                close(np.ravel(actual), np.ravel(expected))


@pytest.mark.parametrize("include_noise", [True, False])
def test_moments_of_samples(include_noise):
    n_samples = 20_000
    model = NTKRegressor(NETWORK, optimizer=None, training_time=6.0, noise_variance=0.3).fit(XM, YM)
    mean, cov = model.predict(NEWM[:4], return_cov=True)
    if not include_noise:
        cov = cov - 0.3 * model.y_std_**2 * np.eye(4)[:, :, None]
    samples = model.sample_y(NEWM[:4], n_samples, random_state=0, include_noise=include_noise)
    for output in range(3):
        own, C = samples[:, output], cov[:, :, output]
        variance = np.diag(C)
        assert np.all(np.abs(own.mean(axis=1) - mean[:, output]) < 5 * np.sqrt(variance / n_samples))
        assert np.all(np.abs(np.cov(own) - C) < 5 * np.sqrt((np.outer(variance, variance) + C**2) / n_samples))


@pytest.mark.parametrize("network", [NETWORK, MLP(1), LAST_LAYER], ids=["erf", "relu", "last layer"])
@pytest.mark.parametrize("noise_variance", [0.0, 1e-3, 0.5])
def test_the_process_is_less_certain_than_the_ensemble(network, noise_variance):
    trained = NTKRegressor(network, noise_variance=noise_variance, **as_given).fit(XM, YM)
    process = NTKRegressor(network, noise_variance=noise_variance, posterior="ntkgp", **as_given).fit(XM, YM)
    new = np.r_[NEWM, XM, 10 * NEWM, np.zeros((1, 3))]
    close(process.predict(new), trained.predict(new))
    scale = network.ntk(new).diagonal()[:, None]
    assert np.all(process.predict_std(new) ** 2 >= trained.predict_std(new) ** 2 - 1e-10 * scale)


@pytest.mark.parametrize("width", [16, 400])
def test_standard_parametrization(width):
    network = MLP(2, "erf", parametrization="standard", width=width)
    time = 5.0 / width
    model = NTKRegressor(network, training_time=time, noise_variance=0.3, **as_given).fit(XM, YM)
    mean, covariance = law_of_training(network, XM, YM, NEWM, time, 0.3)
    close(model.predict(NEWM), mean)
    close(model.predict_std(NEWM, include_noise=False)[:, 0], np.sqrt(np.diag(covariance)))
    assert model.kernel_ == NTKKernel(network)


# Covariances are those of something


@pytest.mark.parametrize("noise_variance", [0.0, 0.1])
@pytest.mark.parametrize("time", [1e-3, 1.0, 1e2, 1e4, 1e6, 1e8, np.inf])
def test_covariances_are_positive(time, noise_variance):
    """Duplicate rows among the training and the new rows, and new rows that were trained on."""
    rows, new = np.r_[XM, XM[:5]], np.r_[NEWM, NEWM, XM[:3], 3 * NEWM]
    model = NTKRegressor(MLP(1, "erf"), noise_variance=noise_variance, training_time=time, **as_given)
    if noise_variance == 0.0:
        with pytest.warns(LinAlgWarning, match="added to its diagonal.*noise_variance"):
            model.fit(rows, rows[:, 0])
    else:
        model.fit(rows, rows[:, 0])
    cov = model.predict(new, return_cov=True)[1] - noise_variance * np.eye(len(new))
    assert np.all(cov == cov.T)
    values = np.linalg.eigvalsh(cov)
    assert values[-1] > 0
    assert values[0] >= -1e-10 * values[-1]
    assert np.all(np.diag(cov) <= MLP(1, "erf").diag(new) * (1 + 1e-9))  # training takes variance away


@pytest.mark.parametrize("options", [{}, {"training_time": 1e5}, {"posterior": "ntkgp"}], ids=["end", "1e5", "ntkgp"])
def test_duplicate_rows_without_noise_warn_and_interpolate(options):
    model = NTKRegressor(NETWORK, optimizer=None, noise_variance=0, **options)
    with pytest.warns(LinAlgWarning, match="added to its diagonal.*noise_variance"):
        model.fit(np.r_[XM, XM], np.r_[YM, YM])
    assert 0 < model.jitter_ < 1e-4
    assert all(np.isfinite(part).all() for part in everything(model, NEWM))
    assert np.isfinite(model.max_learning_rate())
    if not options.get("training_time"):
        assert_allclose(model.predict(XM), YM, rtol=0, atol=1e-3)


def test_contradictory_targets_without_noise_give_their_mean():
    model = NTKRegressor(NETWORK, optimizer=None, noise_variance=0, normalize_y=False)
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        model.fit(np.r_[XM, XM[:1]], np.r_[YM[:, 0], YM[0, 0] + 2.0])
    assert_allclose(model.predict(XM[:1]), YM[0, 0] + 1.0, rtol=0, atol=1e-3)
    for mean, std in model.staged_predict(XM[:1], [1e8, 1e16, 1e24, np.inf], return_std=True):
        assert_allclose(mean, YM[0, 0] + 1.0, rtol=0, atol=0.01)
        assert np.all(std < 0.1)


def test_late_times_stay_bounded_where_the_kernel_is_singular():
    """Of 30 rows on a line an erf network tells about 20 apart: the rest is rounding, and noise as small as that."""
    x = np.linspace(-1, 1, 30)[:, None]
    new = np.linspace(-1.2, 1.2, 13)[:, None]
    model = NTKRegressor(MLP(1, "erf"), noise_variance=1e-12, **as_given).fit(x, np.sin(3 * x[:, 0]))
    assert model.jitter_ == 0.0
    end, end_std = next(model.staged_predict(new, [np.inf], return_std=True))
    assert_allclose(end[1:-1], np.sin(3 * new[1:-1, 0]), rtol=0, atol=0.01)
    assert np.all(end_std < 0.01)
    for mean, std in model.staged_predict(new, [1e17, 1e20, 1e30], return_std=True):
        assert_allclose(mean, end, rtol=0, atol=1e-4)
        assert_allclose(std, end_std, rtol=0, atol=1e-5)


# Leave-one-out


@weights
@targets
@pytest.mark.parametrize("posterior", ["ensemble", "ntkgp"])
@pytest.mark.parametrize("include_noise", [True, False])
def test_leave_one_out_equals_refitting(target, weight, posterior, include_noise):
    model = NTKRegressor(NETWORK, noise_variance=0.5, posterior=posterior, **as_given).fit(XM, target, weight)
    mean, std = model.loo_predict(include_noise=include_noise)
    assert mean.shape == std.shape == target.shape
    for row in range(len(XM)):
        others = np.arange(len(XM)) != row
        own = None if weight is None else weight[others]
        refitted = clone(model).fit(XM[others], target[others], own)
        close(mean[[row]], refitted.predict(XM[[row]]))
        close(std[[row]], refitted.predict_std(XM[[row]], include_noise=include_noise))


@pytest.mark.parametrize("options", [{"training_time": 5.0}, {"learning_rate": 0.5}], ids=["time", "steps"])
def test_leave_one_out_is_of_the_end_of_training(options):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(XM, YM)
    with pytest.raises(ValueError, match=r"end of training only: use training_time=inf.*or cross_val_predict"):
        model.loo_predict()


# Steps


def test_largest_learning_rate():
    for momentum in (0.0, 0.9):
        ask = partial(NTKRegressor, NETWORK, noise_variance=0.3, momentum=momentum, **as_given)
        T = np.sqrt(np.outer(WEIGHT, WEIGHT)) * NETWORK.ntk(XM)
        largest = 2 * (1 + momentum) * 3 * WEIGHT.sum() / (np.linalg.eigvalsh(T)[-1] + 0.3)
        below = ask(learning_rate=0.99 * largest).fit(XM, YM, WEIGHT)
        assert_allclose(below.max_learning_rate(), largest, rtol=1e-10)
        late = ask(learning_rate=0.99 * largest, training_time=1e6 * 0.99 * largest).fit(XM, YM, WEIGHT)
        close(late.predict(NEWM), below.predict(NEWM))
        for time in (0.0, np.inf):
            with pytest.raises(ValueError, match=rf"must be below {largest:.6g} \(max_learning_rate\(\)\)"):
                ask(learning_rate=1.001 * largest, training_time=time).fit(XM, YM, WEIGHT)
    many = NTKRegressor(NETWORK, optimizer=None).fit(X, y)  # more rows, by products with the kernel
    T = NETWORK.ntk(many.feature_scaler_.transform(X))
    assert_allclose(many.max_learning_rate(), 2 * len(X) / (np.linalg.eigvalsh(T)[-1] + 0.1), rtol=1e-8)


def test_smaller_steps_come_closer_to_flow():
    flow = NTKRegressor(NETWORK, training_time=8.0, **as_given).fit(XM, YM).predict(NEWM)
    errors = [
        np.abs(NTKRegressor(NETWORK, training_time=8.0, learning_rate=e, **as_given).fit(XM, YM).predict(NEWM) - flow)
        for e in (0.8, 0.08, 0.008)
    ]
    errors = [error.max() for error in errors]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


def test_stages_of_steps_are_whole_numbers_of_steps():
    model = NTKRegressor(NETWORK, optimizer=None, learning_rate=0.3).fit(XM, YM)
    for ask in (
        lambda times: list(model.staged_predict(NEWM, times)),
        lambda times: list(model.staged_predict(NEWM, times, return_std=True)),
        model.training_loss,
    ):
        assert len(ask([0.0, 0.3, 300.0, np.inf])) == 4
        with pytest.raises(ValueError, match=r"multiple of learning_rate: 1.0 is 3.33333 x 0.3"):
            ask([0.3, 1.0])


# A time by validation


def noisy_waves(n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-2, 2, (n, 2))
    return rows, np.sin(2 * rows[:, 0]) + 0.5 * rng.standard_normal(n)


@pytest.mark.parametrize("descent", [{}, {"learning_rate": 0.5, "momentum": 0.3}], ids=["flow", "steps"])
def test_validated_time(descent):
    rows, target = noisy_waves(100, 0)
    new = noisy_waves(1000, 1)[0]
    truth = np.sin(2 * new[:, 0])
    ask = partial(NTKRegressor, MLP(1), noise_variance=1e-6, **as_given, **descent)
    model = ask(training_time="validation", random_state=0).fit(rows, target)
    time = model.training_time_
    assert 0 < time < np.inf
    if descent:
        assert abs(time / 0.5 - round(time / 0.5)) < 1e-6
    early, chosen, end = (
        np.mean((mean - truth) ** 2)
        for mean in model.staged_predict(new, [0.5 if descent else 0.01 * time, time, np.inf])
    )
    assert chosen < 0.8 * early
    assert chosen < 0.8 * end
    close(model.predict(new), next(model.staged_predict(new, [time])))
    again = ask(training_time="validation", random_state=0).fit(rows, target)
    assert again.training_time_ == time
    assert np.all(again.predict(new) == model.predict(new))
    close(ask(training_time=time).fit(rows, target).predict(new, return_std=True), model.predict(new, return_std=True))

    def error(time):
        folds = KFold(5, shuffle=True, random_state=0)
        scores = cross_val_score(ask(training_time=time), rows, target, cv=folds, scoring="neg_mean_squared_error")
        return -scores.mean()

    around = [round(time * factor / 0.5) * 0.5 if descent else time * factor for factor in (0.3, 0.7, 1.5, 3.0)]
    assert error(time) < min(map(error, [*around, np.inf]))


def test_validated_time_of_several_outputs():
    """The same target twice is the same choice, in a unit of time of twice as many targets."""
    rows, target = noisy_waves(60, 0)
    ask = partial(NTKRegressor, MLP(1), training_time="validation", noise_variance=1e-6, random_state=0, **as_given)
    single, both = ask().fit(rows, target), ask().fit(rows, np.c_[target, target])
    assert_allclose(both.training_time_, 2 * single.training_time_, rtol=1e-9)
    close(both.predict(rows)[:, 1], single.predict(rows))
    heavy = ask().fit(rows, target, np.full(60, 3.0))  # each row three times, on the same folds
    thrice = NTKRegressor(MLP(1), training_time=heavy.training_time_, noise_variance=1e-6, **as_given)
    close(thrice.fit(np.tile(rows, (3, 1)), np.tile(target, 3)).predict(rows), heavy.predict(rows), rtol=1e-6)


def test_validated_time_needs_two_rows():
    with pytest.raises(ValueError, match="training_time='validation' holds rows out: it needs two rows"):
        NTKRegressor(optimizer=None, training_time="validation").fit(XM[:1], YM[:1])
    model = NTKRegressor(optimizer=None, training_time="validation").fit(XM[:3], YM[:3], [1.0, 0.5, 2.0])
    assert np.isfinite(model.predict(XM)).all()


def test_validated_time_of_a_target_that_is_a_function():
    """Without noise more training is better."""
    rows = np.linspace(-1, 1, 25)[:, None]
    model = NTKRegressor(MLP(1), training_time="validation", noise_variance=0, random_state=0, **as_given)
    model.fit(rows, np.sin(2 * rows[:, 0]))
    losses = model.training_loss([0.0, model.training_time_])
    assert losses[1] < 1e-4 * losses[0]


# Learning


@pytest.mark.parametrize("optimizer", ["lml", "loo"])
@pytest.mark.parametrize("options", [{"training_time": 50.0}, {"posterior": "ntkgp"}], ids=["ensemble", "ntkgp"])
def test_learned_variances(optimizer, options):
    learned = NTKRegressor(MLP(1, "erf"), optimizer=optimizer, feature_scaling="standard", random_state=0, **options)
    learned.fit(X, y)
    assert learned.network_ != learned.network
    fixed = NTKRegressor(
        learned.network_, optimizer=None, feature_scaling="standard", noise_variance=learned.noise_variance_, **options
    ).fit(X, y)
    for actual, expected in zip(everything(learned, NEW), everything(fixed, NEW), strict=True):
        close(actual, expected)
    start = NTKRegressor(MLP(1, "erf"), optimizer=None, **options).fit(X, y)
    if optimizer == "lml":
        value = fixed.log_marginal_likelihood()
        assert value > start.log_marginal_likelihood() + 1
        theta = np.append(fixed.kernel_.theta, np.log(fixed.noise_variance_))
        assert_allclose(fixed.log_marginal_likelihood(theta), value, rtol=1e-10)


FX, FY = make_friedman1(40, n_features=5, noise=0.3, random_state=0)
FNEW = make_friedman1(10, n_features=5, random_state=1)[0]


@pytest.fixture(
    scope="module", params=[{}, {"training_time": 30.0}, {"posterior": "ntkgp"}], ids=["end", "30", "ntkgp"]
)
def average(request):
    """A model that averages networks, and each of its parts as a model of its own."""
    model = NTKRegressor(random_state=0, **request.param).fit(FX, FY)
    scalings = {"StandardScaler": "standard", "WeightedPowerTransformer": "power"}
    used = model.network_weights_ > 0
    parts = [
        NTKRegressor(
            network,
            noise_variance=component.noise_variance,
            feature_scaling=scalings[type(component.scaler).__name__],
            optimizer=None,
            **request.param,
        ).fit(FX, FY)
        for component, network in zip(model._mixture.components, compress(model.networks_, used), strict=True)
    ]
    assert len(parts) > 1
    return model, model.network_weights_[used], parts


def test_average_of_networks(average):
    model, weights, parts = average
    assert_allclose(weights.sum(), 1.0)
    predictions = [part.predict(FNEW, return_cov=True) for part in parts]
    mean = sum(w * own for w, (own, _) in zip(weights, predictions, strict=True))
    second = sum(w * (cov + np.outer(own, own)) for w, (own, cov) in zip(weights, predictions, strict=True))
    cov = second - np.outer(mean, mean)
    close(model.predict(FNEW), mean)
    close(model.predict(FNEW, return_cov=True)[1], cov, rtol=1e-7)
    close(model.predict_std(FNEW), np.sqrt(np.diag(cov)), rtol=1e-7)


def test_stages_of_an_average(average):
    model, weights, parts = average
    if model.posterior == "ntkgp":
        return
    times = [0.0, 3.0, 300.0, np.inf]
    stages = list(model.staged_predict(FNEW, times, return_std=True))
    own = [list(part.staged_predict(FNEW, times, return_std=True)) for part in parts]
    for place, ((mean, std), alone) in enumerate(zip(stages, model.staged_predict(FNEW, times), strict=True)):
        expected = sum(w * o[place][0] for w, o in zip(weights, own, strict=True))
        second = sum(w * (o[place][1] ** 2 + o[place][0] ** 2) for w, o in zip(weights, own, strict=True))
        close(mean, expected)
        close(alone, expected)
        close(std**2, second - expected**2, rtol=1e-6)
    close(model.training_loss(times), [0.5 * np.mean((FY - m) ** 2) for m in model.staged_predict(FX, times)], 1e-7)


def test_leave_one_out_of_an_average(average):
    model, weights, parts = average
    if not np.isinf(model.training_time_):
        with pytest.raises(ValueError, match="end of training only"):
            model.loo_predict()
        return
    own = [part.loo_predict() for part in parts]
    mean = sum(w * o[0] for w, o in zip(weights, own, strict=True))
    second = sum(w * (o[1] ** 2 + o[0] ** 2) for w, o in zip(weights, own, strict=True))
    close(model.loo_predict(), [mean, np.sqrt(second - mean**2)], rtol=1e-6)


def test_pickle_of_an_average(average):
    model = average[0]
    again = pickle.loads(pickle.dumps(model))
    for actual, expected in zip(everything(again, FNEW), everything(model, FNEW), strict=True):
        assert np.all(actual == expected)
    assert again.max_learning_rate() == model.max_learning_rate()


# Pieces, threads and memory


MODELS = [
    {},
    {"training_time": 6.0},
    {"training_time": 6.0, "learning_rate": 0.5, "momentum": 0.5},
    {"posterior": "ntkgp"},
]
models = pytest.mark.parametrize("options", MODELS, ids=["end", "flow", "momentum", "ntkgp"])


@models
def test_threads_and_pickle_and_clone(options):
    model = NTKRegressor(NETWORK, optimizer=None, n_jobs=1, **options).fit(X, y)
    expected = everything(model, NEW)
    same = pickle.loads(pickle.dumps(model))
    assert all(np.all(a == b) for a, b in zip(everything(same, NEW), expected, strict=True))
    before = pickle.loads(pickle.dumps(NTKRegressor(NETWORK, optimizer=None, n_jobs=1, **options).fit(X, y)))
    assert all(np.all(a == b) for a, b in zip(everything(before, NEW), expected, strict=True))
    copy = clone(model)
    assert copy.get_params().keys() == model.get_params().keys()
    assert repr(copy) == repr(model)
    with pytest.raises(NotFittedError):
        copy.predict(NEW)
    several = copy.set_params(n_jobs=2).fit(X, y)
    for actual, whole in zip(everything(several, NEW), expected, strict=True):
        close(actual, whole)


@models
def test_predictions_do_not_depend_on_blocks(options, monkeypatch):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    expected = everything(model, NEW)
    monkeypatch.setattr(posterior, "BATCH_BYTES", 8 * len(X) * 7)  # 7 new rows at a time
    monkeypatch.setattr(posterior, "MEAN_ROWS", 9)
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole, rtol=1e-11)


@models
@pytest.mark.parametrize("tile", [12, 50, 119])
def test_results_do_not_depend_on_tiles(options, tile, monkeypatch):
    expected = everything(NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))

    class SmallTiles(LowerTiles):
        def __init__(self, n):
            super().__init__(n, tile)

    monkeypatch.setattr(ensemble, "LowerTiles", SmallTiles)
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    if model.posterior == "ensemble":
        assert model._mixture.components[0].posterior.tiles.n_blocks > 1
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole)


@pytest.mark.parametrize("options", MODELS[:3], ids=["end", "flow", "momentum"])
def test_std_never_forms_the_matrix_of_the_new_rows(options, monkeypatch):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    expected = np.sqrt(np.diag(model.predict(NEW, return_cov=True)[1]))
    monkeypatch.setattr(ProgramSource, "full", forbidden)
    close(model.predict(NEW, return_std=True)[1], expected)
    close(model.predict_std(NEW), expected)


def forbidden(*_, **__):
    raise AssertionError("the kernel was computed")


@pytest.mark.parametrize(
    "options",
    [{"training_time": 5.0}, {"training_time": "validation"}, {"learning_rate": 0.1}],
    ids=["time", "validation", "steps"],
)
@pytest.mark.parametrize("optimizer", [None, "lml"])
def test_too_little_memory_is_said_before_any_kernel(options, optimizer, monkeypatch):
    for name in ("fill", "full"):
        monkeypatch.setattr(ProgramSource, name, forbidden)
    n_models = 1 if optimizer is None else 5
    needed = (DENSE_BYTES + 8 * (n_models - 1)) * len(X) ** 2 + 2 * n_models * LowerTiles.n_bytes(len(X))
    ask = partial(NTKRegressor, optimizer=optimizer, **options)
    with pytest.raises(MemoryError, match=rf"a fit of 120 rows needs {needed:,} bytes.*raise max_memory"):
        ask(max_memory=needed - 1).fit(X, y)
    if optimizer is None:
        with pytest.raises(AssertionError, match="the kernel was computed"):
            ask(max_memory=needed).fit(X, y)


def test_stages_after_the_end_say_what_they_need(monkeypatch):
    model = NTKRegressor(NETWORK, optimizer=None, max_memory=DENSE_BYTES * 120**2 - 1).fit(X, y)
    monkeypatch.setattr(ProgramSource, "full", forbidden)
    for ask in (
        lambda: list(model.staged_predict(NEW, [1.0])),
        lambda: list(model.staged_predict(NEW, [1.0], return_std=True)),
        lambda: model.training_loss([1.0]),
    ):
        with pytest.raises(MemoryError, match="eigenvectors of 120 rows"):
            ask()
    model.predict(NEW, return_std=True)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training_time": -1.0}, "training_time must be a number, 0 or larger, or inf; got -1.0"),
        ({"training_time": np.nan}, "training_time must be a number, 0 or larger, or inf; got nan"),
        ({"training_time": None}, "training_time must be a number.*got None"),
        ({"training_time": True}, "training_time must be a number.*got True"),
        ({"training_time": "inf"}, "training_time must be a number, inf or 'validation'; got 'inf'"),
        ({"training_time": np.ones(2)}, "training_time must be a number"),
        ({"posterior": "gp"}, "posterior must be 'ensemble' or 'ntkgp', got 'gp'"),
        ({"posterior": None}, "posterior must be 'ensemble' or 'ntkgp', got None"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number or None, got 0.0"),
        ({"learning_rate": np.inf}, "learning_rate must be a positive number or None, got inf"),
        ({"learning_rate": np.nan}, "learning_rate must be a positive number or None, got nan"),
        ({"learning_rate": "fast"}, "learning_rate must be a positive number or None, got 'fast'"),
        ({"momentum": 0.5}, "momentum is a property of steps: give a learning_rate"),
        ({"momentum": 1.0, "learning_rate": 0.1}, "momentum must be a number, at least 0 and below 1; got 1.0"),
        ({"momentum": -0.1, "learning_rate": 0.1}, "momentum must be a number, at least 0 and below 1; got -0.1"),
        ({"momentum": np.nan, "learning_rate": 0.1}, "momentum must be a number.*got nan"),
        ({"momentum": None}, "momentum must be a number.*got None"),
        ({"momentum": "heavy", "learning_rate": 0.1}, "momentum must be a number.*got 'heavy'"),
        (
            {"training_time": 1.0, "learning_rate": 0.3},
            "must be a multiple of learning_rate: 1.0 is 3.33333 x 0.3",
        ),
        ({"training_time": 5.0, "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"training_time": "validation", "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"learning_rate": 0.1, "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"noise_variance": -0.1, "optimizer": None}, "noise_variance is a variance.*0 or larger, got -0.1"),
        ({"noise_variance": 0.0}, "noise_variance is a variance.*positive number, got 0.0"),
        ({"optimizer": "adam"}, "optimizer must be 'lml', 'loo', a callable or None, got 'adam'"),
        ({"n_restarts_optimizer": -1}, "n_restarts_optimizer must be an integer, 0 or larger; got -1"),
        ({"max_optimizer_samples": 0}, "max_optimizer_samples must be an integer, 1 or larger; got 0"),
        ({"max_optimizer_time": -1}, "max_optimizer_time must be a positive number or None, got -1"),
        ({"prior_std": 0}, "prior_std must be a positive number or None, got 0"),
        ({"feature_scaling": "minmax"}, "feature_scaling must be .*'standard'.* got 'minmax'"),
        ({"solver": "lu"}, "solver must be .*'cholesky'.*got 'lu'"),
        ({"max_memory": "lots", "optimizer": None}, "max_memory must be .*got 'lots'"),
        ({"n_jobs": 0, "optimizer": None}, "n_jobs"),
        ({"random_state": "seed"}, "'seed' cannot be used to seed"),
        ({"random_state": "seed", "optimizer": None, "training_time": "validation"}, "'seed' cannot be used to seed"),
        ({"network": MLP(activation="sign"), "optimizer": None}, "derivative"),
    ],
    ids=str,
)
def test_parameters_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NTKRegressor(**options).fit(XM, YM)


def test_a_network_that_is_none():
    with pytest.raises(TypeError, match=r"network must be a network .* got 'mlp'"):
        NTKRegressor("mlp").fit(XM, YM)


def test_a_bad_learning_rate_is_refused_before_learning(monkeypatch):
    monkeypatch.setattr(ProgramSource, "fill", forbidden)
    with pytest.raises(ValueError, match="multiple of learning_rate"):
        NTKRegressor(training_time=1.0, learning_rate=0.3).fit(XM, YM)


@pytest.mark.parametrize("bad", [-1.0, np.nan, None, True, "late"])
def test_times_that_are_refused(bad):
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    for ask in (lambda: model.staged_predict(NEWM, [1.0, bad]), lambda: model.training_loss([bad])):
        with pytest.raises(ValueError, match="a training time must be a number, 0 or larger, or inf"):
            ask()


def test_the_process_has_no_training_time():
    model = NTKRegressor(NETWORK, optimizer=None, posterior="ntkgp").fit(XM, YM)
    with pytest.raises(ValueError, match="staged_predict is for posterior='ensemble'"):
        model.staged_predict(NEWM, [1.0])
    with pytest.raises(ValueError, match="training_loss is for posterior='ensemble'"):
        model.training_loss([1.0])
    assert model.training_time_ == np.inf
    assert model.max_learning_rate() > 0


def test_unfitted_model():
    model = NTKRegressor()
    for ask in (
        lambda: model.predict(NEWM),
        lambda: model.staged_predict(NEWM, [1.0]),
        lambda: model.training_loss([1.0]),
        model.loo_predict,
    ):
        with pytest.raises(NotFittedError):
            ask()
    with pytest.raises(NotFittedError):
        _ = model.max_learning_rate()


def test_a_fit_that_failed_changes_nothing():
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    before = model.predict(NEWM)
    model.set_params(learning_rate=1e6)
    with pytest.raises(ValueError, match="diverges"):
        model.fit(2.0 * XM, -YM)
    assert_allclose(model.predict(NEWM), before, rtol=1e-15)


def test_new_rows_that_are_refused():
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    with pytest.raises(ValueError, match="X has 2 features, but NTKRegressor is expecting 3 features"):
        model.staged_predict(NEWM[:, :2], [1.0])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.staged_predict(np.full((1, 3), np.nan), [1.0])


def test_fit_leaves_parameters_alone():
    model = NTKRegressor(NETWORK, optimizer=None, training_time="validation", learning_rate=0.5, random_state=0)
    before = model.get_params()
    model.fit(XM, YM)
    after = model.get_params()
    assert all(after[name] is before[name] for name in before)
    assert model.network == NETWORK == model.network_


def test_the_ensemble_needs_both_kernels():
    """Half a matrix each: 2 · 4n² bytes and the diagonals of the tiles; the Gaussian process needs one."""
    rows, target = np.zeros((1000, 1)), np.arange(1000.0)
    options = {"optimizer": None, "max_memory": 12_000_000}
    with pytest.raises(MemoryError, match="16,000,000 bytes"):
        NTKRegressor(**options).fit(rows, target)
    NTKRegressor(posterior="ntkgp", **options).fit(rows, target)
