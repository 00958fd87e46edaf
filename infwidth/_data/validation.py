"""What is said of parameters and data that are not valid: what is wrong, and what to do."""

import datetime
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
from scipy.sparse import issparse

LONGEST, MOST_NAMES = 80, 5  # characters of a value, and columns, in a message
ENCODE = (
    "encode it, for example with OneHotEncoder(sparse_output=False) or OrdinalEncoder in a ColumnTransformer before "
    "the model"
)
DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def shown(value: Any) -> str:
    """Return a value as messages show it."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def require_choice(name: str, value: Any, choices: tuple[str | None, ...], also: str | None = None) -> None:
    """Raise unless a parameter is one of the choices; ``also`` names what else was possible."""
    if (value is None or isinstance(value, str)) and value in choices:
        return
    words = [repr(choice) for choice in choices if choice is not None]
    words += [word for word in (also, "None" if None in choices else None) if word]
    raise ValueError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, got {shown(value)}.")


def require_bool(name: str, value: Any) -> None:
    """Raise unless a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")


def require_count(name: str, value: Any, lowest: int) -> None:
    """Raise unless a parameter is an integer that is not below the lowest."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name} must be an integer, {lowest} or larger; got {shown(value)}.")


def require_positive(name: str, value: Any) -> None:
    """Raise unless a parameter is a positive finite number, or None."""
    if value is not None and not (is_number(value) and 0 < value < np.inf):
        raise ValueError(f"{name} must be a positive number or None, got {shown(value)}.")


def is_number(value: Any) -> bool:
    """Whether a value is one real number, NaN and infinity included, in the range of floats."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_valid_table(X: Any, n_features: int) -> TypeGuard[np.ndarray]:
    """Whether X is for sure what scikit-learn's ``validate_data`` would return of it, unchanged and unnamed.

    Those checks take longer than the prediction of a row.
    """
    plain = type(X) is np.ndarray and X.dtype == np.float64 and X.dtype.isnative
    return plain and X.ndim == 2 and len(X) > 0 and X.shape[1] == n_features and bool(np.isfinite(X).all())


def require_numbers(name: str, values: Any, of_text: str = ENCODE) -> None:
    """Raise where data are not a table of numbers in a way that NumPy and scikit-learn do not see, or hardly explain.

    Parameters
    ----------
    name : str
        Of the data, "X" say.
    values : object
        As a user passes it; what is not seen to be wrong passes.
    of_text : str, default=ENCODE
        What to do about text.

    Raises
    ------
    ValueError
        For masked values, text, and dates or durations, with the names of the columns.
    TypeError
        For sparse data.
    """
    require_dense(name, values)
    text: dict[str, str] = {}
    dates: list[str] = []
    for label, cells in _columns_without_numbers(values):
        kind, cell = _first_that_is_no_number(cells)
        if kind == "text":
            text[label] = shown(str(cell) if isinstance(cell, str) else cell)
        elif kind == "date":
            dates.append(label)
    if text:
        first = next(iter(text.values()))
        raise ValueError(f"{name} has text{_named(list(text))} ({first}), but numbers are needed: {of_text}.")
    if dates:
        raise ValueError(
            f"{name} has dates or durations{_named(dates)}, but numbers are needed: convert them, for example to "
            "days since the first date, (dates - dates.min()) / np.timedelta64(1, 'D')."
        )


def require_dense(name: str, values: Any) -> None:
    """Raise where data are sparse, or some of them masked."""
    if issparse(values):
        raise TypeError(
            f"{name} is sparse, but dense data is required: use {name}.toarray(), or let the step before return dense "
            "data, as OneHotEncoder(sparse_output=False) does."
        )
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(values)} masked values, which would be taken for data: "
            f"leave out their rows, or put values of your choice in their place with {name}.filled."
        )


def require_one_column(y: Any) -> None:
    """Raise where classes have several columns, as one-hot classes do."""
    try:
        shape = np.asarray(y).shape
    except ValueError:  # of no shape at all
        return
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {shape}: a classifier takes one class a row. Of one-hot "
            "columns take np.argmax(y, axis=1); for several labels a row there is MultiOutputClassifier."
        )


def _columns_without_numbers(values: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name, empty for a single column, and the cells of the columns whose type is not one of numbers."""
    if hasattr(values, "dtypes") and hasattr(values, "columns"):
        table = getattr(values, "iloc", values)
        for place, dtype in enumerate(values.dtypes):
            if not _is_numeric(dtype):
                yield repr(values.columns[place]), np.asarray(table[:, place])
        return
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # of no shape at all
        return
    if _is_numeric(array.dtype) or array.ndim not in (1, 2):
        return
    if array.ndim == 1:
        yield "", array
        return
    for place, cells in enumerate(array.T):
        yield str(place), cells


def _is_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") in tuple("biufc")


def _first_that_is_no_number(cells: np.ndarray) -> tuple[str | None, Any]:
    """Return "text" or "date" with the first cell of that kind; (None, None) where there is none."""
    if cells.dtype.kind in "mM":
        return "date", None
    if _is_numeric(cells.dtype):
        return None, None
    if cells.dtype.kind == "O":  # NumPy makes numbers of some dates
        for cell in cells:
            if isinstance(cell, DATES) or hasattr(cell, "to_timestamp"):
                return "date", cell
    try:
        cells.astype(float)
    except (TypeError, ValueError):
        for cell in cells:
            if isinstance(cell, (str, bytes)) and not _is_numeral(cell):
                return "text", cell
    return None, None


def _is_numeral(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(labels: list[str]) -> str:
    """Return "in the columns …", as it follows a noun; nothing for a single column without a name."""
    if labels == [""]:
        return ""
    rest = f" and {len(labels) - MOST_NAMES} more" if len(labels) > MOST_NAMES else ""
    return f" in column{'s' if len(labels) > 1 else ''} {', '.join(labels[:MOST_NAMES])}{rest}"
