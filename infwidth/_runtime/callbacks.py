"""How a fit tells what it is doing: scikit-learn's callbacks, where it has them (1.9), and lines of text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback import with_callbacks as _with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]  # the same name on purpose
        """No callbacks."""

    def _with_callbacks(fit: Any) -> Any:
        return fit


Fit = TypeVar("Fit", bound=Callable[..., Any])


def with_callbacks(fit: Fit) -> Fit:
    """Decorate a fit for scikit-learn's callbacks, where it has them."""
    decorated: Fit = _with_callbacks(fit)
    return decorated


class Monitor:
    """Opens and closes the tasks of one fit.

    Parameters
    ----------
    estimator : estimator
    verbose : bool
        Whether to print lines.
    """

    def __init__(self, estimator: Any, verbose: bool) -> None:
        self._estimator, self._verbose = estimator, verbose
        has_callbacks = hasattr(estimator, "set_callbacks")
        self._root = estimator._init_callback_context(max_subtasks=None) if has_callbacks else None

    @contextmanager
    def fit(self, X: np.ndarray, y: np.ndarray) -> Iterator[None]:
        """Enclose the whole fit."""
        if self._root is not None:
            self._root.call_on_fit_task_begin(estimator=self._estimator, X=X, y=y)
        yield
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._estimator, X=X, y=y, reconstruction_attributes={})

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """Enclose one step of the fit."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name=name)
        task.call_on_fit_task_begin(estimator=self._estimator)
        yield
        task.call_on_fit_task_end(estimator=self._estimator)

    def report(self, text: str) -> None:
        """Print a line."""
        if self._verbose:
            print(text)
