"""What every network can do: give its kernels, and be read and rebuilt by its variances."""

from collections.abc import Collection
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import check_array

from infwidth._data.validation import require_choice, require_numbers, shown
from infwidth._engine.engine import LIMITS, KernelEngine, Limit
from infwidth._program.program import Program
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth.activations import ACTIVATIONS, BaseActivation
from infwidth.networks.layers import Layer
from infwidth.networks.lowering import Lowering
from infwidth.networks.theta import theta_of, with_theta


class Network(Layer):
    """Base of the networks. A subclass lowers itself for a given number of features, and names what can be learned."""

    def lowered(self, n_features: int) -> Lowering:
        """Return the ``Lowering`` for inputs with ``n_features`` features, its hyperparameters named by parameters.

        Raises
        ------
        ValueError
            If a variance, an activation or a layer is not valid, or does not fit that number of features.
        """
        raise NotImplementedError

    def learnable(self) -> Collection[str]:
        """Return the names of what can be learned; those that are no parameters of a subclass are fixed there."""
        raise NotImplementedError

    def lower(self, n_features: int) -> Program:
        """Return the ``Program`` for inputs with ``n_features`` features; raises as :meth:`lowered`."""
        return self.lowered(n_features).program()

    @no_floating_point_errors
    def nngp(self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None) -> np.ndarray:
        """NNGP kernel: covariance of the network's outputs at random initialisation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        Y : array-like of shape (m_samples, n_features), optional
            None means X; then the result is exactly symmetric.

        Returns
        -------
        ndarray of shape (n_samples, m_samples)
        """
        return self._matrices(X, Y, nngp=True)[0]

    @no_floating_point_errors
    def ntk(self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None) -> np.ndarray:
        """Neural tangent kernel: the kernel of gradient descent on all trainable weights.

        Parameters and result as for :meth:`nngp`.

        Raises
        ------
        ValueError
            If an activation has no derivative dual (sign, the unit step).
        """
        return self._matrices(X, Y, ntk=True)[1]

    @no_floating_point_errors
    def kernels(self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
        """NNGP and NTK of one pass, as the tuple (K, Θ). Parameters as for :meth:`nngp`."""
        return self._matrices(X, Y, nngp=True, ntk=True)

    @no_floating_point_errors
    def diag(self, X: npt.ArrayLike, limit: Limit = "nngp") -> np.ndarray:
        """Diagonal of a kernel, from formulas for one row, in O(n).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        limit : {"nngp", "ntk"}, default="nngp"

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        require_choice("limit", limit, LIMITS)
        inputs = _inputs(X)
        rows = self._engine(inputs, limit == "ntk").rows(inputs)
        return rows.ntk if limit == "ntk" else rows.nngp

    def _matrices(
        self, X: npt.ArrayLike, Y: npt.ArrayLike | None, nngp: bool = False, ntk: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        left = _inputs(X)
        engine = self._engine(left, ntk)
        rows = engine.rows(left)
        if Y is None:
            return engine.symmetric(rows, nngp=nngp, ntk=ntk)
        right = _inputs(Y, "Y")
        if right.shape[1] != left.shape[1]:
            raise ValueError(
                f"X has {left.shape[1]} features and Y has {right.shape[1]}: a kernel needs the same number."
            )
        return engine.cross(rows, engine.rows(right), nngp=nngp, ntk=ntk)

    def _engine(self, X: np.ndarray, ntk: bool) -> KernelEngine:
        return KernelEngine(self.lower(X.shape[1]), ntk=ntk)

    def hyperparameters(self) -> dict[str, Any]:
        """Return what can be learned, by parameter name: the variances that are set, as floats and as arrays of one a
        feature, and the parameters of activations that are to be learned.
        """
        names = self.learnable()
        return {name: value for name, value in self.get_params().items() if name in names and value is not None}

    def untied(self) -> Self:
        """Return the network with every variance of its own, as learning starts from it."""
        return clone(self)

    def expanded(self, n_features: int) -> Self:
        """Return the network with an input variance for each feature, where it asks for them."""
        return clone(self)

    def require_learnable(self, n_features: int) -> None:
        """Raise a ValueError where the network cannot take the variances that learning leads to: all of them differ."""
        network = self.untied().expanded(n_features)
        theta = theta_of(network)
        with_theta(network, theta + np.linspace(0.0, 0.1, len(theta))).lower(n_features)

    def input_variances(self, n_features: int) -> np.ndarray:
        """Return the variances of the first layer, shape (n_features,)."""
        return self.lower(n_features).input_scale ** 2 * n_features

    def with_hyperparameters(self, **values: Any) -> Self:
        """Return a copy of the network with these values, named as in :meth:`hyperparameters`."""
        return clone(self).set_params(**values)


def check_network(network: object) -> None:
    """Raise a TypeError unless this is a network."""
    if isinstance(network, Network):
        return
    advice = ""
    if isinstance(network, type) and issubclass(network, Network):
        advice = f": write {network.__name__}()"
    elif isinstance(network, BaseActivation) or (isinstance(network, str) and network in ACTIVATIONS):
        advice = f", an activation: write MLP(activation={network!r})"
    raise TypeError(
        f"network must be a network of infwidth.networks, such as MLP(depth=2); got {shown(network)}{advice}."
    )


def _inputs(X: npt.ArrayLike, name: str = "X") -> np.ndarray:
    require_numbers(name, X)
    return check_array(X, dtype=np.float64, input_name=name)
