"""Learning on few rows first: many candidates, then fewer, each stage from where the last one ended.

1. *Screening*, a small subset: every network with every scaling of the features, one common input variance.
2. *Relevance*, more rows: the networks with the best scaling, with an input variance a feature where they ask for it.
3. *Refinement*, the largest subset: the best of those.

Networks are compared by their evidence less one for each learned variance.
"""

from dataclasses import dataclass, replace

import numpy as np

from infwidth._inference.search import Data, Objective, Optimum, climb
from infwidth.networks.theta import theta_of

SCREENING_ROWS, RELEVANCE_ROWS, N_FINALISTS = 500, 1000, 2


@dataclass(frozen=True)
class Candidate:
    """A scaling of the features, by its place, and the network learned with it."""

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
    n_jobs: int | None


def learn(networks, noise_variance, datasets, settings, random_state, report=lambda text: None):
    """Return the finalists, the best first.

    Parameters
    ----------
    networks : list of Network
        All their variances are starts.
    noise_variance : float
        Start.
    datasets : list of Data
        The same rows, with each scaling of the features.
    settings : Settings
    random_state : RandomState
    report : callable
        Receives a line of text after each optimum.
    """
    order = random_state.permutation(len(datasets[0].Y))
    n_features = datasets[0].X.shape[1]

    def improve(candidates, n_rows, n_restarts=0):
        rows = np.sort(order[: min(n_rows, settings.max_rows)])
        improved = []
        for candidate in candidates:
            data = datasets[candidate.scaling].take(rows)
            optimum = _best_climb(data, candidate.optimum, settings, n_restarts, random_state)
            report(f"{optimum.network}: evidence {optimum.evidence:.2f} of {len(rows)} rows")
            improved.append(Candidate(candidate.scaling, optimum))
        return sorted(improved, key=_merit, reverse=True)

    starts = [Optimum(network.untied(), noise_variance, -np.inf, True, 0) for network in networks]
    screened = improve(
        [Candidate(scaling, start) for start in starts for scaling in range(len(datasets))],
        SCREENING_ROWS,
        settings.n_restarts,
    )
    scaling = screened[0].scaling
    kept = [
        replace(candidate, optimum=replace(candidate.optimum, network=candidate.optimum.network.expanded(n_features)))
        for candidate in screened
        if candidate.scaling == scaling
    ]
    relevance = improve(kept, RELEVANCE_ROWS)
    if len(order) <= SCREENING_ROWS:  # those with one common variance have seen all rows as well
        relevance = sorted([*relevance, *screened], key=_merit, reverse=True)
    final = relevance[:N_FINALISTS]
    return improve(final, settings.max_rows) if min(len(order), settings.max_rows) > RELEVANCE_ROWS else final


def _merit(candidate, evidence=None):
    """The evidence, less one for each learned variance (Akaike): what is gained by chance is no merit."""
    optimum = candidate.optimum
    return (optimum.evidence if evidence is None else evidence) - len(theta_of(optimum.network))


def condition(finalists, posterior_of, evidence_of):
    """Condition each finalist on all rows.

    Parameters
    ----------
    finalists : list of Candidate
        The most promising first.
    posterior_of : callable, Candidate -> Posterior
    evidence_of : callable, (Candidate, Posterior) -> float

    Returns
    -------
    ranked : list of Candidate
        The best first, by evidence of all rows less one for each learned variance.
    evidence : ndarray
        Theirs.
    posterior : Posterior
        Of the best. One is in memory at a time.
    """
    values = [evidence_of(candidate, posterior_of(candidate)) for candidate in finalists[1:]]
    posterior = posterior_of(finalists[0])
    values.insert(0, evidence_of(finalists[0], posterior))
    order = np.argsort(list(map(_merit, finalists, values)), kind="stable")[::-1]
    ranked = [finalists[place] for place in order]
    if ranked[0] is not finalists[0]:
        del posterior
        posterior = posterior_of(ranked[0])
    return ranked, np.array(values)[order], posterior


def _best_climb(data: Data, start: Optimum, settings, n_restarts, random_state):
    """Climb from the start, and from random points around it; return the best optimum."""
    objective = Objective(data, settings.limit, settings.evidence, settings.n_jobs)
    climbs = []
    for restart in range(n_restarts + 1):
        network, noise_variance = start.network, start.noise_variance
        if restart:
            factors = {name: np.exp(random_state.standard_normal()) for name in network.variances()}
            values = network.variances()
            network = network.with_variances(**{name: values[name] * factor for name, factor in factors.items()})
            noise_variance *= np.exp(2.0 * random_state.standard_normal())
        climbs.append(
            climb(objective, network, noise_variance, prior_std=settings.prior_std, optimizer=settings.optimizer)
        )
    return max(climbs, key=lambda optimum: optimum.evidence)
