"""What networks take, and the sentences they answer with to what they do not take."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from infwidth.networks import MLP, Activation, Dense, Network, Sequential

X = np.random.default_rng(0).standard_normal((6, 4))
BAD_VARIANCES = [-1.0, np.nan, np.inf, "large", None, [1.0, 2.0]]
TOO_LARGE = "row 1 with itself is not finite: its features are too large for this network.*Scale the features"


def sandwich(*layers):
    return Sequential([Dense(), *layers, Dense()])


def standard(width=None, **options):
    return Dense(parametrization="standard", width=width, **options)


# Inputs


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda A: np.repeat(A, 2, axis=0)[::2],
        lambda A: A[::-1][::-1],
        lambda A: A.tolist(),
        lambda A: [tuple(row) for row in A],
    ],
    ids=["fortran", "strided", "reversed", "lists", "tuples"],
)
def test_array_likes(convert):
    for kernel, expected in zip(MLP().kernels(convert(X), convert(X[:2])), MLP().kernels(X, X[:2]), strict=True):
        assert_array_equal(kernel, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, bool])
def test_other_types_are_computed_in_double_precision(dtype):
    A = (3 * X).astype(dtype)
    for kernel, expected in zip(MLP().kernels(A), MLP().kernels(A.astype(float)), strict=True):
        assert kernel.dtype == np.float64
        assert_array_equal(kernel, expected)


def test_inputs_are_read_only():
    A = X.copy()
    A.flags.writeable = False
    first, second = MLP().nngp(A), MLP().nngp(A)
    assert_array_equal(first, second)
    first[:] = 0  # the caller's own: nothing is cached
    assert_array_equal(MLP().nngp(A), second)
    assert_array_equal(A, X)


def test_one_row_and_one_feature():
    K, T = MLP(depth=1, bias_variance=0.0).kernels([[3.0]])
    np.testing.assert_allclose([K, T], [[[18.0]], [[36.0]]], rtol=1e-15)  # K = x² w, and Θ = (depth + 1) K


@pytest.mark.parametrize("limit", ["nngp", "ntk"])
@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        ([[1.0, np.nan], [1.0, 2.0]], ValueError, "Input X contains NaN"),
        ([[1.0, np.inf], [1.0, 2.0]], ValueError, "Input X contains infinity"),
        ([1.0, 2.0], ValueError, "Expected 2D array"),
        (np.zeros((2, 2, 2)), ValueError, "dim 3"),
        (np.zeros((0, 2)), ValueError, r"Found array with 0 sample\(s\)"),
        (np.zeros((2, 0)), ValueError, r"Found array with 0 feature\(s\)"),
        ([["a", "b"]], ValueError, r"X has text in columns 0, 1 \('a'\)"),
        (np.array([[1j, 2.0]]), ValueError, "Complex data not supported"),
        (sparse.csr_array(np.eye(2)), TypeError, "X is sparse, but dense data is required"),
    ],
    ids=["nan", "inf", "1d", "3d", "no rows", "no features", "strings", "complex", "sparse"],
)
def test_bad_inputs(limit, bad, error, match):
    for call in (lambda: getattr(MLP(), limit)(bad), lambda: MLP().diag(bad, limit)):
        with pytest.raises(error, match=match):
            call()


def test_bad_second_input_is_called_by_its_name():
    with pytest.raises(ValueError, match="Input Y contains NaN"):
        MLP().nngp(X, np.full((2, 4), np.nan))


def test_different_numbers_of_features():
    with pytest.raises(ValueError, match="X has 4 features and Y has 3: a kernel needs the same number"):
        MLP().ntk(X, X[:, :3])


@pytest.mark.parametrize("limit", ["NTK", "gp", None])
def test_unknown_limit(limit):
    with pytest.raises(ValueError, match="limit must be 'nngp' or 'ntk', got"):
        MLP().diag(X, limit)


@pytest.mark.parametrize("activation", ["relu", "gelu", "monomial", "exp", "erf", "sign", "sin", "rbf", "gaussian"])
def test_features_whose_variance_overflows(activation):
    """Also where the activation is bounded: a covariance that is not finite has no correlation."""
    network = MLP(activation=activation)
    for call in (network.nngp, network.diag, lambda A: network.nngp(A, X)):
        with pytest.raises(ValueError, match=TOO_LARGE):
            call(np.vstack([X[0], 1e200 * X[1], X[2]]))


def test_second_input_whose_variance_overflows():
    with pytest.raises(ValueError, match=TOO_LARGE):
        MLP().ntk(X, np.vstack([X[0], 1e200 * X[1]]))


def test_kernel_overflows_on_the_way():
    with pytest.raises(ValueError, match="row 0 with itself is not finite"):
        MLP(depth=4, weight_variance=1e100).nngp(X)
    with pytest.raises(ValueError, match="row 0 with itself is not finite"):
        sandwich(
            Activation("relu"),
            Dense(weight_variance=1e300),
            Activation("relu"),
            Dense(weight_variance=1e300),
            Activation("erf"),
        ).nngp(X)


# Layers


@pytest.mark.parametrize("value", [0.0, *BAD_VARIANCES[:-1]])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_bad_weight_variance(place, value):
    network = sandwich(Activation(), Dense(), Activation()).set_params(**{f"layers__{place}__weight_variance": value})
    with pytest.raises(ValueError, match="weight_variance is a variance: it must be a positive number, got"):
        network.nngp(X)


@pytest.mark.parametrize("value", BAD_VARIANCES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_bad_bias_variance(place, value):
    network = sandwich(Activation(), Dense(), Activation()).set_params(**{f"layers__{place}__bias_variance": value})
    with pytest.raises(ValueError, match="bias_variance is a variance: it must be a number, 0 or larger, got"):
        network.nngp(X)


@pytest.mark.parametrize("name", ["weight_variance", "input_variance", "output_variance"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "large"])
def test_bad_variance_of_an_mlp_is_called_by_its_name(name, value):
    with pytest.raises(ValueError, match=name):
        MLP(**{name: value}).nngp(X)


@pytest.mark.parametrize("value", [[1.0], [1.0] * 5, [[1.0] * 4], np.ones((4, 1))])
def test_shape_of_input_variances(value):
    with pytest.raises(ValueError, match=r"\(input_variance\) have shape .* but X has 4 features: give one number, or"):
        MLP(input_variance=value).nngp(X)


@pytest.mark.parametrize("value", [[1.0, -1.0, 1.0, 1.0], [1.0, np.nan, 1.0, 1.0], [np.inf] * 4, [0.0] * 4])
def test_values_of_input_variances(value):
    with pytest.raises(ValueError, match=r"\(input_variance\) must be finite, none negative and one positive"):
        MLP(input_variance=value).nngp(X)


@pytest.mark.parametrize("place", [2, 4])
def test_only_the_first_layer_takes_one_variance_a_feature(place):
    network = sandwich(Activation(), Dense(), Activation())
    network.set_params(**{f"layers__{place}__weight_variance": np.ones(4)})
    with pytest.raises(ValueError, match="only the first Dense layer takes an array of weight variances"):
        network.nngp(X)
    for name in ("weight_variance", "output_variance"):
        with pytest.raises(ValueError, match="variance"):
            MLP(input_variance=1.0, **{name: np.ones(4)}).nngp(X)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("value", ["mup", None])
def test_unknown_parametrization(place, value):
    network = sandwich(Activation()).set_params(**{f"layers__{place}__parametrization": value})
    with pytest.raises(ValueError, match="parametrization must be 'ntk' or 'standard', got"):
        network.nngp(X)


def test_standard_parametrization_needs_the_width_before():
    with pytest.raises(ValueError, match="needs the width of the layer before: give that Dense a width"):
        Sequential([standard(), Activation(), standard(64)]).ntk(X)
    frozen = Sequential([standard(), Activation(), standard(trainable=False)])
    assert np.all(np.isfinite(frozen.ntk(X)))


@pytest.mark.parametrize("width", [0, -5, 2.5, "wide", True])
def test_bad_width_of_a_layer(width):
    with pytest.raises(ValueError, match=r"width.*positive integer.*got"):
        Sequential([standard(width), Activation(), standard()]).ntk(X)


def test_standard_parametrization_takes_one_input_variance():
    with pytest.raises(ValueError, match="takes one input variance for all features"):
        MLP(parametrization="standard", width=64, input_variance=[1.0, 2.0, 3.0, 4.0]).ntk(X)
    equal = MLP(parametrization="standard", width=64, input_variance=[2.0] * 4)
    assert_array_equal(equal.ntk(X), MLP(parametrization="standard", width=64).ntk(X))


# Networks


@pytest.mark.parametrize("depth", [0, -1, 1.5, 2.0, True, "2", None])
def test_bad_depth(depth):
    with pytest.raises(ValueError, match="depth is the number of hidden layers: an integer, 1 or larger; got"):
        MLP(depth=depth).nngp(X)


@pytest.mark.parametrize("width", [None, 0, -3, 2.5, True, "wide"])
def test_bad_width(width):
    with pytest.raises(ValueError, match=r"width.*positive integer.*got"):
        MLP(parametrization="standard", width=width).nngp(X)


def test_width_without_a_meaning():
    with pytest.raises(ValueError, match="width has a meaning with parametrization='standard' only"):
        MLP(width=64).nngp(X)


def test_numpy_integers():
    assert_array_equal(MLP(depth=np.int64(3)).nngp(X), MLP(depth=3).nngp(X))
    standard_width = MLP(parametrization="standard", width=np.int32(64))
    assert_array_equal(standard_width.ntk(X), MLP(parametrization="standard", width=64).ntk(X))


@pytest.mark.parametrize("layer", ["relu", MLP(), None, Dense])
def test_layers_of_a_sequential(layer):
    network = sandwich(Activation())
    network.layers[1] = layer
    with pytest.raises(TypeError, match="Sequential takes Dense and Activation layers, got"):
        network.lower(4)


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [Activation()],
        [Activation(), Dense()],
        [Dense(), Activation()],
        [Dense(), Activation(), Dense(), Activation()],
    ],
)
def test_ends_of_a_sequential(layers):
    with pytest.raises(ValueError, match="must begin and end with a Dense layer"):
        Sequential(layers).nngp(X)


def test_two_activations_in_a_row():
    with pytest.raises(ValueError, match="two activations in a row have no Gaussian limit: put a Dense layer between"):
        sandwich(Activation("relu"), Activation("erf")).nngp(X)


def test_two_dense_layers_in_a_row_are_a_linear_network():
    K = Sequential([Dense(weight_variance=2.0, bias_variance=0.1), Dense(weight_variance=3.0, bias_variance=0.2)]).nngp(
        X
    )
    np.testing.assert_allclose(K, 0.2 + 3.0 * (0.1 + 2.0 * X @ X.T / 4), rtol=1e-14)
    np.testing.assert_allclose(
        Sequential([Dense(weight_variance=2.0, bias_variance=0.1)]).ntk(X), 0.1 + 2.0 * X @ X.T / 4, rtol=1e-14
    )


@pytest.mark.parametrize("name", ["layer", "layers__7__bias_variance", "layers__0__slope", "layers__0", "depth"])
def test_unknown_parameter_of_a_sequential(name):
    with pytest.raises(ValueError, match=rf"Sequential has no parameter '{name}'; its parameters are \['layers', "):
        sandwich(Activation()).set_params(**{name: 1.0})


def test_unknown_activation_of_a_layer():
    with pytest.raises(ValueError, match="unknown activation 'rleu'"):
        sandwich(Activation("rleu")).nngp(X)


def test_lower_is_what_a_subclass_brings():
    with pytest.raises(NotImplementedError):
        Network().nngp(X)


def test_input_variances_that_are_no_numbers():
    with pytest.raises(ValueError, match=r"variances \(input_variance\) must be numbers, got"):
        MLP(input_variance=["a", "b", "c", "d"]).nngp(X)
