"""NTKRegressor in pieces, in threads and with little memory: none of them matters."""

import pickle
from functools import partial

import numpy as np
import pytest
from ntk_cases import NETWORK, NEW, X, close, everything, y
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from infwidth import NTKRegressor
from infwidth._linalg.cholesky import Cholesky

MODELS = [
    {},
    {"training_time": 6.0},
    {"training_time": 6.0, "learning_rate": 0.5, "momentum": 0.5},
    {"posterior": "ntkgp"},
]
models = pytest.mark.parametrize("options", MODELS, ids=["end", "flow", "momentum", "ntkgp"])


@models
def test_threads_and_pickle_and_clone(options):
    model = NTKRegressor(NETWORK, optimizer=None, n_jobs=1, **options).fit(X, y)
    expected = everything(model, NEW)
    same = pickle.loads(pickle.dumps(model))
    assert all(np.all(a == b) for a, b in zip(everything(same, NEW), expected, strict=True))
    before = pickle.loads(pickle.dumps(NTKRegressor(NETWORK, optimizer=None, n_jobs=1, **options).fit(X, y)))
    assert all(np.all(a == b) for a, b in zip(everything(before, NEW), expected, strict=True))
    copy = clone(model)
    assert copy.get_params().keys() == model.get_params().keys()
    assert repr(copy) == repr(model)
    with pytest.raises(NotFittedError):
        copy.predict(NEW)
    several = copy.set_params(n_jobs=2).fit(X, y)
    for actual, whole in zip(everything(several, NEW), expected, strict=True):
        close(actual, whole)


@models
def test_predictions_do_not_depend_on_blocks(options, in_batches):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    expected = everything(model, NEW)
    in_batches(n_bytes=8 * len(X) * 7, mean_rows=9)  # 7 new rows at a time
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole, rtol=1e-11)


@models
@pytest.mark.parametrize("tile", [12, 50, 119])
def test_results_do_not_depend_on_tiles(options, tile, monkeypatch):
    expected = everything(NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    if model.posterior == "ensemble":
        assert model._mixture.components[0].posterior.tiles.n_blocks > 1
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole)


@pytest.mark.parametrize("options", MODELS[:3], ids=["end", "flow", "momentum"])
def test_std_never_forms_the_matrix_of_the_new_rows(options, no_kernels):
    model = NTKRegressor(NETWORK, optimizer=None, **options).fit(X, y)
    expected = np.sqrt(np.diag(model.predict(NEW, return_cov=True)[1]))
    no_kernels()
    close(model.predict(NEW, return_std=True)[1], expected)
    close(model.predict_std(NEW), expected)


@pytest.mark.parametrize(
    "options",
    [{"training_time": 5.0}, {"training_time": "validation"}, {"learning_rate": 0.1}],
    ids=["time", "validation", "steps"],
)
@pytest.mark.parametrize("optimizer", [None, "lml"])
def test_too_little_memory_is_said_before_any_kernel(options, optimizer, no_kernels):
    no_kernels()
    n_models = 1 if optimizer is None else 5
    needed = (3 + n_models - 1 + 2 * n_models) * 8 * len(X) ** 2  # the first spectrum, the others, and both kernels
    ask = partial(NTKRegressor, optimizer=optimizer, **options)
    with pytest.raises(MemoryError, match=rf"a fit of 120 rows needs {needed:,} bytes.*raise max_memory"):
        ask(max_memory=needed - 1).fit(X, y)
    if optimizer is None:
        with pytest.raises(AssertionError, match="the kernel was computed"):
            ask(max_memory=needed).fit(X, y)


def test_stages_after_the_end_say_what_they_need(no_kernels):
    model = NTKRegressor(NETWORK, optimizer=None, max_memory=3 * 8 * 120**2 - 1).fit(X, y)
    no_kernels()
    for ask in (
        lambda: list(model.staged_predict(NEW, [1.0])),
        lambda: list(model.staged_predict(NEW, [1.0], return_std=True)),
        lambda: model.training_loss([1.0]),
    ):
        with pytest.raises(MemoryError, match="eigenvectors of 120 rows"):
            ask()
    model.predict(NEW, return_std=True)


def test_the_ensemble_needs_both_kernels():
    """Half a matrix each: 2 · 4n² bytes and the diagonals of the tiles; the Gaussian process needs one."""
    rows, target = np.zeros((1000, 1)), np.arange(1000.0)
    options = {"optimizer": None, "max_memory": 12_000_000}
    with pytest.raises(MemoryError, match="16,000,000 bytes"):
        NTKRegressor(**options).fit(rows, target)
    NTKRegressor(posterior="ntkgp", **options).fit(rows, target)
