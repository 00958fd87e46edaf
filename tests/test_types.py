"""Type hints as a user's type checker sees them, in an installed package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import infwidth

RIGHT = """
import numpy as np
import numpy.typing as npt
from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.activations import LeakyReLU, get_activation
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.metrics import crps, neg_crps_scorer
from infwidth.networks import MLP, Activation, Dense, Network, Sequential

rng = np.random.default_rng(0)
X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
nngp = NNGPRegressor(optimizer=None, random_state=0).set_params(noise_variance=0.2).fit(X, y)
ntk = NTKRegressor(optimizer=None, training_time=10.0, feature_scaling="power").fit(X, y)
mean, std = nngp.predict(X, return_std=True)
residuals: npt.NDArray[np.float64] = y - ntk.predict(X)
latent = nngp.predict(X, return_cov=True)[1].diagonal() - nngp.predict_std(X) ** 2
draws = nngp.sample_y(X, n_samples=3, random_state=0).mean(axis=1)
stages = [stage.sum() + spread.sum() for stage, spread in ntk.staged_predict(X, [1.0, 2.0], return_std=True)]
classifier = InfiniteNetClassifier(optimizer=None).fit(X.tolist(), y > 0, sample_weight=np.ones(30))
classifier = classifier.partial_fit(X, y > 0, classes=[False, True]).partial_fit(X, y > 0, sample_weight=np.ones(30))
log_loss = -np.log(classifier.predict_proba(X)[:, 1]).mean()
slope = nngp.log_marginal_likelihood(eval_gradient=True)[1]
score: float = crps(y, mean, std) + nngp.log_marginal_likelihood() + neg_crps_scorer(nngp, X, y)

mlp = MLP(3, LeakyReLU(0.1), weight_variance=1.5, input_variance=[1.0, 2.0], learn_activation=True)
chain = Sequential([Dense(weight_variance=np.ones(2), trainable=False), Activation("erf"), Dense()])
wide = MLP(1, "gelu", parametrization="standard", width=512, ard=True).set_params(bias_variance=0.0)
networks: list[Network] = [mlp, chain, mlp.sequential(), mlp.with_hyperparameters(bias_variance=0.2), wide]
K, theta = mlp.kernels(X)
difference: npt.NDArray[np.float64] = chain.nngp(X, X.tolist()) - chain.ntk(X, X) + K @ theta
diagonal = mlp.diag(X, "ntk") + mlp.diag(X, limit="nngp") + chain.nngp(X).diagonal()
names = [name.upper() for name in mlp.hyperparameters()] + [repr(network.lower(2)) for network in networks]
gram, tensor = NNGPKernel(mlp, variance_bounds=(1e-3, 1e3))(X, eval_gradient=True)
symmetric = NTKKernel()(X) + NNGPKernel(chain)(X, X) + gram + tensor.sum(axis=2) + NNGPKernel().theta.sum()
finite = FiniteNetwork(chain, [16], n_features=2, n_networks=3, random_state=0).train(X, y, n_steps=2)
outputs = finite.forward(X).mean(axis=0) + finite.staged_forward(X, X, y, n_steps=[0, 1])[0, 0]
kernels = finite.empirical_nngp(X) + finite.empirical_ntk(X, X) + finite.jacobian(X).shape[0]
biases = [bias.shape for bias in finite.biases_]
slopes = get_activation("erf").derivative([0.0, 1.0]) * LeakyReLU(slope=0.2)(X[0])
"""
# Each line is wrong, for the reason that mypy gives behind it.
WRONG = """
from infwidth import NNGPRegressor, InfiniteNetClassifier
from infwidth.activations import Monomial, get_activation
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel
from infwidth.networks import MLP, Activation, Dense, Sequential
X = [[0.0], [1.0]]
model = NNGPRegressor(optimizer=None).fit(X, [0.0, 1.0])
model.predict(X, return_std="yes")  # call-overload
model.predict(X, return_std=True).mean()  # attr-defined
model.fit(X)  # call-arg
model.log_marginal_likelihood() + model.log_marginal_likelihood(eval_gradient=True)  # operator
NNGPRegressor(optimizer="lbfgs")  # arg-type
InfiniteNetClassifier(limit="NTK")  # arg-type
MLP(parametrization="ntkk")  # arg-type
MLP(activation="tanh")  # arg-type
MLP(depth="2")  # arg-type
MLP(hidden_layers=2)  # call-arg
MLP().diag(X, "NNGP")  # arg-type
MLP().kernels(X).mean()  # attr-defined
MLP().nngp()  # call-arg
Dense(parametrization="standart")  # arg-type
Activation("Relu")  # arg-type
Sequential([Dense(), "relu", Dense()])  # list-item
NNGPKernel("relu")  # arg-type
NNGPKernel()(X, eval_gradient=True).mean()  # attr-defined
FiniteNetwork(MLP())  # call-arg
FiniteNetwork(MLP(), n_features=1).train(X, [0.0, 1.0], n_steps=0.5)  # arg-type
get_activation("swish")  # arg-type
Monomial(degree=6)  # arg-type
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """Return the errors that ``mypy --strict`` finds, as lines."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("types")
    for name, program in (("right", RIGHT), ("wrong", WRONG)):
        (folder / f"{name}.py").write_text(program)
    installed = os.pathsep.join(filter(None, [str(Path(infwidth.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental"]
    found = subprocess.run(
        [*command, "right.py", "wrong.py"],
        cwd=folder,  # not where the package is: its py.typed counts
        env={**os.environ, "PYTHONPATH": installed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode in (0, 1), found.stdout + found.stderr
    return [line for line in found.stdout.splitlines() if ": error: " in line]


def test_right_program(messages):
    assert [line for line in messages if not line.startswith("wrong.py:")] == []  # in the package neither


def test_right_program_runs():
    exec(compile(RIGHT, "right.py", "exec"), {})


def test_wrong_program(messages):
    lines = enumerate(WRONG.splitlines(), 1)
    expected = [(number, line.rpartition("  # ")[2]) for number, line in lines if "  # " in line]
    wrong = [line for line in messages if line.startswith("wrong.py:")]
    assert [(int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]")) for line in wrong] == expected


def test_marker_of_types_is_there():
    assert Path(infwidth.__file__).with_name("py.typed").is_file()
