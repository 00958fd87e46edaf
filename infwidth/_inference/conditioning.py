"""Learned models meet all rows, and are weighed by their evidence of them, or by what their average predicts."""

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from infwidth._inference.mixture import Component
from infwidth._inference.stacking import HeldOut, stacking_weights, total_log_density
from infwidth._inference.tasks import Task
from infwidth._learning.model import Model

TEMPERATURE, LEAST_WEIGHT = 10.0, 0.02
Law = TypeVar("Law")


class Conditioned(NamedTuple, Generic[Law]):
    """Models that have met all rows, the best first.

    Attributes
    ----------
    models : list of Model
    evidence, weights : ndarray of shape (n_models,)
        Their evidence of all rows, and their weights in predictions.
    components : list of Component
        Those of them whose weight is not 0, in the same order.
    """

    models: list[Model]
    evidence: np.ndarray
    weights: np.ndarray
    components: list[Component[Law]]


def condition(models: Sequence[Model], task: Task[Law], *, average: bool) -> Conditioned[Law]:
    """Condition each model on all rows, and weigh them by their evidence of all rows.

    Parameters
    ----------
    models : list of Model
        With the most promising one first less work is done twice; results do not depend on their order.
    task : Task
    average : bool
        Whether to keep the best with each network whose weight matters (maths 6.16), or the best of all alone; then one
        posterior is in memory at a time. Given neighbours, models are stacked.
    """
    if task.solver == "neighbours":
        return _stacked(models, task)
    evidence, merits = np.empty((2, len(models)))
    posteriors: dict[int, Law] = {}
    for number, model in reversed(list(enumerate(models))):  # the most promising last, whose posterior stays
        if not average:
            posteriors.clear()
        posteriors[number] = task.posterior(model)
        evidence[number] = task.evidence(posteriors[number], model)
        merits[number] = task.merit(model, evidence[number])
        alike = [other for other in posteriors if models[other].architecture == model.architecture]
        if len(alike) > 1:
            del posteriors[min(alike, key=lambda other: merits[other])]
    order, weights = np.argsort(-merits, kind="stable"), np.zeros(len(models))
    kept = [number for number in order if number in posteriors] if average else [order[0]]
    weights[kept] = _weights(task.informative * merits[kept])
    if not average and order[0] not in posteriors:
        posteriors.clear()
        posteriors[order[0]] = task.posterior(models[order[0]])
    return _ordered(order, models, evidence, weights, posteriors, task)


def _stacked(models: Sequence[Model], task: Task[Law]) -> Conditioned[Law]:
    """Weigh models by the log density that their average gives to each row given the others (maths 6.22)."""
    found: dict[int, HeldOut] = {}
    posteriors: dict[int, Law] = {}
    for number, model in reversed(list(enumerate(models))):
        posteriors.clear()  # one at a time: few of them are kept
        posteriors[number] = task.posterior(model)
        found[number] = task.held_out(posteriors[number])
    parts = [found[number] for number in range(len(models))]
    evidence, weights = np.array([total_log_density(part) for part in parts]), stacking_weights(parts)
    order = np.lexsort((-evidence, -weights))
    for number, model in enumerate(models):
        if weights[number] > 0 and number not in posteriors:
            posteriors[number] = task.posterior(model)
    return _ordered(order, models, evidence, weights, posteriors, task)


def _ordered(
    order: np.ndarray,
    models: Sequence[Model],
    evidence: np.ndarray,
    weights: np.ndarray,
    posteriors: Mapping[int, Law],
    task: Task[Law],
) -> Conditioned[Law]:
    components = [
        Component(weights[number], models[number], task.scalers[models[number].scaling], posteriors[number])
        for number in order
        if weights[number] > 0
    ]
    return Conditioned([models[number] for number in order], evidence[order], weights[order], components)


def _weights(merits: np.ndarray) -> np.ndarray:
    """Return weights proportional to exp(merit / TEMPERATURE), 0 for those below LEAST_WEIGHT."""
    weights = np.exp((merits - merits.max()) / TEMPERATURE)
    weights[weights < LEAST_WEIGHT * weights.sum()] = 0.0
    return weights / weights.sum()
