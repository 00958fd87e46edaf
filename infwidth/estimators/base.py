"""What the estimators share: their parameters, learning, and conditioning on all rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from numbers import Integral
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._data.scaling import FEATURE_SCALINGS, FeatureScaling, Scaler, with_names
from infwidth._data.validation import (
    is_valid_table,
    require_bool,
    require_choice,
    require_count,
    require_numbers,
    require_positive,
    shown,
)
from infwidth._engine.engine import Limit
from infwidth._inference.classes import ClassMixture, ClassPosterior
from infwidth._inference.conditioning import Conditioned
from infwidth._inference.mixture import Component, Mixture
from infwidth._inference.predictive import Process
from infwidth._inference.solver_choice import AnyTask, first_choice, settled
from infwidth._inference.tasks import Task
from infwidth._learning.climb import LOG_BOUNDS, OptimizerFunction, at_bound
from infwidth._learning.model import Model
from infwidth._learning.search import Search, Settings, learning_bytes
from infwidth._linalg.solvers import SOLVERS
from infwidth._linalg.tiles import sum_of
from infwidth._runtime.callbacks import CallbackSupportMixin, Monitor
from infwidth._runtime.memory import MemoryLimit, memory_limit, require_memory
from infwidth._runtime.threads import blas_threads, solver_threads, thread_count
from infwidth._runtime.warnings import warn_user
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP, Network
from infwidth.networks.base import check_network
from infwidth.networks.layers import variance

Optimizer = Literal["lml", "loo"] | OptimizerFunction | None
SolverName = Literal["auto", "cholesky", "neighbours"]
Seed = int | np.random.RandomState | None

OPTIMIZERS = ("lml", "loo", None)
SOLVER_NAMES = ("auto", *SOLVERS, "neighbours")
N_NEIGHBOURS = 400  # where none is given
AVERAGED_ROWS = 2000  # at most: several posteriors are in memory then
ROW_NOISE = "For noise variances s of single rows, fit with sample_weight=s.mean() / s."


P = ParamSpec("P")
Estimator = TypeVar("Estimator", bound=BaseEstimator)
Fitted = TypeVar("Fitted")


def all_or_nothing(
    fit: Callable[Concatenate[Estimator, P], Fitted],
) -> Callable[Concatenate[Estimator, P], Fitted]:
    """Return a fit that leaves the estimator as it was, fitted or not, where it fails or is interrupted."""

    @wraps(fit)
    def guarded(self: Estimator, /, *args: P.args, **kwargs: P.kwargs) -> Fitted:
        before = self.__dict__.copy()
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    return guarded


class BaseInfiniteNet(CallbackSupportMixin, BaseEstimator):
    """Base of the estimators, which store these parameters: see ``NNGPRegressor``."""

    network: Network | None
    noise_variance: npt.ArrayLike
    optimizer: Optimizer
    n_restarts_optimizer: int
    max_optimizer_samples: int
    max_optimizer_time: float | None
    warm_start: bool
    prior_std: float | None
    feature_scaling: FeatureScaling
    solver: SolverName
    n_neighbours: int | None
    max_memory: MemoryLimit
    n_jobs: int | None
    random_state: Seed
    verbose: bool

    networks_: list[Network]
    network_: Network
    kernel_: NNGPKernel | NTKKernel
    evidence_: np.ndarray
    network_weights_: np.ndarray
    feature_scaler_: Scaler
    feature_relevance_: np.ndarray
    jitter_: float
    solver_: str
    solver_reason_: str
    converged_: bool

    _mixture: Mixture | ClassMixture  # what predicts, once it is there
    _learned: tuple[tuple[Any, ...], list[Model]] | None  # for a warm start: its key, and models

    @property
    def _limit(self) -> Limit:
        """The kernel that is the prior."""
        raise NotImplementedError

    def _task_options(self, n: int) -> dict[str, Any]:
        """Return what tasks of n rows in use take of the parameters."""
        if self.solver == "auto":
            solver, reason = first_choice(n, takes_neighbours=self._takes_neighbours)
        else:
            solver, reason = self.solver, "as given"
        if solver == "neighbours" and self.n_neighbours is not None and self.n_neighbours > n:
            raise ValueError(
                f"n_neighbours={self.n_neighbours} is more than the {n:,} rows in use: give at most as many, or None."
            )
        return {
            "feature_scaling": self.feature_scaling,
            "learns": self.optimizer is not None,
            "limit": self._limit,
            "by_leave_one_out": self.optimizer == "loo",
            "solver": solver,
            "solver_reason": reason,
            "n_neighbours": N_NEIGHBOURS if self.n_neighbours is None else self.n_neighbours,
            **self._resources(),
        }

    def _resources(self) -> dict[str, Any]:
        """Return those of them that a fitted model may change."""
        return {"n_jobs": self.n_jobs, "max_memory": self.max_memory, "verbose": bool(self.verbose)}

    def _settled(self, task: AnyTask, model: Model) -> AnyTask:
        """Return the task with the solver that meets all rows, which with "auto" depends on what was learned."""
        if self.solver != "auto" or task.solver != "neighbours":
            return task

        def fits(exact: AnyTask) -> bool:
            needed = self._conditioning_bytes(exact, len(np.unique(model.noise_variance)))
            return needed <= memory_limit(self.max_memory)

        return settled(task, model, fits)

    @property
    def _takes_neighbours(self) -> bool:
        """Whether each prediction can be conditioned on the nearest rows alone."""
        return True

    @contextmanager
    def _monitored(self, X: np.ndarray, y: np.ndarray, n: int) -> Iterator[Monitor]:
        """Enclose the work of a fit of n rows in use; X and y are for callbacks."""
        monitor = Monitor(self, self.verbose)
        with monitor.fit(X, y), blas_threads(solver_threads(n, self.n_jobs)):
            yield monitor

    def _learn(self, task: Task[Any], noise_variance: np.ndarray, monitor: Monitor) -> tuple[list[Model], bool]:
        """Return the models that compete for all rows, the most promising first, and whether learning ended by itself.

        Those are learned models, or the network as it is.

        Parameters
        ----------
        task : Task
        noise_variance : ndarray of shape (n_noises,)
            Of the task's data.
        monitor : Monitor
        """
        if self.optimizer is None:
            network = MLP() if self.network is None else clone(self.network)
            return [Model(0, 0, network, noise_variance, np.nan)], True
        varying = task.varying
        search = Search(
            task,
            Settings(
                optimizer=self.optimizer if callable(self.optimizer) else None,
                max_rows=self.max_optimizer_samples,
                n_restarts=self.n_restarts_optimizer,
                prior_std=self.prior_std,
                seconds=self.max_optimizer_time,
            ),
            keep_common=self.network is None,  # a network that is given with ard=True means it
            random_state=check_random_state(self.random_state),
            monitor=monitor,
        )
        earlier = self._learned if self.warm_start and self.__sklearn_is_fitted__() else None
        if earlier is not None and earlier[0] == self._warm_start_key(task):
            models = search.resume([replace(m, noise_variance=m.noise_variance[varying]) for m in earlier[1]])
        else:
            networks = default_networks() if self.network is None else [self.network]
            models = search.learn(networks, noise_variance[varying])
        converged = search.in_time and all(model.converged for model in models)
        if not converged:
            warn_user(
                "learning stopped before it converged, at its limit of iterations or of time: give more informative "
                "start values (network, noise_variance), a smaller prior_std, or a larger max_optimizer_time.",
                ConvergenceWarning,
            )
        if not self.warm_start:  # only learning that goes on needs it
            models = [replace(m, curvature=None) for m in models]
        return [replace(m, noise_variance=_of_all_outputs(m.noise_variance, varying)) for m in models], converged

    def _warm_start_key(self, task: Task[Any]) -> tuple[Any, ...]:
        """Return what must be equal for a fit to begin with the models of the one before."""
        network = None if self.network is None else clone(self.network)
        return network, self._limit, list(map(type, task.scalers)), task.data.X.shape[1], task.varying.tolist()

    def _set_learned(
        self, task: Task[Any], conditioned: Conditioned[Process] | Conditioned[ClassPosterior], converged: bool
    ) -> None:
        """Set the attributes that all estimators have, given what ``condition`` found."""
        models, self.evidence_, self.network_weights_, components = conditioned
        best = models[0]
        self.converged_ = converged
        self.networks_ = [model.network for model in models]
        self.network_ = best.network
        self.kernel_ = (NTKKernel if self._limit == "ntk" else NNGPKernel)(self.network_)
        self.feature_scaler_ = with_names(task.scalers[best.scaling], getattr(self, "feature_names_in_", None))
        self.solver_, self.solver_reason_ = task.solver, task.solver_reason
        self._set_conditioned(task, components)
        self._learned = None if self.optimizer is None else (self._warm_start_key(task), models)
        if self.optimizer is not None:
            _warn_at_bound([component.model.network for component in components])

    def _set_conditioned(
        self, task: Task[Any], components: Sequence[Component[Process] | Component[ClassPosterior]]
    ) -> None:
        """Set those of them that follow from the rows that learned models are conditioned on."""
        self.feature_relevance_ = sum_of(part.weight * task.relevance(part.model) for part in components)
        self.jitter_ = components[0].posterior.jitter

    def _averages(self, n: int) -> bool:
        """Return whether networks are averaged, given n rows."""
        return self.network is None and n <= AVERAGED_ROWS

    def _require_memory(self, needed: int, task: str) -> None:
        """Raise a MemoryError, naming the task, unless so many bytes fit."""
        require_memory(needed, self.max_memory, task)

    def _require_fit(
        self,
        task: Task[Any],
        noise_variance: np.ndarray,
        ensemble_bytes: Callable[[int, int], int] = lambda n, n_models: 0,
    ) -> None:
        """Raise where the network does not fit the data, or the fit not into memory, before any work.

        ``ensemble_bytes`` returns what models of n rows take besides their factors.
        """
        n, n_features = task.data.X.shape
        if self.network is not None:
            program = self.network.lower(n_features)
            if self._limit == "ntk":
                program.require_ntk()
            if self.optimizer is not None:
                self.network.require_learnable(n_features)
        learning, n_factors = 0, len(np.unique(noise_variance))
        if self.optimizer is not None:
            n_factors = int(np.count_nonzero(task.varying))
            learning = learning_bytes(n, n_factors, self.max_optimizer_samples, task.by_leave_one_out, self.n_jobs)
        conditioning = self._conditioning_bytes(task, n_factors, ensemble_bytes)
        instead = "solver='neighbours', " if conditioning and self._takes_neighbours else ""
        needed = max(learning, conditioning)
        require_memory(needed, self.max_memory, f"a fit of {n:,} rows", instead)

    def _conditioning_bytes(
        self,
        task: Task[Any],
        n_factors: int,
        ensemble_bytes: Callable[[int, int], int] = lambda n, n_models: 0,
    ) -> int:
        """Return the most bytes of rows by rows that conditioning takes, with as many factors a model."""
        if task.solver not in SOLVERS:
            return 0
        n = len(task.data.Y)
        n_models = 1 + (len(default_networks()) if self.optimizer is not None and self._averages(n) else 0)
        return task.conditioning_bytes(n_models * n_factors) + ensemble_bytes(n, n_models)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, as scikit-learn does; those of the network need a network.

        Parameters
        ----------
        **params : dict
            ``network__depth`` and the like are parameters of ``network``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no such parameter, or if a network's parameter is set where ``network`` is None.
        """
        nested = [name for name in params if name.startswith("network__")]
        if nested and params.get("network", self.network) is None:
            raise ValueError(
                f"{nested[0]} is a parameter of a network, but network is None, which learns several: begin with "
                f"{type(self).__name__}(MLP())."
            )
        return super().set_params(**params)

    def __sklearn_is_fitted__(self) -> bool:
        return getattr(self, "_mixture", None) is not None

    def _check_parameters(self) -> float | np.ndarray:
        if self.network is not None:
            check_network(self.network)
        require_choice("feature_scaling", self.feature_scaling, FEATURE_SCALINGS)
        require_choice("solver", self.solver, SOLVER_NAMES)
        if self.n_neighbours is not None:
            require_count("n_neighbours", self.n_neighbours, 1)
            if self.solver in SOLVERS:
                raise ValueError(
                    f"solver={self.solver!r} takes all rows, not n_neighbours={self.n_neighbours}: leave it None, or "
                    "use solver='neighbours'."
                )
        if not callable(self.optimizer) or isinstance(self.optimizer, type):
            require_choice("optimizer", self.optimizer, OPTIMIZERS, "a callable")
        require_count("n_restarts_optimizer", self.n_restarts_optimizer, 0)
        require_count("max_optimizer_samples", self.max_optimizer_samples, 1)
        require_positive("max_optimizer_time", self.max_optimizer_time)
        require_positive("prior_std", self.prior_std)
        require_bool("warm_start", self.warm_start)
        if not isinstance(self.verbose, Integral):
            require_bool("verbose", self.verbose)
        check_random_state(self.random_state)
        if self.n_jobs is not None:
            thread_count(self.n_jobs)
        if self.max_memory is not None:
            memory_limit(self.max_memory)
        if self.max_optimizer_time is not None and callable(self.optimizer):
            raise ValueError(
                "max_optimizer_time cannot stop an optimizer of yours: leave it None, or let your optimizer stop."
            )
        return self._check_noise(self.noise_variance)

    def _check_noise(self, value: Any) -> float | np.ndarray:
        if np.ndim(value) > 0:
            raise ValueError(f"noise_variance is a variance: it must be one number, got {shown(value)}. {ROW_NOISE}")
        number = variance("noise_variance", value)
        if number == 0 and self.optimizer is not None:
            raise ValueError(
                f"noise_variance is a variance: while it is learned it must be a positive number, got {shown(value)}. "
                "Start from a small one such as 1e-6, or use optimizer=None, with which 0 interpolates."
            )
        return number

    def _new_inputs(self, X: npt.ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        if not hasattr(self, "feature_names_in_") and is_valid_table(X, self.n_features_in_):
            return X
        require_numbers("X", X)
        return validate_data(self, X, dtype=np.float64, reset=False)


def default_networks() -> list[MLP]:
    """Return the networks that compete where none is given."""
    return [MLP(2, "relu", ard=True), MLP(1, "erf", ard=True), MLP(2, "erf", ard=True), MLP(1, "rbf", ard=True)]


def _warn_at_bound(networks: Sequence[Network]) -> None:
    """Warn where learned variances ended at their upper bound, as scikit-learn's Gaussian processes do."""
    ended = [f"{name} of {network}" for network in networks for name in at_bound(network)]
    if ended:
        warn_user(
            f"learned variances ended at their upper bound, {np.exp(LOG_BOUNDS[1]):.0e}: {'; '.join(ended)}. The data "
            "ask for a limit of the network, such as steps (activation 'sign') for a large weight_variance of 'erf': "
            "give such a network, or a smaller prior_std, which keeps variances nearer to their starts.",
            ConvergenceWarning,
        )


def _of_all_outputs(noise_variance: np.ndarray, varying: np.ndarray) -> np.ndarray:
    """Return the noise variances with the smallest of them for constant outputs, which need no factor of their own."""
    every = np.full(len(varying), noise_variance.min())
    every[varying] = noise_variance
    return every
