"""Compiled code on disk: shared by processes, renewed with the source and where damaged, missing where need be."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose

import infwidth
from infwidth._runtime.jit import c_function, entry_point

PACKAGE = Path(infwidth.__file__).parent

# Prints a kernel matrix, a prediction and, of the fused pass, how often it was found on disk and how often compiled.
SCRIPT = """
import json, warnings
warnings.simplefilter("error")
import numpy as np
import infwidth
from infwidth import NNGPRegressor
from infwidth.networks import MLP
from infwidth._engine.forward import fused_pass

X, network = np.linspace(-1.0, 1.0, 60).reshape(20, 3) ** 3, MLP(depth=1, activation="identity")
mean = NNGPRegressor(network, optimizer=None).fit(X, X[:, 0]).predict(X)
print(json.dumps({
    "file": infwidth.__file__,
    "K": network.nngp(X).tolist(),
    "mean": mean.tolist(),
    "cache": fused_pass.stats.cache_path,
    "found": sum(fused_pass.stats.cache_hits.values()),
    "compiled": sum(fused_pass.stats.cache_misses.values()),
}))
"""

AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from infwidth import NNGPRegressor
from infwidth.networks import MLP

X = np.random.default_rng(0).standard_normal((400, 5))

def fit(depth):
    model = NNGPRegressor(MLP(depth=depth), optimizer=None, n_jobs=2).fit(X, np.sin(X).sum(axis=1))
    return model.predict(X[:20], return_std=True)

with ThreadPoolExecutor(2) as pool:
    at_once = list(pool.map(fit, [1, 2, 3, 1, 2, 3]))
for depth, result in zip([1, 2, 3, 1, 2, 3], at_once):
    np.testing.assert_allclose(result, fit(depth), rtol=1e-9)
print("equal")
"""


def start(script, package=PACKAGE, **environment):
    """Start a script in a new interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    environment = {name: str(value) for name, value in environment.items()}
    command = [sys.executable, "-P", "-c", script]  # -P: not the working directory first
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process):
    """What a process printed, once it has ended well."""
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, f"ended with {process.returncode}\n{error}"
    return output


def numbers(process, package=PACKAGE):
    printed = json.loads(result(process))
    assert Path(printed["file"]).parent == package
    return printed


def copy_package(folder):
    """Copy the package, without what is compiled."""
    return Path(shutil.copytree(PACKAGE, folder / "infwidth", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A copy of the package, an empty cache folder, and what two processes print that fill it at the same time."""
    folder = tmp_path_factory.mktemp("shared")
    package, cache = copy_package(folder), folder / "cache"
    processes = [start(SCRIPT, package, NUMBA_CACHE_DIR=cache) for _ in range(2)]
    return package, cache, [numbers(process, package) for process in processes]


def test_two_processes_fill_one_cache(shared):
    package, cache, (first, second) = shared
    assert first["K"] == second["K"]
    assert_allclose(first["mean"], second["mean"], rtol=1e-12)
    assert Path(first["cache"]).is_relative_to(cache)
    third = numbers(start(SCRIPT, package, NUMBA_CACHE_DIR=cache), package)
    assert (third["found"], third["compiled"]) == (1, 0)
    assert third["K"] == first["K"]


def test_change_in_another_file_is_noticed(shared):
    package, cache, (before, _) = shared
    source = package / "activations" / "polynomial.py"  # compiled into a function of _program/loops.py
    text = source.read_text()
    formula = "return (i[1] * j[1]) * value,"
    assert text.count(formula) == 1, "the dual of the powers looks different: change this test with it"
    try:
        source.write_text(text.replace(formula, "return 0.5 * (i[1] * j[1]) * value,"))
        after = numbers(start(SCRIPT, package, NUMBA_CACHE_DIR=cache), package)
    finally:
        source.write_text(text)
    K, changed = np.array(before["K"]), np.array(after["K"])
    pairs = ~np.eye(len(K), dtype=bool)
    assert_allclose(changed[pairs] - 0.1, 0.5 * (K[pairs] - 0.1), rtol=1e-12)  # 0.1: the bias variance
    assert_allclose(np.diag(changed), np.diag(K))  # comes from formulas for rows


def test_nothing_can_be_written(tmp_path):
    """Files stand where numba would make its folders: that stops root as well."""
    package, obstacle = copy_package(tmp_path), tmp_path / "file"
    obstacle.write_text("")
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").write_text("")
    homes = dict.fromkeys(["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"], obstacle)
    alone, usual = numbers(start(SCRIPT, package, **homes), package), numbers(start(SCRIPT))
    assert alone["cache"] is None
    assert_allclose(alone["K"], usual["K"], rtol=1e-13)
    assert_allclose(alone["mean"], usual["mean"], rtol=1e-9)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_two_threads_fit_at_once_under_any_threading_layer(layer):
    assert result(start(AT_ONCE, NUMBA_THREADING_LAYER=layer)) == "equal\n"


def double(x):
    return 2.0 * x


def called_from_python():
    """Compile a function, and return whether it was found on disk."""
    function = entry_point(double)
    assert function(3.0) == 6.0
    return sum(function.stats.cache_hits.values()) == 1


def called_from_c():
    function = c_function(double, numba.float64(numba.float64), "double")
    assert function.ctypes(3.0) == 6.0
    return function.cache_hits == 1


def changed_byte(content):
    """Return the content with a byte of the machine code that is another one: it unpickles as before."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: 2 * len(content) // 3],
    "garbage": lambda content: b"not a pickle",
    "other things": lambda content: pickle.dumps(numba.__version__) + pickle.dumps(None),
    "changed byte": changed_byte,
}


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("compiled", [called_from_python, called_from_c])
def test_damaged_file_is_replaced(compiled, kind, damage, cache_folder):
    assert not compiled()
    assert compiled()
    (file,) = cache_folder.rglob(f"*.{kind}")
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert not compiled()
    assert compiled()


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("compiled", [called_from_python, called_from_c])
def test_file_that_can_be_neither_read_nor_replaced(compiled, kind, cache_folder):
    """Folders stand where numba has its files: that stops root as well."""
    compiled()
    (file,) = cache_folder.rglob(f"*.{kind}")
    file.unlink()
    file.mkdir()
    assert not compiled()
    assert not compiled()


@pytest.mark.parametrize("compiled", [called_from_python, called_from_c])
def test_cache_folder_that_is_deleted_is_made_again(compiled, cache_folder):
    compiled()
    (folder,) = cache_folder.iterdir()
    shutil.rmtree(folder)
    assert not compiled()
    assert compiled()


@pytest.mark.parametrize("compiled", [called_from_python, called_from_c])
def test_cache_folder_that_cannot_be_written_any_more(compiled, cache_folder, monkeypatch):
    """It could when the function was defined."""

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", full_disk)
    assert not compiled()
    assert not compiled()


def test_two_processes_renew_one_damaged_cache(shared):
    package, cache, (before, _) = shared
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for file in files:
        file.write_bytes(file.read_bytes()[:-7])
    processes = [start(SCRIPT, package, NUMBA_CACHE_DIR=cache) for _ in range(2)]
    assert [numbers(process, package)["K"] for process in processes] == [before["K"]] * 2
    assert numbers(start(SCRIPT, package, NUMBA_CACHE_DIR=cache), package)["found"] == 1


def test_without_the_compiler_the_import_says_which_variable_to_unset():
    process = start("import infwidth", NUMBA_DISABLE_JIT=1)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    last = error.strip().splitlines()[-1]
    assert last.startswith("ImportError: infwidth cannot work without numba's compiler")
    assert "NUMBA_DISABLE_JIT" in last
