"""Learning on few rows first: many models, then fewer, each stage from where the last one ended.

1. *Screening*, a small random subset: every network with every scaling of the features, one common input variance.
2. *Relevance*, more rows: each network with its best scaling, with an input variance a feature where it asks for them,
   and the best of those with the other scaling too: what is best with one common variance need not be best with single
   ones. Networks with one common variance compete further where ``keep_common`` says so.
3. *Refinement*, all rows up to ``WHOLE_ROWS``: those with the largest evidence of these rows, most of which they were
   not learned on. Many more rows are split into leaves of neighbours, whose evidence is summed: each network on some of
   the leaves, then the best on as many as are asked for. A random subset of that size has gaps where all rows have
   none, and would not show what varies on short distances. Up to ``JUDGED_ROWS`` the evidence of all rows decides
   whether that was any better.

Networks are compared by their merit: their evidence less one for each learned variance.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from scipy.linalg import LinAlgError

from infwidth._data.data import Data
from infwidth._data.leaves import leaves
from infwidth._engine.engine import Limit, NotFiniteError
from infwidth._learning.climb import TOLERANCE, OptimizerFunction, climb
from infwidth._learning.evidence import EvidenceFunction
from infwidth._learning.model import Model, expanded, merit
from infwidth._learning.objective import Objective, evidence_bytes
from infwidth._runtime.callbacks import Monitor
from infwidth._runtime.threads import side_by_side, thread_count
from infwidth.networks import Network
from infwidth.networks.theta import theta_of

SCREENING_ROWS, RELEVANCE_ROWS, WHOLE_ROWS, JUDGED_ROWS, LEAF_ROWS, N_FINALISTS = 500, 1000, 2000, 4000, 1000, 2
SCREENING_TOLERANCE = 0.03  # of climbs to where others begin
WITHOUT_PRIOR = 0.1  # factor of all tolerances: in flat directions there is farther to go
ABUNDANT_ROWS = 15_000  # no single variance is told by chance


@dataclass(frozen=True)
class Settings:
    """How long and how far to learn: parameters of the estimators, see ``NNGPRegressor``."""

    optimizer: OptimizerFunction | None
    max_rows: int
    n_restarts: int
    prior_std: float | None
    seconds: float | None


class Learnable(Protocol):
    """What a search asks of a task.

    Attributes
    ----------
    limit : {"nngp", "ntk"}
    n_jobs : int or None
    learned_by, judged_by : callable (tiles, Y) -> Evidence
        The objective, and the like of what decides between models that have met all rows.
    learned_datasets : list of Data
        The rows with each scaling of the features.
    least_noise : float or ndarray of shape (n_noises,)
        What no learned noise variance is below, besides rounding.
    relevance_std : float
        Of the prior of single input variances, in units of ``prior_std``.
    refines : bool
        Whether the models with the largest evidence are refined on all of few rows.
    """

    relevance_std: ClassVar[float]
    refines: ClassVar[bool]

    @property
    def limit(self) -> Limit: ...
    @property
    def n_jobs(self) -> int | None: ...
    @property
    def learned_by(self) -> EvidenceFunction: ...
    @property
    def judged_by(self) -> EvidenceFunction: ...
    @property
    def learned_datasets(self) -> list[Data]: ...
    @property
    def least_noise(self) -> float | np.ndarray: ...


class Search:
    """Climbs from models on subsets of the rows, each a part of the next, until the time is over.

    Parameters
    ----------
    task : Learnable
    settings : Settings
    keep_common : bool
        Whether networks with one common input variance compete with those that have one for each feature.
    random_state : RandomState
    monitor : Monitor
    """

    def __init__(
        self,
        task: Learnable,
        settings: Settings,
        *,
        keep_common: bool,
        random_state: np.random.RandomState,
        monitor: Monitor,
    ) -> None:
        self.task, self.settings, self.keep_common = task, settings, keep_common
        self.random_state, self.monitor = random_state, monitor
        self.datasets, self.least_noise = task.learned_datasets, task.least_noise
        self.order = random_state.permutation(len(self.datasets[0].Y))
        self.n_rows = min(len(self.order), settings.max_rows)
        self.deadline = np.inf if settings.seconds is None else time.perf_counter() + settings.seconds
        self.in_time = True  # False where a model was left out

    def learn(self, networks: Sequence[Network], noise_variance: np.ndarray) -> list[Model]:
        """Return the finalists, the best first, from networks whose variances are starts."""
        starts = [
            Model(architecture, scaling, network.untied(), noise_variance)
            for architecture, network in enumerate(networks)
            for scaling in range(len(self.datasets))
        ]
        screened = self.improve(starts, SCREENING_ROWS, self.settings.n_restarts, tolerance=SCREENING_TOLERANCE)
        relevance = self._with_relevance(screened) or _best_scalings(screened)
        common = [m for m in screened if self.keep_common and self._is_common(m) and m not in relevance]
        few, refines = len(self.order) <= WHOLE_ROWS, self.task.refines
        if self.n_rows <= RELEVANCE_ROWS or (few and not refines):
            return sorted([*relevance, *common], key=merit, reverse=True)
        # Where another measure than evidence decides in the end, both kinds have a finalist.
        kinds = [relevance, common] if common and not refines else [[*relevance, *common]]
        ranked = [self._ranked(models) for models in kinds]
        finalists = [m for models in ranked for m in models[: N_FINALISTS // len(kinds)]]
        refined = self._refined(finalists) or finalists
        if few:
            return [*refined, *(m for m in ranked[0] if m not in finalists)]
        if len(self.order) > JUDGED_ROWS:
            return refined
        moved = [m.network for m in refined]
        return [*refined, *(m for m in finalists if m.network not in moved)]

    def _with_relevance(self, screened: list[Model]) -> list[Model]:
        """Return the models with an input variance a feature, the best first: of the best with each scaling."""
        n_features, first = self.datasets[0].X.shape[1], _best_scalings(screened)
        learned = self.improve([expanded(m, n_features) for m in first], RELEVANCE_ROWS)
        if len(learned) < len(first):
            return learned
        best = learned[0].architecture
        others = [m for m in screened if m.architecture == best and m not in first and self._is_common(m)]
        if others:
            learned += self.improve([expanded(m, n_features) for m in others], RELEVANCE_ROWS)
        return sorted(learned, key=merit, reverse=True)

    def _is_common(self, model: Model) -> bool:
        """Return whether the model's network asks for an input variance for each feature, and has one for all."""
        network = model.network
        return len(theta_of(network.expanded(self.datasets[0].X.shape[1]))) > len(theta_of(network))

    def _ranked(self, models: list[Model]) -> list[Model]:
        """Return the models, the best first, by evidence of more rows; of many rows the best of each network.

        Where another measure than evidence decides in the end, only as many of them as it may choose from. Where rows
        abound, with an input variance for each feature where it asks for them: a common one is a better start than
        single ones that few rows have told too much, but no better end.
        """
        n_rows = min(self.n_rows, JUDGED_ROWS)
        judged = self._judged(models, n_rows)
        if self.n_rows <= WHOLE_ROWS:
            return judged
        best, n_features = _best_scalings(judged), self.datasets[0].X.shape[1]
        if not self.task.refines:
            best = best[:N_FINALISTS]
        if len(self.order) > ABUNDANT_ROWS:
            best = [expanded(m, n_features) for m in best]
        return self.improve(best, n_rows) or judged

    def _judged(self, models: list[Model], n_rows: int) -> list[Model]:
        """Return the models, the best first, by their evidence of ``n_rows`` rows as they are."""
        groups = self._groups(models[0], n_rows)
        judged: list[tuple[float, Model]] = []
        for model in models:
            datasets = [self.datasets[model.scaling].take(rows) for rows in groups]
            objective = self._objective(datasets, n_jobs=self.task.n_jobs)
            try:
                evidence = objective.value(model.network, model.noise_variance)
            except (LinAlgError, NotFiniteError):
                evidence = -np.inf
            judged.append((merit(model, evidence), model))
        return [model for _, model in sorted(judged, key=lambda pair: -pair[0])]

    def resume(self, models: list[Model]) -> list[Model]:
        """Return the finalists of an earlier search, from where it ended and with the priors it had."""
        return self._refined(models, resume=True) or models

    def _refined(self, models: list[Model], *, resume: bool = False) -> list[Model]:
        """Return the models improved on as many rows as are asked for; each also by what judges it in the end.

        That is robust where the network is wrong, and evidence where it is right: which is better is seen then.
        """
        judged_by = self.task.judged_by
        if judged_by is self.task.learned_by:
            return self.improve(models, self.n_rows, resume=resume)
        refined = self.improve(_best_scalings(models) if resume else models, self.n_rows, resume=resume)
        return [*refined, *self.improve(refined, self.n_rows, evidence=judged_by)]

    def improve(
        self,
        models: list[Model],
        n_rows: int,
        n_restarts: int = 0,
        *,
        resume: bool = False,
        evidence: EvidenceFunction | None = None,
        tolerance: float = TOLERANCE,
    ) -> list[Model]:
        """Return those that there was time to improve on ``n_rows`` rows, the best first."""
        if not models:
            return []
        groups = self._groups(models[0], min(n_rows, self.n_rows))
        starts = [[model, *(_around(model, self.random_state) for _ in range(n_restarts))] for model in models]
        n_threads = self._threads_of_climbs(len(models), groups)

        def best(place: int) -> Model | None:
            model = models[place]
            if time.perf_counter() > self.deadline and (place or np.isfinite(model.evidence)):
                return None
            datasets = [self.datasets[model.scaling].take(rows) for rows in groups]
            objective = self._objective(datasets, evidence, 1 if n_threads > 1 else self.task.n_jobs)
            return self._best_climb(objective, starts[place], resume, tolerance)

        improved: list[Model] = []
        climbs = side_by_side(best, range(len(models)), n_threads, self._end)
        with closing(climbs):
            for model in models:
                with self.monitor.task(f"learn {model.network}"):
                    found = next(climbs)
                if found is None:
                    self.in_time = False
                    break
                improved.append(found)
                self.monitor.report(f"{found.network}: evidence {found.evidence:.2f} of {sum(map(len, groups))} rows")
        return sorted(improved, key=merit, reverse=True)

    def _threads_of_climbs(self, n_models: int, groups: list[np.ndarray]) -> int:
        """Return how many climbs go on at a time: on parts of the rows, or with an optimizer of the user, one."""
        one = len(groups) > 1 or self.settings.optimizer is not None
        return 1 if one else min(n_models, thread_count(self.task.n_jobs))

    def _end(self) -> None:
        """Let climbs end at their next step."""
        self.deadline = -np.inf

    def _groups(self, model: Model, n_rows: int) -> list[np.ndarray]:
        """Return the rows of each part, about ``n_rows`` in all; the model says which rows are neighbours."""
        if n_rows <= WHOLE_ROWS:
            return [np.sort(self.order[:n_rows])]
        X = self.datasets[model.scaling].X
        found = leaves(X * np.sqrt(model.network.input_variances(X.shape[1])), LEAF_ROWS)
        n_leaves = min(len(found), -(-n_rows // len(found[0])))
        return [found[leaf] for leaf in self.random_state.permutation(len(found))[:n_leaves]]

    def _objective(
        self, datasets: list[Data], evidence: EvidenceFunction | None = None, n_jobs: int | None = None
    ) -> Objective:
        return Objective(datasets, self.task.limit, evidence or self.task.learned_by, n_jobs)

    def _best_climb(self, objective: Objective, starts: list[Model], resume: bool, tolerance: float) -> Model:
        """Climb from the starts; return the best."""
        settings = self.settings
        climbs = [
            climb(
                objective,
                model,
                prior_std=settings.prior_std,
                relevance_std=self.task.relevance_std,
                least_noise=self.least_noise,
                center=model.center if resume else None,
                optimizer=settings.optimizer,
                tolerance=tolerance if settings.prior_std else WITHOUT_PRIOR * tolerance,
                in_time=lambda: time.perf_counter() <= self.deadline,
            )
            for model in starts
        ]
        return max(climbs, key=lambda model: model.evidence)


def learning_bytes(n: int, n_noises: int, max_rows: int, leave_one_out: bool, n_jobs: int | None) -> int:
    """Return the most bytes that the matrices of a search take, given n rows."""
    n_rows = min(n, max_rows)
    sizes = [n_rows] if n_rows <= WHOLE_ROWS else [LEAF_ROWS] * (-(-n_rows // LEAF_ROWS) + 1)
    return evidence_bytes(sizes, n_noises, leave_one_out, thread_count(n_jobs))


def _around(start: Model, random_state: np.random.RandomState) -> Model:
    """Return a random start around another."""
    values = start.network.hyperparameters()
    factors = {name: np.exp(random_state.standard_normal()) for name in values}
    network = start.network.with_hyperparameters(**{name: values[name] * factor for name, factor in factors.items()})
    factor = np.exp(2.0 * random_state.normal(size=len(start.noise_variance)))
    return replace(start, network=network, noise_variance=start.noise_variance * factor)


def _best_scalings(models: list[Model]) -> list[Model]:
    """Return the first model of each network: the best where they are sorted."""
    best: dict[int, Model] = {}
    for model in models:
        best.setdefault(model.architecture, model)
    return list(best.values())
