"""What the estimators share: their parameters, learning, and conditioning on all rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._callbacks import CallbackSupportMixin, Monitor
from infwidth._inference.classes import ClassPosterior
from infwidth._inference.evidence import leave_one_out, log_marginal_likelihood
from infwidth._inference.mixture import Component
from infwidth._inference.posterior import Posterior, leave_one_out_bytes
from infwidth._inference.search import Data, Optimum, at_bounds
from infwidth._inference.selection import Candidate, Search, Settings, condition, learning_bytes
from infwidth._linalg.tiles import LowerTiles
from infwidth._memory import memory_limit, require_memory
from infwidth._preprocessing import FEATURE_SCALINGS, feature_scalers, transform, with_names
from infwidth._recursion.engine import KernelEngine, KernelSource
from infwidth._threads import blas_threads, solver_threads, thread_count
from infwidth._validation import (
    require_bool,
    require_choice,
    require_count,
    require_numbers,
    require_positive,
    shown,
)
from infwidth._warnings import warn_user
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP
from infwidth.networks.base import check_network
from infwidth.networks.layers import variance

OPTIMIZERS = ("lml", "loo", None)
SOLVERS = ("auto", "cholesky")
AVERAGED_ROWS = 2000  # at most: several posteriors are in memory then
ROW_NOISE = "For noise variances s of single rows, fit with sample_weight=s.mean() / s."


@dataclass(frozen=True)
class Kept:
    """A posterior in use: its weight, what was learned, and the scaling and the data of its features."""

    weight: float
    optimum: Optimum
    scaler: object
    data: Data
    posterior: Posterior | ClassPosterior

    def component(self, predictive):
        """Return what the mixture needs of it, with what predicts."""
        return Component(self.weight, predictive, self.scaler, self.optimum.noise_variance)


def all_or_nothing(fit):
    """Return a fit that leaves the estimator as it was, fitted or not, where it fails or is interrupted."""

    @wraps(fit)
    def guarded(self, *args, **kwargs):
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

    _limit: str  # the kernel that is the prior
    _relevance_std: float  # of the prior of single input variances, in units of ``prior_std``
    _refine: bool  # whether finalists are those with the largest evidence, refined on all of few rows too
    _merit: Callable  # (candidate, evidence) -> what candidates are compared by

    def _fit(self, X, y, data, noise_variance, earlier):
        """Learn, and condition the process on ``data``: the rows in use of X and y, which are for callbacks.

        The noise variances have the shape (n_noises,) of the data.
        """
        self._check_data(data)
        scalers = feature_scalers(self.feature_scaling, data.X, data.weight, choose=self.optimizer is not None)
        self._require_memory(self._fit_bytes(data, noise_variance), f"a fit of {len(data.Y):,} rows")
        monitor = Monitor(self, self.verbose)
        with monitor.fit(X, y), blas_threads(solver_threads(len(data.Y), self.n_jobs)):
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
        varying = data.varying()
        learned = data.of_noises(varying)
        # Equal rows are merged before they are scaled, so that all scalings have the same rows.
        merged = learned if self.optimizer == "loo" else learned.merged()[0]
        settings = Settings(
            limit=self._limit,
            evidence=leave_one_out if self.optimizer == "loo" else log_marginal_likelihood,
            optimizer=self.optimizer if callable(self.optimizer) else None,
            max_rows=self.max_optimizer_samples,
            n_restarts=self.n_restarts_optimizer,
            prior_std=self.prior_std,
            relevance_std=self._relevance_std,
            least_noise=self._least_noise(learned),
            keep_common=self.network is None,  # a network that is given with ard=True means it
            refine=self._refine,
            n_jobs=self.n_jobs,
            seconds=self.max_optimizer_time,
        )
        search = Search(_scaled(merged, scalers), settings, check_random_state(self.random_state), monitor)
        if earlier is not None and earlier[0] == self._origin(scalers, varying):
            finalists = search.resume([_with_noise(c, c.optimum.noise_variance[varying]) for c in earlier[1]])
        else:
            networks = default_networks() if self.network is None else [self.network]
            finalists = search.learn(networks, noise_variance[varying])
        finalists = [_with_noise(c, _of_all_outputs(c.optimum.noise_variance, varying)) for c in finalists]
        converged = search.in_time and all(candidate.optimum.converged for candidate in finalists)
        if not converged:
            warn_user(
                "learning stopped before it converged, at its limit of iterations or of time: give more informative "
                "start values (network, noise_variance), a smaller prior_std, or a larger max_optimizer_time.",
                ConvergenceWarning,
            )
        return finalists, converged

    def _condition(self, finalists, scalers, datasets):
        """Condition the finalists on all rows, and set the fitted attributes."""
        ranked, self.evidence_, weights, posteriors = condition(
            finalists,
            lambda candidate: self._posterior_of(candidate, datasets[candidate.scaling]),
            lambda candidate, posterior: self._evidence(candidate, posterior, datasets[candidate.scaling]),
            self._merit,
            average=self._averages(len(datasets[0].Y)),
            informative=self._informative(datasets[0]),
        )
        best = ranked[0]
        self._learned = None if self.optimizer is None else (self._origin(scalers, datasets[0].varying()), ranked)
        self.networks_, self.network_weights_ = [candidate.optimum.network for candidate in ranked], weights
        self.network_, self.noise_variance_ = best.optimum.network, self._shaped(best.optimum.noise_variance)
        self.kernel_ = (NTKKernel if self._limit == "ntk" else NNGPKernel)(self.network_)
        self.feature_scaler_ = with_names(scalers[best.scaling], getattr(self, "feature_names_in_", None))
        self.jitter_ = posteriors[0].jitter
        self.feature_relevance_ = sum(
            weight * relevance(candidate.optimum.network, datasets[candidate.scaling])
            for weight, candidate in zip(weights, ranked, strict=True)
        )
        if self.optimizer is not None:
            _warn_at_bounds([network for network, weight in zip(self.networks_, weights, strict=True) if weight > 0])
        in_use = [candidate for weight, candidate in zip(weights, ranked, strict=True) if weight > 0]
        self._keep(
            [
                Kept(weight, candidate.optimum, scalers[candidate.scaling], datasets[candidate.scaling], posterior)
                for weight, candidate, posterior in zip(weights[weights > 0], in_use, posteriors, strict=True)
            ]
        )

    def _averages(self, n):
        """Return whether networks are averaged, given n rows."""
        return self.network is None and n <= AVERAGED_ROWS

    def _least_noise(self, data):
        """Return what no learned noise variance is below, besides rounding."""
        return 0.0

    def _informative(self, data):
        """Return the share of the rows whose evidence tells networks apart."""
        return 1.0

    def _origin(self, scalers, varying):
        """Return what learned candidates belong to."""
        network = None if self.network is None else clone(self.network)
        return network, self._limit, list(map(type, scalers)), self.n_features_in_, varying.tolist()

    def _shaped(self, noise_variance):
        """Return noise variances of the shape (n_noises,) as users see them: one number."""
        return float(noise_variance[0])

    def _require_memory(self, needed, task):
        """Raise a MemoryError, naming the task, unless so many bytes fit."""
        require_memory(needed, self.max_memory, task)

    def _fit_bytes(self, data, noise_variance):
        """Return the most bytes that a fit takes: while it learns, or while it conditions on all rows."""
        n = len(data.Y)
        if self.optimizer is None:
            return self._model_bytes(n, len(np.unique(noise_variance)), 1)
        n_noises = np.count_nonzero(data.varying())
        learning = learning_bytes(n, n_noises, self.max_optimizer_samples, self.optimizer == "loo", self.n_jobs)
        n_models = len(default_networks()) + 1 if self._averages(n) else 1  # one more to compare
        return max(learning, self._model_bytes(n, n_noises, n_models))

    def _model_bytes(self, n, n_factors, n_models):
        """Return the most bytes that models of n rows take, and the work on the last of them."""
        judging = leave_one_out_bytes(n) if self._judged_by_leave_one_out else 0
        return n_models * n_factors * LowerTiles.n_bytes(n) + judging

    @property
    def _judged_by_leave_one_out(self):
        """Whether models are compared by leave-one-out predictions."""
        return self.optimizer == "loo"

    def _posterior_of(self, candidate, data):
        return Posterior(
            self._source(candidate.optimum.network, data.X),
            data.Y,
            candidate.optimum.noise_variance,
            data.weight,
            max_memory=self.max_memory,
            verbose=bool(self.verbose),
        )

    def _source(self, network, X):
        engine = KernelEngine(network.lower(X.shape[1]), ntk=self._limit == "ntk", n_jobs=self.n_jobs)
        return KernelSource(engine, engine.rows(X), self._limit)

    def _earlier(self):
        """Return what the last fit has learned, if this one begins there."""
        return self._learned if self.warm_start and self.__sklearn_is_fitted__() else None

    def set_params(self, **params):
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

    def __sklearn_is_fitted__(self):
        return getattr(self, "_mixture", None) is not None

    def _check_parameters(self):
        if self.network is not None:
            check_network(self.network)
        require_choice("feature_scaling", self.feature_scaling, FEATURE_SCALINGS)
        require_choice("solver", self.solver, SOLVERS)
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

    def _check_noise(self, value):
        if np.ndim(value) > 0:
            raise ValueError(f"noise_variance is a variance: it must be one number, got {shown(value)}. {ROW_NOISE}")
        number = variance("noise_variance", value)
        if number == 0 and self.optimizer is not None:
            raise ValueError(
                f"noise_variance is a variance: while it is learned it must be a positive number, got {shown(value)}. "
                "Start from a small one such as 1e-6, or use optimizer=None, with which 0 interpolates."
            )
        return number

    def _check_data(self, data):
        """Raise where the network does not fit the data, before any work."""
        if self.network is None:
            return
        program = self.network.lower(data.X.shape[1])
        if self._limit == "ntk":
            program.require_ntk()
        if self.optimizer is not None:
            self.network.require_learnable(data.X.shape[1])

    def _new_inputs(self, X):
        check_is_fitted(self)
        require_numbers("X", X)
        return validate_data(self, X, dtype=np.float64, reset=False)


def default_networks():
    """Return the networks that compete where none is given."""
    return [MLP(depth, activation, ard=True) for depth, activation in ((2, "relu"), (1, "erf"), (2, "erf"), (1, "rbf"))]


def _warn_at_bounds(networks):
    """Warn where learned variances ended at their bounds, as scikit-learn's Gaussian processes do."""
    ended = [f"{name} of {network} at {bound:.0e}" for network in networks for name, bound in at_bounds(network)]
    if ended:
        warn_user(
            f"learned variances ended at their bounds: {'; '.join(ended)}. The data ask for a limit of the network, "
            "such as steps (activation 'sign') for a large weight_variance of 'erf': give such a network, or a smaller "
            "prior_std, which keeps variances nearer to their starts.",
            ConvergenceWarning,
        )


def _scaled(data, scalers):
    """Return the data with each scaling of the features."""
    return [replace(data, X=transform(scaler, data.X)) for scaler in scalers]


def _with_noise(candidate, noise_variance):
    """Return the candidate with other noise variances."""
    return replace(candidate, optimum=replace(candidate.optimum, noise_variance=noise_variance))


def _of_all_outputs(noise_variance, varying):
    """Return the noise variances with the smallest of them for constant outputs, which need no factor of their own."""
    every = np.full(len(varying), noise_variance.min())
    every[varying] = noise_variance
    return every


def relevance(network, data):
    """Return the share of each feature in the variance of the network's first layer over the rows: Σ_f v_f Var(x_f)."""
    spread = StandardScaler().fit(data.X, sample_weight=data.weight).var_
    explained = network.input_variances(data.X.shape[1]) * spread
    total = explained.sum()
    return explained / total if total > 0 else explained
