"""Learning on few rows first: many candidates, then fewer, each stage from where the last one ended.

1. *Screening*, a small random subset: every network with every scaling of the features, one common input variance.
2. *Relevance*, more rows: each network with its best scaling, with an input variance a feature where it asks for them,
   and the best of those with the other scaling too: what is best with one common variance need not be best with single
   ones. Networks with one common variance compete further where ``keep_common`` says so.
3. *Refinement*, all rows up to ``WHOLE_ROWS``: those with the largest evidence of these rows, most of which they were
   not learned on. Many more rows are split into blocks of neighbours, whose evidence is summed: each network on some of
   the blocks, then the best on as many as are asked for. A random subset of that size has gaps where all rows have
   none, and would not show what varies on short distances. Up to ``JUDGED_ROWS`` the evidence of all rows decides
   whether that was any better.

Networks are compared by their merit: their evidence less one for each learned variance.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError

from infwidth._inference.blocks import neighbouring_blocks
from infwidth._inference.search import Objective, Optimum, climb, evidence_bytes
from infwidth._recursion.engine import NotFiniteError
from infwidth._threads import thread_count
from infwidth.networks.theta import theta_of

SCREENING_ROWS, RELEVANCE_ROWS, WHOLE_ROWS, JUDGED_ROWS, BLOCK_ROWS, N_FINALISTS = 500, 1000, 2000, 4000, 1000, 2
TEMPERATURE, LEAST_WEIGHT = 10.0, 0.02


@dataclass(frozen=True)
class Candidate:
    """One of the networks and one of the scalings of the features, by their places, and what was learned with them."""

    place: int
    scaling: int
    optimum: Optimum


@dataclass(frozen=True)
class Settings:
    """How to learn: see ``NNGPRegressor``."""

    limit: str
    evidence: object
    optimizer: object
    max_rows: int
    n_restarts: int
    prior_std: float | None
    relevance_std: float
    least_noise: float | np.ndarray
    keep_common: bool
    refine: bool
    n_jobs: int | None
    seconds: float | None


class Search:
    """Climbs from candidates on subsets of the rows, each a part of the next, until the time is over.

    Parameters
    ----------
    datasets : list of Data
        The same rows, with each scaling of the features.
    settings : Settings
    random_state : RandomState
    monitor : Monitor
    """

    def __init__(self, datasets, settings, random_state, monitor):
        self.datasets, self.settings, self.random_state, self.monitor = datasets, settings, random_state, monitor
        self.order = random_state.permutation(len(datasets[0].Y))
        self.n_rows = min(len(self.order), settings.max_rows)
        self.deadline = np.inf if settings.seconds is None else time.perf_counter() + settings.seconds
        self.in_time = True  # False where a candidate was left out

    def learn(self, networks, noise_variance):
        """Return the finalists, the best first, from networks whose variances are starts."""
        starts = [Optimum(network.untied(), noise_variance, -np.inf, True, 0) for network in networks]
        screened = self.improve(
            [Candidate(p, s, start) for p, start in enumerate(starts) for s in range(len(self.datasets))],
            SCREENING_ROWS,
            self.settings.n_restarts,
        )
        relevance = self._with_relevance(screened) or _best_scalings(screened)
        common = [c for c in screened if self.settings.keep_common and self._is_common(c) and c not in relevance]
        few = len(self.order) <= WHOLE_ROWS
        if self.n_rows <= RELEVANCE_ROWS or (few and not self.settings.refine):
            return sorted([*relevance, *common], key=merit, reverse=True)
        # Where another measure than evidence decides in the end, both kinds have a finalist.
        kinds = [relevance, common] if common and not self.settings.refine else [[*relevance, *common]]
        ranked = [self._ranked(candidates) for candidates in kinds]
        finalists = [c for candidates in ranked for c in candidates[: N_FINALISTS // len(kinds)]]
        refined = self.improve(finalists, self.n_rows) or finalists
        if few:
            return [*refined, *(c for c in ranked[0] if c not in finalists)]
        if len(self.order) > JUDGED_ROWS:
            return refined
        moved = [c.optimum.network for c in refined]
        return [*refined, *(c for c in finalists if c.optimum.network not in moved)]

    def _with_relevance(self, screened):
        """Return the candidates with an input variance a feature, the best first: of the best with each scaling."""
        n_features, first = self.datasets[0].X.shape[1], _best_scalings(screened)
        learned = self.improve([_expanded(c, n_features) for c in first], RELEVANCE_ROWS)
        if len(learned) < len(first):
            return learned
        others = [c for c in screened if c.place == learned[0].place and c not in first and self._is_common(c)]
        if others:
            learned += self.improve([_expanded(c, n_features) for c in others], RELEVANCE_ROWS)
        return sorted(learned, key=merit, reverse=True)

    def _is_common(self, candidate):
        """Return whether the candidate's network asks for an input variance for each feature, and has one for all."""
        network = candidate.optimum.network
        return len(theta_of(network.expanded(self.datasets[0].X.shape[1]))) > len(theta_of(network))

    def _ranked(self, candidates):
        """Return the candidates, the best first, by evidence of more rows; of many rows the best of each network."""
        n_rows = min(self.n_rows, JUDGED_ROWS)
        judged = self._judged(candidates, n_rows)
        return self.improve(_best_scalings(judged), n_rows) or judged if self.n_rows > WHOLE_ROWS else judged

    def _judged(self, candidates, n_rows):
        """Return the candidates, the best first, by their evidence of ``n_rows`` rows as they are."""
        groups, judged = self._groups(candidates[0], n_rows), []
        for candidate in candidates:
            optimum = candidate.optimum
            objective = self._objective([self.datasets[candidate.scaling].take(rows) for rows in groups])
            try:
                evidence = objective.evaluate(optimum.network, optimum.noise_variance)[0]
            except (LinAlgError, NotFiniteError):
                evidence = -np.inf
            judged.append((merit(candidate, evidence), candidate))
        return [candidate for _, candidate in sorted(judged, key=lambda pair: -pair[0])]

    def resume(self, candidates):
        """Return the finalists of an earlier search, from where it ended and with the priors it had."""
        return self.improve(candidates, self.n_rows, resume=True) or candidates

    def improve(self, candidates, n_rows, n_restarts=0, *, resume=False):
        """Return those that there was time to improve on ``n_rows`` rows, the best first."""
        groups, improved = self._groups(candidates[0], min(n_rows, self.n_rows)), []
        for candidate in candidates:
            if time.perf_counter() > self.deadline and (improved or np.isfinite(candidate.optimum.evidence)):
                self.in_time = False
                break
            with self.monitor.task(f"learn {candidate.optimum.network}"):
                blocks = [self.datasets[candidate.scaling].take(rows) for rows in groups]
                optimum = self._best_climb(blocks, candidate.optimum, n_restarts, resume)
            total = sum(map(len, groups))
            self.monitor.report(f"{optimum.network}: evidence {optimum.evidence:.2f} of {total} rows")
            improved.append(replace(candidate, optimum=optimum))
        return sorted(improved, key=merit, reverse=True)

    def _groups(self, candidate, n_rows):
        """Return the rows of each block, about ``n_rows`` in all; the candidate says which rows are neighbours."""
        if n_rows <= WHOLE_ROWS:
            return [np.sort(self.order[:n_rows])]
        X = self.datasets[candidate.scaling].X
        blocks = neighbouring_blocks(X * np.sqrt(candidate.optimum.network.input_variances(X.shape[1])), BLOCK_ROWS)
        n_blocks = min(len(blocks), -(-n_rows // len(blocks[0])))
        return [blocks[place] for place in self.random_state.permutation(len(blocks))[:n_blocks]]

    def _objective(self, blocks):
        return Objective(blocks, self.settings.limit, self.settings.evidence, self.settings.n_jobs)

    def _best_climb(self, blocks, start, n_restarts, resume):
        """Climb from the start, and from random points around it; return the best optimum."""
        settings = self.settings
        objective = self._objective(blocks)
        starts = [start, *(_around(start, self.random_state) for _ in range(n_restarts))]
        climbs = [
            climb(
                objective,
                point.network,
                point.noise_variance,
                prior_std=settings.prior_std,
                relevance_std=settings.relevance_std,
                least_noise=settings.least_noise,
                center=start.center if resume else None,
                optimizer=settings.optimizer,
                deadline=self.deadline,
            )
            for point in starts
        ]
        return max(climbs, key=lambda optimum: optimum.evidence)


def learning_bytes(n, n_noises, max_rows, leave_one_out, n_jobs):
    """Return the most bytes that the matrices of a search take, given n rows."""
    n_rows = min(n, max_rows)
    sizes = [n_rows] if n_rows <= WHOLE_ROWS else [BLOCK_ROWS] * (-(-n_rows // BLOCK_ROWS) + 1)
    return evidence_bytes(sizes, n_noises, leave_one_out, thread_count(n_jobs))


def merit(candidate, evidence=None):
    """Return the evidence less one for each learned variance (Akaike): what is gained by chance is no merit."""
    optimum = candidate.optimum
    return (optimum.evidence if evidence is None else evidence) - len(theta_of(optimum.network))


def condition(finalists, posterior_of, evidence_of, merit_of, *, average, informative=1.0):
    """Condition each finalist on all rows, and weigh them by their evidence of all rows.

    Parameters
    ----------
    finalists : list of Candidate
        The most promising first.
    posterior_of : callable, Candidate -> Posterior
    evidence_of : callable, (Candidate, Posterior) -> float
    merit_of : callable, (Candidate, float) -> float
        What is compared, given the evidence.
    average : bool
        Whether to keep the best with each network whose weight matters (maths 6.16), or the best of all alone; then one
        posterior is in memory at a time.
    informative : float, default=1.0
        Share of the rows whose evidence counts in the weights.

    Returns
    -------
    ranked : list of Candidate
        The best first.
    evidence, weights : ndarray
        Theirs.
    posteriors : list of Posterior
        Of those whose weight is not 0, in the same order.
    """
    (evidence, merits), posteriors = np.empty((2, len(finalists))), {}
    for number, candidate in reversed(list(enumerate(finalists))):  # the most promising last, whose posterior stays
        if not average:
            posteriors.clear()
        posteriors[number] = posterior_of(candidate)
        evidence[number] = evidence_of(candidate, posteriors[number])
        merits[number] = merit_of(candidate, evidence[number])
        alike = [other for other in posteriors if finalists[other].place == candidate.place]
        if len(alike) > 1:
            del posteriors[min(alike, key=lambda other: merits[other])]
    order, weights = np.argsort(-merits, kind="stable"), np.zeros(len(finalists))
    kept = [number for number in order if number in posteriors] if average else [order[0]]
    weights[kept] = _weights(informative * merits[kept])
    if not average and order[0] not in posteriors:
        posteriors.clear()
        posteriors[order[0]] = posterior_of(finalists[order[0]])
    ranked = [finalists[number] for number in order]
    return ranked, evidence[order], weights[order], [posteriors[number] for number in order if weights[number] > 0]


def _weights(merits):
    """Return weights proportional to exp(merit / TEMPERATURE), 0 for those below LEAST_WEIGHT."""
    weights = np.exp((merits - merits.max()) / TEMPERATURE)
    weights[weights < LEAST_WEIGHT * weights.sum()] = 0.0
    return weights / weights.sum()


def _around(start, random_state):
    """Return a random start around another."""
    values = start.network.hyperparameters()
    factors = {name: np.exp(random_state.standard_normal()) for name in values}
    network = start.network.with_hyperparameters(**{name: values[name] * factor for name, factor in factors.items()})
    factor = np.exp(2.0 * random_state.normal(size=len(start.noise_variance)))
    return replace(start, network=network, noise_variance=start.noise_variance * factor)


def _best_scalings(candidates):
    """Return the first candidate of each network: the best where they are sorted."""
    best: dict = {}
    for candidate in candidates:
        best.setdefault(candidate.place, candidate)
    return list(best.values())


def _expanded(candidate, n_features):
    """Return the candidate with an input variance for each feature, where its network asks for them."""
    optimum = candidate.optimum
    return replace(candidate, optimum=replace(optimum, network=optimum.network.expanded(n_features)))
