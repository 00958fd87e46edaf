"""Activations whose duals have a closed form, by name or as parametrised objects.

>>> from infwidth.activations import get_activation, LeakyReLU
>>> get_activation("erf")
Erf()
>>> get_activation(LeakyReLU(slope=0.2))
LeakyReLU(slope=0.2)
"""

from typing import Literal

from sklearn.base import clone

from infwidth._data.validation import shown
from infwidth.activations.base import BaseActivation
from infwidth.activations.exponential import (
    RBF,
    Cos,
    Exp,
    Gaussian,
    Sin,
)
from infwidth.activations.gelu import GELU
from infwidth.activations.polynomial import Identity, Monomial
from infwidth.activations.rectified import (
    Abs,
    LeakyReLU,
    RectifiedPower,
    ReLU,
    Sign,
)
from infwidth.activations.sigmoidal import Erf, NormalCDF

__all__ = [
    "GELU",
    "RBF",
    "Abs",
    "BaseActivation",
    "Cos",
    "Erf",
    "Exp",
    "Gaussian",
    "Identity",
    "LeakyReLU",
    "Monomial",
    "NormalCDF",
    "ReLU",
    "RectifiedPower",
    "Sign",
    "Sin",
    "get_activation",
]

ActivationName = Literal[
    "relu",
    "leaky_relu",
    "abs",
    "identity",
    "erf",
    "normal_cdf",
    "sign",
    "sin",
    "cos",
    "gelu",
    "gaussian",
    "exp",
    "rbf",
    "monomial",
    "rectified_power",
]
ACTIVATIONS: dict[ActivationName, BaseActivation] = {
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "abs": Abs(),
    "identity": Identity(),
    "erf": Erf(),
    "normal_cdf": NormalCDF(),
    "sign": Sign(),
    "sin": Sin(),
    "cos": Cos(),
    "gelu": GELU(),
    "gaussian": Gaussian(),
    "exp": Exp(),
    "rbf": RBF(),
    "monomial": Monomial(),
    "rectified_power": RectifiedPower(),
}
CLOSE = {"tanh": "erf", "sigmoid": "normal_cdf", "logistic": "normal_cdf", "silu": "gelu", "swish": "gelu"}


def get_activation(activation: ActivationName | BaseActivation) -> BaseActivation:
    """Return the activation of that name, or the activation object itself.

    Parameters
    ----------
    activation : str or BaseActivation

    Raises
    ------
    ValueError
        If no activation has that name.
    TypeError
        If it is neither a name nor an activation object.
    """
    if isinstance(activation, BaseActivation):
        return activation
    names = ", ".join(sorted(ACTIVATIONS))
    if not isinstance(activation, str):
        is_class = isinstance(activation, type) and issubclass(activation, BaseActivation)
        advice = f": write {activation.__name__}()" if is_class else f"; the names are {names}"
        raise TypeError(
            f"activation must be a name or an object of infwidth.activations, got {shown(activation)}{advice}."
        )
    if activation in CLOSE:
        raise ValueError(
            f"the activation {activation!r} has no dual in closed form: use {CLOSE[activation]!r}, which is close. "
            f"The names are {names}."
        )
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; the names are {names}.")
    return clone(ACTIVATIONS[activation])
