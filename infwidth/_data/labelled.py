"""Rows with classes: which classes there are, and which may come."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from infwidth._data.validation import MOST_NAMES, shown


@dataclass(frozen=True)
class Labelled:
    """Classes and weights of rows in use, as they were given.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        In order; those that are to come, but have no row so far, too.
    label : ndarray of shape (n_samples,)
        The place of each row's class among them.
    weight : ndarray of shape (n_samples,)
    told : bool
        Whether the classes were given, so that no others may come, or found.
    """

    classes: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    told: bool

    @classmethod
    def of(cls, y: np.ndarray, weight: np.ndarray, classes: np.ndarray | None = None) -> Self:
        """Return the rows, or raise: they need two classes, and none but ``classes``, where these are given."""
        found, place = np.unique(y, return_inverse=True)
        if classes is None:
            every, told = found, False
        else:
            _require_one_kind(classes, found)
            every, told = np.unique(classes), True
            unknown = found[~np.isin(found, every)]
            if len(unknown):
                raise ValueError(
                    f"there are rows of {_listed(unknown)}, but the classes that were given to partial_fit are "
                    f"{_listed(every)}: call it with all classes that may come, or fit again."
                )
        if len(found) < 2:
            raise ValueError(
                f"the rows in use have one class only, {found[0]}: a classifier needs two classes or more."
            )
        return cls(every, np.searchsorted(every, found)[place], weight, told)

    def followed_by(self, y: np.ndarray, weight: np.ndarray, classes: np.ndarray | None = None) -> "Labelled":
        """Return these rows and after them others; classes that are given take the place of those that were."""
        _require_one_kind(self.classes, y)
        if classes is None and self.told:
            classes = self.classes
        return self.of(np.concatenate([self.classes[self.label], y]), np.append(self.weight, weight), classes)

    @property
    def present(self) -> np.ndarray:
        """Which classes have rows, shape (n_classes,)."""
        return np.bincount(self.label, minlength=len(self.classes)) > 0


def _require_one_kind(classes: np.ndarray, others: np.ndarray) -> None:
    """Raise where some classes are text and others numbers, which NumPy would make text of."""
    texts = [[isinstance(value, str) for value in values.tolist()] for values in (classes, others)]
    if any(texts[0]) != any(texts[1]):
        kinds = ["text" if any(own) else "numbers" for own in texts]
        raise ValueError(
            f"the classes are {kinds[0]} ({_listed(classes)}), but those of y are {kinds[1]} "
            f"({_listed(np.unique(others))}): give all of them as one kind."
        )


def _listed(classes: np.ndarray) -> str:
    """Return some classes as messages show them."""
    more = ["…"] if len(classes) > MOST_NAMES else []
    return ", ".join([shown(value) for value in classes[:MOST_NAMES].tolist()] + more)
