"""Rows that are added to fitted models, which learn nothing from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from infwidth._data.weights import checked_weights
from infwidth._inference.mixture import Component
from infwidth._inference.tasks import Task
from infwidth._runtime.threads import blas_threads, solver_threads
from infwidth.estimators.base import BaseInfiniteNet


class MoreRows(NamedTuple):
    """Rows that come after those of a fitted model.

    Attributes
    ----------
    X, y, weight : ndarray
        Those of positive weight.
    used : ndarray of shape (n_samples,)
        Which rows these are.
    dropped : ndarray
        Inputs of the others.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    used: np.ndarray
    dropped: np.ndarray


class UpdatableNet(BaseInfiniteNet):
    """Base of the estimators, whose fitted models can be given more rows: see ``NNGPRegressor.partial_fit``."""

    _used: np.ndarray  # which rows have a positive weight
    _dropped: np.ndarray  # inputs of the others

    def _validated(self, X: npt.ArrayLike, y: npt.ArrayLike, *, reset: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y as arrays, or raise; without ``reset`` X must have the features of the fit."""
        raise NotImplementedError

    def _set_rows(self, task: Any, components: Sequence[Component[Any]]) -> None:
        """Set what follows from the rows in use, given the models conditioned on them."""
        raise NotImplementedError

    def _more_rows(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> MoreRows:
        """Return validated rows for a fitted model whose parameters are valid, or raise."""
        self._check_parameters()
        X, y = self._validated(X, y, reset=False)
        weight, used = checked_weights(sample_weight, X)
        return MoreRows(X[used], y[used], weight[used], used, X[~used])

    def _updated(self, task: Task[Any], more: MoreRows) -> Self:
        """Condition the models in use on all rows, those of the task, the last of which are new."""
        n, earlier = np.count_nonzero(self._used) + len(more.y), self._mixture.components
        self._require_memory(task.updating_bytes(earlier), f"adding {len(more.y):,} rows, {n:,} in all,")
        with blas_threads(solver_threads(len(task.data.Y), self.n_jobs)):
            components = [task.updated(component) for component in earlier]
            self._set_conditioned(task, components)
            self._set_rows(task, components)
        self._used, self._dropped = np.append(self._used, more.used), np.concatenate([self._dropped, more.dropped])
        return self
