"""Floating-point errors: NumPy and SciPy raise them where the caller has told them to (``np.errstate(all="raise")``).

Tails of densities and products of small weights underflow to 0, and that is meant. Public functions compute as by
default: underflow is silent, and what would be raised is a warning. What the caller ignores stays ignored.
"""

from contextlib import contextmanager
from functools import wraps
from types import FunctionType, GeneratorType

import numpy as np
from scipy import special

_SPECIAL = {kind: "ignore" for kind in special.geterr() if kind != "memory"}  # SciPy's default


def no_floating_point_errors(target):
    """Decorate a function, or all public methods and properties that a class defines."""
    return _in_methods(target) if isinstance(target, type) else _in_function(target)


@contextmanager
def _warnings_at_most():
    kinds = {kind: "warn" if how == "raise" else how for kind, how in np.geterr().items()}
    with np.errstate(**{**kinds, "under": "ignore"}), special.errstate(**_SPECIAL):
        yield


def _in_function(function):
    @wraps(function)
    def computed(*args, **kwargs):
        with _warnings_at_most():
            result = function(*args, **kwargs)
        return _steps(result) if isinstance(result, GeneratorType) else result

    return computed


def _steps(generator):
    """Yield what a generator yields; between its steps the caller computes."""
    while True:
        with _warnings_at_most():
            try:
                step = next(generator)
            except StopIteration:
                return
        yield step


def _in_methods(cls):
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(member, FunctionType):
            setattr(cls, name, _in_function(member))
        elif isinstance(member, property):
            setattr(cls, name, property(*(f and _in_function(f) for f in (member.fget, member.fset))))
    return cls
