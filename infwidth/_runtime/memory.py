"""How much memory there is, and saying so before it is taken."""

import math
import os
import re
from numbers import Real
from pathlib import Path

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
MemoryLimit = float | str | None  # as users give it: bytes, text such as "8GB", or None for what is free
THREADS_BYTES = 256 * 2**20  # of address space that threads, their stacks and BLAS take besides matrices


def memory_limit(max_memory: MemoryLimit = None) -> int:
    """Return a limit in bytes: of ``max_memory`` (bytes, or text such as "8GB" or "512MiB"), else what is free now."""
    if max_memory is None:
        return available_memory()
    if isinstance(max_memory, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?i?)b?\s*", max_memory.lower())
        if match and match[2] in _UNITS and float(match[1]) > 0:
            return int(float(match[1]) * _UNITS[match[2]])
    elif isinstance(max_memory, Real) and not isinstance(max_memory, bool) and 0 < max_memory < math.inf:
        return int(max_memory)
    raise ValueError(f"max_memory must be a positive number of bytes or text such as '8GB', got {max_memory!r}.")


def require_memory(needed: int, max_memory: MemoryLimit, task: str, instead: str = "") -> None:
    """Raise a MemoryError with the bytes needed, and what to do, unless they fit the limit.

    ``instead`` is what could be used besides fewer rows, such as "another solver, ".
    """
    limit = memory_limit(max_memory)
    if needed > limit:
        source = "is free" if max_memory is None else "max_memory allows"
        raise MemoryError(
            f"{task} needs {needed:,} bytes ({needed / 1e9:.1f} GB) and {limit:,} ({limit / 1e9:.1f} GB) {source}. "
            f"Nothing was allocated. Use {instead}fewer rows (a random subset), or a machine with more memory"
            + ("." if max_memory is None else ", or raise max_memory.")
        )


def available_memory() -> int:
    """Return the bytes a process can still take: of the machine, its control group, and the limits of the process."""
    candidates = [_machine_memory(), _control_group_memory(), *_process_memory()]
    return min(value for value in candidates if value is not None)


def _machine_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no Linux: all physical memory is the best that is known
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62  # not known here: the allocation itself will tell


def _control_group_memory() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(
            statistics["inactive_file"]
        )  # the page cache gives way
        return max(0, int(limit) - used)
    except (OSError, ValueError, KeyError):
        return None


def _process_memory() -> list[int]:
    """Return what is left of address space and of data where they are limited (``ulimit -v`` and ``-d``)."""
    try:
        import resource  # noqa: PLC0415  # Windows has none

        limits = {
            "VmSize": resource.getrlimit(resource.RLIMIT_AS)[0],
            "VmData": resource.getrlimit(resource.RLIMIT_DATA)[0],
        }
        limits = {name: limit for name, limit in limits.items() if limit not in (resource.RLIM_INFINITY, -1)}
        if not limits:
            return []
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        used = {name: 1024 * int(status[name].split()[0]) for name in limits}
    except (ImportError, OSError, KeyError):
        return []
    return [max(0, limit - used[name] - THREADS_BYTES) for name, limit in limits.items()]
