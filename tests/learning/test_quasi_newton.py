"""The minimiser: against quadratics, SciPy, and functions that have no value everywhere."""

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import rosen, rosen_der

from infwidth._learning.quasi_newton import LONGEST, MAX_ITERATIONS, minimize

FAR = np.tile([-50.0, 50.0], (5, 1))


def counted(function):
    """The function, and the list of points at which it was called."""
    points = []

    def call(x):
        points.append(x.copy())
        return function(x)

    return call, points


def quadratic(seed=0, p=5):
    rng = np.random.default_rng(seed)
    A = np.cov(rng.standard_normal((p, 3 * p))) + 0.1 * np.eye(p)
    lowest = 0.5 * rng.standard_normal(p)
    return (lambda x: (0.5 * (x - lowest) @ A @ (x - lowest), A @ (x - lowest))), A, lowest


def test_one_step_where_the_curvature_is_known():
    function, A, lowest = quadratic()
    call, points = counted(function)
    found = minimize(call, np.zeros(5), FAR, A, tolerance=1e-12)
    assert found.converged
    assert len(points) == 2
    np.testing.assert_allclose(found.x, lowest, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_curvature_is_found_from_any_guess(scale):
    function, _, lowest = quadratic()
    found = minimize(function, np.zeros(5), FAR, scale * np.eye(5), tolerance=1e-10)
    assert found.converged
    np.testing.assert_allclose(found.x, lowest, atol=1e-3)
    assert found.value <= 1e-8
    again, points = counted(function)
    minimize(again, lowest + 0.3, FAR, found.curvature, tolerance=1e-10)
    first, more_points = counted(function)
    minimize(first, lowest + 0.3, FAR, 1e-3 * np.eye(5), tolerance=1e-10)
    assert len(points) < len(more_points)


@pytest.mark.parametrize("high", [2.0, 0.7])
def test_a_valley_in_a_box(high):
    def function(x):
        return rosen(x), rosen_der(x)

    bounds, start = np.tile([-1.5, high], (4, 1)), np.full(4, -1.2)
    call, points = counted(function)
    found = minimize(call, start, bounds, 100.0 * np.eye(4), tolerance=1e-9)
    expected = scipy_minimize(rosen, start, jac=rosen_der, bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9})
    assert found.converged
    np.testing.assert_allclose(found.value, expected.fun, atol=1e-6)
    np.testing.assert_allclose(found.x, expected.x, atol=2e-3)
    assert (np.array(points) >= bounds[:, 0]).all()
    assert (np.array(points) <= bounds[:, 1]).all()


def test_no_step_is_longer_than_allowed():
    call, points = counted(lambda x: (float(np.sum(np.cosh(x - 20.0))), np.sinh(x - 20.0)))
    found = minimize(call, np.zeros(2), FAR[:2], 1e-6 * np.eye(2), tolerance=1e-6)
    np.testing.assert_allclose(found.x, 20.0, atol=1e-2)
    assert np.abs(np.diff(points, axis=0)).max() <= 2 * LONGEST  # there, and back from the one before


def test_a_wall_turns_it_back():
    """A trial point without a value costs much, and slopes away from there."""

    def function(x):
        if x[0] > 1.0:
            return 1e6 * (1.0 + x[0] ** 2), np.array([2e6 * x[0], 0.0])
        return (x[0] - 0.9) ** 2 + x[1] ** 2, 2.0 * (x - [0.9, 0.0])

    found = minimize(function, np.array([-1.0, 1.0]), FAR[:2], 0.1 * np.eye(2), tolerance=1e-10)
    np.testing.assert_allclose(found.x, [0.9, 0.0], atol=1e-4)


def test_a_wrong_curvature_is_forgotten():
    """A direction that leads nowhere is tried again without what the variables are said to share."""
    misleading = np.array([[1.0, -0.999], [-0.999, 1.0]]) * 1e-8

    def function(x):
        return float(np.abs(x) @ [1.0, 100.0] + x @ x), np.sign(x) * [1.0, 100.0] + 2.0 * x

    found = minimize(function, np.array([1.0, 1e-9]), FAR[:2], misleading, tolerance=1e-3)
    assert found.value < function(np.array([1.0, 1e-9]))[0]


def test_a_singular_curvature_does_for_its_diagonal():
    function, _, lowest = quadratic(p=2)
    found = minimize(function, np.zeros(2), FAR[:2], np.ones((2, 2)), tolerance=1e-12)
    np.testing.assert_allclose(found.x, lowest, atol=1e-4)


def test_it_stops_in_time_with_the_best_point():
    function, *_ = quadratic()
    answers = iter([True, True, False])
    found = minimize(function, np.zeros(5), FAR, np.eye(5), tolerance=0.0, in_time=lambda: next(answers))
    assert not found.converged
    assert found.value < function(np.zeros(5))[0]


def test_it_stops_at_its_limit_of_iterations():
    call, points = counted(lambda x: (float(-x.sum()), -np.ones(1)))
    found = minimize(call, np.zeros(1), np.array([[0.0, 1e9]]), np.eye(1), tolerance=0.0)
    assert not found.converged
    assert len(points) >= MAX_ITERATIONS


def test_nothing_is_done_where_all_variables_are_held():
    call, points = counted(lambda x: (float(x.sum()), np.ones(2)))
    found = minimize(call, np.zeros(2), np.array([[0.0, 1.0]] * 2), np.eye(2), tolerance=1e-3)
    assert found.converged
    assert len(points) == 1
