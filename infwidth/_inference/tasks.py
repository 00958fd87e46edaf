"""What a table asks of a process: rows with each scaling of the features, how models meet them and are judged."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
from sklearn.preprocessing import StandardScaler

from infwidth._data.box import TrainingBox
from infwidth._data.coding import ClassCoding
from infwidth._data.data import Data
from infwidth._data.labelled import Labelled
from infwidth._data.scaling import FeatureScaling, Scaler, feature_scalers, transform
from infwidth._data.targets import informative_share, least_noise
from infwidth._data.weights import ClassWeight, class_weights
from infwidth._engine.engine import KernelEngine, Limit, ProgramSource
from infwidth._inference.classes import ClassPosterior, Labels
from infwidth._inference.mixture import Component
from infwidth._inference.neighbours import Members, NeighbourPosterior
from infwidth._inference.posterior import Posterior, leave_one_out_bytes
from infwidth._inference.predictive import Predictive, Process
from infwidth._inference.stacking import HeldOut, HeldOutTargets, total_log_density
from infwidth._learning.evidence import EvidenceFunction, leave_one_out_density, log_marginal_likelihood
from infwidth._learning.model import Model, merit
from infwidth._learning.objective import differences
from infwidth._linalg.solvers import SOLVERS
from infwidth._runtime.memory import MemoryLimit

CALIBRATION_ROWS = 2000  # at least, where there are as many

Law = TypeVar("Law")  # what predicts with a model


@dataclass(frozen=True)
class Task(ABC, Generic[Law]):
    """Rows to learn from and to be conditioned on.

    Attributes
    ----------
    data : Data
        The rows in use, features as they were given.
    feature_scaling : {"auto", "standard", "power", None}
    learns : bool
        Whether variances are learned, so that scalings can compete.
    limit : {"nngp", "ntk"}
        The kernel that is the prior.
    by_leave_one_out : bool
        Whether variances are learned by leave-one-out densities, else by marginal likelihood.
    solver : {"cholesky", "neighbours"}
    solver_reason : str
        Why it is that.
    n_neighbours : int
    n_jobs, max_memory, verbose
        As for the estimators.
    known_scalers : list of transformers or None, optional
        Scalings of the features that were found on other rows.
    """

    data: Data
    feature_scaling: FeatureScaling
    learns: bool
    limit: Limit
    by_leave_one_out: bool
    solver: str
    solver_reason: str
    n_neighbours: int
    n_jobs: int | None
    max_memory: MemoryLimit
    verbose: bool
    known_scalers: list[Scaler] | None = field(default=None, kw_only=True)

    @cached_property
    def scalers(self) -> list[Scaler]:
        """The scalings of the features that compete: fitted transformers, or None."""
        if self.known_scalers is not None:
            return self.known_scalers
        return feature_scalers(self.feature_scaling, self.data.X, self.data.weight, choose=self.learns)

    @cached_property
    def datasets(self) -> list[Data]:
        """The data with each scaling."""
        return [replace(self.data, X=transform(scaler, self.data.X)) for scaler in self.scalers]

    @cached_property
    def varying(self) -> np.ndarray:
        """Which noise variances are learned: those of outputs that are not constant."""
        return self.data.varying()

    @cached_property
    def learned_datasets(self) -> list[Data]:
        """What variances are learned from, with each scaling."""
        learned = self.data.of_noises(self.varying)
        # Equal rows are merged before they are scaled, so that all scalings have the same rows.
        if self.by_leave_one_out or self.members:
            return [replace(learned, X=data.X) for data in self.datasets]
        merged, _ = learned.merged()
        return [replace(merged, X=transform(scaler, merged.X)) for scaler in self.scalers]

    @property
    def learned_by(self) -> EvidenceFunction:
        """The objective of learning: see ``Objective``."""
        return leave_one_out_density if self.by_leave_one_out else log_marginal_likelihood

    @property
    def judged_by(self) -> EvidenceFunction:
        """What is most like the measure of models that have met all rows."""
        return self.learned_by

    def source(self, model: Model) -> ProgramSource:
        """Return the kernel of a model, of the rows in use."""
        X = self.datasets[model.scaling].X
        engine = KernelEngine(model.network.lower(X.shape[1]), ntk=self.limit == "ntk", n_jobs=self.n_jobs)
        return ProgramSource(engine, engine.rows(X), self.limit)

    def process(self, model: Model, earlier: Process | None = None) -> Process:
        """Return the Gaussian process of a model, conditioned on the rows.

        ``earlier`` is the same given the first of the rows, where it is known: its factors are appended to.
        """
        given = self.source(model), self.data.Y, model.noise_variance, self.data.weight
        if self.solver == "neighbours":
            return NeighbourPosterior(*given, n_neighbours=self.n_neighbours, members=self.members)
        return Posterior(
            *given,
            solver=self.solver,
            max_memory=self.max_memory,
            verbose=self.verbose,
            earlier=cast("Posterior | None", earlier),  # by the same solver
        )

    def conditioning_bytes(self, n_factors: int) -> int:
        """Return the most bytes that so many factors take, and what judges them; 0 where neighbours are looked for."""
        if self.solver not in SOLVERS:
            return 0
        n = len(self.data.Y)
        judging = leave_one_out_bytes(n) if self.judged_by_leave_one_out else 0
        return n_factors * SOLVERS[self.solver].n_bytes(n) + judging

    def met_by(self, solver: str) -> Self:
        """Return the same task with another solver."""
        return replace(self, solver=solver)

    def relevance(self, model: Model) -> np.ndarray:
        """Return the share of each feature in the variance of the first layer over the rows: Σ_f v_f Var(x_f)."""
        data = self.datasets[model.scaling]
        spread = StandardScaler().fit(data.X, sample_weight=data.weight).var_
        explained = model.network.input_variances(data.X.shape[1]) * spread
        total = explained.sum()
        return explained / total if total > 0 else explained

    # What differs between the tasks

    members: ClassVar[Members | None] = None  # the rows as they were given, where equal ones were merged
    relevance_std: ClassVar[float] = 1.0  # of the prior of single input variances, in units of ``prior_std``
    refines: ClassVar[bool] = True  # whether the models with the largest evidence are refined on all of few rows

    @property
    @abstractmethod
    def judged_by_leave_one_out(self) -> bool:
        """Whether conditioned models are judged by leave-one-out predictions."""

    @property
    @abstractmethod
    def least_noise(self) -> float | np.ndarray:
        """What no learned noise variance is below, besides rounding."""

    @property
    @abstractmethod
    def informative(self) -> float:
        """Share of the rows whose evidence tells networks apart."""

    @abstractmethod
    def posterior(self, model: Model) -> Law:
        """Return what predicts with a model: its process on all rows, factored, for classes with a calibration."""

    @abstractmethod
    def evidence(self, posterior: Law, model: Model) -> float:
        """Return how well a conditioned model explains all rows."""

    @abstractmethod
    def held_out(self, posterior: Law) -> HeldOut:
        """Return what a model predicts of rows given the others: the same rows for all models."""

    @abstractmethod
    def merit(self, model: Model, evidence: float) -> float:
        """Return what models are compared by."""

    @abstractmethod
    def updated(self, component: Component[Any]) -> Component[Law]:
        """Return a component given all rows, where it was given the first of them before."""

    @abstractmethod
    def updating_bytes(self, components: Sequence[Component[Any]]) -> int:
        """Return the most bytes that this takes for several, besides what they have."""


@dataclass(frozen=True)
class Regression(Task[Process]):
    """Numbers to predict: the posterior is the process.

    Attributes
    ----------
    members : Members or None
        The rows as they were given, where equal ones were merged.
    """

    members: Members | None  # type: ignore[misc]  # a constant of the base

    @classmethod
    def of(cls, data: Data, **options: Any) -> Self:
        """Return the task of rows; equal ones are merged where neighbours are looked for."""
        used, members = _in_use(data, options["solver"])
        return cls(used, members=members, **options)

    def with_rows(self, more: Data, **options: Any) -> Self:
        """Return the task of these rows and after them others, features scaled as before; some options may change."""
        used, members = _in_use(self._given.followed_by(more), self.solver)
        return replace(self, data=used, members=members, known_scalers=self.scalers, **options)

    def met_by(self, solver: str) -> Self:
        data, members = _in_use(self._given, solver)
        return replace(self, data=data, members=members, solver=solver, known_scalers=self.scalers)

    @property
    def _given(self) -> Data:
        """The rows, equal inputs and all."""
        if self.members is None:
            return self.data
        group, Y, weight = self.members
        return Data(self.data.X[group], Y, weight, np.zeros_like(Y))

    relevance_std = 1 / 2

    @property
    def judged_by_leave_one_out(self) -> bool:
        return self.by_leave_one_out or self.solver == "neighbours"

    @property
    def judged_by(self) -> EvidenceFunction:
        return leave_one_out_density if self.judged_by_leave_one_out else self.learned_by

    @property
    def least_noise(self) -> np.ndarray:
        return np.array([least_noise(y, self.data.weight) for y in self.data.of_noises(self.varying).Y.T])

    @property
    def informative(self) -> float:
        data = self.data
        return float(np.mean([informative_share(y, data.weight) for y in data.of_noises(self.varying).Y.T]))

    def posterior(self, model: Model) -> Process:
        return self.process(model)

    def evidence(self, posterior: Process, model: Model) -> float:
        if self.judged_by_leave_one_out:
            return total_log_density(self.held_out(posterior))
        return self.log_marginal_likelihood(posterior)

    def held_out(self, posterior: Process) -> HeldOutTargets:
        y, mean, variance = (values[:, self.varying] for values in posterior.held_out())
        return HeldOutTargets(y, mean, variance, len(self._given.Y))

    def log_marginal_likelihood(self, posterior: Process) -> float:
        """Return that of the targets that vary, summed over the outputs; NaN where only neighbours are known."""
        if not isinstance(posterior, Posterior):
            return np.nan
        values = posterior.log_marginal_likelihoods() + differences(self.data, posterior.noise_variance)[0]
        return float(values[self.varying].sum())

    def merit(self, model: Model, evidence: float) -> float:
        return merit(model, evidence)

    def updated(self, component: Component[Predictive]) -> Component[Process]:
        process = self.process(component.model, component.posterior.process)
        return Component(component.weight, component.model, component.scaler, process)

    def updating_bytes(self, components: Sequence[Component[Predictive]]) -> int:
        return sum(component.posterior.appending_bytes(len(self.data.Y)) for component in components)


def _in_use(data: Data, solver: str) -> tuple[Data, Members | None]:
    """Return the rows that a solver meets: where it looks for neighbours equal ones are merged, and kept as members."""
    if solver != "neighbours":
        return data, None
    merged, group = data.merged()
    return merged, Members(group, data.Y, data.weight)


@dataclass(frozen=True)
class Classification(Task[ClassPosterior]):
    """Classes to predict: the rows are in random order, so that a calibration of the last ones is one of a sample.

    Attributes
    ----------
    rows : Labelled
        The rows as they were given.
    coding : ClassCoding
        Of the classes that have rows, as are the labels.
    labels : Labels
    box : TrainingBox
    calibrated : bool
    """

    rows: Labelled
    coding: ClassCoding
    labels: Labels
    box: TrainingBox
    calibrated: bool

    @classmethod
    def of(cls, X: np.ndarray, rows: Labelled, class_weight: ClassWeight, **options: Any) -> Self:
        """Return the task of rows with classes."""
        return cls(rows=rows, **_coded(X, rows, class_weight), **options)

    def with_rows(self, X: np.ndarray, rows: Labelled, class_weight: ClassWeight, **options: Any) -> Self:
        """Return the task of these rows and after them others, features scaled as before; some options may change.

        X has the inputs of the others, ``rows`` are all of them.
        """
        coded = _coded(np.concatenate([self.data.X[self.labels.group], X]), rows, class_weight)
        return replace(self, rows=rows, known_scalers=self.scalers, **coded, **options)

    @property
    def class_prior(self) -> np.ndarray:
        """Share of each class, shape (n_classes,): 0 for those without rows."""
        prior = np.zeros(len(self.rows.classes))
        prior[self.rows.present] = self.coding.share
        return prior

    relevance_std = 1 / 8  # classes say less about each feature than numbers do
    refines = False

    @property
    def judged_by_leave_one_out(self) -> bool:
        return True

    @property
    def least_noise(self) -> float:
        return 0.0

    @property
    def informative(self) -> float:
        return 1.0

    def posterior(self, model: Model) -> ClassPosterior:
        return ClassPosterior(
            self.process(model),
            float(model.noise_variance[0]),
            self.coding,
            self.labels,
            self.relevance(model),
            calibrated=self.calibrated,
            n_sampled=CALIBRATION_ROWS,
        )

    def evidence(self, posterior: ClassPosterior, model: Model) -> float:
        return total_log_density(posterior.held_out)

    def held_out(self, posterior: ClassPosterior) -> HeldOut:
        return posterior.held_out

    def merit(self, model: Model, evidence: float) -> float:
        return evidence

    def updated(self, component: Component[ClassPosterior]) -> Component[ClassPosterior]:
        return replace(component, posterior=self.posterior(component.model))

    def updating_bytes(self, components: Sequence[Component[ClassPosterior]]) -> int:
        return self.conditioning_bytes(len(components))


def _coded(X: np.ndarray, rows: Labelled, class_weight: ClassWeight) -> dict[str, Any]:
    """Return the parts of a task that follow from its rows."""
    factor = class_weights(class_weight, rows.classes, rows.label, rows.weight)
    one, weight = np.minimum(rows.weight, 1.0) * factor, rows.weight * factor
    label = (np.cumsum(rows.present) - 1)[rows.label]  # among the classes that have rows
    coding = ClassCoding.of(label, weight)
    data, group = Data(X, coding.targets(label), weight, np.zeros((len(weight), 1))).merged()
    order = np.random.RandomState(0).permutation(len(data.Y))
    labels = Labels.of(label, weight, one, np.argsort(order)[group])
    return {"data": data.take(order), "coding": coding, "labels": labels, "box": TrainingBox(X, weight)}
