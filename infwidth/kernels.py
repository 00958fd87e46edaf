"""Network priors as kernels for scikit-learn: Gaussian processes, support vectors, ridge, Nyström, kernel PCA."""

from typing import Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from infwidth._engine.engine import Limit
from infwidth._engine.tangent import tangent_bytes, tangents
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.memory import require_memory
from infwidth.networks import MLP, Network
from infwidth.networks.base import check_network
from infwidth.networks.layers import same_parameters
from infwidth.networks.theta import free_hyperparameters, theta_directions, theta_of, with_theta


@no_floating_point_errors
class _NetworkKernel(Kernel):
    """A kernel of a network, with the logarithms of the network's variances as ``theta``."""

    _limit: ClassVar[Limit]

    def __init__(self, network: Network | None = None, *, variance_bounds: tuple[float, float] = (1e-5, 1e5)) -> None:
        self.network = network
        self.variance_bounds = variance_bounds

    def _network(self) -> Network:
        if self.network is None:
            return MLP()
        check_network(self.network)
        return self.network

    @overload
    def __call__(
        self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None, eval_gradient: Literal[False] = False
    ) -> np.ndarray: ...
    @overload
    def __call__(
        self, X: npt.ArrayLike, Y: None = None, *, eval_gradient: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def __call__(
        self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None, eval_gradient: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]: ...
    def __call__(
        self, X: npt.ArrayLike, Y: npt.ArrayLike | None = None, eval_gradient: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the kernel matrix, shape (n_samples_X, n_samples_Y); a new array at each call.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        Y : array-like of shape (n_samples_Y, n_features), optional
        eval_gradient : bool, default=False
            Whether to return the gradient with respect to ``theta`` as well. Only with Y=None.

        Returns
        -------
        K : ndarray of shape (n_samples_X, n_samples_Y)
        gradient : ndarray of shape (n_samples_X, n_samples_X, n_dims)
            Only with ``eval_gradient``. The NTK of networks with kinked activations is not differentiable at
            duplicate rows: there it is the limit of rows about 1e-8 apart.
        """
        network = self._network()
        kernel = getattr(network, self._limit)
        if not eval_gradient:
            return kernel(X, Y)
        if Y is not None:
            raise ValueError("the gradient of the kernel is available for Y=None only.")
        inputs = check_array(X, dtype=np.float64)
        n, n_features = inputs.shape
        program, directions = network.lower(n_features), theta_directions(network, n_features)
        needed = 8 * n**2 + tangent_bytes(program, n, len(directions))
        require_memory(needed, None, f"the gradient of a kernel matrix of {n:,} rows")
        return kernel(inputs), tangents(program, inputs, directions, ntk=self._limit == "ntk")

    def diag(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the diagonal of the kernel matrix, shape (n_samples_X,), without the matrix."""
        return self._network().diag(X, self._limit)

    def is_stationary(self) -> bool:
        """Return False: network kernels depend on more than differences of inputs."""
        return False

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """The network's variances; those that are 0 are fixed."""
        free = free_hyperparameters(self._network())
        return [
            Hyperparameter(f"network__{name}", "numeric", self.variance_bounds, len(free[name]))
            if name in free
            else Hyperparameter(f"network__{name}", "numeric", "fixed")
            for name in self._network().hyperparameters()
        ]

    @property
    def theta(self) -> np.ndarray:
        """Logarithms of the variances that are not fixed."""
        return theta_of(self._network())

    @theta.setter
    def theta(self, theta: npt.ArrayLike) -> None:
        self.network = with_theta(self._network(), theta)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and with ``deep`` the network's as ``network__<name>``."""
        params = {"network": self.network, "variance_bounds": self.variance_bounds}
        if deep and self.network is not None:
            params.update({f"network__{name}": value for name, value in self.network.get_params().items()})
        return params

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and same_parameters(self.get_params(deep=False), other.get_params(deep=False))

    __hash__ = None  # type: ignore[assignment]  # compared by value, and scikit-learn sets theta in place

    def __repr__(self) -> str:
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
    >>> from infwidth.networks import MLP, Network
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
    >>> from infwidth.networks import MLP, Network
    >>> SVC(kernel=NTKKernel(MLP(depth=2))).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]).predict([[2.6]])
    array([1])
    """

    _limit = "ntk"
