"""The Gaussian process given the nearest training rows only: any number of rows (maths 4.8).

Each prediction is conditioned on its m nearest training rows, in distance scaled by the input variances (Katzfuss,
Guinness & Lawrence 2022). Rows that are asked for together and share most of their neighbours make a *leaf*: one set of
neighbours, one factorisation.
"""

from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from infwidth._data.neighbours import NeighbourIndex
from infwidth._data.weights import row_noise
from infwidth._engine.engine import ProgramSource
from infwidth._engine.rows import Rows
from infwidth._inference.joint_samples import SAMPLING_MATRICES, JointSamples
from infwidth._inference.leaf_pass import Conditions, Solved, leaf_pass, require_definite, warn_of_jitter
from infwidth._inference.leaf_samples import LeafSampler, sampling_bytes
from infwidth._inference.output_groups import OutputGroups
from infwidth._inference.posterior import (
    FAINT,
    Posterior,
    at_least_rounding,
    batches,
    with_more_targets,
    without_own_target,
)
from infwidth._inference.shared_leaves import MOST, most_given, planned
from infwidth._learning.evidence import share_of_mean
from infwidth._linalg.lapack import ROUTINES
from infwidth._linalg.tiles import LowerTiles
from infwidth._runtime.threads import thread_count

BATCH_ROWS = 8192  # whose neighbours are looked up at a time
PIECE = 16  # leaves that a thread takes at a time
SAMPLED_ROWS = 8000  # for evidence: of fewer, single outliers would decide
SAME_WEIGHT = 1e-12  # a smaller share of the weight of equal rows is rounding


class Members(NamedTuple):
    """The rows as they were given, equal inputs and all.

    Attributes
    ----------
    group : ndarray of shape (n_samples,)
        The place of each among the n different inputs.
    Y : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,)
    """

    group: np.ndarray
    Y: np.ndarray
    weight: np.ndarray


class NeighbourPosterior(JointSamples):
    """The process at each row that is asked for, given its nearest training rows.

    Parameters
    ----------
    source : ProgramSource
        The kernel of the training rows, no two of which are equal.
    Y : ndarray of shape (n, n_outputs)
    noise_variance : ndarray of shape (1,) or (n_outputs,)
        Of a row of weight 1.
    weight : ndarray of shape (n,)
        Divides the noise variance of each row.
    n_neighbours : int
    members : Members, optional
        Of which leave-one-out speaks; None means the training rows.

    Attributes
    ----------
    groups : OutputGroups
    noise : ndarray of shape (n, n_groups)
        Noise variance of each row.
    jitter : float
        0: leaves that need some say so when they are solved.
    """

    jitter = 0.0

    def __init__(
        self,
        source: ProgramSource,
        Y: np.ndarray,
        noise_variance: np.ndarray,
        weight: np.ndarray,
        *,
        n_neighbours: int,
        members: Members | None = None,
    ) -> None:
        self.source, self.Y, self.weight, self.members = source, Y, weight, members
        self.n_neighbours = min(n_neighbours, source.n)
        self.groups = OutputGroups.of(noise_variance, Y.shape[1])
        self.noise = np.stack([row_noise(value, weight) for value in self.groups.noise_variances], axis=1)
        self.index = NeighbourIndex(source.own.inputs, source.engine.n_jobs)

    @property
    def process(self) -> Self:
        """The Gaussian process: this."""
        return self

    @property
    def noise_variance(self) -> np.ndarray:
        """The noise variance of each output, shape (n_outputs,)."""
        return self.groups.noise_variances[self.groups.group]

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Return the mean at new inputs, shape (m, n_outputs) (RW 2.25)."""
        return self.mean_and_variance(X)[0]

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the latent function, shape (m, n_outputs) each (RW 2.26)."""
        mean, variance = np.empty((2, len(X), self.Y.shape[1]))
        for batch in batches(len(X), BATCH_ROWS):
            mean[batch], variance[batch] = self._mean_and_variance(self.source.rows(X[batch]))
        return mean, variance

    def _mean_and_variance(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        solved = self._solve(rows, self.index.query(rows.inputs, self.n_neighbours))
        prior = self.source.diagonal(rows)[:, None]
        return solved.fit, at_least_rounding(prior - solved.explained, prior)[:, self.groups.group]

    def mean_and_covariances(self, X: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return mean and covariances, all new inputs given the neighbours of all: see ``Posterior``."""
        given = np.unique(self.index.query(self.source.rows(X).inputs, self.n_neighbours))
        source = ProgramSource(self.source.engine, self.source.own.take(given), self.source.limit)
        shared = Posterior(source, self.Y[given], self.noise_variance, self.weight[given])
        return shared.mean_and_covariances(X)

    def sample(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState, include_noise: bool
    ) -> np.ndarray:
        """Draw joint samples, shape (m, n_outputs, n_samples): of one leaf from its covariances, else leaf by leaf."""
        rows = self.source.rows(X)
        if self._make_one_leaf(rows):
            return super().sample(X, n_samples, random_state, include_noise)
        _, first, place = np.unique(rows.inputs, axis=0, return_index=True, return_inverse=True)
        latent = random_state.standard_normal((len(first), self.Y.shape[1], n_samples))
        self.sampler(rows.take(first)).draw(latent)
        samples = latent[place.ravel()]
        if include_noise:
            std = np.sqrt(self.noise_variance)[:, None]
            for batch in batches(len(samples), BATCH_ROWS):
                samples[batch] += std * random_state.standard_normal(samples[batch].shape)
        return samples

    def _make_one_leaf(self, rows: Rows) -> bool:
        m = len(rows.inputs)
        if m > MOST:
            return False
        found = self.index.query(rows.inputs, self.n_neighbours)
        return len(planned(rows.inputs, found, n_more=self.n_neighbours).asked_edges) == 2

    def sampler(self, new: Rows) -> LeafSampler:
        """Return what draws samples at new rows, no two of which are equal."""
        return LeafSampler(
            self.source,
            self.index,
            self._conditions,
            self.groups.outputs,
            n_neighbours=self.n_neighbours,
            unit=self._unit,
            new=new,
        )

    def leave_one_out(self, n_rows: int | None = None, *, free_mean: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the function at each row given the others, shape (n_samples, n_outputs) each.

        With ``n_rows`` only those of the last rows. With ``free_mean`` the mean of the targets is not known.
        """
        n = len(self.Y) if self.members is None else len(self.members.Y)
        return self.of_others(np.arange(n)[-n_rows if n_rows else None :], free_mean)

    def held_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return targets, and mean and variance of each given the others, shape (n, n_outputs), or of a sample."""
        Y, weight = (self.Y, self.weight) if self.members is None else (self.members.Y, self.members.weight)
        asked = np.sort(np.random.RandomState(0).permutation(len(Y))[:SAMPLED_ROWS])
        mean, variance = self.of_others(asked, free_mean=True)
        return Y[asked], mean, variance + self.noise_variance / weight[asked, None]

    def of_others(self, asked: np.ndarray, free_mean: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the function at some rows, each given all others: see ``leave_one_out``."""
        if self.members is None:
            return self._of_others(asked, free_mean)
        group, Y, weight = (values[asked] for values in self.members)
        distinct, place = np.unique(group, return_inverse=True)
        mean, variance = (values[place] for values in self._of_others(distinct, free_mean))
        total, own = self.weight[group][:, None], weight[:, None]
        rest = np.where(total - own > SAME_WEIGHT * total, total - own, 0.0)
        return with_more_targets(mean, variance, rest, total * self.Y[group] - own * Y, self.noise_variance)

    def _of_others(self, asked: np.ndarray, free_mean: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the same of training rows, no two of which are equal: RW 5.12 in each leaf."""
        mean, variance = np.empty((2, len(asked), self.Y.shape[1]))
        for batch in batches(len(asked), BATCH_ROWS):
            rows = asked[batch]
            own, noise = self.source.own.take(rows), self.noise[rows][:, self.groups.group]
            found = self.index.query(own.inputs, min(self.n_neighbours + 1, self.source.n))
            missing = ~np.any(found == rows[:, None], axis=1)  # a row among as many equally near ones
            found[missing, -1] = rows[missing]
            solved = self._solve(own, found, rows)
            inverse, alpha = solved.explained[:, self.groups.group], solved.fit
            if free_mean:
                inverse, alpha = self._with_free_mean(solved)
            total, prior = 1.0 / inverse, self.source.diagonal()[rows, None]
            mean[batch], variance[batch] = self.Y[rows] - alpha * total, at_least_rounding(total - noise, prior)
            faint = np.flatnonzero(np.any(noise > FAINT * prior, axis=1))
            if len(faint):
                given_all = self._mean_and_variance(own.take(faint))
                without = without_own_target(*given_all, self.Y[rows[faint]], noise[faint])
                mean[batch][faint], variance[batch][faint] = without
        return mean, variance

    def _with_free_mean(self, solved: Solved) -> tuple[np.ndarray, np.ndarray]:
        """Return (A + c 1 1ᵀ)⁻¹ of each row with itself, and its product with Y, in each leaf (maths 6.21)."""
        group = self.groups.group
        share = np.stack(
            [
                share_of_mean(total, self.Y[:, outputs])
                for total, outputs in zip(solved.total.T, self.groups.outputs, strict=True)
            ],
            axis=1,
        )
        inverse = solved.explained - share * solved.of_one**2
        return inverse[:, group], solved.fit - (share * solved.of_one)[:, group] * solved.total_fit

    def sampling_bytes(self, m: int, n_samples: int) -> int:
        """Return the most bytes that ``sample`` takes, the samples included."""
        n, n_groups = min(self.source.n, most_given(2 * self.n_neighbours, m)), len(self.groups.noise_variances)
        n_threads = thread_count(self.source.engine.n_jobs)
        taken = sampling_bytes(m, n, self.n_neighbours, n_groups, n_threads)
        if m <= MOST:
            taken = max(taken, self._joint_bytes(m, n) + 8 * SAMPLING_MATRICES * m**2)
        return taken + 8 * self.Y.shape[1] * n_samples * (2 * m + 2 * min(m, BATCH_ROWS))

    def joint_bytes(self, m: int) -> int:
        """Return the most bytes that ``mean_and_covariances`` of m new inputs takes."""
        return self._joint_bytes(m, min(self.source.n, m * self.n_neighbours))

    def _joint_bytes(self, m: int, n: int) -> int:
        n_groups = len(self.groups.noise_variances)
        return n_groups * LowerTiles.n_bytes(n) + 8 * m * (min(n_groups, 3) * n + (n_groups + 1) * m)

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes of rows by rows that ``leave_one_out`` takes: none."""
        return 0

    def appending_bytes(self, n: int) -> int:
        """Return the most bytes of rows by rows that the same takes for n rows: none."""
        return 0

    def _solve(self, new: Rows, found: np.ndarray, training: np.ndarray | None = None) -> Solved:
        """Solve for new rows, given their neighbours, shape (m, n_neighbours).

        With ``training`` the rows are those training rows, and what is solved for are their unit vectors.
        """
        engine, conditions = self.source.engine, self._conditions
        plan = planned(new.inputs, found, training)
        solved = Solved.empty(len(found), self.Y.shape[1], len(self.groups.noise_variances))
        n_leaves = len(plan.asked_edges) - 1

        def work(piece: slice) -> None:
            leaf_pass(ROUTINES, engine.encoded, engine.ntk, conditions, new, plan, piece.start, piece.stop, solved)

        engine.run(work, batches(n_leaves, PIECE))
        jitter = float(solved.jitter.max(initial=0.0))
        require_definite(jitter, self._unit)
        warn_of_jitter(jitter, self._unit)
        return solved

    @cached_property
    def _unit(self) -> float:
        """Mean prior variance of the training rows: what jitter is a share of."""
        return float(np.mean(self.source.diagonal()))

    @cached_property
    def _conditions(self) -> Conditions:
        """The training rows for compiled code: made once, because O(n) is much for a single new row."""
        return Conditions(
            self.source.own,
            np.vstack([self.Y.T, np.ones(len(self.Y))]),
            self.groups.group,
            np.ascontiguousarray(self.noise.T),
            self._unit / self.weight,
        )
