"""What is said of networks that are none, or that cannot be learned, and what is learned of subclasses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from sklearn.base import clone
from word_cases import X, estimators, target

from infwidth import InfiniteNetClassifier, NNGPRegressor
from infwidth.activations import LeakyReLU, ReLU, get_activation
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP, Activation, Dense, Sequential
from infwidth.networks.theta import theta_of

# Networks

NOT_NETWORKS = [
    (MLP, r"got the class MLP: write MLP\(\)"),
    ("relu", r"got 'relu', an activation: write MLP\(activation='relu'\)"),
    (ReLU(), r"got ReLU\(\), an activation: write MLP\(activation=ReLU\(\)\)"),
    (np.ones((3, 4)), r"got an array of shape \(3, 4\)"),
    (Dense(), r"got Dense\(\)"),
]


@estimators
@pytest.mark.parametrize(("network", "match"), NOT_NETWORKS, ids=[str(case[0]) for case in NOT_NETWORKS])
def test_what_is_no_network(refused, kind, network, match):
    refused(kind, TypeError, "network must be a network of infwidth.networks, .*" + match, network=network)
    for kernel in (NNGPKernel(network), NTKKernel(network)):
        for ask in (lambda k: k(X), lambda k: k.theta, repr):
            with pytest.raises(TypeError, match=match):
                ask(kernel)
    with pytest.raises(TypeError, match=match):
        FiniteNetwork(network, 8, n_features=4)


NOT_ACTIVATIONS = [
    (ReLU, TypeError, r"activation must be a name or an object of .*, got the class ReLU: write ReLU\(\)"),
    ("tanh", ValueError, "'tanh' has no dual in closed form: use 'erf', which is close. The names are abs, .*relu"),
    ("sigmoid", ValueError, "'sigmoid' has no dual in closed form: use 'normal_cdf'"),
    ("swish", ValueError, "'swish' has no dual in closed form: use 'gelu'"),
    ("ReLU", ValueError, "unknown activation 'ReLU'; the names are abs, .*relu, sign"),
    (np.tanh, TypeError, "activation must be a name or an object of infwidth.activations, got .*tanh.*the names are"),
    (None, TypeError, "activation must be a name or an object of infwidth.activations, got None"),
]


@estimators
@pytest.mark.parametrize(
    ("activation", "error", "match"), NOT_ACTIVATIONS, ids=[str(case[0]) for case in NOT_ACTIVATIONS]
)
def test_what_is_no_activation(refused, kind, activation, error, match):
    for network in (MLP(activation=activation), Sequential([Dense(), Activation(activation), Dense()])):
        refused(kind, error, match, network=network)
        for ask in (network.nngp, network.ntk, NNGPKernel(network)):
            with pytest.raises(error, match=match):
                ask(X)


def test_names_and_objects_are_activations():
    assert get_activation("relu") == get_activation(ReLU()) == ReLU()
    assert_array_equal(MLP(activation="relu").nngp(X), MLP(activation=ReLU()).nngp(X))


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        (Dense(), r"layers must be a list of Dense and Activation layers, got Dense\(\)"),
        ([Dense(), "relu", Dense()], r"got 'relu': write Activation\('relu'\)"),
        ([Dense(), ReLU(), Dense()], r"got ReLU\(\): write Activation\(ReLU\(\)\)"),
        ([Dense(), Activation(), Dense], r"got the class Dense: write Dense\(\)"),
        ([Dense(), MLP(), Dense()], r"got MLP\(\)\."),
    ],
    ids=["no list", "name", "object", "class", "network"],
)
def test_what_are_no_layers(layers, match):
    with pytest.raises(TypeError, match=match):
        Sequential(layers).nngp(X)


@pytest.mark.parametrize("value", ["yes", 1, None, np.ones(2)], ids=str)
def test_switches_of_networks(value):
    for network, name in (
        (MLP(ard=value), "ard"),
        (MLP(learn_activation=value), "learn_activation"),
        (Sequential([Dense(trainable=value), Activation(), Dense()]), "trainable"),
        (Sequential([Dense(), Activation(learn=value), Dense()]), "learn"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be True or False, got"):
            network.nngp(X)
    assert_array_equal(MLP(ard=np.True_).nngp(X), MLP().nngp(X))


# What cannot be learned


def apart(**options):
    return Dense(parametrization="standard", width=8, **options)


@estimators
@pytest.mark.parametrize(
    "network",
    [
        MLP(ard=True, parametrization="standard", width=8),
        MLP(input_variance=np.ones(4), parametrization="standard", width=8),
        Sequential([apart(weight_variance=np.ones(4)), Activation(), apart()]),
    ],
    ids=["ard", "array", "Sequential"],
)
def test_single_input_variances_of_the_standard_parametrization(refused, kind, network):
    match = r"the standard parametrization takes one input variance .* parametrization='ntk', or .*\(ard=False\)"
    for optimizer in ("lml", "loo"):
        refused(kind, ValueError, match, network=network, optimizer=optimizer)
    assert kind(network, optimizer=None).fit(X, target(kind)).predict(X).shape == (30,)  # not learned: no matter


@estimators
def test_networks_that_do_not_fit_the_data(refused, kind):
    match = r"\(input_variance\) have shape \(3,\), but X has 4 features"
    refused(kind, ValueError, match, network=MLP(input_variance=np.ones(3)))
    refused(kind, ValueError, "weight_variance is a variance", network=MLP(weight_variance=-1.0))
    if kind is not NNGPRegressor:
        limit = {"limit": "ntk"} if kind is InfiniteNetClassifier else {}
        match = r"Sign\(\) has no neural tangent kernel: .* Use the NNGP kernel, or another activation"
        refused(kind, ValueError, match, network=MLP(activation="sign"), **limit)


# Subclasses with other parameters


class Deep(MLP):
    """No variance is a parameter: none can be learned."""

    def __init__(self, depth=2):
        super().__init__(depth, "erf", weight_variance=1.5)


class Tied(MLP):
    """One variance is."""

    def __init__(self, weight_variance=1.0, activation="erf"):
        super().__init__(1, activation, weight_variance=weight_variance, learn_activation=activation != "erf")


class Relevant(MLP):
    """``ard`` needs a place for what is learned."""

    def __init__(self, ard=True):
        super().__init__(1, "erf", ard=ard)


class Layered(Sequential):
    """A recipe with one parameter."""

    def __init__(self, activation="erf"):
        self.activation = activation
        super().__init__([Dense(), Activation(activation), Dense()])


FEWER = [(Deep(), 0), (Tied(), 1), (Tied(activation=LeakyReLU(0.1)), 2), (Relevant(ard=False), 0), (Layered(), 0)]
subclasses = pytest.mark.parametrize(("network", "n_learned"), FEWER, ids=[type(case[0]).__name__ for case in FEWER])


@estimators
@subclasses
def test_parameters_of_a_subclass_are_what_is_learned(kind, network, n_learned):
    assert len(theta_of(network)) == n_learned
    model = kind(network, random_state=0).fit(X, target(kind))
    assert type(model.network_) is type(network)
    assert model.noise_variance_ != 0.1
    assert (model.network_ == network) == (n_learned == 0)
    again = clone(model.network_)  # nothing that is learned is lost
    assert again == model.network_
    assert_array_equal(again.ntk(X), model.network_.ntk(X))
    fixed = kind(model.network_, optimizer=None, noise_variance=model.noise_variance_, feature_scaling="standard")
    if model.feature_scaler_.__class__.__name__ == "StandardScaler":
        assert_allclose(model.predict(X), fixed.fit(X, target(kind)).predict(X))


@subclasses
@pytest.mark.parametrize("kernel", [NNGPKernel, NTKKernel])
def test_gradients_of_a_subclass(network, n_learned, kernel):
    kernel = kernel(network)
    gradient = kernel(X[:4], eval_gradient=True)[1]
    assert gradient.shape == (4, 4, n_learned)
    assert kernel.bounds.size == 2 * n_learned
    for i, j in ((0, 0), (1, 3)):
        numeric = approx_fprime(kernel.theta, lambda t, i=i, j=j: kernel.clone_with_theta(t)(X[:4])[i, j])
        assert_allclose(gradient[i, j], numeric, rtol=1e-5, atol=1e-7)


@estimators
def test_relevance_needs_a_place(refused, kind):
    match = "Relevant has ard=True, but its __init__ does not take input_variance.*or use ard=False"
    refused(kind, ValueError, match, network=Relevant(), optimizer="lml")
    assert kind(Relevant(), optimizer=None).fit(X, target(kind)).predict(X).shape == (30,)


def test_parameters_of_a_layered_subclass():
    network = Layered()
    assert network.get_params() == {"activation": "erf"}
    assert network.set_params(activation="relu").activation == "relu"
    with pytest.raises(ValueError, match="has no parameter 'depth'"):
        network.set_params(depth=2)
