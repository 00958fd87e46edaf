"""NNGPRegressor: the exact Bayesian posterior of an infinitely wide network."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from infwidth._inference.posterior import Posterior, sample_gaussian
from infwidth._recursion.engine import KernelEngine, KernelSource
from infwidth._threads import blas_threads, solver_threads, thread_count
from infwidth.networks import MLP, Network
from infwidth.networks.layers import variance

FEATURE_SCALINGS = ("standard", None)
SOLVERS = ("auto", "cholesky")


class NNGPRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Exact Bayesian regression with an infinitely wide neural network.

    A wide random network is a Gaussian process whose covariance is the network's NNGP kernel (Lee et al. 2018;
    Matthews et al. 2018). This estimator conditions that process on the data: there is no training loop, and
    predictions come with a standard deviation.

    Parameters
    ----------
    network : Network, optional
        Architecture with its variances; None means ``MLP()``.
    noise_variance : float, default=0.1
        Variance of the observation noise, absolute, in units of the target as the model sees it: of the
        normalised target with ``normalize_y=True``. It is added to the kernel's diagonal. 0 interpolates.
    normalize_y : bool, default=True
        Centre each output and divide it by its standard deviation inside. Results are in original units.
    feature_scaling : {"standard", None}, default="standard"
        "standard" centres each feature and divides it by its standard deviation inside; constant features
        become 0. Networks are not scale-free. None takes the features as they are.
    solver : {"auto", "cholesky"}, default="auto"
        How the linear system is solved. "cholesky" is exact, with about 4n² bytes and n³/3 operations; "auto"
        chooses it.
    max_memory : int or str, optional
        Most memory for the kernel matrix: bytes, or text such as "8GB". Checked before it is allocated.
        None means what is free.
    n_jobs : int, optional
        Threads for kernels and linear algebra; None means as many as BLAS uses, -1 all processors.
    random_state : int, RandomState instance or None, default=None
        For ``sample_y`` when it is given none.
    verbose : bool, default=False
        Show the progress of ``fit``.

    Attributes
    ----------
    network_ : Network
        The network in use, a copy.
    noise_variance_ : float
        The noise variance in use.
    jitter_ : float
        What was added to the diagonal besides the noise, because the matrix was not positive definite to working
        precision: 0 as a rule, and each step was reported in a warning.
    feature_scaler_ : StandardScaler or None
    y_mean_, y_std_ : ndarray of shape (n_outputs,)
        What the targets were centred and divided by.
    log_marginal_likelihood_value_ : float
        Log marginal likelihood of the (normalised) targets, summed over outputs.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where X had string column names.

    See Also
    --------
    infwidth.kernels.NNGPKernel : The same prior as a kernel for other estimators.

    Notes
    -----
    Standard deviations, covariances and samples speak of a *new observation*, noise included, unless
    ``include_noise=False``.

    References
    ----------
    Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, Algorithm 2.1 and section 5.4.2.
    Lee et al. (2018), *Deep Neural Networks as Gaussian Processes*.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from infwidth import NNGPRegressor
    >>> from infwidth.networks import MLP
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NNGPRegressor(MLP(depth=2, activation="erf"), noise_variance=0.5).fit(X[:400], y[:400])
    >>> mean, std = model.predict(X[400:], return_std=True)
    >>> mean.shape, std.shape
    ((42,), (42,))
    >>> bool(abs(y[400:] - mean).mean() < 50)
    True
    """

    def __init__(
        self,
        network=None,
        *,
        noise_variance=0.1,
        normalize_y=True,
        feature_scaling="standard",
        solver="auto",
        max_memory=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.network = network
        self.noise_variance = noise_variance
        self.normalize_y = normalize_y
        self.feature_scaling = feature_scaling
        self.solver = solver
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

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
        self : NNGPRegressor

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
        self._posterior = None
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64, copy=False)
        weight, used = _weights(sample_weight, X)
        noise = _row_noise(noise_variance, weight[used])
        self.network_ = MLP() if self.network is None else clone(self.network)
        self.noise_variance_ = noise_variance
        engine = KernelEngine(self.network_.lower(X.shape[1]), n_jobs=self.n_jobs)

        self.feature_scaler_ = StandardScaler().fit(X, sample_weight=weight) if self.feature_scaling else None
        Y = y.reshape(len(y), -1)
        self.y_mean_, self.y_std_ = self._target_scale(Y, weight)
        source = KernelSource(engine, engine.rows(self._scaled(X[used])), "nngp")
        with blas_threads(solver_threads(source.n, self.n_jobs)):
            self._posterior = Posterior(
                source,
                (Y[used] - self.y_mean_) / self.y_std_,
                noise,
                max_memory=self.max_memory,
                verbose=bool(self.verbose),
            )
            self.log_marginal_likelihood_value_ = self._posterior.log_marginal_likelihood()
        self.jitter_ = self._posterior.jitter
        self._one_output = y.ndim == 1
        self._used, self._dropped = used, (X[~used], Y[~used])
        return self

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
                mean, variance = self._posterior.mean_and_variance(X)
                return self._restore(mean), self._restore_std(variance + self.noise_variance_)
            if return_cov:
                mean, covariance = self._posterior.mean_and_covariance(X)
                covariance[np.diag_indices_from(covariance)] += self.noise_variance_
                return self._restore(mean), self._restore_covariance(covariance)
            return self._restore(self._posterior.mean(X))

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
            variance = self._posterior.mean_and_variance(X)[1]
        return self._restore_std(variance + include_noise * self.noise_variance_)

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
            mean, covariance = self._posterior.mean_and_covariance(X)
            if include_noise:
                covariance[np.diag_indices_from(covariance)] += self.noise_variance_
            samples = sample_gaussian(mean, covariance, n_samples, random_state)
        samples = samples * self.y_std_[:, None] + self.y_mean_[:, None]
        return samples[:, 0] if self._one_output else samples

    def log_marginal_likelihood(self):
        """Return the log marginal likelihood of the training targets, normalised, summed over outputs (RW 2.30)."""
        check_is_fitted(self)
        return self.log_marginal_likelihood_value_

    def loo_predict(self, include_noise=True):
        """Predict each training row from all others, in closed form (RW 5.12).

        Equal to fitting again without the row, with the scaling of features and targets kept.

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
        n, n_outputs = len(self._used), len(self.y_std_)
        mean, variance = np.empty((n, n_outputs)), np.empty(n)
        with blas_threads(thread_count(self.n_jobs)):
            mean[self._used], left_out = self._posterior.leave_one_out()
            variance[self._used] = np.maximum(left_out - self._posterior.noise, 0.0)
            if not self._used.all():
                dropped = self._posterior.mean_and_variance(self._scaled(self._dropped[0]))
                mean[~self._used], variance[~self._used] = dropped
        return self._restore(mean), self._restore_std(variance + include_noise * self.noise_variance_)

    def __sklearn_is_fitted__(self):
        return getattr(self, "_posterior", None) is not None

    def _check_parameters(self):
        if self.network is not None and not isinstance(self.network, Network):
            raise TypeError(
                f"network must be a network of infwidth.networks, such as MLP(depth=2); got {self.network!r}."
            )
        if self.feature_scaling not in FEATURE_SCALINGS:
            raise ValueError(f"feature_scaling must be 'standard' or None, got {self.feature_scaling!r}.")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be 'auto' or 'cholesky', got {self.solver!r}.")
        return variance("noise_variance", self.noise_variance)

    def _target_scale(self, Y, weight):
        if not self.normalize_y:
            return np.zeros(Y.shape[1]), np.ones(Y.shape[1])
        scaler = StandardScaler().fit(Y, sample_weight=weight)
        return scaler.mean_, scaler.scale_

    def _scaled(self, X):
        return X if self.feature_scaler_ is None else self.feature_scaler_.transform(X)

    def _new_inputs(self, X):
        check_is_fitted(self)
        return self._scaled(validate_data(self, X, dtype=np.float64, reset=False))

    def _restore(self, mean):
        mean = mean * self.y_std_ + self.y_mean_
        return mean[:, 0] if self._one_output else mean

    def _restore_std(self, variance):
        std = np.sqrt(variance)[:, None] * self.y_std_
        return std[:, 0] if self._one_output else std

    def _restore_covariance(self, covariance):
        scaled = covariance[:, :, None] * self.y_std_**2
        return scaled[:, :, 0] if self._one_output else scaled


def _weights(sample_weight, X):
    """Return the weights, shape (n,), and which rows they keep."""
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero: no row is left to fit.")
    return weight, used


def _row_noise(noise_variance, weight):
    with np.errstate(over="ignore"):
        noise = noise_variance / weight
    if not np.isfinite(noise).all():
        raise ValueError(
            "a sample weight is so small that its noise variance is not finite: give the row weight 0 to drop it."
        )
    return noise
