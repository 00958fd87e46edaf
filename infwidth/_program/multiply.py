"""The product of two branches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import Bars, Chunk, adjoint_loop, forward_loop
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Multiply(Operation):
    """The elementwise product of independent branches: K = K₁ K₂, Θ = Θ₁ K₂ + K₁ Θ₂."""

    source: int = 1
    target: int = 0

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return Values(own.k * source.k, own.t * source.k + own.k * source.t), None

    def rows_adjoint(
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        own, source = before.own, before.source
        own_bar = Values(bar.k * source.k, bar.t * source.k)
        source_bar = Values(bar.k * own.k, bar.t * own.k)
        if before.ntk:
            own_bar = own_bar._replace(k=own_bar.k + bar.t * source.t)
            source_bar = source_bar._replace(k=source_bar.k + bar.t * own.t)
        return own_bar, source_bar

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "multiply")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "multiply")

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        own, source, d_own, d_source = before.own, before.source, change.own, change.source
        return Values(
            d_own.k * source.k + own.k * d_source.k,
            d_own.t * source.k + own.t * d_source.k + d_own.k * source.t + own.k * d_source.t,
        )


@inline
def _forward(chunk: Chunk) -> None:
    own, source = chunk.own, chunk.source
    for j in range(own.t.size):
        own.t[j] = own.t[j] * source.k[j] + own.k[j] * source.t[j]
    for j in range(own.k.size):
        own.k[j] *= source.k[j]


@inline
def _adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    own, source, own_bar, source_bar = chunk.own, chunk.source, bar.own, bar.source
    for j in range(own_bar.k.size):
        source_bar.k[j] += own_bar.k[j] * own.k[j]
        own_bar.k[j] *= source.k[j]
    for j in range(own_bar.t.size):
        source_bar.k[j] += own_bar.t[j] * own.t[j]
        source_bar.t[j] += own_bar.t[j] * own.k[j]
        own_bar.k[j] += own_bar.t[j] * source.t[j]
        own_bar.t[j] *= source.k[j]
