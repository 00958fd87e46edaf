"""Layer normalisation."""

from dataclasses import dataclass

import numpy as np

from infwidth._program.pairwise import Pairwise
from infwidth._runtime.jit import inline
from infwidth.activations.base import Curvature, Family, Numbers, Rows, homogeneous, root_and_inverse


@dataclass(frozen=True)
class Normalise(Pairwise):
    """Layer normalisation of a wide layer: k <- k / √(q q'), t <- t / √(q q'). An input of variance 0 keeps it."""

    target: int = 0

    @property
    def family(self) -> Family:
        return NORMALISATION


def _rows(q: np.ndarray, p: np.ndarray) -> Rows:
    inverse = root_and_inverse(q)[1]
    return Rows((inverse,), (inverse > 0).astype(float), inverse * inverse)


@inline
def _pair(c: float, i: Numbers, j: Numbers, p: Numbers) -> tuple[float, float]:
    scale = i[0] * j[0]
    return c * scale, scale


@inline
def _curvature(c: float, i: Numbers, j: Numbers, p: Numbers) -> Curvature:
    value, slope = _pair(c, i, j, p)
    return homogeneous(c, i[0] * i[0], j[0] * j[0], 0.0, value, slope, 0.0)


NORMALISATION = Family("normalisation", _rows, _pair, _curvature, lambda p: 0.0)
