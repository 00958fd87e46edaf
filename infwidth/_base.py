"""What the regressors share: preparing data, learning, and predictions in the units of y."""

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._callbacks import CallbackSupportMixin, Monitor, with_callbacks
from infwidth._inference.evidence import leave_one_out, log_marginal_likelihood
from infwidth._inference.mixture import Component, Mixture
from infwidth._inference.posterior import Posterior
from infwidth._inference.search import Data, Objective, Optimum, differences
from infwidth._inference.selection import Candidate, Search, Settings, condition
from infwidth._linalg.cholesky import require_factor_memory
from infwidth._preprocessing import FEATURE_SCALINGS, feature_scalers, row_noise, row_weights, target_scale, transform
from infwidth._recursion.engine import KernelEngine, KernelSource
from infwidth._threads import blas_threads, solver_threads, thread_count
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP, Network
from infwidth.networks.layers import variance
from infwidth.networks.theta import theta_of, with_theta

OPTIMIZERS = ("lml", "loo", None)
SOLVERS = ("auto", "cholesky")
AVERAGED_ROWS = 2000  # at most: several posteriors are in memory then


class BaseRegressor(CallbackSupportMixin, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of the regressors, which store these parameters: see ``NNGPRegressor``."""

    _limit: str  # the kernel that is the prior

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Condition the process on data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
            Divides the noise variance of each row, and weighs it in the scaling of features and targets;
            0 drops the row.

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
        if issparse(y):
            raise TypeError("sparse data was passed for y, but dense data is required: use y.toarray().")
        earlier = self._learned if self.warm_start and self.__sklearn_is_fitted__() else None
        self._mixture = None
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64, copy=False)
        weight, used = row_weights(sample_weight, X)
        Y = y.reshape(len(y), -1)
        self.y_mean_, self.y_std_ = target_scale(Y, weight, self.normalize_y)
        self._one_output, self._used, self._dropped = y.ndim == 1, used, X[~used]
        data = Data(X[used], (Y[used] - self.y_mean_) / self.y_std_, weight[used], np.zeros(used.sum()))
        scalers = feature_scalers(self.feature_scaling, X[used], weight[used], choose=self.optimizer is not None)
        require_factor_memory(used.sum(), self.max_memory)
        monitor = Monitor(self, self.verbose)
        with monitor.fit(X, y), blas_threads(solver_threads(used.sum(), self.n_jobs)):
            finalists, self.converged_ = self._finalists(data, scalers, noise_variance, earlier, monitor)
            with monitor.task("condition"):
                self._condition(finalists, scalers, _scaled(data, scalers))
        return self

    def _finalists(self, data, scalers, noise_variance, earlier, monitor):
        """Return what competes for all rows, and whether learning ended by itself.

        That is learned candidates, the best first, or the network as it is.
        """
        if self.optimizer is None:
            network = MLP() if self.network is None else clone(self.network)
            return [Candidate(0, 0, Optimum(network, noise_variance, np.nan, True, 0))], True
        # Equal rows are merged before they are scaled, so that all scalings have the same rows.
        merged = data if self.optimizer == "loo" else data.merged()
        settings = Settings(
            limit=self._limit,
            evidence=leave_one_out if self.optimizer == "loo" else log_marginal_likelihood,
            optimizer=self.optimizer if callable(self.optimizer) else None,
            max_rows=self.max_optimizer_samples,
            n_restarts=self.n_restarts_optimizer,
            prior_std=self.prior_std,
            n_jobs=self.n_jobs,
            seconds=self.max_optimizer_time,
        )
        search = Search(_scaled(merged, scalers), settings, check_random_state(self.random_state), monitor)
        if earlier is not None and earlier[0] == self._origin(scalers):
            finalists = search.resume(earlier[1])
        else:
            networks = default_networks() if self.network is None else [self.network]
            finalists = search.learn(networks, noise_variance)
        converged = search.in_time and all(candidate.optimum.converged for candidate in finalists)
        if not converged:
            warnings.warn(
                "learning stopped before it converged, at its limit of iterations or of time: give more informative "
                "start values (network, noise_variance), a smaller prior_std, or a larger max_optimizer_time.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return finalists, converged

    def _condition(self, finalists, scalers, datasets):
        """Condition the finalists on all rows, and set the fitted attributes."""
        ranked, self.evidence_, weights, posteriors = condition(
            finalists,
            lambda candidate: self._posterior_of(candidate, datasets),
            lambda candidate, posterior: self._evidence(candidate, posterior, datasets),
            average=self.network is None and len(datasets[0].Y) <= AVERAGED_ROWS,
        )
        best, self._data = ranked[0], datasets[ranked[0].scaling]
        self._learned = None if self.optimizer is None else (self._origin(scalers), ranked)
        self.networks_, self.network_weights_ = [candidate.optimum.network for candidate in ranked], weights
        self.network_, self.noise_variance_ = best.optimum.network, best.optimum.noise_variance
        self.kernel_ = (NTKKernel if self._limit == "ntk" else NNGPKernel)(self.network_)
        self.feature_scaler_ = scalers[best.scaling]
        self.feature_relevance_ = _share(self.network_.input_variances(self.n_features_in_))
        self.log_marginal_likelihood_value_ = _log_marginal_likelihood(best, posteriors[0], datasets)
        self.jitter_ = posteriors[0].jitter
        kept = [
            (candidate.optimum, datasets[candidate.scaling], posterior)
            for candidate, posterior in zip(ranked, posteriors, strict=False)
        ]
        self._mixture = Mixture(
            [
                Component(weight, predictive, scalers[candidate.scaling], candidate.optimum.noise_variance)
                for weight, predictive, candidate in zip(weights, self._predictives(kept), ranked, strict=False)
            ]
        )

    def _predictives(self, kept):
        """Return what predicts, for each (optimum, data, posterior) in use, the best first: the posterior itself."""
        return [posterior for _, _, posterior in kept]

    def _origin(self, scalers):
        """Return what learned candidates belong to."""
        network = None if self.network is None else clone(self.network)
        return network, list(map(type, scalers)), self.n_features_in_

    def _posterior_of(self, candidate, datasets):
        data = datasets[candidate.scaling]
        return Posterior(
            self._source(candidate.optimum.network, data.X),
            data.Y,
            row_noise(candidate.optimum.noise_variance, data.weight),
            max_memory=self.max_memory,
            verbose=bool(self.verbose),
        )

    def _source(self, network, X):
        engine = KernelEngine(network.lower(X.shape[1]), ntk=self._limit == "ntk", n_jobs=self.n_jobs)
        return KernelSource(engine, engine.rows(X), self._limit)

    def _evidence(self, candidate, posterior, datasets):
        if self.optimizer == "loo":
            return posterior.leave_one_out_log_density()
        return _log_marginal_likelihood(candidate, posterior, datasets)

    def predict(self, X, return_std=False, return_cov=False):
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
                mean, covariance = self._mixture.mean_and_covariance(X, include_noise=True)
                return self._restore(mean), self._restore_covariance(covariance)
            return self._restore(self._mixture.mean(X))

    def predict_std(self, X, include_noise=True):
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

    def sample_y(self, X, n_samples=1, random_state=None, include_noise=True):
        """Draw joint samples of new observations, or of the function itself, from the posterior.

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
        random_state = check_random_state(self.random_state if random_state is None else random_state)
        with blas_threads(thread_count(self.n_jobs)):
            samples = self._mixture.sample(X, n_samples, random_state, include_noise)
        samples = samples * self.y_std_[:, None] + self.y_mean_[:, None]
        return samples[:, 0] if self._one_output else samples

    def log_marginal_likelihood(self, theta=None, eval_gradient=False):
        """Return the log marginal likelihood of the training targets, normalised, summed over outputs (RW 2.30).

        Parameters
        ----------
        theta : array-like of shape (p + 1,), optional
            Logarithms of the free variances of ``network_`` (as ``kernel_.theta``), then of the noise variance.
            None means those in use.
        eval_gradient : bool, default=False
            Whether to return the gradient with respect to theta as well.

        Returns
        -------
        value : float
        gradient : ndarray of shape (p + 1,)
            Only with ``eval_gradient``.
        """
        check_is_fitted(self)
        if theta is None and not eval_gradient:
            return self.log_marginal_likelihood_value_
        if theta is None:
            theta = np.append(theta_of(self.network_), np.log(self.noise_variance_))
        theta = np.asarray(theta, dtype=float)
        objective = Objective([self._data], self._limit, log_marginal_likelihood, self.n_jobs, nuggets=(0.0,))
        with blas_threads(thread_count(self.n_jobs)):
            value, gradient, _ = objective.evaluate(with_theta(self.network_, theta[:-1]), np.exp(theta[-1]))
        return (value, gradient) if eval_gradient else value

    def loo_predict(self, include_noise=True):
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
        mean, variance = np.empty((2, len(self._used), len(self.y_std_)))
        with blas_threads(thread_count(self.n_jobs)):
            mean[self._used], variance[self._used] = self._mixture.leave_one_out(include_noise)
            if not self._used.all():
                dropped = self._mixture.mean_and_variance(self._dropped, include_noise)
                mean[~self._used], variance[~self._used] = dropped
        return self._restore(mean), self._restore_std(variance)

    def __sklearn_is_fitted__(self):
        return getattr(self, "_mixture", None) is not None

    def _check_parameters(self):
        if self.network is not None and not isinstance(self.network, Network):
            raise TypeError(
                f"network must be a network of infwidth.networks, such as MLP(depth=2); got {self.network!r}."
            )
        if self.feature_scaling not in FEATURE_SCALINGS:
            raise ValueError(
                f"feature_scaling must be 'auto', 'standard', 'power' or None, got {self.feature_scaling!r}."
            )
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be 'auto' or 'cholesky', got {self.solver!r}.")
        if self.optimizer not in OPTIMIZERS and not callable(self.optimizer):
            raise ValueError(f"optimizer must be 'lml', 'loo', a callable or None, got {self.optimizer!r}.")
        _check_count("n_restarts_optimizer", self.n_restarts_optimizer, 0)
        _check_count("max_optimizer_samples", self.max_optimizer_samples, 1)
        _check_positive("max_optimizer_time", self.max_optimizer_time)
        _check_positive("prior_std", self.prior_std)
        if self.max_optimizer_time is not None and callable(self.optimizer):
            raise ValueError(
                "max_optimizer_time cannot stop an optimizer of yours: leave it None, or let your optimizer stop."
            )
        return variance("noise_variance", self.noise_variance, positive=self.optimizer is not None)

    def _new_inputs(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _restore(self, mean):
        mean = mean * self.y_std_ + self.y_mean_
        return mean[:, 0] if self._one_output else mean

    def _restore_std(self, variance):
        std = np.sqrt(variance) * self.y_std_
        return std[:, 0] if self._one_output else std

    def _restore_covariance(self, covariance):
        scaled = covariance * self.y_std_**2
        return scaled[:, :, 0] if self._one_output else scaled


def default_networks():
    """Return the networks that compete where none is given."""
    return [MLP(depth, activation, ard=True) for depth, activation in ((2, "relu"), (1, "erf"), (2, "erf"), (1, "rbf"))]


def _scaled(data, scalers):
    """Return the data with each scaling of the features."""
    return [replace(data, X=transform(scaler, data.X)) for scaler in scalers]


def _log_marginal_likelihood(candidate, posterior, datasets):
    noise_variance = candidate.optimum.noise_variance + posterior.jitter
    if noise_variance == 0.0:  # weights have no effect then
        return posterior.log_marginal_likelihood()
    return posterior.log_marginal_likelihood() + differences(datasets[candidate.scaling], noise_variance)[0]


def _check_count(name, value, lowest):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name} must be an integer, {lowest} or larger; got {value!r}.")


def _check_positive(name, value):
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number or None; got {value!r}.")


def _share(values):
    return values / values.sum()
