"""Looking at a model, as notebooks, terminals and debuggers do, costs nothing and shows its parameters."""

import io

import pytest
import rich
from rich.console import Console
from rich.pretty import pretty_repr
from sklearn.base import clone
from sklearn.datasets import load_wine

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth._engine.engine import KernelEngine
from infwidth._linalg.cholesky import Cholesky

X, y = load_wine(return_X_y=True)
MODELS = [
    NNGPRegressor(optimizer=None),
    NTKRegressor(optimizer=None),
    NTKRegressor(optimizer=None, training_time=9.0),
    InfiniteNetClassifier(optimizer=None),
]
models = pytest.mark.parametrize("model", MODELS, ids=repr)


def refuse_work(monkeypatch):
    def work(*args, **kwargs):
        raise AssertionError("a kernel or a system of equations was worked on")

    monkeypatch.setattr(KernelEngine, "run", work)
    monkeypatch.setattr(KernelEngine, "rows", work)
    for method in ("__init__", "half_solve", "solve_blocks", "inverse_diagonal"):
        monkeypatch.setattr(Cholesky, method, work)


def shown(show):
    """What a terminal of 120 columns shows."""
    console = Console(file=io.StringIO(), width=120)
    show(console)
    return console.file.getvalue()


@pytest.mark.parametrize("fitted", [False, True])
@models
def test_displays_and_attributes_compute_nothing(model, fitted, monkeypatch):
    if fitted:
        model.fit(X, y)
    refuse_work(monkeypatch)
    assert repr(model)
    assert "<div" in model._repr_html_()
    for name in dir(model):
        hasattr(model, name)


@pytest.mark.parametrize("fitted", [False, True])
@models
def test_rich(model, fitted, monkeypatch):
    model = clone(model)
    if fitted:
        model.fit(X, y)
    refuse_work(monkeypatch)
    assert pretty_repr(model) == repr(model)
    assert shown(lambda console: console.print(model)).strip() == repr(model)
    attributes = shown(lambda console: rich.inspect(model, console=console, methods=True))
    assert "random_state = None" in attributes
    assert ("noise_variance_ = " in attributes) == fitted
    assert "def predict(X" in attributes


@models
def test_rich_traceback_with_variables(model, monkeypatch):
    def fail(fitted):
        return fitted.predict(X[:, :2])

    fitted = clone(model).fit(X, y)
    refuse_work(monkeypatch)
    try:
        fail(fitted)
    except ValueError:
        text = shown(lambda console: console.print_exception(show_locals=True))
    assert f"fitted = {fitted!r}" in text
    assert "ValueError: X has 2 features" in text
