"""The layers of many finite networks at once: forward, backward, and a step of gradient descent.

A dense layer with n inputs computes h = a W + β. The entries of W are N(0, w / n) and those of β are N(0, b), in
either parametrisation. Parametrisations differ in how fast gradient descent moves these numbers: a parameter θ that
enters as W = g θ has the gradient g ∂L/∂W, so descent on θ moves W by g² ∂L/∂W. With u and s of maths (1.8)

    g² = u / n  for a weight,    g² = s  for a bias,

which is w / n and b in the NTK parametrisation (θ ~ N(0, 1)), 1 and 1 in the standard one, 0 in a frozen layer.
In the first layer the weights of feature f have v_f / d in the place of 1 / n.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infwidth._program.affine import Affine
from infwidth._program.dual import Dual
from infwidth._program.program import Program
from infwidth.activations import BaseActivation


@dataclass(frozen=True)
class Weights:
    """One dense layer of all networks; the variances of its entries at initialisation, and their speeds g²."""

    weight: np.ndarray  # (n_networks, n_inputs, n_units)
    bias: np.ndarray  # (n_networks, 1, n_units)
    weight_variance: np.ndarray  # (n_inputs,)
    bias_variance: float
    weight_speed: np.ndarray  # (n_inputs,)
    bias_speed: float

    @property
    def trainable(self) -> bool:
        """Whether gradient descent moves the layer."""
        return self.bias_speed > 0 or bool(np.any(self.weight_speed > 0))

    def copy(self) -> "Weights":
        """Return the layer with weights of its own."""
        return replace(self, weight=self.weight.copy(), bias=self.bias.copy())

    def descend(self, inputs: np.ndarray, delta: np.ndarray, rate: float) -> None:
        """Take a step in place, from the gradients aᵀδ and Σδ of the loss."""
        np.subtract(self.weight, transpose(rate * self.weight_speed * inputs) @ delta, out=self.weight)
        np.subtract(self.bias, rate * self.bias_speed * delta.sum(axis=-2, keepdims=True), out=self.bias)


Step = Weights | BaseActivation


def draw(program: Program, sizes: Iterable[int], n_networks: int, rng: np.random.RandomState) -> list[Step]:
    """Draw the layers of a program; ``sizes`` are the numbers of features, hidden units and outputs."""
    layers: list[Step] = []
    sizes = list(sizes)
    for operation in program.operations:
        if isinstance(operation, Dual):
            layers.append(operation.activation)
            continue
        assert isinstance(operation, Affine), "networks are made of dense layers and activations"
        n_inputs, n_units = sizes.pop(0), sizes[0]
        share = program.input_scale**2 if not layers else np.full(n_inputs, 1.0 / n_inputs)
        weight = rng.standard_normal((n_networks, n_inputs, n_units))
        weight *= np.sqrt(operation.w * share)[:, None]
        bias = np.sqrt(operation.b) * rng.standard_normal((n_networks, 1, n_units))
        layers.append(  # maths 1.8
            Weights(weight, bias, operation.w * share, operation.b, operation.u * share, operation.s)
        )
    return layers


def block(layer: Step, networks: slice) -> Step:
    """Return some of the networks, as views."""
    if isinstance(layer, Weights):
        return replace(layer, weight=layer.weight[networks], bias=layer.bias[networks])
    return layer


def forward(layers: Sequence[Step], X: np.ndarray) -> list[np.ndarray]:
    """Return X and what each layer makes of the one before."""
    values = [X]
    for layer in layers:
        if isinstance(layer, Weights):
            values.append(values[-1] @ layer.weight + layer.bias)
        else:
            values.append(layer(values[-1]))
    return values


def backward(
    layers: Sequence[Step], values: Sequence[np.ndarray], delta: np.ndarray
) -> Iterator[tuple[Weights, np.ndarray, np.ndarray]]:
    """Yield each dense layer, its inputs a and the gradient δ in its units, last to first."""
    for place in reversed(range(len(layers))):
        layer, inputs, above = layers[place], values[place], delta
        if not isinstance(layer, Weights):
            delta = above * layer.derivative(inputs)
            continue
        if place:
            delta = above @ transpose(layer.weight)  # before the caller may change the weights
        yield layer, inputs, above


def by_parameter(layer: Weights, inputs: np.ndarray, delta: np.ndarray) -> Iterator[np.ndarray]:
    """Yield gδ for the biases, then g a δ for the weights, of shape (n_networks, n_samples, n_parameters)."""
    if layer.bias_speed > 0:
        yield np.sqrt(layer.bias_speed) * delta
    if np.any(layer.weight_speed > 0):
        weight = (np.sqrt(layer.weight_speed) * inputs)[..., :, None] * delta[..., None, :]
        yield weight.reshape(*delta.shape[:2], -1)


def descend(layers: Sequence[Step], X: np.ndarray, y: np.ndarray, learning_rate: float, n_steps: int) -> None:
    """Train a block of networks in place."""
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        for _ in range(n_steps):
            values = forward(layers, X)
            residual = (values[-1] - y) / y.size  # ∂/∂f of ½ · mean squared error
            if not np.all(np.isfinite(residual)):
                raise ValueError(
                    f"training diverged with learning_rate={learning_rate}: it must be below 2N / λ, with N "
                    "targets and λ the largest eigenvalue of the neural tangent kernel of X."
                )
            for layer, inputs, delta in backward(layers, values, residual):
                if layer.trainable:
                    layer.descend(inputs, delta, learning_rate)


def transpose(array: np.ndarray) -> np.ndarray:
    """Swap the last two axes."""
    return np.swapaxes(array, -1, -2)
