"""The contract of all solvers, on a matrix that NumPy solves too."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from infwidth import NNGPRegressor
from infwidth._engine.engine import KernelEngine, ProgramSource
from infwidth._linalg.solver import Solver
from infwidth._linalg.solvers import SOLVERS, solver_class
from infwidth.networks import MLP

N, M = 60, 7
rng = np.random.default_rng(0)
X, B = rng.standard_normal((N, 3)), rng.standard_normal((N, M))
NOISE = 0.1 + rng.random(N)
A = MLP().nngp(X) + np.diag(NOISE)


@pytest.fixture(params=SOLVERS)
def solver(request):
    engine = KernelEngine(MLP().lower(3))
    made, jitter = solver_class(request.param).of(ProgramSource(engine, engine.rows(X), "nngp"), NOISE)
    assert jitter == 0.0
    return made


def test_solve(solver):
    assert_allclose(solver.solve(B), np.linalg.solve(A, B), rtol=1e-9)
    blocks = solver.tiles.split(B)
    solver.solve_blocks(blocks)
    assert_allclose(np.concatenate(blocks), np.linalg.solve(A, B), rtol=1e-9)


def test_what_is_explained(solver):
    expected = B.T @ np.linalg.solve(A, B)
    assert_allclose(solver.explained(solver.tiles.split(B)), np.diag(expected), rtol=1e-9)
    covariance = np.eye(M) + 2.0
    explained = solver.subtract_explained(solver.tiles.split(B), covariance)
    assert_allclose(explained, np.diag(expected), rtol=1e-9)
    assert_allclose(covariance, np.eye(M) + 2.0 - expected, rtol=1e-8, atol=1e-10)


def test_evidence_and_leave_one_out(solver):
    assert_allclose(solver.log_determinant(), np.linalg.slogdet(A)[1], rtol=1e-10)
    assert_allclose(solver.inverse_diagonal(), np.diag(np.linalg.inv(A)), rtol=1e-9)


def test_bytes(solver):
    assert 0 < solver.n_bytes(N) <= 8 * N**2
    assert solver.n_bytes(10 * N) > solver.n_bytes(N)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_table_is_that_of_the_estimators(name):
    assert solver_class(name).name == name
    model = NNGPRegressor(optimizer=None, solver=name).fit(X, B[:, 0])
    assert isinstance(model._mixture.components[0].posterior.factors[0], solver_class(name))


def test_what_a_solver_cannot_do_names_it():
    class Means(Solver):
        name = "means"
        n_bytes = of = solve_blocks = explained = subtract_explained = None

    for ask, what in ((Means().log_determinant, "evidence"), (Means().inverse_diagonal, "leave-one-out predictions")):
        with pytest.raises(ValueError, match=f"solver='means' has no {what}: use solver='cholesky'"):
            ask()
