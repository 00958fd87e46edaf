"""Covariances of NTKRegressor are those of something, where kernels are singular too."""

import numpy as np
import pytest
from ntk_cases import LAST_LAYER, NETWORK, NEWM, XM, YM, as_given, close, everything
from numpy.testing import assert_allclose
from scipy.linalg import LinAlgWarning

from infwidth import NTKRegressor
from infwidth.networks import MLP


@pytest.mark.parametrize("include_noise", [True, False])
def test_moments_of_samples(include_noise):
    n_samples = 20_000
    model = NTKRegressor(NETWORK, optimizer=None, training_time=6.0, noise_variance=0.3).fit(XM, YM)
    mean, cov = model.predict(NEWM[:4], return_cov=True)
    if not include_noise:
        cov = cov - 0.3 * model.y_std_**2 * np.eye(4)[:, :, None]
    samples = model.sample_y(NEWM[:4], n_samples, random_state=0, include_noise=include_noise)
    for output in range(3):
        own, C = samples[:, output], cov[:, :, output]
        variance = np.diag(C)
        assert np.all(np.abs(own.mean(axis=1) - mean[:, output]) < 5 * np.sqrt(variance / n_samples))
        assert np.all(np.abs(np.cov(own) - C) < 5 * np.sqrt((np.outer(variance, variance) + C**2) / n_samples))


@pytest.mark.parametrize("network", [NETWORK, MLP(1), LAST_LAYER], ids=["erf", "relu", "last layer"])
@pytest.mark.parametrize("noise_variance", [0.0, 1e-3, 0.5])
def test_the_process_is_less_certain_than_the_ensemble(network, noise_variance):
    trained = NTKRegressor(network, noise_variance=noise_variance, **as_given).fit(XM, YM)
    process = NTKRegressor(network, noise_variance=noise_variance, posterior="ntkgp", **as_given).fit(XM, YM)
    new = np.r_[NEWM, XM, 10 * NEWM, np.zeros((1, 3))]
    close(process.predict(new), trained.predict(new))
    scale = network.ntk(new).diagonal()[:, None]
    assert np.all(process.predict_std(new) ** 2 >= trained.predict_std(new) ** 2 - 1e-10 * scale)


@pytest.mark.parametrize("noise_variance", [0.0, 0.1])
@pytest.mark.parametrize("time", [1e-3, 1.0, 1e2, 1e4, 1e6, 1e8, np.inf])
def test_covariances_are_positive(time, noise_variance):
    """Duplicate rows among the training and the new rows, and new rows that were trained on."""
    rows, new = np.r_[XM, XM[:5]], np.r_[NEWM, NEWM, XM[:3], 3 * NEWM]
    model = NTKRegressor(MLP(1, "erf"), noise_variance=noise_variance, training_time=time, **as_given)
    if noise_variance == 0.0:
        with pytest.warns(LinAlgWarning, match="added to its diagonal.*noise_variance"):
            model.fit(rows, rows[:, 0])
    else:
        model.fit(rows, rows[:, 0])
    cov = model.predict(new, return_cov=True)[1] - noise_variance * np.eye(len(new))
    assert np.all(cov == cov.T)
    values = np.linalg.eigvalsh(cov)
    assert values[-1] > 0
    assert values[0] >= -1e-10 * values[-1]
    assert np.all(np.diag(cov) <= MLP(1, "erf").diag(new) * (1 + 1e-9))  # training takes variance away


@pytest.mark.parametrize("options", [{}, {"training_time": 1e5}, {"posterior": "ntkgp"}], ids=["end", "1e5", "ntkgp"])
def test_duplicate_rows_without_noise_warn_and_interpolate(options):
    model = NTKRegressor(NETWORK, optimizer=None, noise_variance=0, **options)
    with pytest.warns(LinAlgWarning, match="added to its diagonal.*noise_variance"):
        model.fit(np.r_[XM, XM], np.r_[YM, YM])
    assert 0 < model.jitter_ < 1e-4
    assert all(np.isfinite(part).all() for part in everything(model, NEWM))
    assert np.isfinite(model.max_learning_rate())
    if not options.get("training_time"):
        assert_allclose(model.predict(XM), YM, rtol=0, atol=1e-3)


def test_contradictory_targets_without_noise_give_their_mean():
    model = NTKRegressor(NETWORK, optimizer=None, noise_variance=0, normalize_y=False)
    with pytest.warns(LinAlgWarning, match="not positive definite to working precision"):
        model.fit(np.r_[XM, XM[:1]], np.r_[YM[:, 0], YM[0, 0] + 2.0])
    assert_allclose(model.predict(XM[:1]), YM[0, 0] + 1.0, rtol=0, atol=1e-3)
    for mean, std in model.staged_predict(XM[:1], [1e8, 1e16, 1e24, np.inf], return_std=True):
        assert_allclose(mean, YM[0, 0] + 1.0, rtol=0, atol=0.01)
        assert np.all(std < 0.1)


def test_late_times_stay_bounded_where_the_kernel_is_singular():
    """Of 30 rows on a line an erf network tells about 20 apart: the rest is rounding, and noise as small as that."""
    x = np.linspace(-1, 1, 30)[:, None]
    new = np.linspace(-1.2, 1.2, 13)[:, None]
    model = NTKRegressor(MLP(1, "erf"), noise_variance=1e-12, **as_given).fit(x, np.sin(3 * x[:, 0]))
    assert model.jitter_ == 0.0
    end, end_std = next(model.staged_predict(new, [np.inf], return_std=True))
    assert_allclose(end[1:-1], np.sin(3 * new[1:-1, 0]), rtol=0, atol=0.01)
    assert np.all(end_std < 0.01)
    for mean, std in model.staged_predict(new, [1e17, 1e20, 1e30], return_std=True):
        assert_allclose(mean, end, rtol=0, atol=1e-4)
        assert_allclose(std, end_std, rtol=0, atol=1e-5)
