"""What is said of data that are not valid: one sentence, before any work, and the model of before stays."""

import datetime

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from word_cases import NETWORK, X, estimators, label, regressors, target, y

from infwidth import InfiniteNetClassifier, NNGPRegressor
from infwidth.finite import FiniteNetwork
from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP

# Text and dates

TEXT = r"X has text in column 4 \('red'\).*OneHotEncoder\(sparse_output=False\) or OrdinalEncoder"
DATES = r"X has dates or durations in column 4.*convert.*days since the first date"
names = np.array(["red", "green", "blue"])[label]
DAYS = np.datetime64("2020-01-31") + np.arange(30)


def with_column(cells):
    table = np.empty((30, 5), dtype=object)
    table[:, :4], table[:, 4] = X, cells
    return table


@estimators
@pytest.mark.parametrize(
    "cells",
    [np.where(label == 0, "red", "blue"), ["red", None] * 15, ["3", "red"] * 15],
    ids=["text", "missing", "numerals"],
)
def test_text_in_an_array(refused, kind, cells):
    refused(kind, ValueError, TEXT, with_column(cells))
    model = kind(NETWORK, optimizer=None).fit(np.c_[X, y], target(kind))
    with pytest.raises(ValueError, match=TEXT):
        model.predict(with_column(cells))


@estimators
def test_text_in_every_column(refused, kind):
    refused(kind, ValueError, r"X has text in columns 0, 1 \('red'\)", np.full((30, 2), "red"))
    refused(kind, ValueError, r"X has text in columns 0, 1 \('red'\)", [["red", "blue"]] * 30)
    refused(kind, ValueError, r"X has text in columns 0, 1, 2, 3, 4 and 95 more \('red'\)", np.full((30, 100), "red"))


@estimators
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_in_a_data_frame(refused, kind, library):
    frames = pytest.importorskip(library)
    columns = {"width": X[:, 0], "colour": names.tolist(), "length": X[:, 1], "shape": ["round", None, "flat"] * 10}
    match = r"X has text in columns 'colour', 'shape' \('red'\).*OneHotEncoder"
    refused(kind, ValueError, match, frames.DataFrame(columns))
    columns = {"width": X[:, 0], "day": DAYS.tolist(), "length": X[:, 1]}
    match = r"X has dates or durations in column 'day'.*convert"
    refused(kind, ValueError, match, frames.DataFrame(columns))


@estimators
def test_types_of_pandas(refused, kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"width": X[:, 0], "length": X[:, 1]})
    match = r"X has text in column 'colour' \('red'\)"
    refused(kind, ValueError, match, frame.assign(colour=pandas.Categorical(names)))
    for cells in (
        pandas.Series(DAYS),
        pandas.Series(DAYS).dt.tz_localize("UTC"),
        pandas.Series(DAYS - DAYS[0]),
        pandas.period_range("2020-01", periods=30, freq="M"),
    ):
        refused(kind, ValueError, "X has dates or durations in column 'day'", frame.assign(day=cells))
    refused(kind, ValueError, "X has dates or durations in column 'day'", pandas.DataFrame({"day": DAYS}))
    good = frame.assign(size=pandas.Categorical(label), known=pandas.array([True, False] * 15, dtype="boolean"))
    expected = kind(NETWORK, optimizer=None).fit(good.to_numpy(dtype=float), target(kind))
    model = kind(NETWORK, optimizer=None).fit(good, target(kind))
    assert_array_equal(model.predict(good), expected.predict(good.to_numpy(dtype=float)))


@estimators
@pytest.mark.parametrize(
    "cells",
    [DAYS, [datetime.date(2020, 1, 31)] * 30, [datetime.timedelta(3)] * 30, (DAYS - DAYS[0]).tolist(), [DAYS[3]] * 30],
    ids=["datetime64", "date", "timedelta", "timedelta64", "cells"],
)
def test_dates_in_an_array(refused, kind, cells):
    refused(kind, ValueError, DATES, with_column(cells))


@estimators
def test_nothing_but_dates(refused, kind):
    """NumPy makes numbers of them without a word."""
    refused(kind, ValueError, "X has dates or durations in column 0", DAYS[:, None])


@regressors
def test_targets_that_are_no_numbers(refused, kind):
    for text in (names, names.astype(object), names.tolist(), names[:, None]):
        refused(kind, ValueError, r"y has text.* \('red'\).*InfiniteNetClassifier", targets=text)
    refused(kind, ValueError, "y has dates or durations.*convert", targets=DAYS)
    refused(kind, ValueError, "y has dates or durations in column 1.*convert", targets=with_column(DAYS)[:, 3:])


@estimators
def test_numerals_are_numbers(kind):
    model = kind(NETWORK, optimizer=None).fit(X.astype(str), target(kind))
    assert_array_equal(model.predict(X), kind(NETWORK, optimizer=None).fit(X, target(kind)).predict(X))


# Masked, sparse and one-hot


@estimators
def test_masked_arrays(refused, kind):
    masked = np.ma.masked_greater(X, 6.0)
    match = rf"X is a masked array with {masked.mask.sum()} masked values.*leave out their rows"
    refused(kind, ValueError, match, masked)
    goal = np.ma.masked_array(target(kind), mask=np.arange(30) < 3)
    refused(kind, ValueError, "y is a masked array with 3 masked values", targets=goal)
    weight = np.ma.masked_array(np.ones(30), mask=np.arange(30) < 3)
    refused(kind, ValueError, "sample_weight is a masked array with 3 masked values", weight=weight)
    model = kind(NETWORK, optimizer=None).fit(np.ma.masked_array(X), target(kind))  # nothing is masked
    with pytest.raises(ValueError, match=match):
        model.predict(masked)


@estimators
def test_sparse_inputs(refused, kind):
    match = r"X is sparse, but dense data is required: .*toarray.*OneHotEncoder\(sparse_output=False\)"
    for make in (scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        refused(kind, TypeError, match, make(X))
    refused(kind, TypeError, "y is sparse, but dense data", targets=scipy.sparse.csr_matrix(np.atleast_2d(label).T))
    for sparse_output in (True, False):
        pipeline = make_pipeline(OneHotEncoder(sparse_output=sparse_output), kind(NETWORK, optimizer=None))
        if not sparse_output:
            assert pipeline.fit(X, target(kind)).predict(X).shape == (30,)
            continue
        with pytest.raises(TypeError, match=match):
            pipeline.fit(X, target(kind))


def test_one_hot_classes(refused):
    pandas = pytest.importorskip("pandas")
    match = r"y should be a 1d array, got an array of shape \(30, 3\).*one class a row.*np.argmax\(y, axis=1\)"
    one_hot = np.eye(3, dtype=int)[label]
    for classes in (one_hot, one_hot.astype(float), one_hot.astype(bool), one_hot.tolist(), pandas.get_dummies(names)):
        refused(InfiniteNetClassifier, ValueError, match, targets=classes)
    taken = InfiniteNetClassifier(NETWORK, optimizer=None).fit(X, np.argmax(one_hot, axis=1))
    assert_array_equal(taken.predict(X), InfiniteNetClassifier(NETWORK, optimizer=None).fit(X, label).predict(X))


def test_the_same_words_elsewhere():
    """Wherever a table is taken, the same is said of it."""
    finite = FiniteNetwork(NETWORK, 4, n_features=5, random_state=0)
    takers = [MLP().nngp, MLP().ntk, MLP().diag, NNGPKernel(), NTKKernel().diag, finite.forward, finite.empirical_ntk]
    takers += [lambda table: MLP().nngp(np.c_[X, y], table), lambda table: finite.train(np.c_[X, y], table)]
    warp = NNGPRegressor(optimizer=None, feature_scaling="power").fit(np.c_[X, y], y).feature_scaler_
    takers += [clone(warp).fit, warp.transform]
    for take in takers:
        for table, error, match in (
            (with_column(names), ValueError, r"has text in column 4 \('red'\)"),
            (with_column(DAYS), ValueError, "has dates or durations in column 4"),
            (np.ma.masked_greater(np.c_[X, y], 6.0), ValueError, "is a masked array with"),
            (scipy.sparse.csr_matrix(np.c_[X, y]), TypeError, "is sparse, but dense data is required"),
        ):
            with pytest.raises(error, match=match):
                take(table)
