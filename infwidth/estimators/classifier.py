"""InfiniteNetClassifier: classes as targets of an infinitely wide network, with calibrated probabilities."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from infwidth._data.labelled import Labelled
from infwidth._data.scaling import FeatureScaling
from infwidth._data.validation import require_choice, require_dense, require_numbers, require_one_column
from infwidth._data.weights import ClassWeight, row_weights
from infwidth._engine.engine import LIMITS, Limit
from infwidth._inference.classes import ClassMixture, ClassPosterior
from infwidth._inference.conditioning import condition
from infwidth._inference.mixture import Component
from infwidth._inference.tasks import Classification
from infwidth._runtime.callbacks import with_callbacks
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import MemoryLimit
from infwidth.estimators.base import Optimizer, Seed, SolverName, all_or_nothing
from infwidth.estimators.class_predictions import ClassPredictions
from infwidth.networks import Network

CALIBRATIONS = ("loo", None)


@no_floating_point_errors
class InfiniteNetClassifier(ClassPredictions):
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
        Of the rows with positive weight; or those that ``partial_fit`` was given.
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

    class_prior_: np.ndarray
    noise_variance_: float

    _task: Classification  # of the rows in use

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
        return self._fit(X, y, sample_weight, None)

    @with_callbacks
    def _fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None,
        classes: npt.ArrayLike | None,
    ) -> Self:
        noise_variance = np.array([self._check_parameters()])
        X, y = self._validated(X, y)
        weight, used = row_weights(sample_weight, X)
        rows = Labelled.of(y[used], weight[used], _checked_classes(classes))
        options = self._task_options(len(rows.label)) | {"calibrated": self.calibration == "loo"}
        task = Classification.of(X[used], rows, self.class_weight, **options)
        n = len(task.data.Y)
        self._require_fit(task, noise_variance)
        with self._monitored(X, y, n) as monitor:
            models, converged = self._learn(task, noise_variance, monitor)
            with monitor.task("condition"):
                task = self._settled(task, models[0])
                conditioned = condition(models, task, average=self._averages(n))
                self._set_learned(task, conditioned, converged)
                self.noise_variance_ = float(conditioned.models[0].noise_variance[0])
                self._used, self._dropped = used, X[~used]
                self._set_rows(task, conditioned.components)
        return self

    @all_or_nothing
    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Add rows to those that a fitted model is conditioned on, without learning again.

        Networks and their weights, the noise variance, the scaling of features, ``evidence_`` and ``solver_`` stay as
        they are. All else is that of a model given all rows, the earlier ones and these: the coding of the classes,
        their prior and weights, and the calibration, so a new class is one of ``classes_`` from now on. Each call
        factors anew, n³/3 operations for n rows in all. A model that is not fitted is fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            One class will do, but the first call needs two.
        classes : array-like of shape (n_classes,), optional
            All classes that may come: ``classes_`` from now on. Those without rows so far have probability 0, and rows
            of others are refused, in later calls too. None means those of before, or whichever come.
        sample_weight : array-like of shape (n_samples,), optional
            As for ``fit``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, MemoryError, scipy.linalg.LinAlgError
            As for ``fit``, or if a class is not among ``classes``. The model is as it was then.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from infwidth import InfiniteNetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = InfiniteNetClassifier(optimizer=None).fit(X[:100:2], y[:100:2])
        >>> model.partial_fit(X[100::2], y[100::2]).classes_
        array([0, 1, 2])
        >>> model.score(X[1::2], y[1::2]) > 0.9
        True
        """
        if not self.__sklearn_is_fitted__():
            return self._fit(X, y, sample_weight, classes)
        more, task = self._more_rows(X, y, sample_weight), self._task
        rows = task.rows.followed_by(more.y, more.weight, _checked_classes(classes))
        return self._updated(task.with_rows(more.X, rows, self.class_weight, **self._resources()), more)

    def _set_rows(self, task: Classification, components: Sequence[Component[ClassPosterior]]) -> None:
        """Set what follows from the rows in use, given the models conditioned on them."""
        self._task = replace(task, known_scalers=task.scalers)  # without what learning has kept in it
        self.classes_, self.class_prior_ = task.rows.classes, task.class_prior
        self._mixture = ClassMixture(components, task.box, task.rows.present)

    def _validated(self, X: npt.ArrayLike, y: npt.ArrayLike, *, reset: bool = True) -> tuple[np.ndarray, np.ndarray]:
        require_numbers("X", X)
        require_dense("y", y)
        require_one_column(y)
        inputs, classes = validate_data(self, X, y, dtype=np.float64, reset=reset)
        check_classification_targets(classes)
        return inputs, classes

    @property
    def _limit(self) -> Limit:
        return self.limit

    def _check_parameters(self) -> float | np.ndarray:
        require_choice("limit", self.limit, LIMITS)
        require_choice("calibration", self.calibration, CALIBRATIONS)
        return super()._check_parameters()


def _checked_classes(classes: npt.ArrayLike | None) -> np.ndarray | None:
    if classes is None:
        return None
    checked = column_or_1d(check_array(classes, dtype=None, ensure_2d=False, input_name="classes"))
    check_classification_targets(checked)
    return checked
