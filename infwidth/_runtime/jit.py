"""How numba is used here: without the GIL, without parallel code of its own, cached on disk.

The threads are Python's (``infwidth._runtime.threads``): a compiled function works on one block and releases
the GIL. So there is no numba threading layer to choose, to share or to crash, and the disk cache
holds plain functions.
"""

import hashlib
import os
import types
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import config
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.sigutils import normalize_signature

from infwidth._runtime.jit_cache import MachineCodeCache

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets it from the environment
    raise ImportError(
        "infwidth cannot work without numba's compiler, which NUMBA_DISABLE_JIT switches off: unset this variable, "
        "and start Python again."
    )

# "contract" lets LLVM use fused multiply-adds. Nothing that would assume away NaN or infinity.
_OPTIONS: dict[str, Any] = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}

# numba is not typed: the decorators say that a compiled function has the signature it had.
Function = TypeVar("Function", bound=Callable[..., Any])

if hasattr(os, "register_at_fork"):  # a child of a fork while another thread compiles would wait for it for ever
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


def jit(function: Function) -> Function:
    """Compile a function for compiled callers."""
    return cast("Function", njit(nogil=True, **_OPTIONS)(function))


def reduction(function: Function) -> Function:
    """Compile a sum over an array, which vectorises only where its terms may be added in another order."""
    options = {**_OPTIONS, "fastmath": {*_OPTIONS["fastmath"], "reassoc"}}
    return cast("Function", njit(nogil=True, **options)(function))


def inline(function: Function) -> Function:
    """Inline a function before LLVM sees the caller: a loop over it vectorises then, over a call it does not."""
    return cast("Function", njit(inline="always", nogil=True, **_OPTIONS)(function))


def entry_point(function: Function) -> Function:
    """Compile a function that Python calls, on its first call, and keep the machine code on disk."""
    function = _named_by_source(function, function.__name__)
    return cast("Function", _kept_on_disk(njit(nogil=True, **_OPTIONS)(function), function))


def inlined(template: Function, name: str, **names: object) -> Function:
    """Make an inlined function of a template in which the given global names are replaced."""
    return inline(_specialised(template, name, names))


def c_function(template: Callable[..., None], signature: Any, name: str, **names: object) -> CFunc:
    """Compile a C-callable function from a template in which the given global names are replaced."""
    function = _named_by_source(_specialised(template, name, names), name)
    compiled = CFunc(function, normalize_signature(signature), locals={}, options=_OPTIONS)
    _kept_on_disk(compiled, function).compile()
    return compiled


def _specialised(template: Function, name: str, names: dict[str, object]) -> Function:
    return cast("Function", types.FunctionType(template.__code__, {**template.__globals__, **names}, name))


def _kept_on_disk(compiled: Any, function: Callable[..., Any]) -> Any:
    """Do what numba's ``enable_caching`` does, with a cache that heals."""
    with suppress(RuntimeError):  # numba found no folder that it may write to
        compiled._cache = MachineCodeCache(function)
    return compiled


def _named_by_source(function: Function, name: str) -> Function:
    """Give a function a name that changes with the package's source.

    numba's disk cache looks at the name and at the file of the cached function alone, but the machine code
    also holds functions of other files.
    """
    function.__module__ = __name__
    function.__qualname__ = f"{name}_{_source_digest()}"
    return function


@cache
def _source_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
