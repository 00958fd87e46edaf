"""Any chain of dense layers and activations."""

from collections.abc import Collection, Sequence
from typing import Any, Self

from infwidth._data.validation import shown
from infwidth.activations import ACTIVATIONS, BaseActivation
from infwidth.networks.base import Network
from infwidth.networks.layers import Activation, Dense
from infwidth.networks.lowering import Lowering


class Sequential(Network):
    """A chain of layers, first to last.

    It begins and ends with a dense layer, and has one between two activations: only sums over many units are Gaussian.

    Parameters
    ----------
    layers : list of Dense and Activation

    Examples
    --------
    >>> from infwidth.networks import Activation, Dense, Sequential
    >>> dense = Dense(weight_variance=1.5, bias_variance=0.1)
    >>> network = Sequential([dense, Activation("erf"), dense])
    >>> network.nngp([[1.0, 0.0], [0.6, 0.8]]).round(4)
    array([[0.7504, 0.5007],
           [0.5007, 0.7504]])

    A layer's parameters are reached by its place:

    >>> network.set_params(layers__0__weight_variance=2.0).layers[0].weight_variance
    2.0
    """

    def __init__(self, layers: Sequence[Dense | Activation]) -> None:
        self.layers = layers

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the layers, and with ``deep`` the parameters of each as ``layers__<place>__<name>``."""
        params = super().get_params(deep=False)
        if deep and "layers" in params:  # a subclass that makes its layers has parameters of its own
            for place, layer in enumerate(self.layers):
                params.update({f"layers__{place}__{name}": v for name, v in layer.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set the layers, or parameters of layers named as in :meth:`get_params`."""
        own = super().get_params(deep=False)
        super().set_params(**{name: value for name, value in params.items() if name in own})
        known = self.get_params()
        for name, value in params.items():
            if name in own:
                continue
            if name not in known:
                raise ValueError(f"Sequential has no parameter {name!r}; its parameters are {sorted(known)}.")
            _, place, parameter = name.split("__", 2)
            self.layers[int(place)].set_params(**{parameter: value})
        return self

    def lowered(self, n_features: int) -> Lowering:
        """Return the ``Lowering`` for inputs with ``n_features`` features."""
        self._check()
        lowering = Lowering(n_features)
        for place, layer in enumerate(self.layers):
            layer.lower_into(lowering, f"layers__{place}__")
        return lowering

    def learnable(self) -> Collection[str]:
        """Return the names of what the layers can learn."""
        own = [layer.hyperparameters() for layer in self.layers]
        return [f"layers__{place}__{name}" for place, names in enumerate(own) for name in names]

    def _check(self) -> None:
        if not isinstance(self.layers, (list, tuple)):
            raise TypeError(f"layers must be a list of Dense and Activation layers, got {shown(self.layers)}.")
        for layer in self.layers:
            if not isinstance(layer, (Dense, Activation)):
                raise TypeError(
                    f"Sequential takes Dense and Activation layers, got {shown(layer)}{_advice_for(layer)}."
                )
        if not self.layers or not (isinstance(self.layers[0], Dense) and isinstance(self.layers[-1], Dense)):
            raise ValueError("Sequential must begin and end with a Dense layer.")
        for left, right in zip(self.layers, self.layers[1:], strict=False):
            if isinstance(left, Activation) and isinstance(right, Activation):
                raise ValueError("two activations in a row have no Gaussian limit: put a Dense layer between them.")


def _advice_for(layer: object) -> str:
    """Return what to write in the place of something that is no layer, as the end of a sentence."""
    if isinstance(layer, type) and issubclass(layer, (Dense, Activation)):
        return f": write {layer.__name__}()"
    if isinstance(layer, BaseActivation) or (isinstance(layer, str) and layer in ACTIVATIONS):
        return f": write Activation({layer!r})"
    return ""
