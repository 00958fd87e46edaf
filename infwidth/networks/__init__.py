"""Networks: architectures with their weight and bias variances. No arrays of weights exist."""

from infwidth.networks.base import Network
from infwidth.networks.layers import Activation, Dense
from infwidth.networks.mlp import MLP
from infwidth.networks.sequential import Sequential

__all__ = ["MLP", "Activation", "Dense", "Network", "Sequential"]
