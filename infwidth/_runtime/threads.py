"""Threads: how many, what runs in them, and what BLAS may use meanwhile."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from numbers import Integral
from typing import Any, TypeVar

import joblib
from threadpoolctl import ThreadpoolController

SMALL = 600  # rows of a matrix that one thread factors

Item = TypeVar("Item")
Found = TypeVar("Found")


def thread_count(n_jobs: int | None = None) -> int:
    """Return the number of threads for ``n_jobs``: as many as BLAS may use for None, else joblib's meaning.

    BLAS's own number follows the environment variables, ``threadpoolctl.threadpool_limits`` and the limits
    that joblib gives its worker processes, so None never oversubscribes a machine.
    """
    if n_jobs is None:
        return _limits.free_count
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be None or an integer other than 0, got {n_jobs!r}.")
    return joblib.effective_n_jobs(n_jobs)


def solver_threads(n: int, n_jobs: int | None = None) -> int:
    """Return the number of BLAS threads for n x n matrices: small ones gain less from a second than waiting costs."""
    return 1 if n <= SMALL else thread_count(n_jobs)


def for_each(function: Callable[[Item], object], items: Iterable[Item], n_threads: int) -> None:
    """Call ``function(item)`` for all items, on ``n_threads`` threads, this one included.

    The function must release the GIL for most of its time. The first exception, Ctrl-C included, stops the
    others at their next item and is raised here.
    """
    waiting = deque(items)

    def work() -> None:
        try:
            while True:
                try:
                    item = waiting.popleft()
                except IndexError:
                    return
                function(item)
        except BaseException:
            waiting.clear()
            raise

    n_helpers = min(n_threads, len(waiting)) - 1
    if n_helpers < 1:
        work()
        return
    with ThreadPoolExecutor(n_helpers) as pool:
        helpers = [pool.submit(copy_context().run, work) for _ in range(n_helpers)]
        work()
        for helper in helpers:
            helper.result()


def side_by_side(
    function: Callable[[Item], Found], items: Iterable[Item], n_threads: int, interrupt: Callable[[], object]
) -> Generator[Found, None, None]:
    """Yield ``function(item)`` for all items, in their order, with ``n_threads`` of them at work at a time.

    Where an exception ends this, or the iterator is closed, ``interrupt`` is called if the function is still at work,
    and is to end it early.
    """
    if n_threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(copy_context().run, function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            ended = [future.cancel() or future.done() for future in futures]
            if not all(ended):
                interrupt()


class _BlasLimits:
    """The limits in force: the lowest wins, and the last to leave restores BLAS's own number.

    threadpoolctl restores what it saw on entry, which is wrong when two Python threads overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[object, int] = {}
        self._outside: _BlasThreads | None = None

    @property
    def free_count(self) -> int:
        """Threads that BLAS uses when nothing here limits it."""
        with self._lock:
            return self._outside.most if self._outside else _BlasThreads().most

    def enter(self, token: object, limit: int) -> None:
        with self._lock:
            if self._outside is None:
                self._outside = _BlasThreads()
            self._active[token] = limit
            self._outside.set(min(self._active.values()))

    def leave(self, token: object) -> None:
        with self._lock:
            self._active.pop(token, None)
            if self._outside is not None:
                self._outside.set(min(self._active.values(), default=None))
                if not self._active:
                    self._outside = None

    def before_fork(self) -> None:
        """Wait until no other thread changes the limits: a child would wait for it for ever."""
        self._lock.acquire()

    def after_fork(self, in_child: bool) -> None:
        """Go on; in the child the limits of threads that are only in the parent are gone."""
        if in_child and self._outside is not None:
            self._active.clear()
            self._outside.set(None)
            self._outside = None
        self._lock.release()


class _BlasThreads:
    """Thread numbers of the BLAS libraries in the process (NumPy and SciPy may bring one each)."""

    def __init__(self) -> None:
        self._libraries = [(library, library.num_threads) for library in _blas_libraries()]
        self.most = max((own for _, own in self._libraries), default=1)

    def set(self, limit: int | None) -> None:
        for library, own in self._libraries:
            # Since 3.8 threadpoolctl ignores all threads but the first to come; here the limits are agreed on.
            setter = getattr(library, "_real_set_num_threads", library.set_num_threads)
            setter(own if limit is None else min(own, limit))


@cache
def _blas_libraries() -> list[Any]:
    import scipy.linalg  # noqa: F401, PLC0415  # its BLAS must be loaded before the libraries are listed

    return ThreadpoolController().select(user_api="blas").lib_controllers


_limits = _BlasLimits()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_limits.before_fork,
        after_in_parent=lambda: _limits.after_fork(in_child=False),
        after_in_child=lambda: _limits.after_fork(in_child=True),
    )


@contextmanager
def blas_threads(limit: int) -> Iterator[None]:
    """Let BLAS use at most ``limit`` threads inside; safe when several Python threads do so at once.

    OpenBLAS's idle threads spin for a while after each call and starve others: passes that call BLAS
    from their own threads hold it to one.
    """
    token = object()
    try:
        _limits.enter(token, limit)
        yield
    finally:
        _limits.leave(token)
