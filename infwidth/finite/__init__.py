"""Finite random networks with the architecture of an infinite one, in plain NumPy: what the limits are limits of."""

from infwidth.finite.network import FiniteNetwork

__all__ = ["FiniteNetwork"]
