"""The start of a branch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infwidth._program.loops import Bars, Chunk, adjoint_loop, forward_loop
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values
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
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        return Values(np.zeros_like(before.own.k), np.zeros_like(before.own.t)), bar

    def forward(self, ntk: bool) -> int:
        return forward_loop(_forward, "branch")

    def adjoint(self, ntk: bool) -> int:
        return adjoint_loop(_adjoint, "branch")

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        return change.source


@inline
def _forward(chunk: Chunk) -> None:
    own, source = chunk.own, chunk.source
    for j in range(own.k.size):
        own.k[j] = source.k[j]
    for j in range(own.t.size):
        own.t[j] = source.t[j]


@inline
def _adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    for j in range(bar.own.k.size):
        bar.source.k[j] += bar.own.k[j]
        bar.own.k[j] = 0.0
    for j in range(bar.own.t.size):
        bar.source.t[j] += bar.own.t[j]
        bar.own.t[j] = 0.0
