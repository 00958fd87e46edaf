"""A network lowered to a flat list of operations on a pair of numbers, k and t.

Both kernels of a pair of inputs start from the Gram entry k = Σ_f v_f x_f x'_f / d, with t = 0, and each
operation updates them in place:

    Affine:  t <- w t + u k + s,    k <- w k + b
    Dual:    t <- Ṫ(q, q', k) t,    k <- T(q, q', k)

The variances q of the inputs themselves follow the same operations, once a row. After the last one k is the
NNGP kernel K and t the neural tangent kernel Θ.
"""

from dataclasses import dataclass

import numpy as np

from infwidth.activations.base import BaseActivation


@dataclass(frozen=True)
class Affine:
    """A dense layer: w and b make K; u and s are what its own weights and biases add to Θ."""

    w: float
    b: float
    u: float
    s: float


@dataclass(frozen=True)
class Dual:
    """An activation, and whether its parameters have gradients."""

    activation: BaseActivation
    learned: bool = False


@dataclass(frozen=True)
class Program:
    """Operations, and the factors √(v_f / d) that turn inputs into rows whose Gram matrix they start from."""

    input_scale: np.ndarray
    operations: tuple

    def require_ntk(self):
        """Raise if an activation on the way has no derivative dual."""
        for operation in self.operations:
            if isinstance(operation, Dual) and not operation.activation.has_ntk:
                raise ValueError(
                    f"{operation.activation!r} has no neural tangent kernel: its derivative is not a function. "
                    "Use the NNGP kernel, or another activation."
                )
