"""InfiniteNetClassifier: classes as targets of an infinitely wide network, with calibrated probabilities."""

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from infwidth._data.scaling import FeatureScaling
from infwidth._data.validation import require_choice, require_dense, require_numbers, require_one_column
from infwidth._data.weights import ClassWeight, class_weights, row_weights
from infwidth._engine.engine import LIMITS, Limit
from infwidth._inference.classes import ClassMixture
from infwidth._inference.conditioning import condition
from infwidth._inference.tasks import Classification
from infwidth._runtime.callbacks import with_callbacks
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import MemoryLimit
from infwidth._runtime.threads import blas_threads, thread_count
from infwidth.estimators.base import BaseInfiniteNet, Optimizer, Seed, SolverName, all_or_nothing
from infwidth.networks import Network

CALIBRATIONS = ("loo", None)


@no_floating_point_errors
class InfiniteNetClassifier(ClassifierMixin, BaseInfiniteNet):
    """Classification with an infinitely wide neural network: exact, with calibrated probabilities.

    The classes are the vertices of a regular simplex, which the network regresses on: one kernel matrix and one
    factorisation serve all classes (Lee et al. 2018; Arora et al. 2020). Networks are weighed, and scores and
    variances turned into probabilities, by the log loss of leave-one-out predictions, which have a closed form.

    Parameters
    ----------
    network : Network, optional
        Architecture with its variances. None means that four networks (activations and depths) are learned, and
        their probabilities averaged with weights that follow from their leave-one-out log loss; on more than 2000
        rows the best alone is kept, and with neighbours those whose average predicts rows best. With
        ``optimizer=None`` it means ``MLP()``.
    limit : {"nngp", "ntk"}, default="nngp"
        The kernel: that of the random network (its Bayesian posterior), or the neural tangent kernel (the network
        trained by gradient descent).
    noise_variance : float, default=0.1
        Variance that is added to the kernel's diagonal, absolute, in units of the coded classes, whose mean square is
        1. Where it is learned, this is the start, and positive; with ``optimizer=None``, 0 interpolates.
    optimizer : {"lml", "loo"}, callable or None, default="lml"
        How the network's variances and the noise variance are learned: by log marginal likelihood of the coded
        classes, by their leave-one-out log predictive density, by log marginal likelihood with an optimiser of
        scikit-learn's signature ``(obj_func, initial_theta, bounds) -> (theta, func_min)``, or not at all.
        A variance of 0 stays 0.
    calibration : {"loo", None}, default="loo"
        How scores become probabilities. "loo" fits three numbers on leave-one-out predictions: a power, the part of
        the predictive variance, and how soon the class prior takes over where that grows. None gives the plain softmax
        of the scores, which are near 0 and 1.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the weights of the rows of each class, and so its prior: see
        :func:`sklearn.utils.class_weight.compute_class_weight`.
    n_restarts_optimizer : int, default=0
        More starts of the search, drawn around the first.
    max_optimizer_samples : int, default=10000
        Most rows that learning uses: see :class:`NNGPRegressor`. The model is then conditioned on all rows.
    max_optimizer_time : float, optional
        Seconds after which learning ends with the best that it has found; conditioning on all rows comes after that.
        The result then depends on the speed of the machine. Not with an optimizer of your own. None means no limit.
    warm_start : bool, default=False
        Whether a fit begins with what the last one has learned, where ``network``, ``limit``, ``feature_scaling`` and
        the number of features are the same.
    prior_std : float or None, default=3.0
        Standard deviation of a normal prior on the logarithm of each variance around its start; an eighth of it for
        input variances of single features, around their common one. None means no prior.
    feature_scaling : {"auto", "standard", "power", None}, default="auto"
        "standard" centres each feature and divides it by its standard deviation inside; constant features
        become 0. "power" warps each feature by a Yeo-Johnson transformation before, whatever its origin and unit;
        outside of the range of the training rows the warp is a straight line. "auto" takes the better of the two where
        networks are learned, else "standard". None takes the features as they are.
    solver : {"auto", "cholesky", "neighbours"}, default="auto"
        How all rows are met. "cholesky" is exact, with about 4n² bytes and n³/3 operations. "neighbours"
        conditions each prediction on its nearest training rows, in distance scaled by the input variances: any
        number of rows, with memory for little more than the rows. "auto" is exact up to 15,000 rows. Beyond
        it takes neighbours, but for up to 40,000 rows where these lose: see :class:`NNGPRegressor`.
    n_neighbours : int, optional
        Training rows that a prediction is conditioned on with ``solver="neighbours"``; None means 400. Rows with equal
        inputs count once.
    max_memory : int or str, optional
        Most memory that a fit, or a call of another method, may take for matrices of rows by rows: bytes, or text such
        as "8GB". A call that needs more raises a MemoryError before it allocates any. None means what is free.
    n_jobs : int, optional
        Threads for kernels and linear algebra; None means as many as BLAS uses, -1 all processors.
    random_state : int, RandomState instance or None, default=None
        For subsets of rows and restarts while learning.
    verbose : bool, default=False
        Show the progress of ``fit``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Of the rows with positive weight.
    class_prior_ : ndarray of shape (n_classes,)
        Their (weighted) shares: the probabilities far from all data.
    network_ : Network
        The (best) network, with its learned variances.
    noise_variance_ : float
        The noise variance that belongs to it. A learned one includes about 1e-10 of the mean kernel diagonal.
    kernel_ : NNGPKernel or NTKKernel
        ``network_`` as a kernel for other estimators.
    networks_ : list of Network
        The learned networks that reached the last stage, the best first by ``evidence_``; ``network_`` alone without
        learning.
    evidence_ : ndarray of shape (n_networks,)
        Log-likelihoods of the training classes, each row given all others: minus their log loss, summed. Where inputs
        are equal, half of it given those with other inputs. From a random sample of 2000 rows or more, times n over
        their number, where there are more.
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
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where X had string column names.

    See Also
    --------
    infwidth.kernels.NTKKernel : The kernel for a support vector machine.

    References
    ----------
    Lee et al. (2018), *Deep Neural Networks as Gaussian Processes*.
    Arora et al. (2020), *Harnessing the Power of Infinitely Wide Deep Nets on Small-data Tasks*.
    Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, sections 5.4.2 and 6.5.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from infwidth import InfiniteNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = InfiniteNetClassifier().fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.9
    True
    >>> model.predict_proba(X[:1]).round(1)
    array([[1., 0., 0.]])
    """

    classes_: np.ndarray
    class_prior_: np.ndarray
    noise_variance_: float

    _mixture: ClassMixture
    _used: np.ndarray  # which rows have a positive weight
    _dropped: np.ndarray  # inputs of the others

    def __init__(
        self,
        network: Network | None = None,
        *,
        limit: Limit = "nngp",
        noise_variance: float = 0.1,
        optimizer: Optimizer = "lml",
        calibration: Literal["loo", None] = "loo",
        class_weight: ClassWeight = None,
        n_restarts_optimizer: int = 0,
        max_optimizer_samples: int = 10_000,
        max_optimizer_time: float | None = None,
        warm_start: bool = False,
        prior_std: float | None = 3.0,
        feature_scaling: FeatureScaling = "auto",
        solver: SolverName = "auto",
        n_neighbours: int | None = None,
        max_memory: MemoryLimit = None,
        n_jobs: int | None = None,
        random_state: Seed = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.limit = limit
        self.noise_variance = noise_variance
        self.optimizer = optimizer
        self.calibration = calibration
        self.class_weight = class_weight
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_optimizer_samples = max_optimizer_samples
        self.max_optimizer_time = max_optimizer_time
        self.warm_start = warm_start
        self.prior_std = prior_std
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
        y : array-like of shape (n_samples,)
            Classes: numbers, strings or booleans.
        sample_weight : array-like of shape (n_samples,), optional
            A row of weight w counts as w rows: its noise variance is divided by w, and it weighs w in the scaling of
            features, in the class prior and in the log loss. 0 drops the row.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or the data are not valid, or if there is only one class.
        MemoryError
            If the kernel matrix does not fit, with the bytes it would need, before it is allocated.
        scipy.linalg.LinAlgError
            If the kernel matrix is not positive definite: raise ``noise_variance``.
        """
        noise_variance = np.array([self._check_parameters()])
        X, y = self._validated(X, y)
        weight, used = row_weights(sample_weight, X)
        classes, task = self._task(X[used], y[used], weight[used])
        n = len(task.data.Y)
        self._require_fit(task, noise_variance)
        with self._monitored(X, y, n) as monitor:
            models, converged = self._learn(task, noise_variance, monitor)
            with monitor.task("condition"):
                task = self._settled(task, models[0])
                conditioned = condition(models, task, average=self._averages(n))
                self._set_learned(task, conditioned, converged)
                self.noise_variance_ = float(conditioned.models[0].noise_variance[0])
                self.classes_, self.class_prior_ = classes, task.coding.share
                self._used, self._dropped = used, X[~used]
                self._mixture = ClassMixture(conditioned.components, task.box)
        return self

    def _validated(self, X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y as arrays, or raise."""
        require_numbers("X", X)
        require_dense("y", y)
        require_one_column(y)
        inputs, classes = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(classes)
        return inputs, classes

    def _task(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, Classification]:
        """Return the classes of the rows in use, and the task that they make."""
        classes, label = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"the rows in use have one class only, {classes[0]}: a classifier needs two classes or more."
            )
        factor = class_weights(self.class_weight, classes, label, weight)
        options = self._task_options(len(X)) | {"calibrated": self.calibration == "loo"}
        return classes, Classification.of(X, label, weight, factor, **options)

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = np.argmax(self.predict_log_proba(X), axis=1)
        return self.classes_[best]

    def predict_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the probabilities of the classes, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1. Far from all training rows they are ``class_prior_``.
        """
        return softmax(self.predict_log_proba(X), axis=1)

    def predict_log_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the logarithms of the probabilities, finite where the probabilities underflow.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        X = self._new_inputs(X)
        with blas_threads(thread_count(self.n_jobs)):
            return self._mixture.log_proba(X)

    def decision_function(self, X: npt.ArrayLike) -> np.ndarray:
        """Return log-probabilities of the classes; for two classes the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return _decision(self.predict_log_proba(X))

    def loo_decision_function(self) -> np.ndarray:
        """Return ``decision_function`` of each training row given all others, in closed form (RW 5.12).

        Equal to fitting again without the row, with the scaling, the networks, the coding of classes and the
        calibration kept, and with a prior on the mean of the coded classes, so that centring tells nothing of the row.
        Of a row with the sample weight w > 1, w - 1 remain. It takes n³/3 operations for each network in use.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the rows' order, those of weight 0 included.
        """
        check_is_fitted(self)
        self._require_memory(self._mixture.leave_one_out_bytes(), f"leave-one-out of {len(self._used):,} rows")
        log_proba = np.empty((len(self._used), len(self.classes_)))
        with blas_threads(thread_count(self.n_jobs)):
            log_proba[self._used] = self._mixture.leave_one_out()
            if not self._used.all():
                log_proba[~self._used] = self._mixture.log_proba(self._dropped)
        return _decision(log_proba)

    @property
    def _limit(self) -> Limit:
        return self.limit

    def _check_parameters(self) -> float | np.ndarray:
        require_choice("limit", self.limit, LIMITS)
        require_choice("calibration", self.calibration, CALIBRATIONS)
        return super()._check_parameters()


def _decision(log_proba: np.ndarray) -> np.ndarray:
    return log_proba[:, 1] - log_proba[:, 0] if log_proba.shape[1] == 2 else log_proba
