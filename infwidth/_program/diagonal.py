"""What changes an input's kernel with itself alone."""

from dataclasses import dataclass

import numpy as np

from infwidth._jit import inline
from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import Operation, Values, diagonal_places


@dataclass(frozen=True)
class Diagonal(Operation):
    """Multiply the kernels of each input, and of each of its sites, with itself; those of two inputs stay.

    Dropout that keeps a share p of the units is ``Diagonal(1 / p)``: its masks are independent (maths 4.6).
    """

    factor: float
    target: int = 0

    @property
    def source(self):
        return self.target

    def rows(self, own, source, pairs):
        return Values(self._scaled(own.k, pairs), self._scaled(own.t, pairs)), None

    def rows_adjoint(self, own, source, bar, q_bar, pairs, gradient, ntk):
        return self.rows(bar, bar, pairs)[0], None

    def forward(self, ntk):
        return forward_loop(_forward, "diagonal")

    def adjoint(self, ntk):
        return adjoint_loop(_adjoint, "diagonal")

    def matrices(self, own, source, coefficients, pairs, ntk):
        return self._of_matrices(own, pairs), None

    def tangent(self, own, source, kept, d_own, d_source, numbers, coefficients, pairs, ntk):
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
