"""How layers become a program, and how their hyperparameters move its numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from infwidth._engine.gradient import ProgramGradient
from infwidth._program.operation import Operation
from infwidth._program.program import Program


@dataclass(frozen=True)
class Slope:
    """Derivatives of a program's numbers with respect to one hyperparameter.

    Attributes
    ----------
    place : int
        The operation whose numbers change.
    numbers : tuple of float
        The derivatives of these, as many as ``Operation.n_numbers`` or fewer.
    input_variances : ndarray of shape (n_features,), optional
        The variances of the first layer where the hyperparameter is what they are: one number for all of them, or an
        array of one a feature.
    """

    place: int
    numbers: tuple[float, ...]
    input_variances: np.ndarray | None = None

    def gradient(self, gradient: ProgramGradient, each_feature: bool) -> float | np.ndarray:
        """Return ∂L/∂(hyperparameter), with ``each_feature`` of shape (n_features,), by this operation alone."""
        own = sum(slope * g for slope, g in zip(self.numbers, gradient.operations[self.place], strict=False) if slope)
        if self.input_variances is None:
            return own
        v = self.input_variances
        inputs = np.divide(gradient.log_input, v, out=np.zeros(len(v)), where=v > 0)
        return own + (inputs if each_feature else inputs.sum())

    def move(self, direction: ProgramGradient, change: float | np.ndarray) -> None:
        """Add to a direction of the program what a change of the hyperparameter does, a number or (n_features,)."""
        for number, slope in enumerate(self.numbers):
            if slope:
                direction.operations[self.place, number] += slope * change
        if self.input_variances is not None:
            v = self.input_variances
            direction.log_input[:] += change * np.divide(1.0, v, out=np.zeros(len(v)), where=v > 0)


@dataclass
class Lowering:
    """A program as layers write it, first to last.

    Attributes
    ----------
    n_features : int
    width : int or None
        Units of the dense layer that was written last, where it says so.
    input_variances : ndarray of shape (n_features,)
        Of the first layer, once it is written.
    operations : list of Operation
    slopes : dict
        By the name of each hyperparameter, the list of its ``Slope``.
    """

    n_features: int
    width: int | None = None
    input_variances: np.ndarray = field(default_factory=lambda: np.empty(0))
    operations: list[Operation] = field(default_factory=list)
    slopes: dict[str, list[Slope]] = field(default_factory=dict)

    def append(self, operation: Operation, slopes: dict[str, Slope]) -> None:
        """Write an operation, with what the layer's hyperparameters do to it."""
        self.operations.append(operation)
        for name, slope in slopes.items():
            self.slopes.setdefault(name, []).append(slope)

    def program(self) -> Program:
        """Return the program."""
        return Program(np.sqrt(self.input_variances / self.n_features), tuple(self.operations))

    def renamed(self, name_of: Callable[[str], str]) -> "Lowering":
        """Return the same with other names of the hyperparameters; those that get one name are tied."""
        slopes: dict[str, list[Slope]] = {}
        for name, own in self.slopes.items():
            slopes.setdefault(name_of(name), []).extend(own)
        return replace(self, slopes=slopes)
