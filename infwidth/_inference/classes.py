"""The posterior of coded classes with its calibration, and averages of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import log_softmax, logsumexp

from infwidth._data.box import TrainingBox
from infwidth._data.coding import ClassCoding
from infwidth._inference.calibration import fit_calibration
from infwidth._inference.mixture import Component
from infwidth._inference.posterior import with_more_targets
from infwidth._inference.predictive import Process
from infwidth._inference.stacking import HeldOutClasses

LEAST_VARIANCE = 1e-12  # of an observation, in units of the mean over the training rows: it can be 0 without noise

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]  # scores, their standard deviations and relative variances


@dataclass(frozen=True)
class Labels:
    """The training rows as they were given, equal inputs and all.

    Attributes
    ----------
    label : ndarray of shape (n_samples,)
        Their classes, 0 to n_classes - 1.
    weight, one, rest : ndarray of shape (n_samples,)
        Their weights, the weight of one of the rows that each stands for, and that of all others with equal inputs.
    group : ndarray of shape (n_samples,)
        The place of each among the n different inputs that the process is conditioned on.
    """

    label: np.ndarray
    weight: np.ndarray
    one: np.ndarray
    rest: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, label: np.ndarray, weight: np.ndarray, one: np.ndarray, group: np.ndarray) -> Self:
        """Return the rows, with the weight of those that equal each."""
        return cls(label, weight, one, np.bincount(group, weight)[group] - one, group)

    def take(self, rows: np.ndarray) -> "Labels":
        """Return some of the rows."""
        return Labels(self.label[rows], self.weight[rows], self.one[rows], self.rest[rows], self.group[rows])


class ClassPosterior:
    """A posterior whose targets are coded classes, and the map from its latent values to probabilities.

    Parameters
    ----------
    posterior : Process
    noise_variance : float
        Of a new observation.
    coding : ClassCoding
    labels : Labels
    relevance : ndarray of shape (n_features,)
        Weights of the features in distances.
    calibrated : bool
        Without calibration probabilities are the softmax of the scores.
    n_sampled : int
        Of many rows the last so many are predicted from all others for the calibration.

    Attributes
    ----------
    held_out : HeldOutClasses
        Log-probabilities of the training classes, half of each given all other rows and half given those with other
        inputs. Of many rows those of a sample.
    calibration : Calibration or None
    """

    def __init__(
        self,
        posterior: Process,
        noise_variance: float,
        coding: ClassCoding,
        labels: Labels,
        relevance: np.ndarray,
        *,
        calibrated: bool,
        n_sampled: int,
    ) -> None:
        self._posterior, self._noise_variance, self.coding = posterior, noise_variance, coding
        self.labels, self._relevance = labels, relevance
        first, mean, variance = self._leave_one_out(n_sampled)
        rows = labels.take(labels.group >= first)
        mean, variance = mean[rows.group - first], variance[rows.group - first]
        self._unit = float(np.average(variance + noise_variance, weights=rows.weight))
        copied = rows.rest > 0.0  # those are predicted twice
        again = rows.take(copied)
        with_copies = self._with_copies(again, mean[copied], variance[copied])
        pairs = zip(self._parts(mean, variance), with_copies, strict=True)
        scores, std, relative = (np.concatenate(pair) for pair in pairs)
        label = np.append(rows.label, again.label)
        weight = np.append(np.where(copied, 0.5, 1.0) * rows.weight, 0.5 * again.weight)
        log_prior = np.log(coding.share)
        self.calibration = fit_calibration(scores, std, relative, label, weight, log_prior) if calibrated else None
        own = self._calibrate(scores, std, relative)[np.arange(len(label)), label]
        self.held_out = HeldOutClasses(own, weight, float(labels.weight.sum()))

    @property
    def jitter(self) -> float:
        """Return what was added to the diagonal besides the noise."""
        return self._posterior.jitter

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that ``leave_one_out`` takes."""
        return self._posterior.leave_one_out_bytes()

    def leave_one_out(self) -> np.ndarray:
        """Return log-probabilities of each training row given all others, shape (n_samples, n_classes)."""
        _, mean, variance = self._leave_one_out()
        group = self.labels.group
        return self._calibrate(*self._with_copies(self.labels, mean[group], variance[group]))

    def log_proba(self, X: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Return log-probabilities of the classes, shape (m, n_classes).

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            New inputs, scaled.
        outside : ndarray of shape (m, n_features)
            How far they are outside of the training rows: see ``TrainingBox``.
        """
        if self.calibration is None:
            return log_softmax(self.coding.scores(self._posterior.mean(X)), axis=1)
        mean, variance = self._posterior.mean_and_variance(X)
        scores, std, variance = self._parts(mean, variance[:, 0])
        return self._calibrate(scores, std, variance + outside @ self._relevance)

    def _leave_one_out(self, n_rows: int | None = None) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the first of the last rows, and their latent means and variances given all other inputs."""
        mean, variance = self._posterior.leave_one_out(n_rows, free_mean=True)
        return len(self._posterior.Y) - len(mean), mean, variance[:, 0]  # which the outputs share

    def _with_copies(self, rows: Labels, mean: np.ndarray, variance: np.ndarray) -> Parts:
        """Return the parts given also the other rows with equal inputs: observations with noise (maths 8.5)."""
        one, rest = rows.one[:, None], rows.rest[:, None]
        total = (rest + one) * self._posterior.Y[rows.group] - one * self.coding.targets(rows.label)
        mean, variances = with_more_targets(mean, variance[:, None], rest, total, self._noise_variance)
        return self._parts(mean, variances[:, 0])

    def _calibrate(self, scores: np.ndarray, std: np.ndarray, variance: np.ndarray) -> np.ndarray:
        if self.calibration is None:
            return log_softmax(scores, axis=1)
        return self.calibration.log_proba(scores, std, variance)

    def _parts(self, mean: np.ndarray, variance: np.ndarray) -> Parts:
        """Return scores, their standard deviations and relative variances, given those of the latent values."""
        total = np.maximum(variance + self._noise_variance, LEAST_VARIANCE * self._unit)
        return self.coding.scores(mean), self.coding.score_std(np.sqrt(total)), variance / self._unit


class ClassMixture:
    """A weighted average of the probabilities of several posteriors, each with its scaling of the features.

    Parameters
    ----------
    components : list of Component
        With a ``ClassPosterior`` each, the best first; their weights sum to 1.
    box : TrainingBox
    present : ndarray of shape (n_classes,)
        Which classes the components know: the probability of the others is 0.
    """

    def __init__(self, components: Sequence[Component[ClassPosterior]], box: TrainingBox, present: np.ndarray) -> None:
        self.components, self.box, self.present = components, box, present

    def log_proba(self, X: np.ndarray) -> np.ndarray:
        """Return log-probabilities of the classes at new inputs, shape (m, n_classes)."""
        outside = self.box.outside(X)
        return self._pooled([part.posterior.log_proba(part.scaled(X), outside) for part in self.components])

    def leave_one_out(self) -> np.ndarray:
        """Return log-probabilities of each training row given all others, shape (n_samples, n_classes)."""
        return self._pooled([part.posterior.leave_one_out() for part in self.components])

    def leave_one_out_bytes(self) -> int:
        """Return the most bytes that leave-one-out takes."""
        return max(part.posterior.leave_one_out_bytes() for part in self.components)

    def _pooled(self, log_probas: list[np.ndarray]) -> np.ndarray:
        weights = np.array([part.weight for part in self.components])
        one = len(log_probas) == 1
        pooled = log_probas[0] if one else logsumexp(np.stack(log_probas), axis=0, b=weights[:, None, None])
        every = np.full((len(pooled), len(self.present)), -np.inf)
        every[:, self.present] = pooled
        return every
