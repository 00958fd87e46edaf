"""Threads: every item once, the first exception wins, and BLAS gets its own number back."""

import os
import subprocess
import sys
import threading
import time

import joblib
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from infwidth._runtime.threads import blas_threads, for_each, side_by_side, thread_count

OUTSIDE = 3  # BLAS threads around each test that looks at them
WAIT = 30  # seconds until a test that hangs fails


def blas_numbers():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def outside():
    with threadpool_limits(OUTSIDE, user_api="blas"):
        yield
        assert blas_numbers() == {OUTSIDE}


@pytest.mark.parametrize("n_threads", [1, 2, 5, 40])
@pytest.mark.parametrize("n_items", [0, 1, 2, 30])
def test_for_each_calls_each_item_once(n_threads, n_items):
    seen = []
    for_each(seen.append, range(n_items), n_threads)
    assert sorted(seen) == list(range(n_items))


def test_for_each_takes_a_generator_in_order_on_one_thread():
    seen = []
    for_each(lambda item: seen.append((item, threading.current_thread())), (i * i for i in range(4)), 1)
    assert seen == [(i * i, threading.current_thread()) for i in range(4)]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_for_each_runs_on_as_many_threads(n_threads):
    """Nobody passes the barrier until all threads, this one included, have an item."""
    barrier, seen = threading.Barrier(n_threads), set()

    def wait(_):
        barrier.wait(WAIT)
        seen.add(threading.current_thread())

    for_each(wait, range(n_threads), n_threads)
    assert len(seen) == n_threads
    assert threading.current_thread() in seen


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_exception_stops_one_thread(exception):
    seen = []

    def fail(item):
        seen.append(item)
        if item == 2:
            raise exception("two")

    with pytest.raises(exception, match="two"):
        for_each(fail, range(10), 1)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("in_helper", [False, True])
@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_exception_stops_the_other_thread_at_its_next_item(exception, in_helper):
    """Both threads hold an item; one fails, the other then ends its own and takes no more."""
    barrier, failing, seen = threading.Barrier(2), threading.Event(), []

    def work(item):
        seen.append(item)
        barrier.wait(WAIT)
        if in_helper == (threading.current_thread() is not threading.main_thread()):
            failing.set()
            raise exception("failed")
        assert failing.wait(WAIT)
        time.sleep(0.2)  # the other is about to empty the queue

    with pytest.raises(exception, match="failed"):
        for_each(work, range(100), 2)
    assert sorted(seen) == [0, 1]


@pytest.mark.usefixtures("outside")
class TestBlasThreads:
    def test_limits_and_restores(self):
        with blas_threads(1):
            assert blas_numbers() == {1}
        assert blas_numbers() == {OUTSIDE}

    def test_never_raises_the_number(self):
        with blas_threads(OUTSIDE + 5):
            assert blas_numbers() == {OUTSIDE}

    def test_lowest_wins_when_nested(self):
        with blas_threads(2):
            with blas_threads(1):
                assert blas_numbers() == {1}
                with blas_threads(2):
                    assert blas_numbers() == {1}
            assert blas_numbers() == {2}
        assert blas_numbers() == {OUTSIDE}

    def test_restores_after_an_exception(self):
        with pytest.raises(ZeroDivisionError), blas_threads(1):
            _ = 1 / 0
        assert blas_numbers() == {OUTSIDE}

    def test_two_threads_overlap(self):
        """The first to come is the first to leave: what the second saw on entry is not what it must restore."""
        first_left, second_entered, seen = threading.Event(), threading.Event(), {}

        def second():
            with blas_threads(2):
                seen["both"] = blas_numbers()
                second_entered.set()
                assert first_left.wait(WAIT)
                seen["second"] = blas_numbers()

        thread = threading.Thread(target=second)
        with blas_threads(1):
            thread.start()
            assert second_entered.wait(WAIT)
        first_left.set()
        thread.join(WAIT)
        assert seen == {"both": {1}, "second": {2}}
        assert blas_numbers() == {OUTSIDE}

    def test_many_threads_at_once(self):
        def limit(i):
            with blas_threads(1 + i % 2):
                assert blas_numbers() <= {1, 2}

        for_each(limit, range(200), 4)
        assert blas_numbers() == {OUTSIDE}

    def test_count_is_the_number_outside(self):
        assert thread_count() == OUTSIDE
        with blas_threads(1):
            assert thread_count() == OUTSIDE
        with threadpool_limits(2, user_api="blas"):
            assert thread_count() == 2


@pytest.mark.parametrize("n_jobs", [1, 2, 7, -1])
def test_count_follows_n_jobs(n_jobs):
    with threadpool_limits(OUTSIDE, user_api="blas"):
        assert thread_count(n_jobs) == joblib.effective_n_jobs(n_jobs)
    if n_jobs > 0:
        assert thread_count(n_jobs) == n_jobs


@pytest.mark.parametrize("n_jobs", [0, True, 1.5, "2"])
def test_bad_n_jobs(n_jobs):
    with pytest.raises(ValueError, match="n_jobs must be None or an integer other than 0, got"):
        thread_count(n_jobs)


FORK = """
import os, signal, threading, time
from numba.core.compiler_lock import global_compiler_lock
from threadpoolctl import threadpool_info
from infwidth import NNGPRegressor
from infwidth._runtime.threads import _limits, blas_threads
from infwidth.networks import MLP

def blas_numbers():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

X = [[0.0], [1.0], [2.0]]
free, inside = blas_numbers(), threading.Event()

def work():
    with blas_threads(1), global_compiler_lock, _limits._lock:
        inside.set()
        time.sleep(0.5)

other = threading.Thread(target=work)
other.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that waits for ever ends here
    same = blas_numbers() == free
    NNGPRegressor(MLP(1, "erf"), optimizer=None).fit(X, [0.0, 1.0, 0.0]).predict(X)
    os._exit(0 if same and blas_numbers() == free else 1)
other.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert blas_numbers() == free
print("both went on")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_while_another_thread_is_at_work():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "both went on\n", done.stderr


# --- side by side


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_side_by_side_yields_in_order(n_threads):
    def slower_first(item):
        time.sleep(0.01 * (4 - item))
        return item**2

    interrupted = []
    assert list(side_by_side(slower_first, range(4), n_threads, lambda: interrupted.append(1))) == [0, 1, 4, 9]
    assert not interrupted


@pytest.mark.parametrize("end", ["exception", "closed"])
def test_side_by_side_ends_what_is_at_work(end):
    at_work, stop, begun = threading.Event(), threading.Event(), []

    def work(item):
        begun.append(item)
        if item == 0:
            assert at_work.wait(10)  # until the next is at work
            if end == "exception":
                raise ZeroDivisionError
        else:
            at_work.set()
            assert stop.wait(10)  # until it is interrupted
        return item

    found = side_by_side(work, range(20), 2, stop.set)
    if end == "exception":
        with pytest.raises(ZeroDivisionError):
            next(found)
    else:
        assert next(found) == 0
        found.close()
    assert stop.is_set()
    assert len(begun) <= 3  # none of the others has begun
