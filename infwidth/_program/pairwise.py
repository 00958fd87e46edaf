"""Operations that have a closed form for a pair of Gaussian variables: T(q, q', k) and Ṫ = ∂T/∂k (see ``Family``).

    k <- T(q, q', k),    t <- Ṫ(q, q', k) t

The variances q and q' belong to single inputs, or single sites of them: what depends on one of them only is computed
beforehand, in O(n). A kernel of a site with itself never comes from the formula for pairs, which is singular there.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from infwidth._program.loops import AdjointLoop, Bars, Chunk, ForwardLoop, adjoint_loop, dot, forward_loop, total
from infwidth._program.operation import Before, Direction, Operation, SitePairs, Values, diagonal_places
from infwidth._runtime.jit import inline, inlined, jit
from infwidth.activations.base import N_COEFFICIENTS, N_PARAMETERS, Family, Numbers, PairCurvature, PairDual


class Partials(NamedTuple):
    """What ``Family.curvature`` gives, as arrays."""

    value: np.ndarray
    slope: np.ndarray
    second: np.ndarray
    value_left: np.ndarray
    value_right: np.ndarray
    slope_left: np.ndarray
    slope_right: np.ndarray


class Pairwise(Operation):
    """Base of the operations that a family describes."""

    n_coefficients = N_COEFFICIENTS
    n_kept = 8

    @property
    @abstractmethod
    def family(self) -> Family:
        """The closed form."""

    @property
    def learned(self) -> bool:
        """Whether its numbers have gradients: log b², where φ(x) becomes φ(bx), then those in which T is affine."""
        return False

    @property
    def n_numbers(self) -> int:
        return 1 + self.family.n_linear if self.learned else 0

    def rows(self, own: Values, source: Values, pairs: SitePairs) -> tuple[Values, np.ndarray | None]:
        n_sites, n = len(diagonal_places(pairs)), own.k.shape[1]
        coefficients = np.zeros((n_sites, N_COEFFICIENTS, n))
        k, t = np.empty_like(own.k), np.empty_like(own.t)
        for site, place in enumerate(diagonal_places(pairs)):
            rows = self.family.rows(own.k[place], self._numbers)
            for target, coefficient in zip(coefficients[site], rows.coefficients, strict=False):
                target[:] = coefficient
            k[place], t[place] = rows.value, rows.derivative * own.t[place]
        for place, (left, right) in enumerate(pairs):
            if left != right:
                partials = self._partials(own.k[[place]], coefficients[left][:, None], coefficients[right][:, None])
                k[place], t[place] = partials.value[0], partials.slope[0] * own.t[place]
        return Values(k, t), coefficients

    def rows_adjoint(
        self, before: Before, bar: Values, q_bar: np.ndarray, gradient: np.ndarray
    ) -> tuple[Values, Values | None]:
        own, ntk, places, p = before.own, before.ntk, diagonal_places(before.pairs), self._numbers
        k_bar, t_bar = np.empty_like(own.k), np.zeros_like(own.t)
        for site, place in enumerate(places):
            q, t, g, h = own.k[place], own.t[place], bar.k[place], bar.t[place]
            value, derivative = self.family.rows(q, p)[1:]
            value_slope, derivative_slope = self.family.row_slopes(q, p)
            for number, moved in self._moved():
                there = self.family.rows(q, moved)
                gradient[1 + number] += g @ (there.value - value)
                if ntk:
                    gradient[1 + number] += h @ (t * (there.derivative - derivative))
            k_bar[place] = g * value_slope + q_bar[site]
            if ntk:
                k_bar[place] += h * t * derivative_slope
                t_bar[place] = h * derivative
        if len(before.pairs) > len(places):
            self._sites_adjoint(before, bar, Values(k_bar, t_bar), gradient)
        if self.learned:
            gradient[0] += np.vdot(k_bar, own.k) + np.vdot(t_bar, own.t)
        return Values(k_bar, t_bar), None

    def _sites_adjoint(self, before: Before, bar: Values, own_bar: Values, gradient: np.ndarray) -> None:
        """Do the same for pairs of two sites of one input."""
        own, (k_bar, t_bar), places = before.own, own_bar, diagonal_places(before.pairs)
        for place, (left, right) in enumerate(before.pairs):
            if left == right:
                continue
            k, g = own.k[[place]], bar.k[[place]]
            h = bar.t[[place]] * own.t[[place]] if before.ntk else np.zeros_like(g)
            sides = before.coefficients[left][:, None], before.coefficients[right][:, None]
            partials = self._partials(k, *sides)
            for number, moved in self._moved():
                there = _partials(self.family, k, *sides, moved)
                gradient[1 + number] += np.vdot(g, there.value - partials.value)
                gradient[1 + number] += np.vdot(h, there.slope - partials.slope)
            k_bar[place] = (g * partials.slope)[0]
            k_bar[places[left]] += (g * partials.value_left)[0]
            k_bar[places[right]] += (g * partials.value_right)[0]
            if before.ntk:
                k_bar[place] += (h * partials.second)[0]
                k_bar[places[left]] += (h * partials.slope_left)[0]
                k_bar[places[right]] += (h * partials.slope_right)[0]
                t_bar[place] = (bar.t[place] * partials.slope)[0]

    def forward(self, ntk: bool) -> int:
        loop = _forward_function(self.family, ntk)
        return forward_loop(loop, f"{self.family.name}_{_limit(ntk)}", n_coefficients=N_COEFFICIENTS)

    def adjoint(self, ntk: bool) -> int:
        loop = _adjoint_function(self.family, ntk, self.learned)
        name = f"{self.family.name}_{_limit(ntk)}{'_learned' * self.learned}"
        return adjoint_loop(loop, name, n_coefficients=N_COEFFICIENTS, n_numbers=self.n_numbers)

    def matrices(self, before: Before) -> tuple[Values, Any]:
        own = before.own
        out, t = np.empty((len(Partials._fields), *own.k.shape)), np.empty_like(own.t)
        for place, (left, right) in enumerate(before.pairs):
            sides = _sides(before, left, right)
            partials = _partials(self.family, own.k[place], *sides, self._numbers, out[:, place])
            t[place] = partials.slope * own.t[place] if before.ntk else own.t[place]
            if left == right:
                rows = self.family.rows(np.diagonal(own.k[place]).copy(), self._numbers)
                np.fill_diagonal(partials.value, rows.value)
                np.fill_diagonal(t[place], rows.derivative * np.diagonal(own.t[place]))
        return Values(out[0], t), out

    def tangent(self, before: Before, kept: Any, change: Direction) -> Values:
        own, ntk, places = before.own, before.ntk, diagonal_places(before.pairs)
        dk, dt, linear, (d_k, d_t) = np.empty_like(own.k), np.zeros_like(own.t), change.numbers[1:], change.own
        if self.learned:  # φ(bx) on K is φ(x) on b²K, and Ṫ has a factor b²
            d_k, d_t = d_k + change.numbers[0] * own.k, d_t + change.numbers[0] * own.t
        for place, (left, right) in enumerate(before.pairs):
            k, t, partials = own.k[place], own.t[place], Partials(*kept[:, place])
            left_dq = np.diagonal(d_k[places[left]])[:, None]
            right_dq = np.diagonal(d_k[places[right]])
            if ntk:
                dt[place] = partials.second * t * d_k[place] + partials.slope * d_t[place]
                dt[place] += t * (partials.slope_left * left_dq + partials.slope_right * right_dq)
            dk[place] = partials.slope * d_k[place]
            dk[place] += partials.value_left * left_dq
            dk[place] += partials.value_right * right_dq
            for number, moved in self._moved():
                there = _partials(self.family, k, *_sides(before, left, right), moved)
                dk[place] += linear[number] * (there.value - partials.value)
                if ntk:
                    dt[place] += linear[number] * t * (there.slope - partials.slope)
            if left == right:
                q, r = np.diagonal(k).copy(), np.diagonal(t)
                d_own_rows = np.diagonal(d_k[place]), np.diagonal(d_t[place])
                dq, dr = self._rows_tangent(q, r, *d_own_rows, linear)
                np.fill_diagonal(dk[place], dq)
                np.fill_diagonal(dt[place], dr)
        return Values(dk, dt)

    def _rows_tangent(
        self, q: np.ndarray, t: np.ndarray, dq: np.ndarray, dt: np.ndarray, linear: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rows, slopes = self.family.rows(q, self._numbers), self.family.row_slopes(q, self._numbers)
        d_value, d_slope = slopes[0] * dq, rows.derivative * dt + t * slopes[1] * dq
        for number, moved in self._moved():
            there = self.family.rows(q, moved)
            d_value += linear[number] * (there.value - rows.value)
            d_slope += linear[number] * t * (there.derivative - rows.derivative)
        return d_value, d_slope

    @cached_property
    def _numbers(self) -> np.ndarray:
        values = self.parameters()
        return np.array([*values, *[0.0] * (N_PARAMETERS - len(values))])

    def _moved(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the place of each number in which T is affine, and the numbers where it is larger by 1."""
        for number in range(self.n_numbers - 1):
            yield number, self._numbers + np.eye(N_PARAMETERS)[number]

    def _partials(self, k: np.ndarray, left: np.ndarray, right: np.ndarray) -> Partials:
        return _partials(self.family, k, left, right, self._numbers)


def _sides(before: Before, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a pair of sites for matrices: of the rows, and of the columns."""
    return before.coefficients[left][:, :, None], before.coefficients[right][:, None]


def _partials(
    family: Family, k: np.ndarray, left: np.ndarray, right: np.ndarray, p: np.ndarray, out: np.ndarray | None = None
) -> Partials:
    """Return the ``Partials`` at covariances k of shape (m, n), in ``out`` of shape (7, m, n) if that is given.

    The coefficients have shapes (N_COEFFICIENTS, m or 1, n or 1).
    """
    shape = (N_COEFFICIENTS, *k.shape)
    out = np.empty((len(Partials._fields), *k.shape)) if out is None else out
    _elementwise(family.curvature)(k, np.broadcast_to(left, shape), np.broadcast_to(right, shape), tuple(p), out)
    return Partials(*out)


@cache
def _elementwise(curvature: PairCurvature) -> Callable[..., None]:
    @jit
    def loop(k: np.ndarray, left: np.ndarray, right: np.ndarray, p: Numbers, out: np.ndarray) -> None:
        for i in range(k.shape[0]):
            for j in range(k.shape[1]):
                a, b = (left[0, i, j], left[1, i, j], left[2, i, j]), (right[0, i, j], right[1, i, j], right[2, i, j])
                both = curvature(k[i, j], a, b, p)
                for c in range(7):
                    out[c, i, j] = both[c]

    return loop


def _limit(ntk: bool) -> str:
    return "ntk" if ntk else "nngp"


# ruff: noqa: F821  # these are given when the loops of a family are made
pair: PairDual
curvature: PairCurvature
n_linear: int
adjoint: AdjointLoop


@inline
def _unpacked(chunk: Chunk) -> tuple[Numbers, tuple[np.ndarray, np.ndarray, np.ndarray], Numbers]:
    """Return the coefficients of the row and of the columns, and the numbers of the family, as tuples."""
    row, columns, p, n = chunk.row, chunk.columns, chunk.p, chunk.own.k.size
    of_columns = columns[0, :n], columns[1, :n], columns[2, :n]
    return (row[0], row[1], row[2]), of_columns, (p[0], p[1], p[2], p[3], p[4], p[5])


def _nngp_forward(chunk: Chunk) -> None:
    k, (a, (r0, r1, r2), p) = chunk.own.k, _unpacked(chunk)
    for j in range(k.size):
        k[j] = pair(k[j], a, (r0[j], r1[j], r2[j]), p)[0]


def _ntk_forward(chunk: Chunk) -> None:
    (k, t), (a, (r0, r1, r2), p) = chunk.own, _unpacked(chunk)
    for j in range(k.size):
        value, derivative = pair(k[j], a, (r0[j], r1[j], r2[j]), p)
        k[j] = value
        t[j] *= derivative


def _nngp_adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    """k̄ <- k̄ Ṫ; q̄ of the row and of the columns grow by k̄ ∂T/∂q."""
    k, (a, (r0, r1, r2), p) = chunk.own.k, _unpacked(chunk)
    k_bar, q_columns, of_row = bar.own.k, bar.q_columns, scratch[0]
    for j in range(k.size):
        both = curvature(k[j], a, (r0[j], r1[j], r2[j]), p)
        g = k_bar[j]
        k_bar[j] = g * both[1]
        of_row[j] = g * both[3]
        q_columns[j] += g * both[4]
    bar.q_row[0] += total(of_row)


def _ntk_adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    """The same for k and t: k̄ <- k̄ Ṫ + t̄ t T̈, t̄ <- t̄ Ṫ."""
    (k, t), (a, (r0, r1, r2), p) = chunk.own, _unpacked(chunk)
    (k_bar, t_bar), q_columns, of_row = bar.own, bar.q_columns, scratch[0]
    for j in range(k.size):
        both = curvature(k[j], a, (r0[j], r1[j], r2[j]), p)
        g, h = k_bar[j], t_bar[j] * t[j]
        k_bar[j] = g * both[1] + h * both[2]
        t_bar[j] *= both[1]
        of_row[j] = g * both[3] + h * both[5]
        q_columns[j] += g * both[4] + h * both[6]
    bar.q_row[0] += total(of_row)


def _learned_adjoint(chunk: Chunk, after: Values, bar: Bars, scratch: np.ndarray) -> None:
    """Add ∂L/∂(numbers) too: of those in which T is affine by its change where one of them grows by 1."""
    (k, t), (a, (r0, r1, r2), p) = chunk.own, _unpacked(chunk)
    gradient, moved_k, moved_t = bar.gradient, scratch[0], scratch[1, : t.size]
    for number in range(n_linear):
        moved = (
            p[0] + (number == 0),
            p[1] + (number == 1),
            p[2] + (number == 2),
            p[3] + (number == 3),
            p[4] + (number == 4),
            p[5] + (number == 5),
        )
        for j in range(k.size):
            value, derivative = pair(k[j], a, (r0[j], r1[j], r2[j]), moved)
            moved_k[j] = value
            if t.size:
                moved_t[j] = derivative * t[j]
        gradient[1 + number] += dot(bar.own.k, moved_k) - dot(bar.own.k, after.k)
        gradient[1 + number] += dot(bar.own.t, moved_t) - dot(bar.own.t, after.t)
    adjoint(chunk, after, bar, scratch)
    gradient[0] += dot(bar.own.k, k) + dot(bar.own.t, t)


@cache
def _forward_function(family: Family, ntk: bool) -> ForwardLoop:
    template = _ntk_forward if ntk else _nngp_forward
    return inlined(template, template.__name__, pair=family.pair)


@cache
def _adjoint_function(family: Family, ntk: bool, learned: bool) -> AdjointLoop:
    template = _ntk_adjoint if ntk else _nngp_adjoint
    function = inlined(template, template.__name__, curvature=family.curvature)
    if not learned:
        return function
    names = {"pair": family.pair, "n_linear": family.n_linear, "adjoint": function}
    return inlined(_learned_adjoint, _learned_adjoint.__name__, **names)
