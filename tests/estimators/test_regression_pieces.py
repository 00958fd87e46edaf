"""What NNGPRegressor computes and what it does not, and in which pieces: none of them matters."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from nngp_cases import NEW, X, close, everything, y

from infwidth import NNGPRegressor
from infwidth._engine import engine
from infwidth._linalg.cholesky import Cholesky


def test_mean_alone_needs_no_solve(monkeypatch, no_kernels):
    def solve(*_, **__):
        raise AssertionError("a system of equations was solved")

    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = model.predict(NEW, return_std=True)[0]
    monkeypatch.setattr(Cholesky, "half_solve", solve)
    no_kernels()
    close(model.predict(NEW), expected, rtol=1e-12)
    for ask in (model.predict_std, partial(model.predict, return_std=True), partial(model.predict, return_cov=True)):
        with pytest.raises(AssertionError, match=r"the kernel was computed|a system of equations was solved"):
            ask(NEW)


def test_std_never_forms_the_matrix_of_the_new_rows(no_kernels):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = np.sqrt(np.diag(model.predict(NEW, return_cov=True)[1]))
    no_kernels()
    close(model.predict(NEW, return_std=True)[1], expected)
    close(model.predict_std(NEW), expected)
    model.loo_predict()


def test_predictions_do_not_depend_on_blocks(monkeypatch, in_batches):
    model = NNGPRegressor(optimizer=None).fit(X, y)
    expected = everything(model, NEW)
    in_batches(n_bytes=8 * len(X) * 7, mean_rows=9)  # 7 new rows at a time
    monkeypatch.setattr(engine, "COLUMNS", 40)
    monkeypatch.setattr(engine, "PANEL", 6)
    close(model.predict(NEW), expected[0], rtol=1e-12)
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole, rtol=1e-12)


def test_memory_does_not_grow_with_the_new_rows(in_batches):
    many = np.tile(NEW, (500, 1))  # 20 000 rows: their kernel with the training rows has 24 MB
    model = NNGPRegressor(optimizer=None).fit(X, y)
    in_batches(n_bytes=2**20, mean_rows=1000)
    tracemalloc.start()
    try:
        mean, std = model.predict(many), model.predict_std(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * many.nbytes < 10 * 2**20
    close(mean, np.tile(model.predict(NEW), 500))
    close(std, np.tile(model.predict_std(NEW), 500))


@pytest.mark.parametrize("tile", [12, 40, 149])
def test_results_do_not_depend_on_tiles(tile, monkeypatch):
    expected = everything(NNGPRegressor(optimizer=None).fit(X, y), NEW)
    monkeypatch.setattr(Cholesky, "of", partial(Cholesky.of, tile=tile))
    model = NNGPRegressor(optimizer=None).fit(X, y)
    assert model._mixture.components[0].posterior.tiles.n_blocks > 1
    for actual, whole in zip(everything(model, NEW), expected, strict=True):
        close(actual, whole)


def test_results_do_not_depend_on_the_order_of_rows():
    order = np.random.default_rng(0).permutation(len(X))
    plain, shuffled = NNGPRegressor(optimizer=None).fit(X, y), NNGPRegressor(optimizer=None).fit(X[order], y[order])
    close(shuffled.predict(NEW, return_cov=True)[1], plain.predict(NEW, return_cov=True)[1])
    close(shuffled.loo_predict()[0], plain.loo_predict()[0][order])
