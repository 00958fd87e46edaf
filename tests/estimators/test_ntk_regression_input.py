"""What NTKRegressor refuses and in which words, and the state a failure leaves behind."""

import numpy as np
import pytest
from ntk_cases import NETWORK, NEWM, XM, YM
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError

from infwidth import NTKRegressor
from infwidth.networks import MLP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training_time": -1.0}, "training_time must be a number, 0 or larger, or inf; got -1.0"),
        ({"training_time": np.nan}, "training_time must be a number, 0 or larger, or inf; got nan"),
        ({"training_time": None}, "training_time must be a number.*got None"),
        ({"training_time": True}, "training_time must be a number.*got True"),
        ({"training_time": "inf"}, "training_time must be a number, inf or 'validation'; got 'inf'"),
        ({"training_time": np.ones(2)}, "training_time must be a number"),
        ({"posterior": "gp"}, "posterior must be 'ensemble' or 'ntkgp', got 'gp'"),
        ({"posterior": None}, "posterior must be 'ensemble' or 'ntkgp', got None"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number or None, got 0.0"),
        ({"learning_rate": np.inf}, "learning_rate must be a positive number or None, got inf"),
        ({"learning_rate": np.nan}, "learning_rate must be a positive number or None, got nan"),
        ({"learning_rate": "fast"}, "learning_rate must be a positive number or None, got 'fast'"),
        ({"momentum": 0.5}, "momentum is a property of steps: give a learning_rate"),
        ({"momentum": 1.0, "learning_rate": 0.1}, "momentum must be a number, at least 0 and below 1; got 1.0"),
        ({"momentum": -0.1, "learning_rate": 0.1}, "momentum must be a number, at least 0 and below 1; got -0.1"),
        ({"momentum": np.nan, "learning_rate": 0.1}, "momentum must be a number.*got nan"),
        ({"momentum": None}, "momentum must be a number.*got None"),
        ({"momentum": "heavy", "learning_rate": 0.1}, "momentum must be a number.*got 'heavy'"),
        (
            {"training_time": 1.0, "learning_rate": 0.3},
            "must be a multiple of learning_rate: 1.0 is 3.33333 x 0.3",
        ),
        ({"training_time": 5.0, "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"training_time": "validation", "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"learning_rate": 0.1, "posterior": "ntkgp"}, "'ntkgp' has no training time"),
        ({"noise_variance": -0.1, "optimizer": None}, "noise_variance is a variance.*0 or larger, got -0.1"),
        ({"noise_variance": 0.0}, "noise_variance is a variance.*positive number, got 0.0"),
        ({"optimizer": "adam"}, "optimizer must be 'lml', 'loo', a callable or None, got 'adam'"),
        ({"n_restarts_optimizer": -1}, "n_restarts_optimizer must be an integer, 0 or larger; got -1"),
        ({"max_optimizer_samples": 0}, "max_optimizer_samples must be an integer, 1 or larger; got 0"),
        ({"max_optimizer_time": -1}, "max_optimizer_time must be a positive number or None, got -1"),
        ({"prior_std": 0}, "prior_std must be a positive number or None, got 0"),
        ({"feature_scaling": "minmax"}, "feature_scaling must be .*'standard'.* got 'minmax'"),
        ({"solver": "lu"}, "solver must be .*'cholesky'.*got 'lu'"),
        ({"max_memory": "lots", "optimizer": None}, "max_memory must be .*got 'lots'"),
        ({"n_jobs": 0, "optimizer": None}, "n_jobs"),
        ({"random_state": "seed"}, "'seed' cannot be used to seed"),
        ({"random_state": "seed", "optimizer": None, "training_time": "validation"}, "'seed' cannot be used to seed"),
        ({"network": MLP(activation="sign"), "optimizer": None}, "derivative"),
    ],
    ids=str,
)
def test_parameters_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NTKRegressor(**options).fit(XM, YM)


def test_a_network_that_is_none():
    with pytest.raises(TypeError, match=r"network must be a network .* got 'mlp'"):
        NTKRegressor("mlp").fit(XM, YM)


def test_a_bad_learning_rate_is_refused_before_learning(no_kernels):
    no_kernels()
    with pytest.raises(ValueError, match="multiple of learning_rate"):
        NTKRegressor(training_time=1.0, learning_rate=0.3).fit(XM, YM)


@pytest.mark.parametrize("bad", [-1.0, np.nan, None, True, "late"])
def test_times_that_are_refused(bad):
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    for ask in (lambda: model.staged_predict(NEWM, [1.0, bad]), lambda: model.training_loss([bad])):
        with pytest.raises(ValueError, match="a training time must be a number, 0 or larger, or inf"):
            ask()


def test_the_process_has_no_training_time():
    model = NTKRegressor(NETWORK, optimizer=None, posterior="ntkgp").fit(XM, YM)
    with pytest.raises(ValueError, match="staged_predict is for posterior='ensemble'"):
        model.staged_predict(NEWM, [1.0])
    with pytest.raises(ValueError, match="training_loss is for posterior='ensemble'"):
        model.training_loss([1.0])
    assert model.training_time_ == np.inf
    assert model.max_learning_rate() > 0


def test_unfitted_model():
    model = NTKRegressor()
    for ask in (
        lambda: model.predict(NEWM),
        lambda: model.staged_predict(NEWM, [1.0]),
        lambda: model.training_loss([1.0]),
        model.loo_predict,
    ):
        with pytest.raises(NotFittedError):
            ask()
    with pytest.raises(NotFittedError):
        _ = model.max_learning_rate()


def test_a_fit_that_failed_changes_nothing():
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    before = model.predict(NEWM)
    model.set_params(learning_rate=1e6)
    with pytest.raises(ValueError, match="diverges"):
        model.fit(2.0 * XM, -YM)
    assert_allclose(model.predict(NEWM), before, rtol=1e-15)


def test_new_rows_that_are_refused():
    model = NTKRegressor(NETWORK, optimizer=None).fit(XM, YM)
    with pytest.raises(ValueError, match="X has 2 features, but NTKRegressor is expecting 3 features"):
        model.staged_predict(NEWM[:, :2], [1.0])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.staged_predict(np.full((1, 3), np.nan), [1.0])


def test_fit_leaves_parameters_alone():
    model = NTKRegressor(NETWORK, optimizer=None, training_time="validation", learning_rate=0.5, random_state=0)
    before = model.get_params()
    model.fit(XM, YM)
    after = model.get_params()
    assert all(after[name] is before[name] for name in before)
    assert model.network == NETWORK == model.network_
