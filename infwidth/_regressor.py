"""What the regressors share: data in the units of y, and predictions in them."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._base import BaseInfiniteNet
from infwidth._callbacks import with_callbacks
from infwidth._inference.evidence import log_marginal_likelihood
from infwidth._inference.mixture import Mixture
from infwidth._inference.search import Data, Objective, differences
from infwidth._inference.selection import merit
from infwidth._preprocessing import row_weights, target_scale
from infwidth._threads import blas_threads, thread_count
from infwidth.networks.theta import with_theta


class BaseRegressor(MultiOutputMixin, RegressorMixin, BaseInfiniteNet):
    """Base of the regressors, which store these parameters: see ``NNGPRegressor``."""

    _relevance_std = 1 / 2
    _refine = True
    _merit = staticmethod(merit)

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Condition the process on data.

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
        if issparse(y):
            raise TypeError("sparse data was passed for y, but dense data is required: use y.toarray().")
        earlier = self._earlier()
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64, copy=False)
        weight, used = row_weights(sample_weight, X)
        Y = y.reshape(len(y), -1)
        self.y_mean_, self.y_std_ = target_scale(Y, weight, self.normalize_y)
        self._one_output, self._used, self._dropped = y.ndim == 1, used, X[~used]
        data = Data(X[used], (Y[used] - self.y_mean_) / self.y_std_, weight[used], np.zeros(used.sum()))
        return self._fit(X, y, data, noise_variance, earlier)

    def _keep(self, kept):
        best = kept[0]
        self._data = best.data
        self.log_marginal_likelihood_value_ = _log_marginal_likelihood(best.optimum, best.posterior, best.data)
        self._mixture = Mixture(
            [part.component(predictive) for part, predictive in zip(kept, self._predictives(kept), strict=True)]
        )

    def _predictives(self, kept):
        """Return what predicts, for each posterior in use, the best first: the posterior itself."""
        return [part.posterior for part in kept]

    def _evidence(self, candidate, posterior, data):
        if self.optimizer == "loo":
            return posterior.leave_one_out_log_density()
        return _log_marginal_likelihood(candidate.optimum, posterior, data)

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
            network, noise_variance, jitter = self.network_, self.noise_variance_, self.jitter_
        else:
            theta = np.asarray(theta, dtype=float)
            network, noise_variance, jitter = with_theta(self.network_, theta[:-1]), np.exp(theta[-1]), 0.0
        objective = Objective([self._data], self._limit, log_marginal_likelihood, self.n_jobs, nuggets=(0.0,))
        total = noise_variance + jitter
        with blas_threads(thread_count(self.n_jobs)):
            value, gradient, _ = objective.evaluate(network, total)
        gradient[-1] *= noise_variance / total if total > 0 else 1.0  # jitter acts as noise, but it is fixed
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

    def _restore(self, mean):
        mean = mean * self.y_std_ + self.y_mean_
        return mean[:, 0] if self._one_output else mean

    def _restore_std(self, variance):
        std = np.sqrt(variance) * self.y_std_
        return std[:, 0] if self._one_output else std

    def _restore_covariance(self, covariance):
        scaled = covariance * self.y_std_**2
        return scaled[:, :, 0] if self._one_output else scaled


def _log_marginal_likelihood(optimum, posterior, data):
    return posterior.log_marginal_likelihood() + differences(data, optimum.noise_variance + posterior.jitter)[0]
