"""Classes as targets of a regression: the vertices of a regular simplex (Mroueh et al. 2012)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import helmert


def class_vertices(n_classes: int) -> np.ndarray:
    """Return a unit vector for each class, shape (n_classes, n_classes - 1), all equally far apart (maths 8.1).

    They are -1 and 1 for two classes. One-hot targets that are centred span the same space with one output too many.
    """
    return -helmert(n_classes).T * np.sqrt(n_classes / (n_classes - 1))


@dataclass(frozen=True)
class ClassCoding:
    """How classes become targets, and latent values scores.

    Attributes
    ----------
    vertices : ndarray of shape (n_classes, n_classes - 1)
    share : ndarray of shape (n_classes,)
        Of each class in the (weighted) rows: the class prior.
    mean : ndarray of shape (n_classes - 1,)
        Mean of the vertices, which targets are centred on.
    scale : float
        Root mean square of the centred vertices, which targets are divided by.
    """

    vertices: np.ndarray
    share: np.ndarray
    mean: np.ndarray
    scale: float

    @classmethod
    def of(cls, label: np.ndarray, weight: np.ndarray) -> Self:
        """Return the coding for rows with classes ``label``, 0 to n_classes - 1, and weights."""
        share = np.bincount(label, weight) / weight.sum()
        vertices = class_vertices(len(share))
        mean = share @ vertices
        scale = np.sqrt(share @ np.mean((vertices - mean) ** 2, axis=1))
        return cls(vertices, share, mean, float(scale))

    def targets(self, label: np.ndarray) -> np.ndarray:
        """Return the targets, shape (n, n_classes - 1): of mean 0 and mean square 1."""
        return (self.vertices[label] - self.mean) / self.scale

    def scores(self, latent: np.ndarray) -> np.ndarray:
        """Return estimates of the classes' probabilities, shape (n, n_classes), which can leave [0, 1] (maths 8.2).

        They are affine in the latent values and sum to 1; a vertex scores 1 for its class and 0 for the others.
        """
        n_classes = len(self.vertices)
        return (1.0 + (n_classes - 1) * (self.mean + self.scale * latent) @ self.vertices.T) / n_classes

    def score_std(self, latent_std: np.ndarray) -> np.ndarray:
        """Return the standard deviation of a score, given that of latent values."""
        n_classes = len(self.vertices)
        return latent_std * self.scale * (n_classes - 1) / n_classes
