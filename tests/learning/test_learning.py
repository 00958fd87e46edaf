"""Learning the hyperparameters: what is found, how, and what is said."""

from itertools import compress

import numpy as np
import pytest
from learning_cases import best_evidence_from
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from infwidth import NNGPRegressor
from infwidth._learning import climb, quasi_newton, search
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP, Activation, Dense, Sequential

X, y = load_diabetes(return_X_y=True)
X, y = X[:150], y[:150]
WAVES, WAVE_TARGET = make_friedman1(160, n_features=8, noise=0.3, random_state=0)
ARD = MLP(1, "erf", ard=True)


def gaussian_process(model):
    """scikit-learn's Gaussian process with what the model has learned."""
    kernel = model.kernel_ + WhiteKernel(model.noise_variance_)
    scaled = model.feature_scaler_.transform(X)
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0, normalize_y=True).fit(scaled, y)


def test_learned_model_is_scikit_learns_with_the_same_values():
    model = NNGPRegressor(ARD).fit(X, y)
    other = gaussian_process(model)
    assert isinstance(model.kernel_, NNGPKernel)
    assert_allclose(model.log_marginal_likelihood_value_, other.log_marginal_likelihood_value_, rtol=1e-10)
    new = model.feature_scaler_.transform(X[::7] + 0.01)
    assert_allclose(model.predict(X[::7] + 0.01), other.predict(new), rtol=1e-7)


def test_log_marginal_likelihood_and_its_gradient():
    model = NNGPRegressor(ARD, prior_std=None).fit(X, y)
    value, gradient = model.log_marginal_likelihood(eval_gradient=True)
    assert_allclose(value, model.log_marginal_likelihood(), rtol=1e-12)
    theta = np.append(model.kernel_.theta, np.log(model.noise_variance_))
    assert_allclose(model.log_marginal_likelihood(theta), value, rtol=1e-12)
    assert best_evidence_from(model) < value + 0.02
    for place, step in enumerate(1e-4 * np.eye(len(theta))):
        slope = (model.log_marginal_likelihood(theta + step) - model.log_marginal_likelihood(theta - step)) / 2e-4
        assert_allclose(gradient[place], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lml", "loo"])
def test_learning_raises_its_own_objective(optimizer):
    given = NNGPRegressor(MLP(1), optimizer=None, feature_scaling="standard").fit(X, y)
    learned = NNGPRegressor(MLP(1), optimizer=optimizer, feature_scaling="standard").fit(X, y)

    def score(model):
        if optimizer == "lml":
            return model.log_marginal_likelihood()
        mean, std = model.loo_predict()
        return np.sum(-np.log(std) - 0.5 * ((y - mean) / std) ** 2)

    assert score(learned) > score(given) + 1


def test_relevant_features_are_found():
    """Friedman's function uses the first five of the features."""
    model = NNGPRegressor(ARD, feature_scaling="standard").fit(WAVES, WAVE_TARGET)
    relevance = model.feature_relevance_
    assert relevance.sum() == pytest.approx(1.0)
    assert relevance[:5].min() > relevance[5:].max()
    assert relevance[:3].min() > 5 * relevance[5:].max()  # the last two of the five enter linearly
    assert np.ptp(NNGPRegressor(MLP(1)).fit(WAVES, WAVE_TARGET).feature_relevance_) < 1e-15


def test_networks_compete():
    model = NNGPRegressor(random_state=0).fit(WAVES, WAVE_TARGET)
    assert len(model.networks_) == len(model.evidence_) == len(model.network_weights_) >= 4
    assert model.network_ == model.networks_[0]
    assert model.evidence_[0] == model.log_marginal_likelihood_value_
    sizes = [len(NNGPKernel(network).theta) for network in model.networks_]
    merit = model.evidence_ - sizes
    assert np.all(np.diff(merit) <= 0)
    kept = model.network_weights_ > 0
    assert_allclose(model.network_weights_.sum(), 1.0)
    assert_allclose(np.diff(np.log(model.network_weights_[kept])), np.diff(merit[kept]) / 10)
    assert model.network_weights_[~kept].sum() == 0.0
    rest = make_friedman1(500, n_features=8, noise=0.0, random_state=1)
    assert model.score(*rest) > 0.95


def test_scaling_is_chosen_by_evidence():
    skewed = np.exp(2.0 * np.random.default_rng(0).standard_normal((200, 2)))
    target = np.sin(2 * np.log(skewed[:, 0])) + np.log(skewed[:, 1])
    models = {
        s: NNGPRegressor(MLP(1, "erf"), feature_scaling=s).fit(skewed, target) for s in ("auto", "standard", "power")
    }
    assert type(models["auto"].feature_scaler_).__name__ == "WeightedPowerTransformer"
    values = {name: model.log_marginal_likelihood_value_ for name, model in models.items()}
    assert values["auto"] == pytest.approx(values["power"], rel=1e-6)
    assert values["power"] > values["standard"] + 10


def test_sequential_and_zero_variances():
    network = Sequential(
        [
            Dense(weight_variance=np.r_[np.ones(9), 0.0], bias_variance=0.0),
            Activation("erf"),
            Dense(weight_variance=1.5, bias_variance=0.2),
        ]
    )
    model = NNGPRegressor(network).fit(X, y)
    first, last = model.network_.layers[0], model.network_.layers[2]
    assert first.bias_variance == 0.0
    assert first.weight_variance[-1] == 0.0
    assert len(np.unique(first.weight_variance[:-1])) > 1
    assert last.weight_variance != 1.5
    assert network.layers[2].weight_variance == 1.5


def test_subset_of_rows_then_all_rows():
    model = NNGPRegressor(MLP(1), max_optimizer_samples=60, random_state=0).fit(X, y)
    other = NNGPRegressor(MLP(1), max_optimizer_samples=60, random_state=0).fit(X, y)
    full = NNGPRegressor(MLP(1)).fit(X, y)
    assert model.network_ == other.network_ != full.network_
    assert model.log_marginal_likelihood_value_ < full.log_marginal_likelihood_value_
    assert len(model.loo_predict()[0]) == len(X)


def test_units_of_the_target_do_not_matter():
    model = NNGPRegressor(ARD).fit(X, y)
    for unit in (1e6, 1e-6):
        other = NNGPRegressor(ARD).fit(X, y * unit)
        assert_allclose(
            other.predict(X[:20], return_std=True), unit * np.array(model.predict(X[:20], return_std=True)), rtol=1e-4
        )


def test_units_of_the_features_do_not_matter():
    model = NNGPRegressor(ARD, feature_scaling="standard").fit(X, y)
    other = NNGPRegressor(ARD, feature_scaling="standard").fit(X * 1e6, y)
    assert_allclose(other.predict(X[:20] * 1e6), model.predict(X[:20]), rtol=1e-4)


def test_restarts_do_not_lose():
    one = NNGPRegressor(ARD, random_state=0, feature_scaling="standard", prior_std=None).fit(X, y)
    more = NNGPRegressor(ARD, random_state=0, feature_scaling="standard", prior_std=None, n_restarts_optimizer=2).fit(
        X, y
    )
    assert more.log_marginal_likelihood_value_ > one.log_marginal_likelihood_value_ - 0.1


def test_callable_optimizer():
    calls = []

    def optimizer(obj_func, initial_theta, bounds):
        value, gradient = obj_func(initial_theta)
        assert obj_func(initial_theta, eval_gradient=False) == value
        assert gradient.shape == initial_theta.shape
        assert np.shape(bounds) == (len(initial_theta), 2)
        calls.append(value)
        found = minimize(obj_func, initial_theta, jac=True, bounds=bounds, method="L-BFGS-B")
        return found.x, found.fun

    own = NNGPRegressor(MLP(1), optimizer=optimizer, feature_scaling="standard").fit(X, y)
    default = NNGPRegressor(MLP(1), feature_scaling="standard").fit(X, y)
    assert calls
    assert own.log_marginal_likelihood_value_ == pytest.approx(default.log_marginal_likelihood_value_, abs=0.05)


def test_iteration_limit_is_reported(monkeypatch):
    monkeypatch.setattr(quasi_newton, "MAX_ITERATIONS", 2)
    with pytest.warns(ConvergenceWarning, match="limit of iterations"):
        NNGPRegressor(MLP(1)).fit(X, y)


def test_many_variables_are_learned_without_a_matrix_of_them(monkeypatch):
    few = NNGPRegressor(ARD, random_state=0).fit(WAVES, WAVE_TARGET)
    monkeypatch.setattr(climb, "MANY_VARIABLES", 3)
    many = NNGPRegressor(ARD, random_state=0).fit(WAVES, WAVE_TARGET)
    assert many.converged_
    assert_allclose(many.evidence_, few.evidence_, atol=0.5)
    monkeypatch.setattr(quasi_newton, "MAX_ITERATIONS", 2)
    with pytest.warns(ConvergenceWarning):
        NNGPRegressor(ARD).fit(WAVES, WAVE_TARGET)
    monkeypatch.undo()
    wide = np.hstack([WAVES, np.random.default_rng(0).standard_normal((len(WAVES), 1200))])
    model = NNGPRegressor(ARD, feature_scaling="standard", max_optimizer_time=60).fit(wide, WAVE_TARGET)
    assert model.feature_relevance_[:5].mean() > 5 * model.feature_relevance_[5:].mean()


def test_a_trial_point_that_fails_does_not_end_the_search():
    """Duplicate rows whose targets agree drive the noise to its bound, where the matrix is singular."""
    rows = np.tile(np.arange(40), 4)
    model = NNGPRegressor(MLP(2), optimizer="loo").fit(X[rows], y[rows])
    assert np.isfinite(model.log_marginal_likelihood_value_)
    assert model.noise_variance_ < 1e-3
    assert_allclose(model.predict(X[:40]), y[:40], rtol=0.05)


@pytest.mark.parametrize(
    ("features", "target"),
    [
        (X[:3], y[:3]),
        (X, np.full(len(X), 2.0)),
        (X, (y > 150) * 1.0),
        (X[:8], y[:8]),
        (np.hstack([X, X, X]), y),
        (np.hstack([X, np.ones((len(X), 1))]), y),
    ],
    ids=["three rows", "constant", "two values", "more features", "duplicated features", "constant feature"],
)
def test_degenerate_data(features, target):
    mean, std = NNGPRegressor(random_state=0).fit(features, target).predict(features, return_std=True)
    assert np.isfinite(mean).all()
    assert (std >= 0).all()
    assert np.abs(mean - target.mean()).max() <= 1.5 * np.abs(target - target.mean()).max() + 1e-9


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"optimizer": "adam"}, "optimizer must be 'lml', 'loo', a callable or None"),
        ({"n_restarts_optimizer": -1}, "n_restarts_optimizer must be an integer, 0 or larger"),
        ({"max_optimizer_samples": 0}, "max_optimizer_samples must be an integer, 1 or larger"),
        ({"max_optimizer_samples": 1.5}, "max_optimizer_samples must be an integer"),
        ({"prior_std": 0.0}, "prior_std is a variance|prior_std"),
        ({"noise_variance": 0.0}, "noise_variance"),
        ({"feature_scaling": "minmax"}, "feature_scaling must be 'auto', 'standard', 'power' or None"),
    ],
)
def test_bad_parameters(parameters, match):
    with pytest.raises(ValueError, match=match):
        NNGPRegressor(**parameters).fit(X, y)


@pytest.mark.parametrize("rows", [90, 160])
def test_a_network_that_is_given_with_ard_means_it(rows, monkeypatch):
    monkeypatch.setattr(search, "SCREENING_ROWS", 100)
    model = NNGPRegressor(ARD, random_state=0).fit(WAVES[:rows], WAVE_TARGET[:rows])
    assert all(np.ndim(network.input_variance) == 1 for network in model.networks_)


def test_relevance_is_of_given_features_and_averaged():
    constant = np.column_stack([WAVES, np.full(len(WAVES), 7.0)])
    model = NNGPRegressor(random_state=0).fit(constant, WAVE_TARGET)
    assert (model.network_weights_ > 0).sum() > 1
    assert model.feature_relevance_[-1] == 0.0
    shares = [v[:-1] / v[:-1].sum() for v in (network.input_variances(9) for network in model.networks_)]
    assert_allclose(model.feature_relevance_[:-1], model.network_weights_ @ np.array(shares), rtol=1e-6)
    raw = NNGPRegressor(MLP(), optimizer=None, feature_scaling=None).fit(WAVES * np.arange(1, 9), WAVE_TARGET)
    spread = np.var(WAVES * np.arange(1, 9), axis=0)
    assert_allclose(raw.feature_relevance_, spread / spread.sum())


def test_the_noise_of_a_smooth_function_is_that_of_arithmetic():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(size=(250, 2))
    target = np.sin(3 * inputs[:, 0]) + inputs[:, 1] ** 2
    model = NNGPRegressor(MLP(1, "erf")).fit(inputs[:150], target[:150])
    mean, std = model.predict(inputs[150:], return_std=True)
    assert model.noise_variance_ < 1e-8
    error = np.sqrt(np.mean((mean - target[150:]) ** 2))
    assert error < 2e-4
    assert std.mean() < 20 * error


@pytest.mark.parametrize("optimizer", ["lml", None])
def test_weights_are_repeated_rows_to_the_log_marginal_likelihood(optimizer):
    weight = np.arange(60) % 3 + 1
    rows = np.repeat(np.arange(60), weight)
    options = {"optimizer": optimizer, "feature_scaling": None, "normalize_y": False, "noise_variance": 0.5}
    target = (y - y.mean()) / y.std()
    weighted = NNGPRegressor(MLP(1), **options).fit(X[:60], target[:60], sample_weight=weight)
    repeated = NNGPRegressor(MLP(1), **options).fit(X[rows], target[rows])
    # Equal targets of repeated rows have hardly any noise when it is learned: a condition of 1e10.
    rtol = 1e-7 if optimizer else 1e-8
    assert_allclose(weighted.log_marginal_likelihood(), repeated.log_marginal_likelihood(), rtol=rtol)
    theta = np.append(weighted.kernel_.theta, np.log(weighted.noise_variance_))
    assert_allclose(weighted.log_marginal_likelihood(theta), weighted.log_marginal_likelihood(), rtol=1e-10)


def test_leave_one_out_density_ranks_the_networks():
    """What was climbed decides, in units of the normalised target, whose mean square is 1."""
    rows, target = WAVES[:60], WAVE_TARGET[:60]
    model = NNGPRegressor(optimizer="loo", random_state=0).fit(rows, target)
    scaled_target = (target - model.y_mean_) / model.y_std_
    sizes = [len(NNGPKernel(network).theta) for network in model.networks_]
    assert np.all(np.diff(model.evidence_ - sizes) <= 0)
    assert_allclose(model.network_weights_.sum(), 1.0)
    density = []
    used = model.network_weights_ > 0
    for component, network in zip(model._mixture.components, compress(model.networks_, used), strict=True):
        A = network.nngp(component.scaled(rows)) + 1.0 + component.noise_variance * np.eye(60)
        B = np.linalg.inv(A)
        left_out = scaled_target - B @ scaled_target / np.diag(B)
        density.append(norm.logpdf(scaled_target, left_out, np.diag(B) ** -0.5).sum())
    assert_allclose(model.evidence_[used], density, rtol=1e-6)
    assert model.log_marginal_likelihood_value_ != model.evidence_[0]
