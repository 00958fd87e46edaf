"""Floating-point errors: NumPy and SciPy raise them where the caller has told them to (``np.errstate(all="raise")``).

Tails of densities and products of small weights underflow to 0, and that is meant. Public functions compute as by
default: underflow is silent, and what would be raised is a warning. What the caller ignores stays ignored.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType, GeneratorType
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from scipy import special

_SPECIAL = {kind: "ignore" for kind in special.geterr() if kind != "memory"}  # SciPy's default

Target = TypeVar("Target", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


def no_floating_point_errors(target: Target) -> Target:
    """Decorate a function, or all public methods and properties that a class defines."""
    decorated = _in_methods(target) if isinstance(target, type) else _in_function(target)
    return cast("Target", decorated)  # with the signature that it had


@contextmanager
def _warnings_at_most() -> Iterator[None]:
    kinds: dict[str, Any] = {kind: "warn" if how == "raise" else how for kind, how in np.geterr().items()}
    with np.errstate(**{**kinds, "under": "ignore"}), special.errstate(**_SPECIAL):
        yield


def _in_function(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        with _warnings_at_most():
            result = function(*args, **kwargs)
        # A generator for a generator: R is that of iterators then.
        return cast("R", _steps(result)) if isinstance(result, GeneratorType) else result

    return computed


def _steps(generator: Iterator[R]) -> Iterator[R]:
    """Yield what a generator yields; between its steps the caller computes."""
    while True:
        with _warnings_at_most():
            try:
                step = next(generator)
            except StopIteration:
                return
        yield step


def _in_methods(cls: type) -> type:
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(member, FunctionType):
            setattr(cls, name, _in_function(member))
        elif isinstance(member, property):
            getter, setter = (f and _in_function(f) for f in (member.fget, member.fset))
            setattr(cls, name, property(getter, setter))
    return cls
