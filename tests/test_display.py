"""Looking at a model, as notebooks and debuggers do, costs nothing."""

import pytest
from sklearn.datasets import load_wine

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._linalg.cholesky import Cholesky
from infwidth._recursion.engine import KernelEngine

X, y = load_wine(return_X_y=True)
MODELS = [
    NNGPRegressor(optimizer=None),
    NTKRegressor(optimizer=None),
    NTKRegressor(optimizer=None, training_time=9.0),
    InfiniteNetClassifier(optimizer=None),
]


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_displays_and_attributes_compute_nothing(model, fitted, monkeypatch):
    if fitted:
        model.fit(X, y)

    def work(*args, **kwargs):
        raise AssertionError("a kernel or a system of equations was worked on")

    monkeypatch.setattr(KernelEngine, "run", work)
    monkeypatch.setattr(KernelEngine, "rows", work)
    for method in ("__init__", "half_solve", "solve_blocks", "inverse_diagonal"):
        monkeypatch.setattr(Cholesky, method, work)
    assert repr(model)
    assert "<div" in model._repr_html_()
    for name in dir(model):
        hasattr(model, name)
