"""Names of other packages that are not promised to stay: where one goes, a fallback would quietly do less."""

import inspect

import pytest
import threadpoolctl
from sklearn.utils.fixes import parse_version

from infwidth import NNGPRegressor
from infwidth._runtime.threads import _blas_libraries


@pytest.mark.skipif(
    parse_version(threadpoolctl.__version__) < parse_version("3.8"), reason="the public setter served all threads"
)
def test_setter_of_blas_threads():
    """Without it limits of threads but the first to come are ignored, and passes oversubscribe the machine."""
    libraries = _blas_libraries()
    assert libraries
    for library in libraries:
        assert callable(library._real_set_num_threads)


def test_callback_context():
    """Without it fits would not report to callbacks."""
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
    context = NNGPRegressor()._init_callback_context(max_subtasks=None)
    taken = {
        "call_on_fit_task_begin": {"estimator", "X", "y"},
        "call_on_fit_task_end": {"estimator", "X", "y", "reconstruction_attributes"},
        "subcontext": {"task_name"},
    }
    for method, names in taken.items():
        assert names <= set(inspect.signature(getattr(context, method)).parameters)
