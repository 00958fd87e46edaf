"""NNGPRegressor: the exact Bayesian posterior of an infinitely wide network."""

from typing import ClassVar, Self

import numpy.typing as npt

from infwidth._data.scaling import FeatureScaling
from infwidth._engine.engine import Limit
from infwidth._inference.conditioning import condition
from infwidth._runtime.callbacks import with_callbacks
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import MemoryLimit
from infwidth.estimators.base import Optimizer, Seed, SolverName, all_or_nothing
from infwidth.estimators.regressor import BaseRegressor
from infwidth.estimators.table import noise_of_outputs
from infwidth.networks import Network


@no_floating_point_errors
class NNGPRegressor(BaseRegressor):
    """Bayesian regression with an infinitely wide neural network.

    A wide random network is a Gaussian process whose covariance is the network's NNGP kernel (Lee et al. 2018;
    Matthews et al. 2018). This estimator conditions that process on the data: there is no training loop, and
    predictions come with a standard deviation.

    Parameters
    ----------
    network : Network, optional
        Architecture with its variances. None means that four networks (activations and depths) are learned, and
        averaged with weights that follow from their evidence; on more than 2000 rows the best alone is kept, and
        with neighbours those whose average predicts rows best, each given the others. With
        ``optimizer=None`` it means ``MLP()``.
    noise_variance : float or array-like of shape (n_outputs,), default=0.1
        Variance of the observation noise, absolute, in units of the target as the model sees it: of the
        normalised target with ``normalize_y=True``. It is added to the kernel's diagonal. Where it is learned, this
        is the start, and positive; with ``optimizer=None``, 0 interpolates. Several outputs can have one each. Noise of
        single rows follows from ``sample_weight``.
    optimizer : {"lml", "loo"}, callable or None, default="lml"
        How the network's variances and the noise variance are learned: by log marginal likelihood, by leave-one-out
        log predictive density, by log marginal likelihood with an optimiser of scikit-learn's signature
        ``(obj_func, initial_theta, bounds) -> (theta, func_min)``, or not at all. A variance of 0 stays 0.
    n_restarts_optimizer : int, default=0
        More starts of the search, drawn around the first.
    max_optimizer_samples : int, default=10000
        Most rows that learning uses. Up to 2000 are used as one set. More are split into blocks of neighbouring rows,
        at most 1000 each, whose evidence is summed: time grows with their number. The model is then conditioned on
        all rows.
    max_optimizer_time : float, optional
        Seconds after which learning ends with the best that it has found; conditioning on all rows comes after that.
        The result then depends on the speed of the machine. Not with an optimizer of your own. None means no limit.
    warm_start : bool, default=False
        Whether a fit begins with what the last one has learned, where ``network``, ``feature_scaling`` and the number
        of features are the same.
    prior_std : float or None, default=3.0
        Standard deviation of a normal prior on the logarithm of each variance around its start; half of it for
        input variances of single features, around their common one. None means no prior. Learned variances stay between
        1e-6 and 1e6.
    normalize_y : bool, default=True
        Centre each output and divide it by its standard deviation inside. Results are in original units.
    feature_scaling : {"auto", "standard", "power", None}, default="auto"
        "standard" centres each feature and divides it by its standard deviation inside; constant features
        become 0. Networks are not scale-free. "power" warps each feature by a Yeo-Johnson transformation
        before, whatever its origin and unit; outside of the range of the training rows the warp is a straight line.
        "auto" lets evidence decide between the two where networks are learned, else it is "standard". None takes the
        features as they are.
    solver : {"auto", "cholesky", "neighbours"}, default="auto"
        How all rows are met. "cholesky" is exact, with about 4n² bytes and n³/3 operations for each
        distinct noise variance of the outputs. "neighbours" conditions each prediction on its nearest training rows, in
        distance scaled by the input variances: any number of rows, with memory for little more than the rows. "auto" is
        exact up to 15,000 rows. Beyond it takes neighbours, but for up to 40,000 rows, if they fit into memory, where
        neighbours lose more than 0.05 of the log density of a held-out row to all of 4000 rows.
    n_neighbours : int, optional
        Training rows that a prediction is conditioned on with ``solver="neighbours"``; None means 400. Rows with equal
        inputs count once.
    max_memory : int or str, optional
        Most memory that a fit, or a call of another method, may take for matrices of rows by rows: bytes, or text such
        as "8GB". A call that needs more raises a MemoryError before it allocates any. None means what is free.
    n_jobs : int, optional
        Threads for kernels and linear algebra; None means as many as BLAS uses, -1 all processors.
    random_state : int, RandomState instance or None, default=None
        For subsets of rows and restarts while learning, and for ``sample_y`` when it is given none.
    verbose : bool, default=False
        Show the progress of ``fit``.

    Attributes
    ----------
    network_ : Network
        The (best) network, with its learned variances.
    noise_variance_ : float or ndarray of shape (n_outputs,)
        The noise variance that belongs to it: of each output where ``y`` has columns. A learned one includes about
        1e-10 of the mean kernel diagonal; that of a constant output is the smallest of the others.
    kernel_ : NNGPKernel
        ``network_`` as a kernel for other estimators.
    networks_ : list of Network
        The learned networks that reached the last stage, the best first by evidence less one for each learned
        variance; ``network_`` alone without learning.
    evidence_ : ndarray of shape (n_networks,)
        Their log marginal likelihoods, of all rows; with ``optimizer="loo"`` their leave-one-out log predictive
        densities, and with neighbours the same from a random sample of 8000 rows, times n over their number.
    network_weights_ : ndarray of shape (n_networks,)
        Their weights in predictions: 0 but for the best of each architecture, and (1, 0, …) where one alone is kept.
        With neighbours those whose average predicts rows best, in decreasing order.
    converged_ : bool
        Whether learning ended by itself.
    feature_relevance_ : ndarray of shape (n_features_in_,)
        Share of each feature in the prior variance of the first layer over the rows, averaged with
        ``network_weights_``; 0 where a feature is constant.
    jitter_ : float
        What was added to the diagonal besides the noise, because the matrix was not positive definite to working
        precision: 0 as a rule, and each step was reported in a warning.
    solver_ : {"cholesky", "neighbours"}
        The solver in use.
    solver_reason_ : str
        Why it is that one.
    feature_scaler_ : transformer or None
        Of ``network_``.
    y_mean_, y_std_ : ndarray of shape (n_outputs,)
        What the targets were centred and divided by.
    log_marginal_likelihood_value_ : float
        Log marginal likelihood of the (normalised) targets, summed over outputs. A row of weight w counts as w rows.
        NaN with neighbours.
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

    _limit: ClassVar[Limit] = "nngp"

    def __init__(
        self,
        network: Network | None = None,
        *,
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
        table = self._table(X, y, sample_weight)
        task, n = table.task, len(table.task.data.Y)
        noise_variance = noise_of_outputs(noise_variance, len(table.std))
        self._require_fit(task, noise_variance)
        with self._monitored(table.X, table.y, n) as monitor:
            models, converged = self._learn(task, noise_variance, monitor)
            with monitor.task("condition"):
                table = table._replace(task=self._settled(task, models[0]))
                conditioned = condition(models, table.task, average=self._averages(n))
                self._set_regression(table, conditioned, converged)
        return self
