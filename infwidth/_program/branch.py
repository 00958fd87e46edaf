"""The start of a branch."""

from dataclasses import dataclass

import numpy as np

from infwidth._jit import inline
from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import Operation, Values


@dataclass(frozen=True)
class Branch(Operation):
    """Copy the source to the target: a branch that starts from where the source is now."""

    source: int = 0
    target: int = 1
    overwrites = True

    def rows(self, own, source, pairs):
        return source, None

    def rows_adjoint(self, own, source, bar, q_bar, pairs, gradient, ntk):
        return Values(np.zeros_like(own.k), np.zeros_like(own.t)), bar

    def forward(self, ntk):
        return forward_loop(_forward, "branch")

    def adjoint(self, ntk):
        return adjoint_loop(_adjoint, "branch")

    def matrices(self, own, source, coefficients, pairs, ntk):
        return source, None

    def tangent(self, own, source, kept, d_own, d_source, numbers, coefficients, pairs, ntk):
        return d_source


@inline
def _forward(own, source, row, columns, p):
    for j in range(own.k.size):
        own.k[j] = source.k[j]
    for j in range(own.t.size):
        own.t[j] = source.t[j]


@inline
def _adjoint(own, after, source, bar, source_bar, q_row, q_columns, row, columns, p, gradient, scratch):
    for j in range(bar.k.size):
        source_bar.k[j] += bar.k[j]
        bar.k[j] = 0.0
    for j in range(bar.t.size):
        source_bar.t[j] += bar.t[j]
        bar.t[j] = 0.0
