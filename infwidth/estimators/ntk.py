"""NTKRegressor: infinitely wide networks after training by gradient descent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self, cast, overload

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from infwidth._data.scaling import FeatureScaling
from infwidth._data.validation import is_number, require_choice, require_positive, shown
from infwidth._engine.engine import KernelEngine, Limit, ProgramSource
from infwidth._inference.conditioning import condition
from infwidth._inference.dynamics import (
    DENSE_BYTES,
    Descent,
    checked_time,
    checked_times,
    largest_eigenvalue,
    validated_time,
)
from infwidth._inference.ensemble import Ensemble
from infwidth._inference.mixture import Component, Mixture
from infwidth._inference.posterior import Posterior
from infwidth._inference.predictive import Predictive, Process
from infwidth._linalg.tiles import LowerTiles, sum_of
from infwidth._runtime.callbacks import with_callbacks
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import MemoryLimit
from infwidth._runtime.threads import blas_threads, thread_count
from infwidth.estimators.base import Optimizer, Seed, SolverName, all_or_nothing
from infwidth.estimators.regressor import BaseRegressor
from infwidth.estimators.table import noise_of_outputs
from infwidth.networks import Network

POSTERIORS = ("ensemble", "ntkgp")


@no_floating_point_errors
class NTKRegressor(BaseRegressor):
    """Regression with the ensemble of infinitely wide networks that gradient descent trains.

    A wide network that gradient descent trains on all its weights moves along its neural tangent kernel Θ, so the
    law of its outputs over random initialisations is Gaussian at any training time (Jacot et al. 2018; Lee et al.
    2019). This estimator gives the mean and the standard deviation of that ensemble, exactly.

    Parameters
    ----------
    network : Network, optional
        As for :class:`NNGPRegressor`. Frozen layers (``Dense(trainable=False)``) and the standard parametrisation
        are properties of the network.
    training_time : float or "validation", default=inf
        Time t of gradient flow with learning rate 1 on ½ · mean squared error, over the rows and outputs of the
        (normalised) target, plus ``noise_variance`` / 2N times the squared distance of the weights from their start,
        N being the number of targets. Along an eigenvector of Θ with eigenvalue λ, exp(-(λ + noise_variance) t / N) of
        the way to the end of training is left; t = ηk is k small steps of size η. inf is the end of training.
        "validation" takes the time with the smallest error of the mean in 5-fold cross-validation, with one row a fold
        where there are fewer than 5.
    posterior : {"ensemble", "ntkgp"}, default="ensemble"
        "ensemble" is the law of trained networks; its standard deviation is too small where the noise is small.
        "ntkgp" is the Gaussian process with Θ as its prior, that of Bayesian deep ensembles (He et al. 2020): the same
        mean, a larger standard deviation. For intervals take "ntkgp": on four UCI tables its 90 % intervals held 87 to
        95 % of new targets, those of the ensemble 80 to 86 %. Only at ``training_time=inf``.
    learning_rate : float, optional
        Size of the steps of gradient descent; ``training_time`` must be a multiple of it. None means gradient flow.
    momentum : float, default=0.0
        Heavy-ball momentum of these steps, below 1. Only with a ``learning_rate``.
    noise_variance : float or array-like of shape (n_outputs,), default=0.1
        Variance of the observation noise, absolute, in units of the target as the model sees it, and the ridge that
        pulls the weights to their start: see ``training_time``.
    optimizer, n_restarts_optimizer, max_optimizer_samples, max_optimizer_time, warm_start, prior_std
        How variances are learned, as for :class:`NNGPRegressor`: by the evidence of the Gaussian process with Θ as its
        prior, or by its leave-one-out density, whatever ``posterior`` and ``training_time`` are.
    solver, n_neighbours
        As for :class:`NNGPRegressor` with ``posterior="ntkgp"``. The law of the ensemble depends on all rows: its
        solver is "cholesky", and "auto" means that.
    normalize_y, feature_scaling, max_memory, n_jobs, random_state, verbose
        As for :class:`NNGPRegressor`. A finite time takes about 33n² bytes, and the time of all eigenvectors.

    Attributes
    ----------
    training_time_ : float
        The time in use.
    network_, noise_variance_, kernel_, networks_, evidence_, network_weights_, converged_, feature_relevance_
        As for :class:`NNGPRegressor`.
    jitter_, solver_, solver_reason_, feature_scaler_, y_mean_, y_std_, log_marginal_likelihood_value_
        As for :class:`NNGPRegressor`.
    n_features_in_, feature_names_in_
        As for :class:`NNGPRegressor`.

    See Also
    --------
    NNGPRegressor : The same networks with Bayes' rule in the place of gradient descent.
    infwidth.finite.FiniteNetwork : Networks of finite width, truly trained.

    References
    ----------
    Jacot et al. (2018), *Neural Tangent Kernel*.
    Lee et al. (2019), *Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent*.
    He et al. (2020), *Bayesian Deep Ensembles via the Neural Tangent Kernel*.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from infwidth import NTKRegressor
    >>> from infwidth.networks import MLP
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NTKRegressor(MLP(depth=1), noise_variance=0.5, optimizer=None).fit(X[:400], y[:400])
    >>> mean, std = model.predict(X[400:], return_std=True)
    >>> mean.shape, std.shape
    ((42,), (42,))
    >>> early, late = model.staged_predict(X[400:], times=[10.0, 1e6])
    >>> bool(abs(late - mean).max() < abs(early - mean).max())
    True
    """

    _limit: ClassVar[Limit] = "ntk"

    training_time_: float

    def __init__(
        self,
        network: Network | None = None,
        *,
        training_time: float | Literal["validation"] = np.inf,
        posterior: Literal["ensemble", "ntkgp"] = "ensemble",
        learning_rate: float | None = None,
        momentum: float = 0.0,
        noise_variance: npt.ArrayLike = 0.1,
        optimizer: Optimizer = "lml",
        n_restarts_optimizer: int = 0,
        max_optimizer_samples: int = 10_000,
        max_optimizer_time: float | None = None,
        warm_start: bool = False,
        prior_std: float | None = 3.0,
        normalize_y: bool = True,
        feature_scaling: FeatureScaling = "auto",
        solver: SolverName = "auto",
        n_neighbours: int | None = None,
        max_memory: MemoryLimit = None,
        n_jobs: int | None = None,
        random_state: Seed = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.training_time = training_time
        self.posterior = posterior
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.noise_variance = noise_variance
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_optimizer_samples = max_optimizer_samples
        self.max_optimizer_time = max_optimizer_time
        self.warm_start = warm_start
        self.prior_std = prior_std
        self.normalize_y = normalize_y
        self.feature_scaling = feature_scaling
        self.solver = solver
        self.n_neighbours = n_neighbours
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    @with_callbacks
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train the networks on data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
            Divides the noise variance of each row, and weighs it in the scaling of features and targets;
            0 drops the row. Weights should average about 1: a mean below 0.1 or above 10 is reported by a warning.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or the data are not valid.
        MemoryError
            If the kernel matrix does not fit, with the bytes it would need, before it is allocated.
        scipy.linalg.LinAlgError
            If the kernel matrix is not positive definite: raise ``noise_variance``.
        """
        noise_variance = self._check_parameters()
        table = self._table(X, y, sample_weight)
        task, n = table.task, len(table.task.data.Y)
        noise_variance = noise_of_outputs(noise_variance, len(table.std))
        self._require_rows_to_hold_out(n)
        self._require_fit(task, noise_variance, self._ensemble_bytes)
        with self._monitored(table.X, table.y, n) as monitor:
            models, converged = self._learn(task, noise_variance, monitor)
            with monitor.task("condition"):
                table = table._replace(task=self._settled(task, models[0]))
                conditioned = condition(models, table.task, average=self._averages(n))
                self.training_time_ = self._best_time(conditioned.components[0].posterior)
                self._set_regression(table, conditioned, converged)
        return self

    @overload
    def staged_predict(
        self, X: npt.ArrayLike, times: Iterable[float], return_std: Literal[False] = False
    ) -> Iterator[np.ndarray]: ...
    @overload
    def staged_predict(
        self, X: npt.ArrayLike, times: Iterable[float], return_std: Literal[True]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...
    @overload
    def staged_predict(
        self, X: npt.ArrayLike, times: Iterable[float], return_std: bool = False
    ) -> Iterator[np.ndarray] | Iterator[tuple[np.ndarray, np.ndarray]]: ...
    def staged_predict(
        self, X: npt.ArrayLike, times: Iterable[float], return_std: bool = False
    ) -> Iterator[np.ndarray] | Iterator[tuple[np.ndarray, np.ndarray]]:
        """Predict at several training times; the eigenvectors are computed once, so a further mean is cheap.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : iterable of float
            Training times, in the unit of ``training_time``; 0 and inf are allowed.
        return_std : bool, default=False
            Whether each stage comes with its standard deviation, noise included. Each costs as much as a
            ``predict`` with ``return_std``.

        Yields
        ------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the shape of ``mean``
            Only with ``return_std``: the pair (mean, std) is yielded then.

        Raises
        ------
        ValueError
            With ``posterior="ntkgp"``, which has no training time.
        """
        times = checked_times(times)
        self._require_ensemble("staged_predict")
        X = self._new_inputs(X)
        return self._staged_laws(X, times) if return_std else self._staged_means(X, times)

    def _staged_means(self, X: np.ndarray, times: list[float]) -> Iterator[np.ndarray]:
        with blas_threads(thread_count(self.n_jobs)):
            means = sum_of(c.weight * c.posterior.staged_mean(c.scaled(X), times) for c in self._ensembles)
        yield from map(self._restore, means)

    def _staged_laws(self, X: np.ndarray, times: list[float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        components = self._ensembles
        for time in times:
            with blas_threads(thread_count(self.n_jobs)):
                stage = Mixture([replace(c, posterior=c.posterior.at(time)) for c in components])
                mean, variance = stage.mean_and_variance(X, include_noise=True)
            yield self._restore(mean), self._restore_std(variance)

    def training_loss(self, times: Iterable[float]) -> np.ndarray:
        """Return ½ · mean squared error of the ensemble's mean on the training rows, at several training times.

        Parameters
        ----------
        times : iterable of float
            Training times, in the unit of ``training_time``.

        Returns
        -------
        ndarray of shape (n_times,)
            In squared units of y; a mean over rows, with their weights, and outputs.

        Raises
        ------
        ValueError
            With ``posterior="ntkgp"``, which has no training time; or if squared units of y leave the range of numbers.
        """
        times = checked_times(times)
        self._require_ensemble("training_loss")
        components, units = self._ensembles, self._squared_units()
        with blas_threads(thread_count(self.n_jobs)):
            fits = [c.posterior.staged_fit(times) for c in components]
        target, weight = components[0].posterior.Y, components[0].posterior.weight
        losses = []
        for stage in zip(*fits, strict=True):
            error = target - sum(c.weight * fit for c, fit in zip(components, stage, strict=True))
            losses.append(0.5 * np.average(np.mean(error**2 * units, axis=1), weights=weight))
        return np.array(losses)

    def max_learning_rate(self) -> float:
        """Return the learning rate from which steps diverge: 2 (1 + momentum) N / (λ_max + noise_variance).

        λ_max is found by Lanczos' method, with some twenty products with the kernel of the training rows.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        best, weight = self._mixture.components[0], self._data.weight
        with blas_threads(thread_count(self.n_jobs)):
            largest = largest_eigenvalue(best.posterior.source, weight) + np.max(self.noise_variance_)
        return self._descent().largest_rate(largest / (weight.sum() * len(self.y_std_)))

    @property
    def _takes_neighbours(self) -> bool:
        return self.posterior == "ntkgp"

    def _ensemble_bytes(self, n: int, n_models: int) -> int:
        """Return the most bytes that ensembles of n rows take besides the factors: K, eigenvectors, work on them."""
        if self.posterior == "ntkgp":
            return 0
        total = n_models * LowerTiles.n_bytes(n)
        if self.training_time == np.inf and self.learning_rate is None:
            return total
        return total + 8 * n**2 * (n_models - 1) + DENSE_BYTES * n**2

    def _law(self, component: Component[Process]) -> Component[Predictive]:
        """Return the component with the ensemble of networks at the training time, or with the process as it is."""
        if self.posterior == "ntkgp":
            return component
        process = _of_all_rows(component.posterior)
        engine = KernelEngine(component.model.network.lower(self.n_features_in_), n_jobs=self.n_jobs)
        prior = ProgramSource(engine, process.source.own, "nngp")
        ensemble = Ensemble(process, prior, self._descent(), self.training_time_)
        return Component(component.weight, component.model, component.scaler, ensemble)

    def _best_time(self, process: Process) -> float:
        """Return the training time: as given, or the best in cross-validation, which takes five decompositions."""
        if not isinstance(self.training_time, str):
            return float(self.training_time)
        process = _of_all_rows(process)
        matrix = process.source.full(process.source.own)
        random_state = check_random_state(self.random_state)
        ridges = process.noise_variance
        return validated_time(matrix, process.weight, ridges, process.Y, self._descent(), random_state)

    def _descent(self) -> Descent:
        return Descent(self.learning_rate, float(self.momentum))

    @property
    def _ensembles(self) -> Sequence[Component[Ensemble]]:
        """What predicts, with ``posterior="ensemble"``."""
        return cast("Sequence[Component[Ensemble]]", self._mixture.components)  # as _law made them

    def _require_ensemble(self, method: str) -> None:
        check_is_fitted(self)
        if self.posterior != "ensemble":
            raise ValueError(f"{method} is for posterior='ensemble': the Gaussian process has no training time.")
        needed = sum(c.posterior.spectrum_bytes() for c in self._ensembles)
        self._require_memory(needed, f"{method}, with the eigenvectors of {len(self._data.Y):,} rows,")

    def _require_rows_to_hold_out(self, n: int) -> None:
        if isinstance(self.training_time, str) and n < 2:
            raise ValueError(
                "training_time='validation' holds rows out: it needs two rows of positive weight, or give a number."
            )

    def _check_parameters(self) -> float | np.ndarray:
        require_choice("posterior", self.posterior, POSTERIORS)
        if isinstance(self.training_time, str):
            if self.training_time != "validation":
                raise ValueError(
                    f"training_time must be a number, inf or 'validation'; got {shown(self.training_time)}."
                )
        else:
            checked_time(self.training_time, "training_time")
        require_positive("learning_rate", self.learning_rate)
        if not (is_number(self.momentum) and 0 <= self.momentum < 1):
            raise ValueError(f"momentum must be a number, at least 0 and below 1; got {shown(self.momentum)}.")
        if self.momentum > 0 and self.learning_rate is None:
            raise ValueError("momentum is a property of steps: give a learning_rate, or leave momentum=0.")
        if self.posterior == "ntkgp" and not (self.training_time == np.inf and self.learning_rate is None):
            raise ValueError(
                "posterior='ntkgp' has no training time: use training_time=inf without learning_rate, or "
                "posterior='ensemble'."
            )
        if self.learning_rate is not None and not isinstance(self.training_time, str) and self.training_time < np.inf:
            self._descent().steps(self.training_time)  # or it raises
        noise_variance = super()._check_parameters()
        if self.solver == "neighbours" and not self._takes_neighbours:
            raise ValueError(
                "solver='neighbours' has no ensemble: the law of trained networks depends on all rows. Use "
                "posterior='ntkgp', or solver='cholesky'."
            )
        return noise_variance


def _of_all_rows(process: Process) -> Posterior:
    """Return the process of an ensemble, whose law depends on all rows: neighbours were refused."""
    return cast("Posterior", process)
