"""Dense layers and activations: what networks are made of."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator

from infwidth._program.affine import Affine
from infwidth._program.dual import Dual
from infwidth._validation import is_number, require_bool, require_choice, shown
from infwidth.activations import get_activation
from infwidth.activations.base import finite

PARAMETRIZATIONS = ("ntk", "standard")


class Layer(BaseEstimator):
    """Base of the layers: parameters only, no arrays of weights."""

    def __eq__(self, other):
        return type(self) is type(other) and same_parameters(self.get_params(), other.get_params())

    __hash__ = None  # type: ignore[assignment]  # compared by value, and set_params changes the value


def same_parameters(a, b):
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

    def __init__(self, *, weight_variance=2.0, bias_variance=0.1, trainable=True, parametrization="ntk", width=None):
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.trainable = trainable
        self.parametrization = parametrization
        self.width = width

    def lower(self, n_inputs):
        """Return the operation for a hidden or last layer that reads ``n_inputs`` units (None: unknown)."""
        if np.ndim(self.weight_variance) > 0:
            raise ValueError("only the first Dense layer takes an array of weight variances, one a feature.")
        w = variance("weight_variance", self.weight_variance, positive=True)
        b = self._bias()
        if not self.trainable:
            return Affine(w, b, 0.0, 0.0)
        if self.parametrization == "ntk":  # Θ = K + w Ṫ Θ' (maths 1.5)
            return Affine(w, b, w, b)
        if n_inputs is None:
            raise ValueError(
                "the NTK in the standard parametrization needs the width of the layer before: give that Dense a width."
            )
        return Affine(w, b, float(n_inputs), float(b > 0))  # Θ = n T + 1 + w Ṫ Θ' (maths 1.7)

    def lower_first(self, n_features):
        """Return √(v_f / d), shape (n_features,), and the operation on the Gram matrix they make."""
        v, b = self._input_variances(n_features), self._bias()
        scale = np.sqrt(v / n_features)
        if not self.trainable:
            return scale, Affine(1.0, b, 0.0, 0.0)
        if self.parametrization == "ntk":
            return scale, Affine(1.0, b, 1.0, b)
        if np.any(v != v[0]):
            raise ValueError(
                "the standard parametrization takes one input variance for all features: its NTK uses the "
                "unweighted inputs. Use parametrization='ntk', or one input variance (ard=False)."
            )
        return scale, Affine(1.0, b, n_features / v[0], float(b > 0))

    def gradient(self, affine):
        """Return ∂L/∂weight_variance and ∂L/∂bias_variance of a hidden or last layer, from those of w, b, u and s."""
        w, b, u, s = affine
        tied = self.trainable and self.parametrization == "ntk"
        return (w + u, b + s) if tied else (w, b)

    def first_gradient(self, affine, log_input):
        """Return the same for the first layer: of one variance a feature if it has them, 0 for those switched off."""
        n_features = len(log_input)
        v = self._input_variances(n_features)
        weight = np.divide(log_input, v, out=np.zeros(n_features), where=v > 0)
        if np.ndim(self.weight_variance) == 0:
            weight = weight.sum()
            if self.trainable and self.parametrization == "standard":
                weight -= affine[2] * n_features / v[0] ** 2  # u = d / v
        tied = self.trainable and self.parametrization == "ntk"
        return weight, affine[1] + affine[3] if tied else affine[1]

    def _input_variances(self, n_features):
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

    def _bias(self):
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

    def __init__(self, activation="relu", *, learn=False):
        self.activation = activation
        self.learn = learn

    def lower(self):
        """Return the operation."""
        return Dual(get_activation(self.activation), learned=bool(self.learned()))

    def learned(self):
        """Return the learned parameters of the activation, by name."""
        require_bool("learn", self.learn)
        if not self.learn:
            return {}
        names = getattr(self.activation, "learnable", ())
        if not names:
            raise ValueError(
                f"the activation {self.activation!r} has no parameters to learn: give an object that has some, "
                "such as LeakyReLU(slope=0.1), or leave them fixed."
            )
        values = {name: finite(self.activation, name) for name in names}
        for name, value in values.items():
            if value < 0:
                raise ValueError(f"learning takes the logarithm of {name}: it must be positive, got {value!r}.")
        return values

    def gradients(self, operation):
        """Return ∂L/∂ the learned parameters by name, from its row of ``ProgramGradient.operations``."""
        return self.activation.gradients(operation[0], operation[1:]) if self.learned() else {}


def check_width(width):
    """Raise unless the width is a positive integer."""
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise ValueError(f"the width of a layer must be a positive integer, got {shown(width)}.")


def variance(name, value, *, positive=False):
    """Return a variance as a float, or raise a ValueError that names it."""
    number = float(value) if is_number(value) else np.nan
    if not np.isfinite(number) or number < 0 or (positive and number == 0):
        kind = "a positive number" if positive else "a number, 0 or larger"
        raise ValueError(f"{name} is a variance: it must be {kind}, got {shown(value)}.")
    return number
