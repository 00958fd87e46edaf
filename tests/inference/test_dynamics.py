"""Gradient descent on a kernel, step by step; and infinitely wide networks against trained ones of finite width."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

from infwidth import NTKRegressor
from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._inference import dynamics
from infwidth._inference.dynamics import Descent, Spectrum, largest_eigenvalue
from infwidth.finite import FiniteNetwork
from infwidth.networks import MLP

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((12, 3))
THETA = MLP(2, "erf").ntk(ROWS)
Y = RNG.standard_normal((12, 2))
WEIGHT = np.linspace(0.3, 2.0, 12)
RIDGE, N = 0.2, 2 * WEIGHT.sum()  # N: weights times outputs
MAX_RATE = 2 * N / (np.linalg.eigvalsh(np.sqrt(np.outer(WEIGHT, WEIGHT)) * THETA)[-1] + RIDGE)


def spectrum():
    return Spectrum(THETA.copy(), WEIGHT, n_outputs=2)


def fit_of(descent, time, ridge=RIDGE):
    """Θ S Y: what the network has learned of Y on its rows."""
    own = spectrum()
    return THETA @ own.smooth(Y, descent.filter(own.decaying(ridge), own.n, time))


def fit_by_steps(rate, momentum, n_steps, ridge=RIDGE):
    """Heavy-ball descent on the coordinates θ of f = Jθ, J Jᵀ = Θ, from θ = 0."""
    J = np.linalg.cholesky(THETA)
    theta = before = np.zeros_like(Y)
    for _ in range(n_steps):
        gradient = (J.T @ (WEIGHT[:, None] * (J @ theta - Y)) + ridge * theta) / N
        theta, before = theta - rate * gradient + momentum * (theta - before), theta
    return J @ theta


@pytest.mark.parametrize("ridge", [0.0, RIDGE])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_steps_equal_a_loop_of_steps(share, momentum, ridge):
    rate = share * MAX_RATE
    for n_steps in (0, 1, 2, 3, 10, 57, 500):
        fit = fit_of(Descent(rate, momentum), rate * n_steps, ridge)
        assert_allclose(fit, fit_by_steps(rate, momentum, n_steps, ridge), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("time", [0.0, 0.01, 1.0, 30.0, 1e3])
def test_flow_solves_its_equation(time):
    """Θ' = -(W Θ + ρ) θ / N + W Y / N for f = Θθ, by one matrix exponential that holds the constant term too."""
    A = np.zeros((14, 14))
    A[:12, :12] = -(WEIGHT[:, None] * THETA + RIDGE * np.eye(12)) / N
    A[:12, 12:] = WEIGHT[:, None] * Y / N
    assert_allclose(fit_of(Descent(), time), THETA @ expm(A * time)[:12, 12:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_small_steps_are_flow(momentum):
    """Heavy-ball steps of η are flow with 1 / (1 - μ) times the speed; the difference falls with η."""
    flow = fit_of(Descent(), 20.0 / (1.0 - momentum))
    errors = [np.abs(fit_of(Descent(rate, momentum), 20.0) - flow).max() for rate in (0.1, 0.01, 0.001)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-3


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_no_steps_are_stable_from_the_largest_rate_on(momentum):
    own = spectrum()
    largest = Descent(1.0, momentum).largest_rate(own.decaying(RIDGE).max() / own.n)
    assert_allclose(largest, MAX_RATE * (1.0 + momentum), rtol=1e-12)
    end = fit_of(Descent(), np.inf)
    assert_allclose(end, THETA @ np.linalg.solve(THETA + np.diag(RIDGE / WEIGHT), Y), rtol=1e-10)
    rate = 0.999 * largest
    assert_allclose(fit_of(Descent(rate, momentum), 100_000 * rate), end, rtol=1e-8, atol=1e-8)
    assert np.abs(fit_by_steps(0.999 * largest, momentum, 20_000) - end).max() < 1e-3
    assert np.abs(fit_by_steps(1.001 * largest, momentum, 20_000)).max() > 1e3
    for time in (0.0, 1.001 * largest, np.inf):
        with pytest.raises(ValueError, match=rf"diverges with learning_rate=.* below {largest:.6g} \(max_learning"):
            fit_of(Descent(1.001 * largest, momentum), time)


def test_zero_eigenvalues_learn_slowly_and_stop():
    values = np.array([0.0, 1.0, 4.0])
    assert_allclose(Descent().filter(values, 2.0, 3.0), [1.5, 1 - np.exp(-1.5), (1 - np.exp(-6.0)) / 4])
    assert_allclose(Descent().filter(values, 2.0, np.inf), [0.0, 1.0, 0.25])
    assert_allclose(Descent(0.5).filter(values, 2.0, 3.0), [1.5, 1 - 0.75**6, 0.25], rtol=1e-12)


def test_late_times_are_the_end_where_the_kernel_is_singular():
    """Rounding leaves eigenvalues of 0 and less, whose share would grow with the time for ever."""
    matrix = MLP(1, "erf").ntk(np.linspace(-1, 1, 100)[:, None])
    assert np.linalg.eigvalsh(matrix)[0] < 0
    own = Spectrum(matrix.copy(), np.ones(100), 1)
    end = Descent().filter(own.decaying(0.0), own.n, np.inf)
    assert np.isfinite(end).all()
    assert_allclose(Descent().filter(own.decaying(0.0), own.n, 1e20), end, rtol=1e-12)
    assert_allclose(Descent().filter(own.decaying(0.0), own.n, 0.1), 0.1 / 100, rtol=0.1)


@pytest.mark.parametrize("n", [12, 150])
def test_largest_eigenvalue(n):
    rows = np.random.default_rng(1).standard_normal((n, 3))
    weight = np.linspace(0.1, 3.0, n)
    network = MLP(1)
    engine = KernelEngine(network.lower(3), ntk=True)
    source = ProgramSource(engine, engine.rows(rows), "ntk")
    expected = np.linalg.eigvalsh(np.sqrt(np.outer(weight, weight)) * network.ntk(rows))[-1]
    assert_allclose(largest_eigenvalue(source, weight), expected, rtol=1e-8)


def test_largest_eigenvalue_where_the_sum_of_the_rows_is_zero():
    """An odd kernel and rows in pairs x, -x: the vector of ones is in the null space."""
    half = np.random.default_rng(0).standard_normal((80, 3))
    rows, network = np.r_[half, -half], MLP(1, "erf", bias_variance=0.0)
    engine = KernelEngine(network.lower(3), ntk=True)
    source = ProgramSource(engine, engine.rows(rows), "ntk")
    assert_allclose(largest_eigenvalue(source, np.ones(160)), np.linalg.eigvalsh(network.ntk(rows))[-1], rtol=1e-8)


@pytest.mark.parametrize("descent", [Descent(), Descent(0.05), Descent(0.05, 0.8)], ids=["flow", "steps", "momentum"])
def test_times_to_choose_from(descent):
    own = spectrum()
    times = np.array(dynamics._times([own.decaying(RIDGE)], own.n, descent))
    assert np.all(np.diff(times) > 0)
    assert times[-1] == np.inf
    assert 0 < times[0] <= max(0.05, 0.01 * own.n / own.decaying(RIDGE).max())
    assert_allclose(fit_of(descent, times[-2]), fit_of(descent, np.inf), rtol=1e-9)
    if descent.learning_rate is not None:
        assert [descent.steps(time) >= 1 for time in times[:-1]] == [True] * (len(times) - 1)


# Finite networks

x = np.array([-1.8, -1.3, -0.7, -0.2, 0.3, 0.9, 1.4, 1.9])[:, None]
y = np.sin(2 * x[:, 0])
new = np.array([-2.3, -1.0, 0.05, 1.1, 2.5])[:, None]
N_NETWORKS, RATE, STEPS = 200, 0.1, (10, 40, 120)


@pytest.mark.parametrize(
    ("network", "scale"),
    [
        (MLP(1, "erf", weight_variance=1.5), 1.0),
        (MLP(1, "relu", weight_variance=1.0, bias_variance=0.3), 0.6),
    ],
    ids=["erf", "relu"],
)
def test_trained_networks_have_the_predicted_law(network, scale):
    """Mean, standard deviation and covariance over 200 trained networks of width 1024, to 4.5 standard errors.

    Of n Gaussian numbers the mean has the standard error s/√n, the standard deviation s/√2(n-1), and a covariance
    √((s² s'² + c²)/n).
    """
    finite = FiniteNetwork(network, 1024, n_features=1, n_networks=N_NETWORKS, random_state=0)
    trained = finite.staged_forward(scale * new, scale * x, y, learning_rate=RATE, n_steps=STEPS)[..., 0]
    exact = {"noise_variance": 0.0, "feature_scaling": None, "normalize_y": False, "optimizer": None}
    model = NTKRegressor(network, **exact).fit(scale * x, y)
    times = [RATE * n for n in STEPS]
    means, stds = [], []
    for f, time, (mean, std) in zip(trained, times, model.staged_predict(scale * new, times, True), strict=True):
        assert np.all(np.abs(f.mean(axis=0) - mean) < 4.5 * std / np.sqrt(N_NETWORKS))
        assert np.all(np.abs(f.std(axis=0, ddof=1) - std) < 4.5 * std / np.sqrt(2 * (N_NETWORKS - 1)))
        own = NTKRegressor(network, training_time=time, learning_rate=RATE, **exact).fit(scale * x, y)
        by_steps, covariance = own.predict(scale * new, return_cov=True)
        variance = np.diag(covariance)
        error = np.sqrt((np.outer(variance, variance) + covariance**2) / N_NETWORKS)
        assert np.all(np.abs(f.mean(axis=0) - by_steps) < 4.5 * np.sqrt(variance / N_NETWORKS))
        assert np.all(np.abs(np.cov(f.T) - covariance) < 4.5 * error)
        means.append(mean)
        stds.append(std)
    apart = np.abs(np.diff(means, axis=0)) / (np.array(stds[1:]) / np.sqrt(N_NETWORKS))
    assert np.all(apart.max(axis=1) > 9)  # standard errors: another time would be told apart
    assert np.all(np.array(stds[1:]) < 0.8 * np.array(stds[:-1]))
