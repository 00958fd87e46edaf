"""Which solver meets all rows: exact where that is cheap, or possible and neighbours alone would tell less."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning

from infwidth._data.leaves import leaves
from infwidth._data.weights import row_noise
from infwidth._engine.engine import ProgramSource
from infwidth._inference.neighbours import NeighbourPosterior
from infwidth._inference.posterior import Posterior, log_normal
from infwidth._inference.predictive import Process
from infwidth._inference.tasks import Task
from infwidth._learning.model import Model

EXACT_ROWS, MOST_EXACT_ROWS = 15_000, 40_000  # always exact up to; never beyond
LEAST_GAIN = 0.05  # of log density a row and output, for which rows in between are met exactly
COMPARED_ROWS, HELD_OUT_ROWS = 4000, 500
AnyTask = TypeVar("AnyTask", bound=Task[Any])


def first_choice(n: int, *, takes_neighbours: bool) -> tuple[str, str]:
    """Return the solver of n rows before anything is learned, and why it is that."""
    if not takes_neighbours:
        return "cholesky", "an ensemble depends on all rows"
    if n > EXACT_ROWS:
        return "neighbours", f"{n:,} rows are more than {EXACT_ROWS:,}"
    return "cholesky", f"{n:,} rows are at most {EXACT_ROWS:,}"


def settled(task: AnyTask, model: Model, fits: Callable[[AnyTask], bool]) -> AnyTask:
    """Return the task of many rows, given neighbours, with the solver that pays, given a learned model.

    ``fits`` says whether a task fits into memory.
    """
    gain, exact = gain_of_all_rows(task, model), task.met_by("cholesky")
    reason = f"{task.solver_reason}; neighbours lose {gain:.3f} of log density a row to all rows"
    if gain <= LEAST_GAIN:
        return replace(task, solver_reason=reason)
    if len(exact.data.Y) > MOST_EXACT_ROWS:
        return replace(task, solver_reason=f"{reason}, but these are more than {MOST_EXACT_ROWS:,}")
    if not fits(exact):
        return replace(task, solver_reason=f"{reason}, but these do not fit into memory")
    return replace(exact, solver_reason=reason)


def gain_of_all_rows(task: Task[Any], model: Model) -> float:
    """Return by how much neighbours lower the log density of targets, a row and output.

    Of at most ``COMPARED_ROWS`` neighbouring rows, as dense as all are, ``HELD_OUT_ROWS`` are predicted given the
    others: all of them, or the nearest.
    """
    source, data = task.source(model), task.datasets[model.scaling]
    if task.n_neighbours >= source.n:
        return 0.0
    found = leaves(source.own.inputs, COMPARED_ROWS)
    random_state = np.random.RandomState(0)
    rows = random_state.permutation(found[random_state.randint(len(found))])
    held_out, given = np.split(rows, [min(HELD_OUT_ROWS, -(-len(rows) // 8))])
    part = ProgramSource(source.engine, source.own.take(given), source.limit), data.Y[given], model.noise_variance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # of jitter: neighbours warn of their own
        try:
            exact = Posterior(*part, data.weight[given])
        except LinAlgError:
            return -np.inf
    near = NeighbourPosterior(*part, data.weight[given], n_neighbours=task.n_neighbours)
    new = data.take(held_out)

    def log_density(process: Process) -> float:
        mean, variance = process.mean_and_variance(new.X)
        total = variance + np.stack([row_noise(noise, new.weight) for noise in process.noise_variance], axis=1)
        return float(np.mean(log_normal(new.Y - mean, total)))

    return log_density(exact) - log_density(near)
