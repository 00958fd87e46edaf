"""Rows with their targets and weights."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Data:
    """What a network is learned from: inputs (n, d), targets (n, t), row weights (n,).

    A row of weight w stands for w rows with these inputs, whose targets have this mean and the sums of squares
    ``scatter`` around it. Its shape is (n, number of noise variances): (n, t) where each output has a noise variance of
    its own, or (n, 1), summed over the outputs, where they share one.
    """

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    scatter: np.ndarray

    def take(self, rows: np.ndarray) -> "Data":
        """Return some of the rows."""
        return Data(self.X[rows], self.Y[rows], self.weight[rows], self.scatter[rows])

    def followed_by(self, other: "Data") -> "Data":
        """Return these rows and after them others."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Data(*(np.concatenate(pair) for pair in pairs))

    @property
    def n_noises(self) -> int:
        """Number of noise variances."""
        return self.scatter.shape[1]

    def by_noise(self, values: np.ndarray) -> np.ndarray:
        """Return values of the outputs, shape (..., n_outputs), as (..., n_noises, outputs that share it)."""
        return values.reshape(*values.shape[:-1], self.n_noises, -1)

    def varying(self) -> np.ndarray:
        """Return which noise variances have outputs that are not constant; all of them where none has.

        A constant says nothing of the noise, and would make the prior and the noise of the others small.
        """
        varies = np.any(self.by_noise(np.ptp(self.Y, axis=0) > 0), axis=1)
        return varies if varies.any() else np.ones_like(varies)

    def of_noises(self, chosen: np.ndarray) -> "Data":
        """Return the data of some noise variances, given a mask."""
        n = len(self.Y)
        return Data(self.X, self.by_noise(self.Y)[:, chosen].reshape(n, -1), self.weight, self.scatter[:, chosen])

    def merged(self) -> tuple["Data", np.ndarray]:
        """Return the same data with one row for all of equal inputs, and the place there of each row.

        They are in the inputs' order. Evidence and posterior are the same.
        """
        X, group = unique_rows(self.X)
        weight = np.bincount(group, self.weight)
        Y = np.stack([np.bincount(group, self.weight * y) for y in self.Y.T], axis=1) / weight[:, None]
        squares = self.weight[:, None] * np.sum(self.by_noise((self.Y - Y[group]) ** 2), axis=2)
        scatter = np.stack([np.bincount(group, s) for s in (self.scatter + squares).T], axis=1)
        return Data(X, Y, weight, scatter), group


def unique_rows(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different rows in lexicographic order, and the place there of each row.

    As ``numpy.unique`` does with ``axis=0``, which takes a minute where a sort by columns takes seconds.
    """
    order = np.lexsort(X.T[::-1])
    ordered = X[order]
    first = np.ones(len(X), bool)
    np.any(ordered[1:] != ordered[:-1], axis=1, out=first[1:])
    group = np.empty(len(X), np.intp)
    group[order] = np.cumsum(first) - 1
    return ordered if first.all() else ordered[first], group
