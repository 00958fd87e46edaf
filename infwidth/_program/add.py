"""The sum of two branches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import Bars, Chunk, adjoint_loop, forward_loop
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values
from infwidth._runtime.jit import inline


@dataclass(frozen=True)
class Add(Operation):
    """The sum of independent branches: K = K₁ + K₂, Θ = Θ₁ + Θ₂."""

    source: int = 1
    target: int = 0

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        return Values(own.k + source.k, own.t + source.t), None

    def rows_adjoint(
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        return bar, bar

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "add")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "add")

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        return Values(change.own.k + change.source.k, change.own.t + change.source.t)


@inline
def _forward(chunk: Chunk) -> None:
    own, source = chunk.own, chunk.source
    for j in range(own.k.size):
        own.k[j] += source.k[j]
    for j in range(own.t.size):
        own.t[j] += source.t[j]


@inline
def _adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    for j in range(bar.own.k.size):
        bar.source.k[j] += bar.own.k[j]
    for j in range(bar.own.t.size):
        bar.source.t[j] += bar.own.t[j]
