"""How a fit tells what it is doing: scikit-learn's callbacks, where it has them (1.9), and lines of text."""

from contextlib import contextmanager

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]  # the same name on purpose
        """No callbacks."""

    def with_callbacks(method):
        """Return the method."""
        return method


class Monitor:
    """Opens and closes the tasks of one fit.

    Parameters
    ----------
    estimator : estimator
    verbose : bool
        Whether to print lines.
    """

    def __init__(self, estimator, verbose):
        self._estimator, self._verbose = estimator, verbose
        has_callbacks = hasattr(estimator, "set_callbacks")
        self._root = estimator._init_callback_context(max_subtasks=None) if has_callbacks else None

    @contextmanager
    def fit(self, X, y):
        """Enclose the whole fit."""
        if self._root is not None:
            self._root.call_on_fit_task_begin(estimator=self._estimator, X=X, y=y)
        yield
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._estimator, X=X, y=y, reconstruction_attributes={})

    @contextmanager
    def task(self, name):
        """Enclose one step of the fit."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name=name)
        task.call_on_fit_task_begin(estimator=self._estimator)
        yield
        task.call_on_fit_task_end(estimator=self._estimator)

    def report(self, text):
        """Print a line."""
        if self._verbose:
            print(text)
