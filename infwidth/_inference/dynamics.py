"""Gradient descent on ½ · mean squared error, one eigenvalue of the NTK at a time (Lee et al. 2019; maths 7).

With rows of weight w, k outputs, N = k Σw, the eigenvalues λ of W^½ Θ W^½ and the ridge ρ of an output, its distance to
the end of training along an eigenvector after time t is e^{-(λ+ρ)t/N} of what it was. Predictions need

    s_t = (1 - e^{-(λ+ρ)t/N}) / (λ+ρ),

or the same for steps of finite size. Both are 1/(λ+ρ) at t = ∞.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, eigvalsh
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.model_selection import KFold

from infwidth._data.validation import is_number, shown
from infwidth._inference.source import KernelSource

DENSE_BYTES = 24  # times n²: the matrix, which becomes its eigenvectors, and LAPACK's work space
N_FOLDS, N_TIMES = 5, 100  # of the choice of a time
INTEGER = 1e-6  # how far from an integer the number of steps may be


@dataclass(frozen=True)
class Descent:
    """How the error falls: gradient flow, or steps of ``learning_rate`` with heavy-ball ``momentum``."""

    learning_rate: float | None = None
    momentum: float = 0.0

    @property
    def _rate(self) -> float:
        """Size of the steps, where there are some."""
        assert self.learning_rate is not None, "gradient flow has no steps"
        return self.learning_rate

    def steps(self, time: float) -> int:
        """Return the number of steps that make up a time, or raise if there is none."""
        with np.errstate(over="ignore"):
            steps = np.float64(time) / self._rate
        if np.isinf(steps):
            raise ValueError(
                f"a training time of {time} takes more steps of learning_rate={self.learning_rate} than there are "
                "numbers: use training_time=inf, the end of training, or a larger learning_rate."
            )
        if abs(steps - np.round(steps)) > INTEGER * max(1.0, steps):
            raise ValueError(
                f"a training time must be a multiple of learning_rate: {time} is {steps:.6g} x {self.learning_rate}."
            )
        return int(np.round(steps))

    def largest_rate(self, largest: float) -> float:
        """Return the learning rate from which steps diverge, for the largest (λ+ρ)/N."""
        return 2.0 * (1.0 + self.momentum) / largest

    def filter(self, values: np.ndarray, n: float, time: float) -> np.ndarray:
        """Return s_t for the values λ+ρ >= 0, shape (n_values,)."""
        values = np.asarray(values, dtype=float)
        if self.learning_rate is not None and self.learning_rate >= self.largest_rate(values.max() / n):
            raise ValueError(
                f"gradient descent diverges with learning_rate={self.learning_rate}: it must be below "
                f"{self.largest_rate(values.max() / n):.6g} (max_learning_rate())."
            )
        if np.isinf(time):
            return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
        if self.learning_rate is None:
            with np.errstate(over="ignore"):  # all is learned
                decay = -np.expm1(-values * (time / n))
            return np.divide(decay, values, out=np.full_like(values, time / n), where=values > 0)
        return self._after_steps(values / n, self.steps(time)) / n

    def _after_steps(self, rates: np.ndarray, n_steps: int) -> np.ndarray:
        """Return s after steps: s' = (1+μ-ηx) s - μ s₋₁ + η from s = s₋₁ = 0, by powers of a 3 x 3 matrix each."""
        step = np.zeros((len(rates), 3, 3))
        step[:, 0, 0] = 1.0 + self.momentum - self._rate * rates
        step[:, 0, 1], step[:, 0, 2] = -self.momentum, self._rate
        step[:, 1, 0] = step[:, 2, 2] = 1.0
        return np.linalg.matrix_power(step, n_steps)[:, 0, 2]


class Spectrum:
    """Eigenvalues and eigenvectors of W^½ Θ W^½, whatever the ridge of an output is.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Θ; overwritten.
    weight : ndarray of shape (n,)
    n_outputs : int
    """

    def __init__(self, matrix: np.ndarray, weight: np.ndarray, n_outputs: int) -> None:
        self.root = np.sqrt(weight)
        self.n = float(weight.sum()) * n_outputs
        matrix *= self.root[:, None]
        matrix *= self.root
        driver = "evd" if len(matrix) > 1 else "ev"  # SciPy before 1.14 gives evd too little memory for one row
        values, self.vectors = eigh(matrix.T, overwrite_a=True, check_finite=False, driver=driver)
        self.values = np.maximum(values, 0.0)  # below zero is rounding

    def decaying(self, ridge: float) -> np.ndarray:
        """Return λ + ρ, at least what rounding adds to an eigenvalue: s_t of a smaller one would grow for ever."""
        total = self.values + ridge
        return np.maximum(total, np.finfo(float).eps * len(total) * total.max())

    def project(self, B: np.ndarray) -> np.ndarray:
        """Return the coordinates of W^½ B in the eigenvectors."""
        return self.vectors.T @ (self.root[:, None] * B)

    def smooth(self, B: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return W^½ U diag(s) Uᵀ W^½ B for B of shape (n, m): what makes weights of the training targets."""
        return self.root[:, None] * (self.vectors @ (s[:, None] * self.project(B)))


def largest_eigenvalue(source: KernelSource, weight: np.ndarray) -> float:
    """Return the largest eigenvalue of W^½ Θ W^½, by Lanczos with products of the kernel that is never stored."""
    root = np.sqrt(weight)
    if source.n < 100:
        return float(eigvalsh(root[:, None] * source.full(source.own) * root)[-1])

    def product(v: np.ndarray) -> np.ndarray:
        return root * source.dot(source.own, (root * v.ravel())[:, None])[:, 0]

    operator = LinearOperator((source.n, source.n), matvec=product, dtype=float)
    return float(eigsh(operator, 1, v0=root, tol=1e-8, return_eigenvectors=False)[0])


def validated_time(
    matrix: np.ndarray,
    weight: np.ndarray,
    ridges: np.ndarray,
    Y: np.ndarray,
    descent: Descent,
    random_state: np.random.RandomState,
) -> float:
    """Return the time with the smallest error of the mean on rows held out, of a geometric grid and ∞; 5 folds.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Θ.
    ridges : ndarray of shape (n_outputs,)
    """
    ridges, group = np.unique(ridges, return_inverse=True)
    folds = list(KFold(min(N_FOLDS, len(Y)), shuffle=True, random_state=random_state).split(Y))
    errors: float | np.ndarray = 0.0
    times: list[float] = []
    for train, test in folds:
        spectrum = Spectrum(matrix[np.ix_(train, train)], weight[train], Y.shape[1])
        decaying = [spectrum.decaying(ridge) for ridge in ridges]
        times = times or _times(decaying, spectrum.n, descent)
        cross = (matrix[np.ix_(test, train)] * spectrum.root) @ spectrum.vectors
        target = spectrum.project(Y[train])
        s = [np.stack([descent.filter(own, spectrum.n, t) for own in decaying], axis=1)[:, group] for t in times]
        means = [cross @ (own * target) for own in s]
        errors = errors + np.array([np.sum(weight[test, None] * (mean - Y[test]) ** 2) for mean in means])
    return float(times[np.argmin(errors)])


def _times(decaying: Sequence[np.ndarray], n: float, descent: Descent) -> list[float]:
    """Return times from before anything is learned to after everything is, and ∞; given λ + ρ for each ridge."""
    rates = np.concatenate(decaying)
    rates = rates[rates > 0]
    times = n * np.geomspace(0.01 / rates.max(), 100.0 / rates.min(), N_TIMES)
    if descent.learning_rate is not None:
        times = np.unique(np.ceil(times / descent.learning_rate)) * descent.learning_rate
    return [*times, np.inf]


def checked_times(times: Iterable[float]) -> list[float]:
    """Return training times as a list of floats, or raise."""
    if not isinstance(times, Iterable) or isinstance(times, str):
        raise ValueError(f"times must be a list of training times, got {shown(times)}.")
    return [checked_time(time) for time in times]


def checked_time(value: float, name: str = "a training time") -> float:
    """Return a training time as a float, or raise."""
    if not (is_number(value) and value >= 0):
        raise ValueError(f"{name} must be a number, 0 or larger, or inf; got {shown(value)}.")
    return float(value)
