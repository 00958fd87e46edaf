"""What the regressors share: data in the units of y, and predictions in them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._data.data import Data
from infwidth._data.targets import scaled_targets
from infwidth._data.validation import require_bool, require_numbers
from infwidth._data.weights import row_weights
from infwidth._inference.conditioning import Conditioned
from infwidth._inference.mixture import Component, Mixture
from infwidth._inference.predictive import Predictive, Process
from infwidth._inference.tasks import Regression
from infwidth._learning.evidence import log_marginal_likelihood
from infwidth._learning.objective import Objective, evidence_bytes
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.threads import blas_threads, thread_count
from infwidth.estimators.base import Seed, all_or_nothing
from infwidth.estimators.table import Table
from infwidth.estimators.updating import MoreRows, UpdatableNet
from infwidth.networks.theta import checked_theta, theta_of, with_theta


@no_floating_point_errors
class BaseRegressor(MultiOutputMixin, RegressorMixin, UpdatableNet):
    """Base of the regressors, which store these parameters: see ``NNGPRegressor``."""

    normalize_y: bool

    noise_variance_: float | np.ndarray
    y_mean_: np.ndarray
    y_std_: np.ndarray
    log_marginal_likelihood_value_: float

    _mixture: Mixture
    _task: Regression  # of the rows in use
    _data: Data  # of the rows in use, as the best model sees them
    _noise_in_use: np.ndarray  # of the best model, jitter included
    _one_output: bool

    def _table(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> Table:
        """Return validated data, and the task that they make."""
        inputs, targets = self._validated(X, y)
        weight, used = row_weights(sample_weight, inputs)
        Y, mean, std = scaled_targets(targets.reshape(len(targets), -1)[used], weight[used], self.normalize_y)
        data = Data(inputs[used], Y, weight[used], np.zeros_like(Y))
        return Table(inputs, targets, used, mean, std, Regression.of(data, **self._task_options(len(Y))))

    def _validated(self, X: npt.ArrayLike, y: npt.ArrayLike, *, reset: bool = True) -> tuple[np.ndarray, np.ndarray]:
        require_numbers("X", X)
        require_numbers("y", y, of_text="for classes use InfiniteNetClassifier")
        options = {"dtype": np.float64, "multi_output": True, "y_numeric": True, "reset": reset}
        inputs, targets = validate_data(self, X, y, **options)
        return inputs, targets.astype(np.float64, copy=False)

    def _set_regression(self, table: Table, conditioned: Conditioned[Process], converged: bool) -> None:
        """Set the attributes of regressors."""
        self._set_learned(table.task, conditioned, converged)
        self.y_mean_, self.y_std_, self._one_output = table.mean, table.std, table.y.ndim == 1
        noise_variance = conditioned.components[0].noise_variance
        self.noise_variance_ = float(noise_variance[0]) if self._one_output else noise_variance
        self._used, self._dropped = table.used, table.X[~table.used]
        self._set_rows(table.task, conditioned.components)

    def _set_rows(self, task: Regression, components: Sequence[Component[Process]]) -> None:
        """Set what follows from the rows in use, given the processes conditioned on them."""
        best = components[0]
        self._task = replace(task, known_scalers=task.scalers)  # without what learning has kept in it
        self._data, self._noise_in_use = task.datasets[best.model.scaling], best.posterior.noise_variance
        self._mixture = Mixture([self._law(component) for component in components])
        self.log_marginal_likelihood_value_ = task.log_marginal_likelihood(best.posterior)

    def _law(self, component: Component[Process]) -> Component[Predictive]:
        """Return what predicts, given the process of a model: the process itself."""
        return component

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Learn, and condition what was learned on all rows."""
        raise NotImplementedError

    @all_or_nothing
    def partial_fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Add rows to those that a fitted model is conditioned on, without learning again.

        Networks and their weights, noise variances, the training time, the scalings of features and targets,
        ``evidence_`` and ``solver_`` stay as they are. All else is that of a model given all rows, the earlier ones and
        these, ``log_marginal_likelihood_value_`` too. The factor of the kernel matrix grows in the place of being made
        again, unless it needs jitter: k rows after n take k n² operations. A model that is not fitted is fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
            As for ``fit``; of rows of weight 0 ``loo_predict`` speaks too.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, MemoryError, scipy.linalg.LinAlgError
            As for ``fit``. The model is as it was then.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from infwidth import NNGPRegressor
        >>> from infwidth.networks import MLP
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = NNGPRegressor(MLP(depth=1, activation="erf")).fit(X[:300], y[:300])
        >>> before = model.predict_std(X[400:], include_noise=False)
        >>> after = model.partial_fit(X[300:400], y[300:400]).predict_std(X[400:], include_noise=False)
        >>> bool((after < before).all())
        True
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, sample_weight)
        more = self._more_rows(X, y, sample_weight)
        return self._updated(self._task.with_rows(self._as_data(more), **self._resources()), more)

    def _as_data(self, more: MoreRows) -> Data:
        """Return new rows in use with targets scaled as those of the fit."""
        Y = more.y.reshape(len(more.y), -1)
        if Y.shape[1] != len(self.y_std_):
            name = type(self).__name__
            raise ValueError(f"y has {Y.shape[1]} outputs, but {name} was fitted with {len(self.y_std_)}.")
        return Data(more.X, (Y - self.y_mean_) / self.y_std_, more.weight, np.zeros_like(Y))

    @overload
    def predict(
        self, X: npt.ArrayLike, return_std: Literal[False] = False, return_cov: Literal[False] = False
    ) -> np.ndarray: ...
    @overload
    def predict(
        self, X: npt.ArrayLike, return_std: Literal[True], return_cov: Literal[False] = False
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def predict(
        self, X: npt.ArrayLike, return_std: Literal[False] = False, *, return_cov: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def predict(
        self, X: npt.ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]: ...
    def predict(
        self, X: npt.ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the mean, and on demand the standard deviation or the covariance of new observations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
        return_cov : bool, default=False
            Not together with ``return_std``.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the shape of ``mean``
            Noise included. Only with ``return_std``.
        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Noise included on the diagonal. Only with ``return_cov``.
        """
        if return_std and return_cov:
            raise ValueError("ask for return_std or for return_cov: the std is the root of the covariance's diagonal.")
        X = self._new_inputs(X)
        with blas_threads(thread_count(self.n_jobs)):
            if return_std:
                mean, variance = self._mixture.mean_and_variance(X, include_noise=True)
                return self._restore(mean), self._restore_std(variance)
            if return_cov:
                self._require_memory(self._mixture.joint_bytes(len(X)), f"the covariance of {len(X):,} rows")
                mean, covariance = self._mixture.mean_and_covariance(X, include_noise=True)
                return self._restore(mean), self._restore_covariance(covariance)
            return self._restore(self._mixture.mean(X))

    def predict_std(self, X: npt.ArrayLike, include_noise: bool = True) -> np.ndarray:
        """Predict the standard deviation of new observations, or of the function itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        include_noise : bool, default=True
            False gives the standard deviation of the noise-free function.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In units of y.
        """
        X = self._new_inputs(X)
        with blas_threads(thread_count(self.n_jobs)):
            variance = self._mixture.mean_and_variance(X, include_noise)[1]
        return self._restore_std(variance)

    def sample_y(
        self, X: npt.ArrayLike, n_samples: int = 1, random_state: Seed = None, include_noise: bool = True
    ) -> np.ndarray:
        """Draw joint samples of new observations, or of the function itself, from the posterior.

        The covariance matrix of all rows is formed, so these should be some thousands at most; with
        ``solver="neighbours"`` there may be any number.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            None means the estimator's own ``random_state``.
        include_noise : bool, default=True

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
        """
        X = self._new_inputs(X)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        self._require_memory(self._mixture.sampling_bytes(len(X), n_samples), f"drawing samples of {len(X):,} rows")
        with blas_threads(thread_count(self.n_jobs)):
            samples = self._mixture.sample(X, n_samples, rng, include_noise)
        samples = samples * self.y_std_[:, None] + self.y_mean_[:, None]
        return samples[:, 0] if self._one_output else samples

    @overload
    def log_marginal_likelihood(
        self, theta: npt.ArrayLike | None = None, eval_gradient: Literal[False] = False
    ) -> float: ...
    @overload
    def log_marginal_likelihood(
        self, theta: npt.ArrayLike | None = None, *, eval_gradient: Literal[True]
    ) -> tuple[float, np.ndarray]: ...
    @overload
    def log_marginal_likelihood(
        self, theta: npt.ArrayLike | None = None, eval_gradient: bool = False
    ) -> float | tuple[float, np.ndarray]: ...
    def log_marginal_likelihood(
        self, theta: npt.ArrayLike | None = None, eval_gradient: bool = False
    ) -> float | tuple[float, np.ndarray]:
        """Return the log marginal likelihood of the training targets, normalised, summed over outputs (RW 2.30).

        Constant outputs beside others are left out.

        Parameters
        ----------
        theta : array-like of shape (p + n_outputs,), optional
            Logarithms of the free variances of ``network_`` (as ``kernel_.theta``), then of each output's noise
            variance. None means those in use.
        eval_gradient : bool, default=False
            Whether to return the gradient with respect to theta as well.

        Returns
        -------
        value : float
        gradient : ndarray of shape (p + n_outputs,)
            Only with ``eval_gradient``.

        Raises
        ------
        ValueError
            If theta has another shape, or an entry that is no logarithm of a number; with ``solver="neighbours"``.
        """
        check_is_fitted(self)
        if self.solver_ == "neighbours":
            raise ValueError(
                "solver='neighbours' has no log marginal likelihood: use solver='cholesky', or the leave-one-out log "
                "densities in evidence_."
            )
        if theta is None and not eval_gradient:
            return self.log_marginal_likelihood_value_
        network, varying = self.network_, self._data.varying()
        noise_variance, total = np.atleast_1d(self.noise_variance_), self._noise_in_use
        p, n_noises = len(theta_of(network)), len(varying)
        if theta is not None:
            logs = checked_theta(theta, p, n_noises)
            network, noise_variance = with_theta(network, logs[:p]), np.exp(logs[p:])
            total = noise_variance
        self._require_memory(evidence_bytes([len(self._used)], n_noises), f"the evidence of {len(self._used):,} rows")
        objective = Objective(
            [self._data.of_noises(varying)], self._limit, log_marginal_likelihood, self.n_jobs, nuggets=(0.0,)
        )
        with blas_threads(thread_count(self.n_jobs)):
            value, slopes, _ = objective.evaluate(network, total[varying])
        gradient = np.zeros(p + n_noises)
        gradient[:p], gradient[p:][varying] = slopes[:p], slopes[p:]
        gradient[p:] *= np.divide(noise_variance, total, out=np.ones(n_noises), where=total > 0)  # jitter is fixed
        return (value, gradient) if eval_gradient else value

    def loo_predict(self, include_noise: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Predict each training row from all others, in closed form (RW 5.12).

        Equal to fitting again without the row, with the scaling of features and targets and the weights of networks
        kept.

        Parameters
        ----------
        include_noise : bool, default=True
            Whether the standard deviation is that of an observation or of the function.

        Returns
        -------
        mean, std : ndarray of the shape of y
            In the rows' order, and in units of y. A row of weight 0 is predicted from all the others.
        """
        check_is_fitted(self)
        self._require_memory(self._mixture.leave_one_out_bytes(), f"leave-one-out of {len(self._used):,} rows")
        mean, variance = np.empty((2, len(self._used), len(self.y_std_)))
        with blas_threads(thread_count(self.n_jobs)):
            mean[self._used], variance[self._used] = self._mixture.leave_one_out(include_noise)
            if not self._used.all():
                dropped = self._mixture.mean_and_variance(self._dropped, include_noise)
                mean[~self._used], variance[~self._used] = dropped
        return self._restore(mean), self._restore_std(variance)

    def _check_parameters(self) -> float | np.ndarray:
        require_bool("normalize_y", self.normalize_y)
        return super()._check_parameters()

    def _check_noise(self, value: Any) -> float | np.ndarray:
        if np.ndim(value) != 1:
            return super()._check_noise(value)
        return np.array([super(BaseRegressor, self)._check_noise(own) for own in value])

    def _restore(self, mean: np.ndarray) -> np.ndarray:
        mean = mean * self.y_std_ + self.y_mean_
        return mean[:, 0] if self._one_output else mean

    def _restore_std(self, variance: np.ndarray) -> np.ndarray:
        std = np.sqrt(variance) * self.y_std_
        return std[:, 0] if self._one_output else std

    def _restore_covariance(self, covariance: np.ndarray) -> np.ndarray:
        covariance *= self._squared_units()
        return covariance[:, :, 0] if self._one_output else covariance

    def _squared_units(self) -> np.ndarray:
        """Return what covariances and squared errors are multiplied by, shape (n_outputs,)."""
        with np.errstate(over="ignore", under="ignore"):
            squares = self.y_std_**2
        if not (np.isfinite(squares) & (squares >= np.finfo(float).tiny)).all():
            raise ValueError("the square of the standard deviation of y is not a floating-point number: rescale y.")
        return squares
