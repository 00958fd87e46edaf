"""A dense layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import adjoint_loop, dot, forward_loop, total
from infwidth._program.operation import Operation, SitePairs, Values
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Affine(Operation):
    """A dense layer: k <- w k + b and t <- w t + u k + s; u and s are what its own weights and biases add to Θ."""

    w: float
    b: float
    u: float
    s: float
    target: int = 0

    @property
    def n_numbers(self) -> int:
        return 4

    def parameters(self) -> tuple[float, ...]:
        return self.w, self.b, self.u, self.s

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return Values(self.w * own.k + self.b, self.w * own.t + self.u * own.k + self.s), None

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
        gradient[:2] += np.vdot(bar.k, own.k), bar.k.sum()
        if ntk:
            gradient += np.vdot(bar.t, own.t), 0.0, np.vdot(bar.t, own.k), bar.t.sum()
        return Values(self.w * bar.k + self.u * bar.t, self.w * bar.t), None

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "affine")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "affine")

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
        dw, db, du, ds = numbers
        return Values(
            self.w * d_own.k + dw * own.k + db,
            self.w * d_own.t + dw * own.t + self.u * d_own.k + du * own.k + ds,
        )


@inline
def _forward(own, source, row, columns, p):
    w, b, u, s = p[0], p[1], p[2], p[3]
    for j in range(own.t.size):
        own.t[j] = w * own.t[j] + (u * own.k[j] + s)
    for j in range(own.k.size):
        own.k[j] = w * own.k[j] + b


@inline
def _adjoint(own, after, source, bar, source_bar, q_row, q_columns, row, columns, p, gradient, scratch):
    w, u = p[0], p[2]
    gradient[0] += dot(bar.k, own.k)
    gradient[1] += total(bar.k)
    if bar.t.size:
        gradient[0] += dot(bar.t, own.t)
        gradient[2] += dot(bar.t, own.k)
        gradient[3] += total(bar.t)
        for j in range(bar.t.size):
            bar.k[j] = w * bar.k[j] + u * bar.t[j]
            bar.t[j] *= w
    else:
        for j in range(bar.k.size):
            bar.k[j] *= w
