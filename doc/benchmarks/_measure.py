"""Timing and memory for the benchmark scripts: alternating runs, medians, peak resident memory."""

import threading
import time
import tracemalloc
from pathlib import Path
from statistics import median


def alternate(functions, repeats):
    """Return the median seconds of each named function; the runs take turns, so all see the same machine."""
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def _resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def peak_array_bytes(function):
    """Return the most bytes that a function held in arrays, and other objects of Python, at a time."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_extra_bytes(function):
    """Return the result of a function and the most memory the process held beyond its start, sampled (Linux)."""
    start, peak, done = _resident(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, _resident() - start)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = function()
    finally:
        done.set()
        watcher.join()
    return result, max(peak, _resident() - start)
