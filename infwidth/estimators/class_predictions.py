"""What a fitted classifier says of rows: classes, their probabilities, and those of its own rows given the others."""

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from infwidth._inference.classes import ClassMixture
from infwidth._runtime.floating_point import no_floating_point_errors
from infwidth._runtime.threads import blas_threads, thread_count
from infwidth.estimators.updating import UpdatableNet


@no_floating_point_errors
class ClassPredictions(ClassifierMixin, UpdatableNet):
    """Base of ``InfiniteNetClassifier``."""

    classes_: np.ndarray

    _mixture: ClassMixture

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = np.argmax(self.predict_log_proba(X), axis=1)
        return self.classes_[best]

    def predict_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the probabilities of the classes, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1. Far from all training rows they are ``class_prior_``.
        """
        return softmax(self.predict_log_proba(X), axis=1)

    def predict_log_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Predict the logarithms of the probabilities, finite where the probabilities underflow.

        Minus infinity for classes that have no row: see ``partial_fit``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        X = self._new_inputs(X)
        with blas_threads(thread_count(self.n_jobs)):
            return self._mixture.log_proba(X)

    def decision_function(self, X: npt.ArrayLike) -> np.ndarray:
        """Return log-probabilities of the classes; for two classes the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return _decision(self.predict_log_proba(X))

    def loo_decision_function(self) -> np.ndarray:
        """Return ``decision_function`` of each training row given all others, in closed form (RW 5.12).

        Equal to fitting again without the row, with the scaling, the networks, the coding of classes and the
        calibration kept, and with a prior on the mean of the coded classes, so that centring tells nothing of the row.
        Of a row with the sample weight w > 1, w - 1 remain. It takes n³/3 operations for each network in use.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the rows' order, those of weight 0 included.
        """
        check_is_fitted(self)
        self._require_memory(self._mixture.leave_one_out_bytes(), f"leave-one-out of {len(self._used):,} rows")
        log_proba = np.empty((len(self._used), len(self.classes_)))
        with blas_threads(thread_count(self.n_jobs)):
            log_proba[self._used] = self._mixture.leave_one_out()
            if not self._used.all():
                log_proba[~self._used] = self._mixture.log_proba(self._dropped)
        return _decision(log_proba)


def _decision(log_proba: np.ndarray) -> np.ndarray:
    return log_proba[:, 1] - log_proba[:, 0] if log_proba.shape[1] == 2 else log_proba
