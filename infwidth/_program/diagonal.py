"""What changes an input's kernel with itself alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import Operation, SitePairs, Values, diagonal_places
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
        self,
        own: Values,
        source: Values,
        bar: Values,
        q_bar: np.ndarray,
        pairs: SitePairs,
        gradient: np.ndarray,
        ntk: bool,
    ) -> tuple[Values, Values | None]:
        return self.rows(bar, bar, pairs)[0], None

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "diagonal")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "diagonal")

    def matrices(
        self, own: Values, source: Values, coefficients: np.ndarray, pairs: SitePairs, ntk: bool
    ) -> tuple[Values, Any]:
        return self._of_matrices(own, pairs), None

    def tangent(
        self,
        own: Values,
        source: Values,
        kept: Any,
        d_own: Values,
        d_source: Values,
        numbers: np.ndarray,
        coefficients: np.ndarray,
        pairs: SitePairs,
        ntk: bool,
    ) -> Values:
        return self._of_matrices(d_own, pairs)

    def _scaled(self, array, pairs):
        scaled = array.copy()
        scaled[diagonal_places(pairs)] *= self.factor
        return scaled

    def _of_matrices(self, values, pairs):
        own = np.arange(values.k.shape[-1])
        scaled = Values(values.k.copy(), values.t.copy())
        for place in diagonal_places(pairs):
            for array in scaled:
                array[place, own, own] *= self.factor
        return scaled


@inline
def _forward(own, source, row, columns, p):
    pass


@inline
def _adjoint(own, after, source, bar, source_bar, q_row, q_columns, row, columns, p, gradient, scratch):
    pass
