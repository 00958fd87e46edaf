"""Dense layers and activations: what networks are made of."""

from numbers import Integral
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from infwidth._data.validation import is_number, require_bool, require_choice, shown
from infwidth._program.affine import Affine
from infwidth._program.dual import Dual
from infwidth.activations import ActivationName, BaseActivation, get_activation
from infwidth.activations.base import finite
from infwidth.networks.lowering import Lowering, Slope

Parametrization = Literal["ntk", "standard"]
PARAMETRIZATIONS = ("ntk", "standard")


class Layer(BaseEstimator):
    """Base of the layers: parameters only, no arrays of weights. A layer names the numbers that can be learned."""

    def hyperparameters(self) -> dict[str, Any]:
        """Return what can be learned, by parameter name."""
        raise NotImplementedError

    def lower_into(self, lowering: Lowering, prefix: str = "") -> None:
        """Write the layer's operations to a ``Lowering``, and how its hyperparameters, with that prefix, move them."""
        raise NotImplementedError

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and same_parameters(self.get_params(), other.get_params())

    __hash__ = None  # type: ignore[assignment]  # compared by value, and set_params changes the value


def same_parameters(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two parameter dictionaries hold equal values, arrays included."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


class Dense(Layer):
    """A fully connected layer with Gaussian weights: K = b + w E φφ', summed over the inputs of the layer.

    Parameters
    ----------
    weight_variance : float or array of shape (n_features,), default=2.0
        σ_w². Positive; an array, one variance a feature, only in the first layer, where zeros switch features off.
    bias_variance : float, default=0.1
        σ_b². 0 means that the layer has no biases.
    trainable : bool, default=True
        False freezes the layer at its random initialisation: its own term leaves the NTK. K is unchanged.
    parametrization : {"ntk", "standard"}, default="ntk"
        Where the factor 1/√width stands: in the forward pass ("ntk"), or in the variance of the initial
        weights ("standard", as in deep-learning libraries: Sohl-Dickstein et al. 2020). Only the NTK differs,
        and with "standard" it grows with the widths.
    width : int, optional
        Number of units of this layer. Needed before a dense layer with the standard parametrization only.

    Examples
    --------
    >>> from infwidth.networks import Dense
    >>> Dense(weight_variance=1.5, bias_variance=0.2, trainable=False)
    Dense(bias_variance=0.2, trainable=False, weight_variance=1.5)
    """

    def __init__(
        self,
        *,
        weight_variance: npt.ArrayLike = 2.0,
        bias_variance: float = 0.1,
        trainable: bool = True,
        parametrization: Parametrization = "ntk",
        width: int | None = None,
    ) -> None:
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.trainable = trainable
        self.parametrization = parametrization
        self.width = width

    def hyperparameters(self) -> dict[str, Any]:
        """Return both variances."""
        return {"bias_variance": self.bias_variance, "weight_variance": self.weight_variance}

    def lower_into(self, lowering: Lowering, prefix: str = "") -> None:
        """Write the operation of a hidden or last layer, or of the first, which weighs the inputs."""
        place, first = len(lowering.operations), not lowering.operations
        if first:
            lowering.input_variances = self._input_variances(lowering.n_features)
        affine, of_weight, of_bias = self._first(lowering) if first else self._later(lowering.width)
        variances = lowering.input_variances if first else None
        slopes = {"weight_variance": Slope(place, of_weight, variances), "bias_variance": Slope(place, of_bias)}
        lowering.append(affine, {prefix + name: slope for name, slope in slopes.items()})
        lowering.width = self.width

    def _later(self, n_inputs: int | None) -> tuple[Affine, tuple[float, ...], tuple[float, ...]]:
        """Return the operation of a layer that reads ``n_inputs`` units (None: unknown).

        And the derivatives of w, b, u and s with respect to the weight variance and to the bias variance.
        """
        if np.ndim(self.weight_variance) > 0:
            raise ValueError("only the first Dense layer takes an array of weight variances, one a feature.")
        w = variance("weight_variance", self.weight_variance, positive=True)
        b = self._bias()
        if not self.trainable:
            return Affine(w, b, 0.0, 0.0), (1.0,), (0.0, 1.0)
        if self.parametrization == "ntk":  # Θ = K + w Ṫ Θ' (maths 1.5)
            return Affine(w, b, w, b), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)
        if n_inputs is None:
            raise ValueError(
                "the NTK in the standard parametrization needs the width of the layer before: give that Dense a width."
            )
        return Affine(w, b, float(n_inputs), float(b > 0)), (1.0,), (0.0, 1.0)  # Θ = n T + 1 + w Ṫ Θ' (maths 1.7)

    def _first(self, lowering: Lowering) -> tuple[Affine, tuple[float, ...], tuple[float, ...]]:
        """Return the same of the first layer: the weight variances are in the Gram matrix, where w is 1."""
        v, b, d = lowering.input_variances, self._bias(), lowering.n_features
        if not self.trainable:
            return Affine(1.0, b, 0.0, 0.0), (), (0.0, 1.0)
        if self.parametrization == "ntk":
            return Affine(1.0, b, 1.0, b), (), (0.0, 1.0, 0.0, 1.0)
        if np.any(v != v[0]):
            raise ValueError(
                "the standard parametrization takes one input variance for all features: its NTK uses the "
                "unweighted inputs. Use parametrization='ntk', or one input variance (ard=False)."
            )
        return Affine(1.0, b, d / v[0], float(b > 0)), (0.0, 0.0, -d / v[0] ** 2), (0.0, 1.0)

    def _input_variances(self, n_features: int) -> np.ndarray:
        if np.ndim(self.weight_variance) == 0:
            return np.full(n_features, variance("weight_variance", self.weight_variance, positive=True))
        try:
            v = np.asarray(self.weight_variance, dtype=float)
        except (TypeError, ValueError):
            raise ValueError(
                f"the first layer's variances (input_variance) must be numbers, got {self.weight_variance!r}."
            ) from None
        if v.shape != (n_features,):
            raise ValueError(
                f"the first layer's variances (input_variance) have shape {v.shape}, but X has {n_features} features: "
                f"give one number, or an array of shape ({n_features},)."
            )
        if not np.all(np.isfinite(v)) or np.any(v < 0) or not np.any(v > 0):
            raise ValueError(
                "the first layer's variances (input_variance) must be finite, none negative and one positive at "
                f"least; got {v}."
            )
        return v

    def _bias(self) -> float:
        require_choice("parametrization", self.parametrization, PARAMETRIZATIONS)
        require_bool("trainable", self.trainable)
        if self.width is not None:
            check_width(self.width)
        return variance("bias_variance", self.bias_variance)


class Activation(Layer):
    """An elementwise nonlinearity between two dense layers.

    Parameters
    ----------
    activation : str or object of ``infwidth.activations``, default="relu"
    learn : bool, default=False
        Whether an estimator that learns the variances learns the activation's parameters too, such as the slope of
        ``LeakyReLU(0.1)``. They must be positive then; a parameter of 0 is fixed. The kernel does not depend on it.

    Examples
    --------
    >>> from infwidth.networks import Activation
    >>> Activation("erf")
    Activation(activation='erf')
    """

    def __init__(self, activation: ActivationName | BaseActivation = "relu", *, learn: bool = False) -> None:
        self.activation = activation
        self.learn = learn

    def hyperparameters(self) -> dict[str, Any]:
        """Return the learned parameters of the activation."""
        return {f"activation__{name}": value for name, value in self._learned().items()}

    def lower_into(self, lowering: Lowering, prefix: str = "") -> None:
        """Write the operation."""
        activation, place, learned = get_activation(self.activation), len(lowering.operations), self._learned()
        slopes = activation.slopes() if learned else {}
        named = {f"{prefix}activation__{name}": Slope(place, slopes[name]) for name in learned}
        lowering.append(Dual(activation, learned=bool(learned)), named)

    def _learned(self) -> dict[str, float]:
        """Return the learned parameters of the activation, by name."""
        require_bool("learn", self.learn)
        if not self.learn:
            return {}
        activation = self.activation
        if not isinstance(activation, BaseActivation) or not activation.learnable:
            raise ValueError(
                f"the activation {activation!r} has no parameters to learn: give an object that has some, "
                "such as LeakyReLU(slope=0.1), or leave them fixed."
            )
        values = {name: finite(activation, name) for name in activation.learnable}
        for name, value in values.items():
            if value < 0:
                raise ValueError(f"learning takes the logarithm of {name}: it must be positive, got {value!r}.")
        return values


def check_width(width: Any) -> None:
    """Raise unless the width is a positive integer."""
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise ValueError(f"the width of a layer must be a positive integer, got {shown(width)}.")


def variance(name: str, value: Any, *, positive: bool = False) -> float:
    """Return a variance as a float, or raise a ValueError that names it."""
    number = float(value) if is_number(value) else np.nan
    if not np.isfinite(number) or number < 0 or (positive and number == 0):
        kind = "a positive number" if positive else "a number, 0 or larger"
        raise ValueError(f"{name} is a variance: it must be {kind}, got {shown(value)}.")
    return number
