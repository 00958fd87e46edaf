"""Limits of memory: what users may write, and what the process is allowed."""

import re
import subprocess
import sys

import numpy as np
import pytest

from infwidth._runtime import memory
from infwidth._runtime.memory import available_memory, memory_limit, require_memory


def test_memory_that_just_fits():
    require_memory(1000, 1000, "it")
    with pytest.raises(MemoryError, match="it needs 1,001 bytes"):
        require_memory(1001, 1000, "it")


@pytest.mark.parametrize(
    ("max_memory", "expected"),
    [
        ("8GB", 8 * 10**9),
        ("512MiB", 2**29),
        ("1.5kb", 1500),
        (" 2 TiB ", 2**41),
        ("3G", 3 * 10**9),
        ("100", 100),
        (12345, 12345),
        (2.5e9, 2_500_000_000),
        (np.int64(7), 7),
    ],
)
def test_memory_limit(max_memory, expected):
    assert memory_limit(max_memory) == expected


@pytest.mark.parametrize(
    "max_memory",
    ["", "lots", "GB", ".", "1.2.3GB", "-8GB", "8iB", "8 GB RAM", "0GB", 0, -5, True, np.nan, np.inf, [], {}],
    ids=repr,
)
def test_memory_limit_that_makes_no_sense(max_memory):
    with pytest.raises(ValueError, match="max_memory must be a positive number of bytes or text such as '8GB'"):
        memory_limit(max_memory)


def test_available_memory_is_the_lesser_of_machine_and_control_group(monkeypatch):
    assert available_memory() > 0
    monkeypatch.setattr(memory, "_machine_memory", lambda: 500)
    for group, expected in ((200, 200), (900, 500), (None, 500)):
        monkeypatch.setattr(memory, "_control_group_memory", lambda group=group: group)
        assert available_memory() == memory_limit(None) == expected


def test_memory_of_a_control_group(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path)
    assert memory._control_group_memory() is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("450\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 50\n")
    assert memory._control_group_memory() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._control_group_memory() is None


LIMITED = """
import resource, sys
import numpy as np
from infwidth import NNGPRegressor
from infwidth._runtime.memory import THREADS_BYTES, _process_memory, available_memory

rows = np.random.default_rng(0).standard_normal((3000, 3))
model = NNGPRegressor(optimizer=None).fit(rows[:300], rows[:300, 0])
assert _process_memory() == []
status = open("/proc/self/status").read()
used = 1024 * int(status.split("VmSize:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + THREADS_BYTES + int(sys.argv[1]),) * 2)
assert available_memory() <= int(sys.argv[1])
try:
    model.fit(rows, rows[:, 0])
    print("fitted", model.predict(rows[:5]).shape)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is known of Linux only")
@pytest.mark.parametrize(
    ("more", "said"),
    [(30_000_000, r"a fit of 3,000 rows needs 48,000,000 bytes .* is free"), (70_000_000, r"fitted \(5,\)")],
)
def test_limit_of_address_space(more, said):
    """As ``ulimit -v`` sets it."""
    command = [sys.executable, "-c", LIMITED, str(more)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert re.match(said, result.stdout)
