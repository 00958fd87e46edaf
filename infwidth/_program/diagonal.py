"""What changes an input's kernel with itself alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import Bars, Chunk, adjoint_loop, forward_loop
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values, diagonal_places
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Diagonal(Operation):
    """Multiply the kernels of each input, and of each of its sites, with itself; those of two inputs stay.

    Dropout that keeps a share p of the units is ``Diagonal(1 / p)``: its masks are independent (maths 1.9).
    """

    factor: float
    target: int = 0

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return Values(self._scaled(own.k, pairs), self._scaled(own.t, pairs)), None

    def rows_adjoint(
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        return self.rows(bar, bar, before.pairs)[0], None

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "diagonal")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "diagonal")

    def matrices(self, before: Before) -> tuple[Values, Any]:
        return self._of_matrices(before.own, before.pairs), None

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        return self._of_matrices(change.own, before.pairs)

    def _scaled(self, array: np.ndarray, pairs: SitePairs) -> np.ndarray:
        scaled = array.copy()
        scaled[diagonal_places(pairs)] *= self.factor
        return scaled

    def _of_matrices(self, values: Values, pairs: SitePairs) -> Values:
        own = np.arange(values.k.shape[-1])
        scaled = Values(values.k.copy(), values.t.copy())
        for place in diagonal_places(pairs):
            for array in scaled:
                array[place, own, own] *= self.factor
        return scaled


@inline
def _forward(chunk: Chunk) -> None:
    pass


@inline
def _adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    pass
