"""NTKRegressor in the course of training: the equation of motion, its stages, losses and steps."""

from functools import partial

import numpy as np
import pytest
from ntk_cases import NETWORK, NEWM, WEIGHT, XM, YM, X, as_given, close, descents, targets, weights, y
from numpy.testing import assert_allclose
from scipy.linalg import expm

from infwidth import NTKRegressor
from infwidth.kernels import NTKKernel
from infwidth.networks import MLP

TIMES = [0.0, 0.5, 8.0, 200.0, np.inf]  # multiples of the learning rates


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


@pytest.mark.parametrize("width", [16, 400])
def test_standard_parametrization(width):
    network = MLP(2, "erf", parametrization="standard", width=width)
    time = 5.0 / width
    model = NTKRegressor(network, training_time=time, noise_variance=0.3, **as_given).fit(XM, YM)
    mean, covariance = law_of_training(network, XM, YM, NEWM, time, 0.3)
    close(model.predict(NEWM), mean)
    close(model.predict_std(NEWM, include_noise=False)[:, 0], np.sqrt(np.diag(covariance)))
    assert model.kernel_ == NTKKernel(network)


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
