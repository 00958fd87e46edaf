"""An activation."""

from dataclasses import dataclass

from infwidth._program.pairwise import Pairwise
from infwidth.activations.base import BaseActivation, Family


@dataclass(frozen=True)
class Dual(Pairwise):
    """An activation, and whether its parameters have gradients."""

    activation: BaseActivation
    learned: bool = False
    target: int = 0

    @property
    def family(self) -> Family:
        return self.activation.family

    def parameters(self) -> tuple[float, ...]:
        return self.activation.dual_parameters()

    def require_ntk(self) -> None:
        if not self.activation.has_ntk:
            raise ValueError(
                f"{self.activation!r} has no neural tangent kernel: its derivative is not a function. "
                "Use the NNGP kernel, or another activation."
            )
