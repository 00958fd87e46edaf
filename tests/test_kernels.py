"""NNGPKernel and NTKKernel: scikit-learn's kernel contract, and the estimators that take kernels."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import KernelPCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from sklearn.svm import SVC, SVR

from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP, Activation, Dense, Sequential

X = scale(load_iris().data)[::5]  # 30 rows, 4 features, 3 classes
LABELS = load_iris().target[::5]
NEW = scale(load_iris().data)[1::10]

FREE = ["bias_variance", "weight_variance"]  # of an MLP as it comes, in the order of theta
NETWORKS = {  # network, and the parameters that its theta holds
    "default": (None, FREE),
    "mlp": (MLP(depth=3, activation="erf", weight_variance=1.5, bias_variance=0.2), FREE),
    "ard": (MLP(depth=1, input_variance=np.array([0.5, 1.0, 2.0, 3.0])), ["bias_variance", "input_variance", FREE[1]]),
    "no_bias": (MLP(bias_variance=0.0, output_variance=0.7), ["output_variance", "weight_variance"]),
    "sequential": (
        Sequential(
            [
                Dense(weight_variance=1.5, bias_variance=0.3),
                Activation("erf"),
                Dense(weight_variance=0.8, bias_variance=0.0),
                Activation("relu"),
                Dense(weight_variance=1.2, bias_variance=0.1),
            ]
        ),
        [
            "layers__0__bias_variance",
            "layers__0__weight_variance",
            "layers__2__weight_variance",
            "layers__4__bias_variance",
            "layers__4__weight_variance",
        ],
    ),
}

kernel_types = pytest.mark.parametrize("kernel_type", [NNGPKernel, NTKKernel])
networks = pytest.mark.parametrize(("network", "free"), NETWORKS.values(), ids=NETWORKS.keys())


def matrix(kernel, A, B=None):
    """The kernel matrix, from the network."""
    network = MLP() if kernel.network is None else kernel.network
    return (network.ntk if isinstance(kernel, NTKKernel) else network.nngp)(A, B)


def values_of(network, names):
    params = (MLP() if network is None else network).get_params()
    return np.concatenate([np.ravel(params[name]) for name in names])


# The contract


@kernel_types
@networks
def test_call_and_diagonal(kernel_type, network, free):
    kernel = kernel_type(network)
    K = kernel(X)
    assert_allclose(K, matrix(kernel, X), rtol=1e-14)
    assert_array_equal(K, K.T)
    assert_array_equal(kernel.diag(X), np.diag(K))
    assert np.linalg.eigvalsh(K).min() > -1e-10 * np.trace(K)
    assert_allclose(kernel(X, X), K, rtol=1e-7)  # the diagonal comes from formulas for pairs here
    off_diagonal = ~np.eye(len(X), dtype=bool)
    assert_allclose(kernel(X, X)[off_diagonal], K[off_diagonal], rtol=1e-12)
    assert_allclose(kernel(X, NEW), matrix(kernel, X, NEW), rtol=1e-14)
    assert_allclose(kernel(NEW, X), kernel(X, NEW).T, rtol=1e-12)
    assert not kernel.is_stationary()
    assert kernel.requires_vector_input


@kernel_types
@networks
def test_each_call_returns_a_new_array(kernel_type, network, free):
    kernel = kernel_type(network)
    K, diagonal, cross = kernel(X), kernel.diag(X), kernel(X, NEW)
    copies = [array.copy() for array in (K, diagonal, cross)]
    for array in (K, diagonal, cross):
        array[...] = np.nan  # scikit-learn writes into what it gets
    for again, copy in zip((kernel(X), kernel.diag(X), kernel(X, NEW)), copies, strict=True):
        assert_array_equal(again, copy)


@kernel_types
@networks
def test_theta_holds_the_logarithms_of_the_free_hyperparameters(kernel_type, network, free):
    kernel = kernel_type(network)
    assert_allclose(kernel.theta, np.log(values_of(network, free)), rtol=1e-14)
    assert kernel.n_dims == len(kernel.theta)
    assert [h.name for h in kernel.hyperparameters if not h.fixed] == [f"network__{name}" for name in free]
    assert sum(h.n_elements for h in kernel.hyperparameters if not h.fixed) == kernel.n_dims
    assert kernel.bounds.shape == (kernel.n_dims, 2)
    assert_allclose(kernel.bounds, np.log([[1e-5, 1e5]] * kernel.n_dims))
    own = kernel_type(network, variance_bounds=(0.1, 10.0))
    assert_allclose(own.bounds, np.log([[0.1, 10.0]] * kernel.n_dims))


@kernel_types
@networks
def test_theta_round_trip(kernel_type, network, free):
    kernel = kernel_type(clone(network) if network else None)
    theta = kernel.theta + np.linspace(-0.5, 0.5, kernel.n_dims)
    before, original = kernel(X), kernel.network
    kernel.theta = theta
    assert_allclose(kernel.theta, theta, rtol=1e-14, atol=1e-14)
    assert_allclose(values_of(kernel.network, free), np.exp(theta), rtol=1e-14)
    assert not np.allclose(kernel(X), before)
    assert original == network  # a network is not written to: another kernel may hold it
    kernel.theta = kernel_type(network).theta
    assert_allclose(kernel(X), before, rtol=0, atol=1e-14 * before.max())  # exp(log v) is v to rounding


@kernel_types
@networks
def test_clone_with_theta(kernel_type, network, free):
    kernel = kernel_type(network, variance_bounds=(1e-3, 1e3))
    before = kernel(X)
    other = kernel.clone_with_theta(kernel.theta + 0.3)
    assert type(other) is kernel_type
    assert_allclose(other.theta, kernel.theta + 0.3, rtol=1e-13)
    assert_array_equal(other.bounds, kernel.bounds)
    assert_allclose(other(X), matrix(other, X), rtol=1e-14)
    assert not np.allclose(other(X), before)
    assert_array_equal(kernel(X), before)
    assert kernel.network == network


@networks
def test_theta_of_a_wrong_length(network, free):
    kernel = NNGPKernel(network)
    before = kernel.theta
    for wrong in (before[:-1], np.r_[before, 0.0]):
        with pytest.raises(ValueError, match=rf"theta must have the shape \({len(before)},\).*got .*\({len(wrong)},\)"):
            kernel.theta = wrong
    assert_array_equal(kernel.theta, before)


@pytest.mark.parametrize("bounds", [(0.1, 10.0), [0.1, 10.0], np.array([0.1, 10.0])], ids=["tuple", "list", "array"])
def test_kinds_of_bounds(bounds):
    kernel = NNGPKernel(MLP(), variance_bounds=bounds)
    assert_allclose(kernel.bounds, np.log([[0.1, 10.0]] * 2))
    assert clone(kernel) == kernel


def test_variance_of_zero_is_fixed():
    kernel = NNGPKernel(MLP(bias_variance=0.0))
    fixed = {h.name: h.fixed for h in kernel.hyperparameters}
    assert fixed == {"network__bias_variance": True, "network__weight_variance": False}
    assert kernel.clone_with_theta(kernel.theta + 1.0).network.bias_variance == 0.0


@kernel_types
@networks
def test_clone_equality_and_pickle(kernel_type, network, free):
    kernel = kernel_type(network, variance_bounds=(1e-3, 1e3))
    for copy in (clone(kernel), pickle.loads(pickle.dumps(kernel))):
        assert copy == kernel
        assert copy is not kernel
        assert network is None or copy.network is not network
        assert_array_equal(copy(X), kernel(X))
    assert kernel != kernel_type(network)
    assert kernel != kernel_type(MLP(depth=7), variance_bounds=(1e-3, 1e3))
    assert kernel != kernel.clone_with_theta(kernel.theta + 0.1)
    other_type = NTKKernel if kernel_type is NNGPKernel else NNGPKernel
    assert kernel != other_type(network, variance_bounds=(1e-3, 1e3))
    assert kernel != RBF()


@kernel_types
@networks
def test_repr_shows_the_network(kernel_type, network, free):
    text = repr(kernel_type(network))
    assert text == f"{kernel_type.__name__}({MLP() if network is None else network!r})"
    assert repr(2.0 * kernel_type(network) + WhiteKernel()) == f"1.41**2 * {text} + WhiteKernel(noise_level=1)"


@kernel_types
def test_nested_parameters(kernel_type):
    kernel = kernel_type(MLP(depth=2))
    params = kernel.get_params()
    assert params["network"] is kernel.network
    assert params["network__depth"] == 2
    assert set(kernel.get_params(deep=False)) == {"network", "variance_bounds"}
    assert all(h.name in params for h in kernel.hyperparameters)
    kernel.set_params(network__depth=4, variance_bounds=(0.1, 10.0))
    assert kernel.network.depth == 4
    assert kernel.variance_bounds == (0.1, 10.0)
    kernel.set_params(network=MLP(depth=1))
    assert kernel.network == MLP(depth=1)
    with pytest.raises(ValueError, match="Invalid parameter"):
        kernel.set_params(nonsense=1)
    deep = kernel_type(NETWORKS["sequential"][0])
    assert deep.get_params()["network__layers__4__bias_variance"] == 0.1


@kernel_types
@networks
def test_compositions(kernel_type, network, free):
    own, other = kernel_type(network), NTKKernel(MLP(depth=1, activation="erf"))
    K, T = own(X), other(X)
    cases = [
        (own + other, K + T),
        (own * other, K * T),
        (own**2, K**2),
        (3.0 * own + 1.0, 3.0 * K + 1.0),
        (2.0 * own**2 * other + (other + own) ** 3 + WhiteKernel(0.5), 2 * K**2 * T + (K + T) ** 3 + 0.5 * np.eye(30)),
    ]
    for kernel, expected in cases:
        assert_allclose(kernel(X), expected, rtol=1e-12)
        assert_allclose(kernel.diag(X), np.diag(expected), rtol=1e-12)
        assert kernel.bounds.shape == (kernel.n_dims, 2)
        shifted = kernel.clone_with_theta(kernel.theta + 0.1)
        assert_allclose(shifted.theta, kernel.theta + 0.1, rtol=1e-12)
        assert not np.allclose(shifted(X), expected)
        assert_allclose(kernel(X), expected, rtol=1e-12)
        assert clone(kernel) == kernel
    nested = 2.0 * own + other
    assert_allclose(nested.theta, np.r_[np.log(2.0), own.theta, other.theta])
    assert "k2__network__weight_variance" in [h.name for h in nested.hyperparameters]


@kernel_types
def test_gradient(kernel_type):
    for kernel in (kernel_type(), kernel_type(MLP(1, "erf", input_variance=np.ones(X.shape[1]))), kernel_type() ** 2):
        K, gradient = kernel(X, eval_gradient=True)
        assert_array_equal(K, kernel(X))
        assert gradient.shape == (len(X), len(X), kernel.n_dims)
        for place, step in enumerate(1e-4 * np.eye(kernel.n_dims)):
            up, down = (kernel.clone_with_theta(kernel.theta + sign * step)(X) for sign in (1, -1))
            assert_allclose(gradient[:, :, place], (up - down) / 2e-4, rtol=1e-5, atol=1e-6 * np.abs(gradient).max())
    with pytest.raises(ValueError, match="for Y=None only"):
        kernel_type()(X, X, eval_gradient=True)


def test_kernels_that_do_not_exist():
    with pytest.raises(ValueError, match="has no neural tangent kernel"):
        NTKKernel(MLP(activation="sign"))(X)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        NNGPKernel()(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="X has 4 features and Y has 3"):
        NNGPKernel()(X, X[:, :3])
    with pytest.raises(TypeError, match=r"network must be .* got 'mlp'"):
        NNGPKernel("mlp")(X)


# The estimators that take kernels

USED = {
    "nngp": NNGPKernel(MLP(depth=2)),
    "ntk": NTKKernel(MLP(depth=1, activation="erf")),
    "composed": 0.5 * NTKKernel() + NNGPKernel(MLP(activation="erf")) ** 2,
}
used = pytest.mark.parametrize("kernel", USED.values(), ids=USED.keys())

cancer, diabetes = load_breast_cancer(), load_diabetes()
XC, TARGET_C = scale(cancer.data)[:150], cancer.target[:150]
XD, TARGET_D = scale(diabetes.data)[:120], diabetes.target[:120]
FIT, TEST = slice(0, 100), slice(100, None)


@used
def test_gaussian_process_regressor(kernel):
    model = GaussianProcessRegressor(kernel, alpha=0.5, optimizer=None, normalize_y=True)
    mean, std = model.fit(XD[FIT], TARGET_D[FIT]).predict(XD[TEST], return_std=True)
    A, cross = kernel(XD[FIT]) + 0.5 * np.eye(100), kernel(XD[TEST], XD[FIT])
    location, spread = TARGET_D[FIT].mean(), TARGET_D[FIT].std()
    assert_allclose(mean, location + cross @ np.linalg.solve(A, TARGET_D[FIT] - location), rtol=1e-9)
    variance = kernel.diag(XD[TEST]) - np.einsum("ij,ji->i", cross, np.linalg.solve(A, cross.T))
    assert_allclose(std, spread * np.sqrt(variance), rtol=1e-9)
    assert_allclose(model.kernel_.theta, kernel.theta, rtol=1e-12)
    assert_allclose(model.log_marginal_likelihood(kernel.theta), model.log_marginal_likelihood_value_, rtol=1e-9)
    copy = pickle.loads(pickle.dumps(model))
    assert_allclose(copy.predict(XD[TEST]), mean, rtol=1e-12)


@used
def test_gaussian_process_classifier(kernel):
    model = GaussianProcessClassifier(kernel, optimizer=None).fit(XC[FIT], TARGET_C[FIT])
    binary = model.base_estimator_
    latent = kernel(XC[FIT]) @ (binary.y_train_ - binary.pi_)  # RW (3.17): the mode is f = K ∇log p(y | f)
    assert_allclose(expit(latent), binary.pi_, atol=1e-4)
    latent = kernel(XC[TEST], XC[FIT]) @ (binary.y_train_ - binary.pi_)
    assert_array_equal(model.predict(XC[TEST]), latent > 0)
    assert model.score(XC[TEST], TARGET_C[TEST]) > 0.9
    several = GaussianProcessClassifier(kernel, optimizer=None).fit(X, LABELS)
    assert_allclose(several.predict_proba(NEW).sum(axis=1), 1.0)
    assert several.score(X, LABELS) > 0.8


def same_as_precomputed(make, target, data, result):
    """Fit with the kernel object, and with its matrices, and compare."""

    def test(kernel):
        fitted = make(kernel).fit(data[FIT], target[FIT])
        precomputed = make("precomputed").fit(kernel(data[FIT]), target[FIT])
        expected = result(precomputed, kernel(data[TEST], data[FIT]))
        assert_allclose(result(fitted, data[TEST]), expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
        assert np.ptp(expected) > 0

    return used(test)


def predicted(model, A):
    return model.predict(A)


def decided(model, A):
    return model.decision_function(A)


def transformed(model, A):
    return model.transform(A)


test_kernel_ridge = same_as_precomputed(lambda k: KernelRidge(kernel=k, alpha=0.5), TARGET_D, XD, predicted)
test_svr = same_as_precomputed(lambda k: SVR(kernel=k, C=10.0, tol=1e-9), TARGET_D, XD, predicted)
test_svc = same_as_precomputed(lambda k: SVC(kernel=k, tol=1e-9), TARGET_C, XC, decided)
test_nystroem = same_as_precomputed(
    lambda k: Nystroem(kernel=k, n_components=100, random_state=0), TARGET_D, XD, transformed
)


@used
def test_kernel_pca(kernel):
    fitted = KernelPCA(3, kernel=kernel, eigen_solver="dense").fit(XD[FIT])
    precomputed = KernelPCA(3, kernel="precomputed", eigen_solver="dense").fit(kernel(XD[FIT]))
    assert_allclose(fitted.eigenvalues_, precomputed.eigenvalues_, rtol=1e-9)
    expected = precomputed.transform(kernel(XD[TEST], XD[FIT]))
    assert_allclose(fitted.transform(XD[TEST]), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kernel", [NNGPKernel(MLP(depth=2)), NTKKernel(MLP(depth=3))], ids=["nngp", "ntk"])
def test_spectral_clustering(kernel):
    labels = SpectralClustering(3, affinity=kernel, random_state=0).fit_predict(X)
    expected = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(kernel(X))
    assert_array_equal(labels, expected)
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("make", [lambda k: KernelRidge(kernel=k, alpha=0.5), lambda k: SVR(kernel=k)])
def test_grid_search_over_the_network(make):
    kernel = NNGPKernel(MLP())
    grid = {"kernel__network__depth": [1, 4], "kernel__network__activation": ["relu", "erf"]}
    search = GridSearchCV(make(kernel), grid, cv=3, error_score="raise").fit(XD, TARGET_D)
    assert len(np.unique(search.cv_results_["mean_test_score"].round(12))) == 4
    assert search.best_estimator_.kernel.network.depth == search.best_params_["kernel__network__depth"]
    assert kernel == NNGPKernel(MLP())


@kernel_types
def test_scikit_learn_learns_the_variances(kernel_type):
    kernel = kernel_type(MLP(1, "erf"), variance_bounds=(1e-3, 1e3)) + WhiteKernel()
    given = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(XD, TARGET_D)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a variance at its bound
        learned = GaussianProcessRegressor(kernel, normalize_y=True).fit(XD, TARGET_D)
    assert learned.log_marginal_likelihood_value_ > given.log_marginal_likelihood_value_ + 1
    assert not np.allclose(learned.kernel_.theta, kernel.theta)
