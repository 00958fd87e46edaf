"""NNGPRegressor in threads, in other processes, and when it is interrupted."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes
from threadpoolctl import threadpool_info, threadpool_limits

import infwidth
from infwidth import NNGPRegressor
from infwidth._runtime import threads
from infwidth.networks import MLP

X, y = load_diabetes(return_X_y=True)
X, y, NEW = X[:400], y[:400], X[400:]


def run(script, *arguments):
    """Run a script in a new interpreter, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(infwidth.__file__).parents[1])}
    command = [sys.executable, "-P", "-c", script, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, f"ended with {result.returncode}\n{result.stderr}"
    return result.stdout


def everything(model):
    mean, cov = model.predict(NEW, return_cov=True)
    return [mean, model.predict_std(NEW), cov, *model.loo_predict()]


def blas_thread_numbers():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("n_jobs", [2, None, -1])
def test_results_do_not_depend_on_threads(n_jobs):
    one = NNGPRegressor(optimizer=None, n_jobs=1).fit(X, y)
    several = NNGPRegressor(optimizer=None, n_jobs=n_jobs).fit(X, y)
    for actual, expected in zip(everything(several), everything(one), strict=True):
        assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert_allclose(several.log_marginal_likelihood(), one.log_marginal_likelihood(), rtol=1e-10)


def test_blas_gets_its_threads_back():
    with threadpool_limits(2, user_api="blas"):
        before = blas_thread_numbers()
        model = NNGPRegressor(optimizer=None, n_jobs=1).fit(X, y)
        model.predict(NEW, return_std=True)
        with pytest.raises(MemoryError):
            NNGPRegressor(optimizer=None, n_jobs=1, max_memory=10).fit(X, y)
        assert blas_thread_numbers() == before


def test_two_threads_at_once_equal_one_after_the_other():
    networks = [MLP(depth=1, activation="erf"), MLP(depth=3), MLP(depth=2, activation="erf"), MLP(depth=4)]

    def results(network):
        return everything(NNGPRegressor(network, optimizer=None, n_jobs=2).fit(X, y))

    before = blas_thread_numbers()
    one_by_one = [results(network) for network in networks]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(results, networks))
    for actual, expected in zip(at_once, one_by_one, strict=True):
        for a, b in zip(actual, expected, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
    assert blas_thread_numbers() == before


def test_pickle_predicts_the_same():
    model = NNGPRegressor(MLP(depth=3, activation="erf"), optimizer=None).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    for actual, expected in zip(everything(copy), everything(model), strict=True):
        assert_allclose(actual, expected, rtol=1e-12)
    assert copy.network_ == model.network_


PREDICT = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    model, X = pickle.load(file)
mean, cov = model.predict(X, return_cov=True)
np.savez(sys.argv[2], mean=mean, std=model.predict_std(X), cov=cov, sample=model.sample_y(X, 2, random_state=0),
         loo=model.loo_predict(), likelihood=model.log_marginal_likelihood())
"""


def test_pickle_predicts_the_same_in_another_process(tmp_path):
    model = NNGPRegressor(MLP(depth=3, activation="erf"), optimizer=None).fit(X, y)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps((model, NEW)))
    run(PREDICT, tmp_path / "model.pkl", tmp_path / "results.npz")
    results = np.load(tmp_path / "results.npz")
    mean, cov = model.predict(NEW, return_cov=True)
    expected = {
        "mean": mean,
        "std": model.predict_std(NEW),
        "cov": cov,
        "sample": model.sample_y(NEW, 2, random_state=0),
        "loo": model.loo_predict(),
        "likelihood": model.log_marginal_likelihood(),
    }
    assert set(results) == set(expected)
    for name, value in expected.items():
        assert_allclose(results[name], value, rtol=1e-10, err_msg=name)


INTERRUPT = """
import os, signal, threading, time
import numpy as np
from threadpoolctl import threadpool_info
from infwidth import NNGPRegressor
from infwidth._runtime import threads

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored for background jobs
X = np.random.default_rng(0).standard_normal((9000, 5))
y = np.sin(X).sum(axis=1)
small = NNGPRegressor(optimizer=None).fit(X[:300], y[:300])
mean, threads = small.predict(X[300:310]), [library["num_threads"] for library in threadpool_info()]

for delay in (0.05, 0.8):  # in the kernel; in its factorisation
    def interrupt():
        global sent
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    model = NNGPRegressor(optimizer=None)
    threading.Timer(delay, interrupt).start()
    try:
        while True:  # the fit that is interrupted may be the second, on a fast machine
            model.fit(X, y)
    except KeyboardInterrupt:
        took = time.perf_counter() - sent
    assert took < 3.0, f"it took {took:.1f} s to stop"
    again = NNGPRegressor(optimizer=None).fit(X[:300], y[:300])
    np.testing.assert_allclose(again.predict(X[300:310]), mean, rtol=1e-12)
    assert [library["num_threads"] for library in threadpool_info()] == threads
    assert threading.active_count() == 1, threading.enumerate()
print("stopped twice")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there instead of interrupting it")
def test_interrupt_stops_a_fit_and_the_process_goes_on():
    assert run(INTERRUPT) == "stopped twice\n"


def test_interrupt_while_the_threads_of_blas_are_set(monkeypatch):
    monkeypatch.setattr(threads, "_limits", threads._BlasLimits())
    set_threads = threads._BlasThreads.set
    calls = 0

    def interrupted(self, limit):
        nonlocal calls
        calls += 1
        if calls == interrupted_call:
            raise KeyboardInterrupt
        set_threads(self, limit)

    monkeypatch.setattr(threads._BlasThreads, "set", interrupted)
    with threadpool_limits(2, user_api="blas"):
        before = blas_thread_numbers()
        for interrupted_call in count(1):
            calls = 0
            try:
                NNGPRegressor(optimizer=None, n_jobs=1).fit(X, y)
                break  # every call has had its interrupt
            except KeyboardInterrupt:
                NNGPRegressor(optimizer=None, n_jobs=1).fit(X, y)
            assert blas_thread_numbers() == before, f"after an interrupt in call {interrupted_call}"
    assert interrupted_call > 1
