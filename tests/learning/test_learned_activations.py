"""Learning the parameters of activations, such as the slope of a leaky ReLU."""

import pickle

import numpy as np
import pytest
from learning_cases import best_evidence_from
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from infwidth import NNGPRegressor
from infwidth.activations import RBF, Exp, Gaussian, LeakyReLU, ReLU, Sin
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP, Activation, Dense, Sequential

# --- parameters of activations

X, y = (a[:150] for a in load_diabetes(return_X_y=True))


def learned_and_fixed(activation, **options):
    """The same network with the activation's parameters learned, and left as they are."""
    networks = [MLP(1, activation, learn_activation=learn) for learn in (True, False)]
    return [NNGPRegressor(network, feature_scaling="standard", **options).fit(X, y) for network in networks]


@pytest.mark.parametrize("optimizer", ["lml", "loo"])
def test_the_slope_is_learned(optimizer):
    model, fixed = learned_and_fixed(LeakyReLU(0.1), optimizer=optimizer)
    assert model.network_.activation.slope > 0.2  # these data are nearly linear
    assert model.evidence_[0] > fixed.evidence_[0] + 0.1
    assert fixed.network_.activation == model.network.activation == LeakyReLU(0.1)


@pytest.mark.filterwarnings("ignore:learned variances ended")  # no prior holds what means the same as another
@pytest.mark.parametrize("activation", [Sin(0.3, 0.5), RBF(0.1), Gaussian(0.1), LeakyReLU(0.5)], ids=str)
def test_learned_parameters_are_at_an_optimum(activation):
    model, fixed = learned_and_fixed(activation, prior_std=None)
    assert model.log_marginal_likelihood() > fixed.log_marginal_likelihood() - 0.1
    assert model.network_.activation != activation
    assert fixed.network_.activation == activation
    assert best_evidence_from(model) < model.log_marginal_likelihood() + 0.05
    assert len(model.kernel_.theta) == 4 + len(type(activation).learnable)


def test_layers_have_their_own_slopes():
    layers = [Dense(), Activation(LeakyReLU(0.3), learn=True), Dense(), Activation(LeakyReLU(0.3)), Dense()]
    network = Sequential([*layers, Activation(LeakyReLU(0.3), learn=True), Dense()])
    learned = NNGPRegressor(network, feature_scaling="standard").fit(X, y).network_
    slopes = [learned.layers[place].activation.slope for place in (1, 3, 5)]
    assert slopes[1] == 0.3
    assert len(set(slopes)) == 3
    tied = NNGPRegressor(MLP(3, LeakyReLU(0.3), learn_activation=True), feature_scaling="standard").fit(X, y).network_
    assert len({layer.activation.slope for layer in tied.sequential().layers[1::2]} - {0.3}) == 1


@pytest.mark.parametrize("activation", [LeakyReLU(0.0), Sin(0.5, 0.0), Sin(0.0, 0.5), Exp(0.0)], ids=str)
def test_a_parameter_of_zero_is_fixed(activation):
    network = MLP(1, activation, learn_activation=True)
    model = NNGPRegressor(network, feature_scaling="standard").fit(X[:40], y[:40])
    before, after = activation.get_params(), model.network_.activation.get_params()
    assert all(after[name] == 0.0 if value == 0.0 else after[name] != value for name, value in before.items())


@pytest.mark.parametrize(
    ("activation", "match"),
    [
        (LeakyReLU(-0.1), "learning takes the logarithm of slope: it must be positive, got -0.1"),
        (Sin(1.0, -0.5), "learning takes the logarithm of phase"),
        (LeakyReLU(np.nan), "LeakyReLU: slope must be a finite number"),
        (LeakyReLU("steep"), "LeakyReLU: slope must be a finite number"),
        (RBF(0.0), "RBF: gamma must be positive"),
        (ReLU(), "no parameters to learn"),
        ("leaky_relu", "no parameters to learn: give an object"),
        ("erf", "no parameters to learn"),
    ],
    ids=str,
)
def test_what_cannot_be_learned(activation, match):
    layers = [Dense(), Activation(activation, learn=True), Dense()]
    for network in (MLP(1, activation, learn_activation=True), Sequential(layers)):
        with pytest.raises(ValueError, match=match):
            NNGPRegressor(network).fit(X, y)
        with pytest.raises(ValueError, match=match):
            network.nngp(X)


def test_learning_is_no_part_of_the_kernel():
    learned, fixed = (MLP(2, LeakyReLU(0.2), learn_activation=learn) for learn in (True, False))
    for one, other in zip(learned.kernels(X), fixed.kernels(X), strict=True):
        assert np.all(one == other)


def test_networks_with_learned_activations_are_plain_objects():
    network = MLP(2, LeakyReLU(0.2), learn_activation=True)
    assert repr(network) == "MLP(activation=LeakyReLU(slope=0.2), learn_activation=True)"
    chain = network.sequential()
    assert repr(chain.layers[1]) == "Activation(activation=LeakyReLU(slope=0.2), learn=True)"
    for one in (network, chain):
        again = clone(one)
        assert again == one
        assert pickle.loads(pickle.dumps(one)) == one
        name = [name for name in one.hyperparameters() if name.endswith("slope")][-1]
        changed = one.with_hyperparameters(**{name: 0.4})
        assert changed.get_params()[name] == 0.4
        assert one.get_params()[name] == 0.2
        assert changed != one


def test_scikit_learns_process_learns_an_activation():
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    kernel = NNGPKernel(MLP(1, LeakyReLU(0.1), bias_variance=0.0, learn_activation=True))
    names = [parameter.name for parameter in kernel.hyperparameters if not parameter.fixed]
    assert_allclose(np.exp(kernel.theta[names.index("network__activation__slope")]), 0.1)
    assert len(names) == len(kernel.theta) == len(kernel.bounds)
    start = GaussianProcessRegressor(kernel + WhiteKernel(), normalize_y=True, optimizer=None).fit(scaled, y)
    learned = GaussianProcessRegressor(kernel + WhiteKernel(), normalize_y=True).fit(scaled, y)
    assert learned.kernel_.k1.network.activation.slope > 0.3
    assert learned.log_marginal_likelihood_value_ > start.log_marginal_likelihood_value_ + 10
    assert kernel.network.activation.slope == 0.1


@pytest.mark.parametrize("learn_activation", [False, True])
def test_trial_points_without_a_finite_kernel_are_turned_back_from(learn_activation):
    """The kernel of e^x overflows a few steps away from any start."""
    network = MLP(1, Exp(0.2), learn_activation=learn_activation)
    fixed = NNGPRegressor(network, optimizer=None).fit(X, y)
    learned = NNGPRegressor(network).fit(X, y)
    assert learned.log_marginal_likelihood_value_ > fixed.log_marginal_likelihood_value_ + 10
    assert np.isfinite(learned.predict(X)).all()
