"""Operations for tests alone, and the matrices of a program."""

from dataclasses import dataclass

import numpy as np

from infwidth._engine.engine import KernelEngine
from infwidth._program.loops import adjoint_loop, forward_loop
from infwidth._program.operation import ONE_SITE, Operation, Values, diagonal_places
from infwidth._runtime.jit import inline

FOUR = ((0, 0), (0, 1), (1, 0), (1, 1))  # pairs of two sites


def matrices(program, inputs):
    engine = KernelEngine(program, ntk=True, n_jobs=1)
    return engine.symmetric(engine.rows(inputs), nngp=True, ntk=True)


@dataclass(frozen=True)
class Series(Operation):
    """k <- k + Σ_m qᵐ q'ᵐ / m!², with more coefficients than any activation has."""

    target: int = 0
    n_coefficients = 7

    def rows(self, own, source, pairs):
        powers = np.cumprod([np.ones_like(own.k), *(own.k / m for m in range(1, 7))], axis=0)
        sites = powers[:, diagonal_places(pairs)].transpose(1, 0, 2)
        added = [(sites[left] * sites[right]).sum(axis=0) for left, right in pairs]
        return Values(own.k + added, own.t), sites

    def rows_adjoint(self, before, bar, q_bar, gradient):
        sites, k_bar, places = before.coefficients, bar.k.copy(), diagonal_places(before.pairs)
        k_bar[places] += q_bar
        for place, (left, right) in enumerate(before.pairs):
            k_bar[places[left]] += bar.k[place] * (sites[left, :-1] * sites[right, 1:]).sum(axis=0)
            k_bar[places[right]] += bar.k[place] * (sites[right, :-1] * sites[left, 1:]).sum(axis=0)
        return Values(k_bar, bar.t), None

    def forward(self, ntk):
        return forward_loop(series, "series", n_coefficients=7)

    def adjoint(self, ntk):
        return adjoint_loop(series_adjoint, "series", n_coefficients=7)

    def matrices(self, before):
        added = [before.coefficients[left].T @ before.coefficients[right] for left, right in before.pairs]
        return Values(before.own.k + added, before.own.t), None

    def tangent(self, before, kept, change):
        coefficients, places, dk = before.coefficients, diagonal_places(before.pairs), change.own.k.copy()
        for place, (left, right) in enumerate(before.pairs):
            dq = [np.diagonal(change.own.k[places[site]]) for site in (left, right)]
            dk[place] += (coefficients[left, :-1] * dq[0]).T @ coefficients[right, 1:]
            dk[place] += coefficients[left, 1:].T @ (coefficients[right, :-1] * dq[1])
        return Values(dk, change.own.t)


@inline
def series(chunk):
    for m in range(7):
        for j in range(chunk.own.k.size):
            chunk.own.k[j] += chunk.row[m] * chunk.columns[m, j]


@inline
def series_adjoint(chunk, after, bar, scratch):
    for m in range(1, 7):  # the derivative of qᵐ / m! is the one before
        for j in range(chunk.own.k.size):
            bar.q_row[0] += bar.own.k[j] * chunk.row[m - 1] * chunk.columns[m, j]
            bar.q_columns[j] += bar.own.k[j] * chunk.row[m] * chunk.columns[m - 1, j]


@dataclass(frozen=True)
class MeanOfSites(Operation):
    """The mean over all pairs of sites: a network's mean over its sites."""

    n_pairs: int
    target: int = 0
    across = True

    def pairs_after(self, pairs):
        return ONE_SITE

    def rows(self, own, source, pairs):
        return Values(own.k.mean(axis=0, keepdims=True), own.t.mean(axis=0, keepdims=True)), None

    def rows_adjoint(self, before, bar, q_bar, gradient):
        return Values(*(np.repeat(part / self.n_pairs, self.n_pairs, axis=0) for part in bar)), None

    def forward(self, ntk):
        return forward_loop(mean, "mean", across=True)

    def adjoint(self, ntk):
        return adjoint_loop(mean_adjoint, "mean", across=True)

    def tangent(self, before, kept, change):
        return self.rows(change.own, change.source, before.pairs)[0]


@inline
def mean(chunk):
    for array in chunk.own:
        n_pairs = array.shape[0]
        for pair in range(1, n_pairs):
            for j in range(array.shape[1]):
                array[0, j] += array[pair, j]
        for j in range(array.shape[1]):
            array[0, j] /= n_pairs


@inline
def mean_adjoint(chunk, after, bar, scratch):
    for array in bar.own:
        n_pairs = array.shape[0]
        for j in range(array.shape[1]):
            array[0, j] /= n_pairs
        for pair in range(1, n_pairs):
            for j in range(array.shape[1]):
                array[pair, j] = array[0, j]
