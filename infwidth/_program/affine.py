"""A dense layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import Bars, Chunk, adjoint_loop, dot, forward_loop, total
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values
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
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        own = before.own
        gradient[:2] += np.vdot(bar.k, own.k), bar.k.sum()
        if before.ntk:
            gradient += np.vdot(bar.t, own.t), 0.0, np.vdot(bar.t, own.k), bar.t.sum()
        return Values(self.w * bar.k + self.u * bar.t, self.w * bar.t), None

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "affine")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "affine")

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        (dw, db, du, ds), own, d_own = change.numbers, before.own, change.own
        return Values(
            self.w * d_own.k + dw * own.k + db,
            self.w * d_own.t + dw * own.t + self.u * d_own.k + du * own.k + ds,
        )


@inline
def _forward(chunk: Chunk) -> None:
    own, p = chunk.own, chunk.p
    w, b, u, s = p[0], p[1], p[2], p[3]
    for j in range(own.t.size):
        own.t[j] = w * own.t[j] + (u * own.k[j] + s)
    for j in range(own.k.size):
        own.k[j] = w * own.k[j] + b


@inline
def _adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    w, u, gradient = chunk.p[0], chunk.p[2], bar.gradient
    k, t, k_bar, t_bar = chunk.own.k, chunk.own.t, bar.own.k, bar.own.t
    gradient[0] += dot(k_bar, k)
    gradient[1] += total(k_bar)
    if t_bar.size:
        gradient[0] += dot(t_bar, t)
        gradient[2] += dot(t_bar, k)
        gradient[3] += total(t_bar)
        for j in range(t_bar.size):
            k_bar[j] = w * k_bar[j] + u * t_bar[j]
            t_bar[j] *= w
    else:
        for j in range(k_bar.size):
            k_bar[j] *= w
