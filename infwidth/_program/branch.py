"""The start of a branch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import Operation, SitePairs, Values
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Branch(Operation):
    """Copy the source to the target: a branch that starts from where the source is now."""

    source: int = 0
    target: int = 1
    overwrites = True

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return source, None

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
        return Values(np.zeros_like(own.k), np.zeros_like(own.t)), bar

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "branch")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "branch")

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
