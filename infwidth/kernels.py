"""Network priors as kernels for scikit-learn: Gaussian processes, support vectors, ridge, Nyström, kernel PCA."""

import numpy as np
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from infwidth.networks import MLP, Network
from infwidth.networks.layers import same_parameters


class _NetworkKernel(Kernel):
    """A kernel of a network, with the logarithms of the network's variances as ``theta``."""

    _limit: str

    def __init__(self, network=None, *, variance_bounds=(1e-5, 1e5)):
        self.network = network
        self.variance_bounds = variance_bounds

    def _network(self):
        if self.network is not None and not isinstance(self.network, Network):
            raise TypeError(
                f"network must be a network of infwidth.networks, such as MLP(depth=2); got {self.network!r}."
            )
        return MLP() if self.network is None else self.network

    def __call__(self, X, Y=None, eval_gradient=False):
        """Return the kernel matrix, shape (n_samples_X, n_samples_Y); a new array at each call.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        Y : array-like of shape (n_samples_Y, n_features), optional
        eval_gradient : bool, default=False
            Gradients are not available: True raises.

        Raises
        ------
        NotImplementedError
            With ``eval_gradient``.
        """
        if eval_gradient:
            raise NotImplementedError(
                f"{type(self).__name__} has no gradient: use optimizer=None, "
                "or search over the network's parameters with GridSearchCV."
            )
        return getattr(self._network(), self._limit)(X, Y)

    def diag(self, X):
        """Return the diagonal of the kernel matrix, shape (n_samples_X,), without the matrix."""
        return self._network().diag(X, self._limit)

    def is_stationary(self):
        """Return False: network kernels depend on more than differences of inputs."""
        return False

    @property
    def hyperparameters(self):
        """The network's variances; one that is 0, and those of features switched off, are fixed."""
        fixed = "fixed"
        return [
            Hyperparameter(
                f"network__{name}",
                "numeric",
                self.variance_bounds if np.all(np.greater(value, 0)) else fixed,
                np.size(value),
            )
            for name, value in self._network().variances().items()
        ]

    @property
    def theta(self):
        """Logarithms of the variances that are not fixed."""
        values = self._network().variances()
        free = [values[h.name.removeprefix("network__")] for h in self.hyperparameters if not h.fixed]
        return np.log(np.concatenate([np.ravel(value) for value in free])) if free else np.array([])

    @theta.setter
    def theta(self, theta):
        if len(theta) != self.n_dims:
            raise ValueError(f"theta has {len(theta)} entries, but the kernel has {self.n_dims} free hyperparameters.")
        values, place = {}, 0
        for h in self.hyperparameters:
            if not h.fixed:
                value = np.exp(theta[place : place + h.n_elements])
                is_array = np.ndim(self._network().variances()[h.name.removeprefix("network__")]) > 0
                values[h.name.removeprefix("network__")] = value if is_array else float(value[0])
                place += h.n_elements
        self.network = self._network().with_variances(**values)

    def get_params(self, deep=True):
        """Return the parameters, and with ``deep`` the network's as ``network__<name>``."""
        params = {"network": self.network, "variance_bounds": self.variance_bounds}
        if deep and self.network is not None:
            params.update({f"network__{name}": value for name, value in self.network.get_params().items()})
        return params

    def __eq__(self, other):
        return type(self) is type(other) and same_parameters(self.get_params(deep=False), other.get_params(deep=False))

    __hash__ = None  # type: ignore[assignment]  # compared by value, and scikit-learn sets theta in place

    def __repr__(self):
        return f"{type(self).__name__}({self._network()!r})"


class NNGPKernel(_NetworkKernel):
    """The NNGP kernel of a network: covariance of its outputs at random initialisation.

    Parameters
    ----------
    network : Network, optional
        None means ``MLP()``.
    variance_bounds : pair of floats, default=(1e-5, 1e5)
        Bounds of each variance in ``bounds``. A variance of 0 is fixed.

    Examples
    --------
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import WhiteKernel
    >>> from infwidth.kernels import NNGPKernel
    >>> from infwidth.networks import MLP
    >>> kernel = NNGPKernel(MLP(depth=3, activation="erf")) + WhiteKernel(0.1)
    >>> model = GaussianProcessRegressor(kernel, optimizer=None).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 0.0])
    >>> model.predict([[1.5]]).round(3)
    array([0.447])
    """

    _limit = "nngp"


class NTKKernel(_NetworkKernel):
    """The neural tangent kernel of a network: the kernel of gradient descent on all its weights.

    Parameters
    ----------
    network : Network, optional
        None means ``MLP()``.
    variance_bounds : pair of floats, default=(1e-5, 1e5)
        Bounds of each variance in ``bounds``. A variance of 0 is fixed.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from infwidth.kernels import NTKKernel
    >>> from infwidth.networks import MLP
    >>> SVC(kernel=NTKKernel(MLP(depth=2))).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]).predict([[2.6]])
    array([1])
    """

    _limit = "ntk"
