"""Finite random networks, and their training by gradient descent."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state

from infwidth._data.validation import require_numbers
from infwidth._program.dual import Dual
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import require_memory
from infwidth.finite.layers import Weights, backward, block, by_parameter, descend, draw, forward, transpose
from infwidth.networks.base import Network, check_network
from infwidth.networks.layers import check_width

BATCH = 2**15  # hidden values that training holds at once; larger batches leave the cache


@no_floating_point_errors
class FiniteNetwork:
    """Random networks of finite width whose limit is the given network, and their training by gradient descent.

    As the width grows, ``empirical_nngp`` and ``empirical_ntk`` converge to ``network.nngp`` and ``network.ntk``, with
    a scatter of order 1/√width from network to network and a bias of order 1/width. Weights are drawn once, when the
    object is made, and take 8 · n_networks · width² bytes for each hidden layer but the first.

    Parameters
    ----------
    network : Network
        Architecture, variances, parametrisation and frozen layers: an ``MLP`` or a ``Sequential``.
    width : int or sequence of int, default=1024
        Units of the hidden layers, or of each dense layer but the last. For a network with the standard
        parametrisation pass its own width. With any other one, learning rates are scaled such that the NTK still
        converges to ``network.ntk`` (Sohl-Dickstein et al. 2020, improved standard parametrisation).
    n_features : int
    n_outputs : int, default=1
        Outputs share the hidden layers.
    n_networks : int, optional
        Number of independent networks. Results then have a leading axis of that length; with None, one network
        without that axis.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    weights_ : list of ndarray of shape (n_networks, n_inputs, n_units)
        W of each dense layer as it enters the forward pass, its scale included; without the first axis
        where ``n_networks`` is None.
    biases_ : list of ndarray of shape (n_networks, 1, n_units)
        β likewise.

    Raises
    ------
    ValueError
        If a width or a count is not a positive integer, or the network does not fit the number of features.
    MemoryError
        If the weights, or later the kernels, do not fit, with the bytes that they need.

    Examples
    --------
    >>> import numpy as np
    >>> from infwidth.finite import FiniteNetwork
    >>> from infwidth.networks import MLP
    >>> X, y = np.array([[-1.0], [0.5], [1.0]]), np.array([1.0, 0.0, -1.0])
    >>> network = MLP(depth=1, activation="erf")
    >>> finite = FiniteNetwork(network, width=500, n_features=1, n_networks=20, random_state=0)
    >>> bool(np.abs(finite.empirical_ntk(X).mean(axis=0) - network.ntk(X)).max() < 0.1)
    True
    >>> trained = finite.train(X, y, n_steps=300)
    >>> trained.forward([[0.0]]).shape
    (20, 1, 1)
    >>> bool(np.abs(trained.forward(X)[..., 0] - y).max() < 0.05)
    True
    """

    def __init__(
        self,
        network: Network,
        width: int | Sequence[int] | np.ndarray = 1024,
        *,
        n_features: int,
        n_outputs: int = 1,
        n_networks: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        check_network(network)
        for name, value in (("n_features", n_features), ("n_outputs", n_outputs), ("n_networks", n_networks)):
            if name != "n_networks" or value is not None:
                _check_integer(name, value, smallest=1)
        self.network = network
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.n_networks = n_networks
        self._program = network.lower(n_features)
        sizes = self._sizes(width)
        n_weights = sum(n_inputs * n_units for n_inputs, n_units in pairwise(sizes))
        require_memory(2 * 8 * (n_networks or 1) * n_weights, None, f"{n_networks or 1} x {n_weights:,} weights")
        self._layers = draw(self._program, sizes, n_networks or 1, check_random_state(random_state))

    @property
    def weights_(self) -> list[np.ndarray]:
        """Weights of each dense layer."""
        return [self._shaped(layer.weight) for layer in self._layers if isinstance(layer, Weights)]

    @property
    def biases_(self) -> list[np.ndarray]:
        """Biases of each dense layer."""
        return [self._shaped(layer.bias) for layer in self._layers if isinstance(layer, Weights)]

    def forward(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the outputs of the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_networks, n_samples, n_outputs)
        """
        return self._shaped(forward(self._layers, self._rows(X))[-1])

    def empirical_nngp(self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None) -> np.ndarray:
        """Covariance of the outputs of each network, given its hidden layers: b + w/n φ(h) · φ(h').

        Its mean over networks estimates ``network.nngp`` with far less scatter than products of outputs do. After
        training it is the kernel of the hidden layers as they have become.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        Y : array-like of shape (m_samples, n_features), optional
            None means X.

        Returns
        -------
        ndarray of shape (n_networks, n_samples, m_samples)
        """
        self._require_kernel_memory(X, Y, n_arrays=1)
        left = self._features(X)
        right = left if Y is None else self._features(Y, "Y")
        last = self._layers[-1]
        return self._shaped((left * last.weight_variance) @ transpose(right) + last.bias_variance)  # maths 1.4

    def empirical_ntk(self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None) -> np.ndarray:
        """Inner products of the gradients of each network's output, with respect to all trainable parameters.

        The layers are added one by one, so that no gradient is stored. With several outputs, the mean over them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        Y : array-like of shape (m_samples, n_features), optional
            None means X.

        Returns
        -------
        ndarray of shape (n_networks, n_samples, m_samples)

        Raises
        ------
        ValueError
            If an activation has no derivative (sign, the unit step).
        """
        self._require_kernel_memory(X, Y, n_arrays=4)
        total = np.zeros(())
        for output in range(self.n_outputs):
            left = list(self._output_gradients(X, output))
            right = left if Y is None else self._output_gradients(Y, output, "Y")
            for (layer, a, delta), (_, b, epsilon) in zip(left, right, strict=True):
                # Σ over weights and biases of ∂f ∂f' = (Σ_i g² a_i a'_i + g²) Σ_j δ_j δ'_j
                inputs = (a * layer.weight_speed) @ transpose(b) + layer.bias_speed
                total = total + inputs * (delta @ transpose(epsilon))
        return self._shaped(total / self.n_outputs)

    def jacobian(self, X: npt.ArrayLike) -> np.ndarray:
        """Gradients of the outputs with respect to all trainable parameters θ = W / g.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_networks, n_samples, n_outputs, n_parameters)
            Layer by layer, first to last, without the frozen ones: the weights row by row, then the biases if it has
            any.

        Raises
        ------
        ValueError
            If an activation has no derivative (sign, the unit step).
        """
        outputs, n_samples = [], self._rows(X).shape[1]
        for output in range(self.n_outputs):
            parts = [part for gradients in self._output_gradients(X, output) for part in by_parameter(*gradients)]
            shape = (self.n_networks or 1, n_samples, 0)
            outputs.append(np.concatenate([np.zeros(shape), *reversed(parts)], axis=-1))
        return self._shaped(np.stack(outputs, axis=2))

    def train(self, X: npt.ArrayLike, y: npt.ArrayLike, *, learning_rate: float = 1.0, n_steps: int = 1000) -> Self:
        """Return trained copies of the networks: full-batch gradient descent on ½ · mean squared error.

        The mean is over rows and outputs. In the limit (Lee et al. 2019) n_steps steps are a ``training_time`` of
        learning_rate · n_steps, as long as learning_rate is well below 2N / λ_max(Θ), N being the number of targets;
        ``NTKRegressor(learning_rate=…)`` is the limit of the steps themselves. Training continues where it stopped:
        two calls with 50 steps do what one call with 100 does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The same targets for all networks.
        learning_rate : float, default=1.0
        n_steps : int, default=1000

        Returns
        -------
        FiniteNetwork
            A new object. Frozen layers are as before.

        Raises
        ------
        ValueError
            If training diverges, or an activation has no derivative (sign, the unit step).
        """
        _check_integer("n_steps", n_steps, smallest=0)
        trained = self._copy()
        trained._descend(X, y, learning_rate, n_steps)
        return trained

    def staged_forward(
        self,
        X_new: npt.ArrayLike,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        learning_rate: float = 1.0,
        n_steps: Sequence[int] | np.ndarray = (1, 10, 100, 1000),
    ) -> np.ndarray:
        """Return the outputs for new rows after several numbers of steps of one training.

        The networks stay as they are.

        Parameters
        ----------
        X_new : array-like of shape (m_samples, n_features)
        X, y, learning_rate
            As for :meth:`train`.
        n_steps : sequence of int, default=(1, 10, 100, 1000)
            Not decreasing; 0 is before training.

        Returns
        -------
        ndarray of shape (len(n_steps), n_networks, m_samples, n_outputs)
        """
        if np.ndim(n_steps) != 1 or len(n_steps) == 0:
            raise ValueError(f"n_steps must be a sequence of numbers of steps, got {n_steps!r}.")
        stages, done, trained = [], 0, self._copy()
        for n in n_steps:
            _check_integer("n_steps", n, smallest=done)
            trained._descend(X, y, learning_rate, n - done)
            stages.append(trained.forward(X_new))
            done = n
        return np.stack(stages)

    def __repr__(self) -> str:
        widths = [w.shape[-1] for w in self.weights_[:-1]]
        return f"FiniteNetwork({self.network!r}, width={widths}, n_networks={self.n_networks})"

    def _sizes(self, width: int | Sequence[int] | np.ndarray) -> list[int]:
        n_hidden = sum(not isinstance(operation, Dual) for operation in self._program.operations) - 1
        widths = list(width) if isinstance(width, (Sequence, np.ndarray)) else [width] * n_hidden
        for w in widths:
            check_width(w)
        if len(widths) != n_hidden:
            raise ValueError(f"width has {len(widths)} numbers, but {n_hidden} dense layers come before the last one.")
        return [self.n_features, *widths, self.n_outputs]

    def _copy(self) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._layers = [layer.copy() if isinstance(layer, Weights) else layer for layer in self._layers]
        return copy

    def _shaped(self, array: np.ndarray) -> np.ndarray:
        return array[0] if self.n_networks is None else array

    def _rows(self, X: npt.ArrayLike, name: str = "X") -> np.ndarray:
        require_numbers(name, X)
        rows = check_array(X, dtype=np.float64, input_name=name)
        if rows.shape[1] != self.n_features:
            raise ValueError(f"{name} has {rows.shape[1]} features, but the networks have {self.n_features}.")
        return np.broadcast_to(rows, (self.n_networks or 1, *rows.shape))

    def _targets(self, y: npt.ArrayLike, n_samples: int) -> np.ndarray:
        require_numbers("y", y)
        values = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        targets: np.ndarray = values[:, None] if values.ndim == 1 else values
        if targets.shape != (n_samples, self.n_outputs):
            raise ValueError(
                f"y has shape {values.shape}, but X has {n_samples} rows, the networks {self.n_outputs} outputs."
            )
        return targets

    def _features(self, X: npt.ArrayLike, name: str = "X") -> np.ndarray:
        return forward(self._layers, self._rows(X, name))[-2]

    def _require_kernel_memory(self, X: npt.ArrayLike, Y: npt.ArrayLike | None, n_arrays: int) -> None:
        n = self._rows(X).shape[1]
        m = n if Y is None else self._rows(Y, "Y").shape[1]
        needed = 8 * n_arrays * (self.n_networks or 1) * n * m
        require_memory(needed, None, f"the kernels of {self.n_networks or 1} networks, {n:,} x {m:,} rows")

    def _output_gradients(
        self, X: npt.ArrayLike, output: int, name: str = "X"
    ) -> Iterator[tuple[Weights, np.ndarray, np.ndarray]]:
        """Return each dense layer, its inputs, and the gradient of one output in its units: last to first."""
        self._program.require_ntk()
        values = forward(self._layers, self._rows(X, name))
        seed = np.zeros_like(values[-1])
        seed[..., output] = 1.0
        return backward(self._layers, values, seed)

    def _descend(self, X: npt.ArrayLike, y: npt.ArrayLike, learning_rate: float, n_steps: int) -> None:
        if not isinstance(learning_rate, Real) or not 0 < learning_rate < np.inf:
            raise ValueError(f"learning_rate must be a positive number, got {learning_rate!r}.")
        self._program.require_ntk()
        rows = self._rows(X)
        targets = self._targets(y, rows.shape[1])
        trainable = [
            place for place, layer in enumerate(self._layers) if isinstance(layer, Weights) and layer.trainable
        ]
        if not trainable:
            return
        size = max(1, BATCH // (rows.shape[1] * max(w.shape[-1] for w in self.weights_)))
        for start in range(0, len(rows), size):
            networks = slice(start, start + size)
            layers = [block(layer, networks) for layer in self._layers]
            fixed = forward(layers[: trainable[0]], rows[networks])[-1]  # what frozen layers make of X, once
            descend(layers[trainable[0] :], fixed, targets, learning_rate, n_steps)


def _check_integer(name: str, value: Any, *, smallest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < smallest:
        raise ValueError(f"{name} must be an integer, {smallest} or larger; got {value!r}.")
