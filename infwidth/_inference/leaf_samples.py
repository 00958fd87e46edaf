"""Joint samples of any number of rows: leaf after leaf, each given what was drawn before near it (maths 4.9).

A value that was drawn is no observation: its law was that given its own neighbours, which a leaf elsewhere contradicts
a little. A smooth process carries such contradictions far, and enlarges them. So what was drawn counts as if it had
noise, the more the farther away it is, and beyond the reach of the neighbours it does not count. Variances stay those
of a leaf given its training rows.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from infwidth._data.leaves import leaves
from infwidth._data.neighbours import NeighbourIndex
from infwidth._engine.engine import ProgramSource
from infwidth._engine.rows import Rows
from infwidth._inference.joint_samples import root
from infwidth._inference.leaf_pass import Conditions, factor, require_definite, warn_of_jitter
from infwidth._inference.posterior import at_least_rounding, batches
from infwidth._inference.shared_leaves import MOST, planned
from infwidth._linalg.jitter import NUGGETS
from infwidth._linalg.lapack import ROUTINES, half_solve
from infwidth._runtime.threads import blas_threads

# Variance of white noise in what is drawn, as a share of the prior variance. It is as small as the least noise that is
# learned, and a hundred times the rounding errors of a covariance, which has no inverse of use without it.
NUGGET = NUGGETS[0]
WINDOW = 16  # sets of at most MOST rows whose laws are in memory at a time
BEFORE = 8192  # rows drawn before whose distances are in memory at a time


class Leaf(NamedTuple):
    """Rows that are drawn together.

    Attributes
    ----------
    asked, given, before : ndarray of int
        Indices of the rows to draw, of the training rows that they are given, and of all rows drawn before.
    """

    asked: np.ndarray
    given: np.ndarray
    before: np.ndarray


class LeafLaw(NamedTuple):
    """The law of a leaf: for each group of outputs, offset + weights f(near) + root z with standard normal z.

    Attributes
    ----------
    asked : ndarray of int, shape (m,)
        The rows to draw.
    near : ndarray of int, shape (k,)
        Those drawn before that they are given.
    offsets : list of ndarray of shape (m, n_outputs of the group)
    weights : list of ndarray of shape (m, k)
    roots : list of ndarray of shape (m, m)
    jitter : float
        The largest, in units of ``Conditions.unit``.
    """

    asked: np.ndarray
    near: np.ndarray
    offsets: list[np.ndarray]
    weights: list[np.ndarray]
    roots: list[np.ndarray]
    jitter: float


class LeafSampler:
    """Samples of new rows from a process given neighbours.

    The rows are cut into sets of at most ``MOST`` neighbouring rows, and these into the leaves that cost least. The
    sets are drawn from coarse to fine. Neither depends on the number of threads.

    Parameters
    ----------
    source : ProgramSource
        The kernel of the training rows.
    index : NeighbourIndex
        Of the training rows.
    conditions : Conditions
    outputs : list of ndarray of int
        The outputs of each group.
    n_neighbours : int
        Training rows that a row is given, and rows drawn before that a leaf is given at most.
    unit : float
        Mean prior variance of the training rows.
    new : Rows
        No two of them are equal.
    """

    def __init__(
        self,
        source: ProgramSource,
        index: NeighbourIndex,
        conditions: Conditions,
        outputs: Sequence[np.ndarray],
        *,
        n_neighbours: int,
        unit: float,
        new: Rows,
    ) -> None:
        self.source, self.index, self.conditions, self.outputs = source, index, conditions, outputs
        self.n_neighbours, self.unit, self.new = n_neighbours, unit, new
        self._points = np.ascontiguousarray(new.inputs[:, index.features])
        self._nugget = NUGGET * np.maximum(source.diagonal(new), unit)

    def draw(self, samples: np.ndarray) -> None:
        """Overwrite standard normals, shape (m, n_outputs, n_samples), with samples of the function: a linear map."""
        sets = leaves(self._points, MOST)
        sets = [sets[place] for place in coarse_to_fine(len(sets))]
        before = np.empty(0, int)
        for window in batches(len(sets), WINDOW):
            plan = self._plan(sets[window], before)
            laws = self._laws(plan)
            with blas_threads(1):  # sums that do not depend on the number of threads
                for law in laws:
                    self._apply(law, samples)
            before = np.concatenate([plan[-1].before, plan[-1].asked])

    def _plan(self, sets: Sequence[np.ndarray], before: np.ndarray) -> list[Leaf]:
        """Return the leaves of some sets of rows, in the order in which they are drawn."""
        found = self.index.query(self.new.inputs[np.concatenate(sets)], self.n_neighbours)
        parts = np.split(found, np.cumsum([len(rows) for rows in sets[:-1]]))
        plan = []
        for rows, own in zip(sets, parts, strict=True):
            cut = planned(self._points[rows], own, n_more=self.n_neighbours)
            for asked, given in zip(pairwise(cut.asked_edges), pairwise(cut.given_edges), strict=True):
                plan.append((rows[cut.asked[slice(*asked)]], cut.given[slice(*given)]))
        drawn = np.concatenate([before, *[asked for asked, _ in plan]])
        edges = len(before) + np.cumsum([0, *[len(asked) for asked, _ in plan]])
        return [Leaf(asked, given, drawn[:edge]) for (asked, given), edge in zip(plan, edges[:-1], strict=True)]

    def _laws(self, plan: Sequence[Leaf]) -> list[LeafLaw]:
        """Return the laws of leaves, which do not depend on what is drawn: each on a thread."""
        laws: dict[int, LeafLaw] = {}

        def work(place: int) -> None:
            laws[place] = self._law(plan[place])

        self.source.engine.run(work, range(len(plan)))
        warn_of_jitter(max(law.jitter for law in laws.values()), self.unit)
        return [laws[place] for place in range(len(plan))]

    def _law(self, leaf: Leaf) -> LeafLaw:
        """Return the law of a leaf, given its training rows and then the near rows among those drawn before."""
        (near, share), given, conditions = self._near(leaf), leaf.given, self.conditions
        k, places = len(near), np.concatenate([near, leaf.asked])
        source, rows = self._source(self.source.own.take(given)), self.new.take(places)
        K, cross, prior = source.block(source.own, upper=True), source.block(rows), self._source(rows).block(rows)
        law, A = LeafLaw(leaf.asked, near, [], [], [], 0.0), np.empty_like(K)
        for noise, outputs in zip(conditions.noise, self.outputs, strict=True):
            jitter = factor(ROUTINES, K, source.diagonal(), noise[given], conditions.unit[given], A)
            require_definite(jitter, self.unit)
            half, targets = cross.copy(), conditions.targets[np.ix_(outputs, given)]
            half_solve(ROUTINES, A, half)
            half_solve(ROUTINES, A, targets)
            mean, covariance = half @ targets.T, prior - half @ half.T
            variance = at_least_rounding(np.diag(covariance), source.diagonal(rows))
            doubt = variance[:k] * share / (1.0 - share)  # its part of what is known is drawn anew
            np.fill_diagonal(covariance, variance + self._nugget[places])
            covariance[np.diag_indices(k)] += doubt
            weights = _weights(covariance, k)
            law.offsets.append(mean[k:] - weights @ mean[:k])
            law.weights.append(weights)
            law.roots.append(root(covariance[k:, k:] - weights @ covariance[:k, k:] + (weights * doubt) @ weights.T))
            law = law._replace(jitter=max(law.jitter, jitter))
        return law

    def _source(self, rows: Rows) -> ProgramSource:
        return ProgramSource(self.source.engine, rows, self.source.limit)

    def _near(self, leaf: Leaf) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest rows drawn before, within reach of the leaf, and their squared distances.

        The unit of distance of a row of the leaf is that of its farthest neighbour: the reach. Where all training rows
        and all rows drawn before are given, nothing is out of reach, and all distances are 0.
        """
        own, reach = self._points[leaf.asked], np.full(len(leaf.asked), np.inf)
        if self.n_neighbours < max(self.source.n, len(leaf.before)):
            squared = cdist(own, self.source.own.inputs[leaf.given][:, self.index.features], "sqeuclidean")
            reach = np.partition(squared, self.n_neighbours - 1, axis=1)[:, self.n_neighbours - 1]
        scale = np.maximum(reach, np.finfo(float).tiny)[:, None]
        parts = [
            np.min(cdist(own, self._points[leaf.before[batch]], "sqeuclidean") / scale, axis=0)
            for batch in batches(len(leaf.before), BEFORE)
        ]
        distance = np.concatenate([np.empty(0), *parts])
        nearest = np.argsort(distance, kind="stable")[: self.n_neighbours]
        nearest = nearest[distance[nearest] < 1.0]
        return leaf.before[nearest], distance[nearest]

    def _apply(self, law: LeafLaw, samples: np.ndarray) -> None:
        """Overwrite the normals of a leaf with its samples."""
        for outputs, offset, weights, own_root in zip(self.outputs, *law[2:5], strict=True):
            own, near = np.ix_(law.asked, outputs), np.ix_(law.near, outputs)
            drawn = np.tensordot(own_root, samples[own], 1) + np.tensordot(weights, samples[near], 1)
            samples[own] = offset[:, :, None] + drawn


def _weights(covariance: np.ndarray, k: int) -> np.ndarray:
    """Return the regression coefficients of the other rows on the first k, shape (m, k)."""
    if k == 0:
        return np.empty((len(covariance), 0))
    return cho_solve(cho_factor(covariance[:k, :k], lower=True), covariance[:k, k:]).T


def coarse_to_fine(n: int) -> np.ndarray:
    """Return the places 0 to n - 1, n a power of two, their bits reversed: the first of them are far apart."""
    order = np.zeros(1, int)
    while len(order) < n:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def sampling_bytes(m: int, n: int, n_neighbours: int, n_groups: int, n_threads: int) -> int:
    """Return the most bytes that leaves of at most n training rows, and their laws, take for m new rows."""
    rows, joint = min(m, WINDOW * MOST), n_neighbours + min(m, MOST)
    of_leaf = 2 * n**2 + 2 * joint * n + 3 * joint**2 + min(m, MOST) * (n + 2 * min(m, BEFORE))
    return 8 * (n_threads * of_leaf + rows * (2 * n_neighbours + n_groups * joint))
