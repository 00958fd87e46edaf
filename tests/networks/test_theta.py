"""The logarithms of what a network learns, and the derivatives of its program along them."""

import numpy as np
import pytest
from gradient_cases import N_FEATURES, differences
from numpy.testing import assert_allclose

from infwidth.networks import MLP, Activation, Dense, Sequential
from infwidth.networks.theta import theta_directions, theta_of, with_theta


@pytest.mark.parametrize(
    "network",
    [
        MLP(3),
        MLP(2, "erf", bias_variance=0.0, input_variance=[0.5, 0.7, 2.0], output_variance=0.6),
        MLP(1, "sin", parametrization="standard", width=5, input_variance=1.2),
        Sequential([Dense(trainable=False), Activation("erf"), Dense(trainable=False), Activation(), Dense()]),
        Sequential([Dense(parametrization="standard", width=4), Activation(), Dense(parametrization="standard")]),
    ],
    ids=["tied", "array", "standard", "frozen", "standard layers"],
)
def test_directions_are_derivatives_of_the_program(network):
    """Each entry of theta moves the numbers of dense layers, and the logarithms of the input variances."""
    theta, n = theta_of(network), N_FEATURES

    def numbers(theta):
        program = with_theta(network, theta).lower(n)
        dense = [operation.parameters() for operation in program.operations[::2]]
        return np.concatenate([*dense, 2.0 * np.log(program.input_scale)])

    directions = theta_directions(network, n)
    assert len(directions) == len(theta)
    found = [np.append(direction.operations[::2].ravel(), direction.log_input) for direction in directions]
    assert_allclose(found, differences(numbers, theta), rtol=1e-9, atol=1e-10)
