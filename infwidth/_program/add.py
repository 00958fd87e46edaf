"""The sum of two branches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import Operation, SitePairs, Values
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Add(Operation):
    """The sum of independent branches: K = K₁ + K₂, Θ = Θ₁ + Θ₂."""

    source: int = 1
    target: int = 0

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return Values(own.k + source.k, own.t + source.t), None

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
        return bar, bar

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "add")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "add")

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
        return Values(d_own.k + d_source.k, d_own.t + d_source.t)


@inline
def _forward(own, source, row, columns, p):
    for j in range(own.k.size):
        own.k[j] += source.k[j]
    for j in range(own.t.size):
        own.t[j] += source.t[j]


@inline
def _adjoint(own, after, source, bar, source_bar, q_row, q_columns, row, columns, p, gradient, scratch):
    for j in range(bar.k.size):
        source_bar.k[j] += bar.k[j]
    for j in range(bar.t.size):
        source_bar.t[j] += bar.t[j]
