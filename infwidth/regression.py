"""NNGPRegressor: the exact Bayesian posterior of an infinitely wide network."""

import warnings
from dataclasses import replace
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._inference.evidence import leave_one_out, log_marginal_likelihood
from infwidth._inference.posterior import Posterior, sample_gaussian
from infwidth._inference.search import Data, Objective, Optimum, differences
from infwidth._inference.selection import Candidate, Settings, condition, learn
from infwidth._linalg.cholesky import require_factor_memory
from infwidth._preprocessing import FEATURE_SCALINGS, feature_scalers, row_noise, row_weights, target_scale, transform
from infwidth._recursion.engine import KernelEngine, KernelSource
from infwidth._threads import blas_threads, solver_threads, thread_count
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP, Network
from infwidth.networks.layers import variance
from infwidth.networks.theta import theta_of, with_theta

OPTIMIZERS = ("lml", "loo", None)
SOLVERS = ("auto", "cholesky")


class NNGPRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Exact Bayesian regression with an infinitely wide neural network.

    A wide random network is a Gaussian process whose covariance is the network's NNGP kernel (Lee et al. 2018;
    Matthews et al. 2018). This estimator conditions that process on the data: there is no training loop, and
    predictions come with a standard deviation.

    Parameters
    ----------
    network : Network, optional
        Architecture with its variances. None means that a few networks (activations and depths) are learned and the
        one with the largest evidence is kept; with ``optimizer=None`` it means ``MLP()``.
    noise_variance : float, default=0.1
        Variance of the observation noise, absolute, in units of the target as the model sees it: of the
        normalised target with ``normalize_y=True``. It is added to the kernel's diagonal. Where it is learned, this
        is the start; with ``optimizer=None``, 0 interpolates.
    optimizer : {"lml", "loo"}, callable or None, default="lml"
        How the network's variances and the noise variance are learned: by log marginal likelihood, by leave-one-out
        log predictive density, by log marginal likelihood with an optimiser of scikit-learn's signature
        ``(obj_func, initial_theta, bounds) -> (theta, func_min)``, or not at all. A variance of 0 stays 0.
    n_restarts_optimizer : int, default=0
        More starts of the search, drawn around the first.
    max_optimizer_samples : int, default=2000
        On more rows, learning uses a random subset of this size; the model is then conditioned on all rows.
    prior_std : float or None, default=3.0
        Standard deviation of a normal prior on the logarithm of each variance around its start; half of it for
        input variances of single features, around their common one. None means no prior.
    normalize_y : bool, default=True
        Centre each output and divide it by its standard deviation inside. Results are in original units.
    feature_scaling : {"auto", "standard", "power", None}, default="auto"
        "standard" centres each feature and divides it by its standard deviation inside; constant features
        become 0. Networks are not scale-free. "power" warps each feature by a Yeo-Johnson transformation as well
        (not with sample weights). "auto" takes the one of the two with the larger evidence where the network is
        learned without sample weights, else "standard". None takes the features as they are.
    solver : {"auto", "cholesky"}, default="auto"
        How the linear system is solved. "cholesky" is exact, with about 4n² bytes and n³/3 operations; "auto"
        chooses it.
    max_memory : int or str, optional
        Most memory for the kernel matrix: bytes, or text such as "8GB". Checked before it is allocated.
        None means what is free.
    n_jobs : int, optional
        Threads for kernels and linear algebra; None means as many as BLAS uses, -1 all processors.
    random_state : int, RandomState instance or None, default=None
        For subsets of rows and restarts while learning, and for ``sample_y`` when it is given none.
    verbose : bool, default=False
        Show the progress of ``fit``.

    Attributes
    ----------
    network_ : Network
        The network in use, with its learned variances.
    noise_variance_ : float
        The noise variance in use. A learned one includes about 1e-7 of the mean kernel diagonal.
    kernel_ : NNGPKernel
        ``network_`` as a kernel for other estimators.
    networks_ : list of Network
        The learned networks that reached the last stage, the best first by evidence less one for each learned
        variance; ``network_`` alone without learning.
    evidence_ : ndarray of shape (n_networks,)
        Their log marginal likelihoods, of all rows.
    feature_relevance_ : ndarray of shape (n_features_in_,)
        Input variances of ``network_``, divided by their sum: how much predictions vary with each (scaled) feature.
    jitter_ : float
        What was added to the diagonal besides the noise, because the matrix was not positive definite to working
        precision: 0 as a rule, and each step was reported in a warning.
    feature_scaler_ : StandardScaler, PowerTransformer or None
    y_mean_, y_std_ : ndarray of shape (n_outputs,)
        What the targets were centred and divided by.
    log_marginal_likelihood_value_ : float
        Log marginal likelihood of the (normalised) targets, summed over outputs. A row of weight w counts as w rows.
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
        optimizer="lml",
        n_restarts_optimizer=0,
        max_optimizer_samples=2000,
        prior_std=3.0,
        normalize_y=True,
        feature_scaling="auto",
        solver="auto",
        max_memory=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.network = network
        self.noise_variance = noise_variance
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_optimizer_samples = max_optimizer_samples
        self.prior_std = prior_std
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
        noise_variance = self._check_parameters(sample_weight)
        if issparse(y):
            raise TypeError("sparse data was passed for y, but dense data is required: use y.toarray().")
        self._posterior = None
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64, copy=False)
        weight, used = row_weights(sample_weight, X)
        Y = y.reshape(len(y), -1)
        self.y_mean_, self.y_std_ = target_scale(Y, weight, self.normalize_y)
        targets = (Y[used] - self.y_mean_) / self.y_std_
        choose = self.optimizer is not None and sample_weight is None
        scalers = feature_scalers(self.feature_scaling, X, weight, choose=choose)
        data = Data(X[used], targets, weight[used], np.zeros(used.sum()))
        datasets = _scaled(data, scalers)
        require_factor_memory(len(targets), self.max_memory)
        with blas_threads(solver_threads(len(targets), self.n_jobs)):
            if self.optimizer is None:
                network = MLP() if self.network is None else clone(self.network)
                finalists = [Candidate(0, Optimum(network, noise_variance, np.nan, True, 0))]
            else:
                # Equal rows are merged before they are scaled, so that all scalings have the same rows.
                merged = data if self.optimizer == "loo" else data.merged()
                finalists = self._learn(_scaled(merged, scalers), noise_variance)
            ranked, self.evidence_, self._posterior = condition(
                finalists,
                lambda candidate: self._posterior_of(candidate, datasets),
                lambda candidate, posterior: _evidence(candidate, posterior, datasets),
            )
        best = ranked[0]
        self.networks_ = [candidate.optimum.network for candidate in ranked]
        self.network_, self.noise_variance_ = best.optimum.network, best.optimum.noise_variance
        self.log_marginal_likelihood_value_ = float(self.evidence_[0])
        self.feature_scaler_ = scalers[best.scaling]
        self.jitter_ = self._posterior.jitter
        self.feature_relevance_ = _share(self.network_.input_variances(X.shape[1]))
        self.kernel_ = NNGPKernel(self.network_)
        self._data = datasets[best.scaling]
        self._one_output = y.ndim == 1
        self._used, self._dropped = used, (X[~used], Y[~used])
        return self

    def _learn(self, datasets, noise_variance):
        """Return the learned candidates, the best first."""
        settings = Settings(
            limit="nngp",
            evidence=leave_one_out if self.optimizer == "loo" else log_marginal_likelihood,
            optimizer=self.optimizer if callable(self.optimizer) else None,
            max_rows=self.max_optimizer_samples,
            n_restarts=self.n_restarts_optimizer,
            prior_std=self.prior_std,
            n_jobs=self.n_jobs,
        )
        networks = default_networks() if self.network is None else [self.network]
        report = print if self.verbose else _silent
        finalists = learn(networks, noise_variance, datasets, settings, check_random_state(self.random_state), report)
        if not all(candidate.optimum.converged for candidate in finalists):
            warnings.warn(
                "learning stopped at its limit of iterations before it converged: give more informative start "
                "values (network, noise_variance), or a smaller prior_std.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return finalists

    def _posterior_of(self, candidate, datasets):
        network, data = candidate.optimum.network, datasets[candidate.scaling]
        engine = KernelEngine(network.lower(data.X.shape[1]), n_jobs=self.n_jobs)
        return Posterior(
            KernelSource(engine, engine.rows(data.X), "nngp"),
            data.Y,
            row_noise(candidate.optimum.noise_variance, data.weight),
            max_memory=self.max_memory,
            verbose=bool(self.verbose),
        )

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
        objective = Objective(self._data, "nngp", log_marginal_likelihood, self.n_jobs, nuggets=(0.0,))
        with blas_threads(thread_count(self.n_jobs)):
            value, gradient, _ = objective.evaluate(with_theta(self.network_, theta[:-1]), np.exp(theta[-1]))
        return (value, gradient) if eval_gradient else value

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
                dropped = self._posterior.mean_and_variance(transform(self.feature_scaler_, self._dropped[0]))
                mean[~self._used], variance[~self._used] = dropped
        return self._restore(mean), self._restore_std(variance + include_noise * self.noise_variance_)

    def __sklearn_is_fitted__(self):
        return getattr(self, "_posterior", None) is not None

    def _check_parameters(self, sample_weight):
        if self.network is not None and not isinstance(self.network, Network):
            raise TypeError(
                f"network must be a network of infwidth.networks, such as MLP(depth=2); got {self.network!r}."
            )
        if self.feature_scaling not in FEATURE_SCALINGS:
            raise ValueError(
                f"feature_scaling must be 'auto', 'standard', 'power' or None, got {self.feature_scaling!r}."
            )
        if self.feature_scaling == "power" and sample_weight is not None:
            raise ValueError("feature_scaling='power' takes no sample weights: use 'standard', or warp X yourself.")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be 'auto' or 'cholesky', got {self.solver!r}.")
        if self.optimizer not in OPTIMIZERS and not callable(self.optimizer):
            raise ValueError(f"optimizer must be 'lml', 'loo', a callable or None, got {self.optimizer!r}.")
        _check_count("n_restarts_optimizer", self.n_restarts_optimizer, 0)
        _check_count("max_optimizer_samples", self.max_optimizer_samples, 1)
        if self.prior_std is not None:
            variance("prior_std", self.prior_std, positive=True)
        return variance("noise_variance", self.noise_variance, positive=self.optimizer is not None)

    def _new_inputs(self, X):
        check_is_fitted(self)
        return transform(self.feature_scaler_, validate_data(self, X, dtype=np.float64, reset=False))

    def _restore(self, mean):
        mean = mean * self.y_std_ + self.y_mean_
        return mean[:, 0] if self._one_output else mean

    def _restore_std(self, variance):
        std = np.sqrt(variance)[:, None] * self.y_std_
        return std[:, 0] if self._one_output else std

    def _restore_covariance(self, covariance):
        scaled = covariance[:, :, None] * self.y_std_**2
        return scaled[:, :, 0] if self._one_output else scaled


def default_networks():
    """Return the networks that compete where none is given."""
    return [MLP(depth, activation, ard=True) for depth, activation in ((2, "relu"), (1, "erf"), (2, "erf"), (1, "rbf"))]


def _scaled(data, scalers):
    """Return the data with each scaling of the features."""
    return [replace(data, X=transform(scaler, data.X)) for scaler in scalers]


def _evidence(candidate, posterior, datasets):
    noise_variance = candidate.optimum.noise_variance + posterior.jitter
    if noise_variance == 0.0:  # weights have no effect then
        return posterior.log_marginal_likelihood()
    return posterior.log_marginal_likelihood() + differences(datasets[candidate.scaling], noise_variance)[0]


def _silent(text):
    """Report nothing."""


def _check_count(name, value, lowest):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name} must be an integer, {lowest} or larger; got {value!r}.")


def _share(values):
    return values / values.sum()
