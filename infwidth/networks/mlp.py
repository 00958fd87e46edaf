"""The fully connected network with equal hidden layers."""

from collections.abc import Collection
from numbers import Integral
from typing import Self

import numpy as np
import numpy.typing as npt

from infwidth._data.validation import require_bool, shown
from infwidth.activations import ActivationName, BaseActivation
from infwidth.networks.base import Network
from infwidth.networks.layers import Activation, Dense, Parametrization, check_width, variance
from infwidth.networks.lowering import Lowering
from infwidth.networks.sequential import Sequential


class MLP(Network):
    """An infinitely wide fully connected network.

    With d features, variances v_f of the first layer, σ_w² of the others and σ_b² of all biases
    (Lee et al. 2018; Jacot et al. 2018):

        K⁰ = σ_b² + Σ_f v_f x_f x'_f / d,     Θ⁰ = K⁰,
        K^l = σ_b² + σ_w² E φ(u)φ(v),         Θ^l = K^l + σ_w² E φ'(u)φ'(v) Θ^{l-1},   (u, v) ~ N(0, K^{l-1}).

    Parameters
    ----------
    depth : int, default=2
        Number of hidden layers, 1 or more.
    activation : str or object of ``infwidth.activations``, default="relu"
    weight_variance : float, default=2.0
        σ_w² of a hidden layer; positive.
    bias_variance : float, default=0.1
        σ_b² of every layer; 0 means no biases.
    input_variance : float or array of shape (n_features,), optional
        Weight variance of the first layer, or one a feature; None means ``weight_variance``.
    output_variance : float, optional
        Weight variance of the last layer; None means ``weight_variance``.
    learn_activation : bool, default=False
        Whether an estimator that learns the variances learns the activation's parameters too, one value for all
        layers: see :class:`Activation`.
    ard : bool, default=False
        Automatic relevance determination: whether an estimator that learns the variances gives each feature an
        input variance of its own. The kernel does not depend on it. Not with the standard parametrisation.
    parametrization : {"ntk", "standard"}, default="ntk"
        See :class:`Dense`. It changes the NTK only.
    width : int, optional
        Units of a hidden layer, for the standard parametrization only: its NTK grows with the width.

    Examples
    --------
    >>> from infwidth.networks import MLP
    >>> network = MLP(depth=1, bias_variance=0.01)
    >>> K, ntk = network.kernels([[1.0, 0.0], [0.6, 0.8]])
    >>> K.round(6)
    array([[1.02    , 0.697146],
           [0.697146, 1.02    ]])
    """

    def __init__(
        self,
        depth: int = 2,
        activation: ActivationName | BaseActivation = "relu",
        *,
        weight_variance: float = 2.0,
        bias_variance: float = 0.1,
        input_variance: npt.ArrayLike | None = None,
        output_variance: float | None = None,
        learn_activation: bool = False,
        ard: bool = False,
        parametrization: Parametrization = "ntk",
        width: int | None = None,
    ) -> None:
        self.depth = depth
        self.activation = activation
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.input_variance = input_variance
        self.output_variance = output_variance
        self.learn_activation = learn_activation
        self.ard = ard
        self.parametrization = parametrization
        self.width = width

    def lowered(self, n_features: int) -> Lowering:
        """Return the ``Lowering`` for inputs with ``n_features`` features."""
        return self.sequential().lowered(n_features).renamed(self._own_name)

    def learnable(self) -> Collection[str]:
        """Return the names of what can be learned: the weight variance too where no layer is left that has it."""
        return {"weight_variance", *map(self._own_name, self.sequential().learnable())}

    def _own_name(self, name: str) -> str:
        """Return which parameter a hyperparameter of the chain of layers is."""
        _, place, own = name.split("__", 2)
        if own != "weight_variance":
            return own
        if place == "0" and self.input_variance is not None:
            return "input_variance"
        return "output_variance" if int(place) == 2 * self.depth and self.output_variance is not None else own

    def sequential(self) -> Sequential:
        """Return the same network as a :class:`Sequential`, to freeze or change single layers."""
        if isinstance(self.depth, bool) or not isinstance(self.depth, Integral) or self.depth < 1:
            raise ValueError(f"depth is the number of hidden layers: an integer, 1 or larger; got {shown(self.depth)}.")
        self._check_width()
        require_bool("ard", self.ard)
        require_bool("learn_activation", self.learn_activation)
        for name in ("weight_variance", "output_variance"):
            if getattr(self, name) is not None:
                variance(name, getattr(self, name), positive=True)
        if self.input_variance is not None and np.ndim(self.input_variance) == 0:
            variance("input_variance", self.input_variance, positive=True)

        def dense(weight_variance: npt.ArrayLike | None) -> Dense:
            return Dense(
                weight_variance=self.weight_variance if weight_variance is None else weight_variance,
                bias_variance=self.bias_variance,
                parametrization=self.parametrization,
                width=self.width,
            )

        def hidden() -> Activation:
            return Activation(self.activation, learn=self.learn_activation)

        layers: list[Dense | Activation] = [dense(self.input_variance)]
        for _ in range(self.depth - 1):
            layers += [hidden(), dense(None)]
        return Sequential([*layers, hidden(), dense(self.output_variance)])

    def untied(self) -> Self:
        """Return the network with its own input and output variance."""
        own = {"input_variance": self.input_variance, "output_variance": self.output_variance}
        values = {name: self.weight_variance if value is None else value for name, value in own.items()}
        parameters = self.get_params(deep=False)  # a subclass can have fewer, and the others are fixed then
        return self.with_hyperparameters(**{name: value for name, value in values.items() if name in parameters})

    def expanded(self, n_features: int) -> Self:
        """Return the network with an input variance for each feature, if it has ``ard``."""
        value = self.weight_variance if self.input_variance is None else self.input_variance
        if not self.ard or np.ndim(value):
            return self.with_hyperparameters()
        if "input_variance" not in self.get_params(deep=False):
            raise ValueError(
                f"{type(self).__name__} has ard=True, but its __init__ does not take input_variance, where a variance "
                "for each feature is kept: let it, or use ard=False."
            )
        return self.with_hyperparameters(input_variance=np.full(n_features, value, dtype=float))

    def _check_width(self) -> None:
        if self.parametrization == "standard":
            check_width(self.width)
        elif self.width is not None:
            raise ValueError("width has a meaning with parametrization='standard' only: leave it None.")
