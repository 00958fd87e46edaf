"""Multi-class Gaussian-process classification by Laplace's approximation (RW, algorithms 3.3 and 3.4), to compare with.

``uci_classification.py --methods laplace`` runs it, with the network that InfiniteNetClassifier() ranks first. Its
kernel is multiplied by the factor with the largest approximate evidence; probabilities are means of the softmax over
samples of the latent values. A Newton step factors one matrix for each class and their sum.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp, softmax

FACTORS = 4.0 ** np.arange(5)
JITTER = 1e-3
MOST_STEPS, TOLERANCE, SAMPLES = 50, 1e-6, 300


def fit(K, Y):
    """Return the evidence and what predicts, for a kernel matrix (n, n) and one-hot targets (n, n_classes)."""
    n, n_classes = Y.shape
    f, before = np.zeros((n, n_classes)), -np.inf
    for _ in range(MOST_STEPS):
        p = softmax(f, axis=1)
        E, half_log_determinant = [], 0.0
        for c in range(n_classes):  # E_c = D_c^½ (I + D_c^½ K D_c^½)⁻¹ D_c^½
            root = np.sqrt(p[:, c])
            factor = cho_factor(np.eye(n) + root[:, None] * K * root, lower=True)
            E.append(root[:, None] * cho_solve(factor, np.diag(root)))
            half_log_determinant += np.log(np.diag(factor[0])).sum()
        M = cho_factor(sum(E), lower=True)
        b = p * f - p * np.sum(p * f, axis=1, keepdims=True) + Y - p
        c = np.column_stack([E_c @ (K @ b_c) for E_c, b_c in zip(E, b.T, strict=True)])
        shared = cho_solve(M, c.sum(axis=1))
        a = b - c + np.column_stack([E_c @ shared for E_c in E])
        f = K @ a
        value = -0.5 * np.sum(a * f) + np.sum(Y * f) - logsumexp(f, axis=1).sum()
        if abs(value - before) < TOLERANCE:
            break
        before = value
    return value - half_log_determinant - np.log(np.diag(M[0])).sum(), (a, E, M)


def predict(state, K_new, diagonal, random_state):
    """Return probabilities, shape (m, n_classes), given the kernel with new rows, shape (n, m), and its diagonal."""
    a, E, M = state
    n_classes = a.shape[1]
    mean, B = K_new.T @ a, [E_c @ K_new for E_c in E]
    covariance = np.array([[np.sum(b * cho_solve(M, c), axis=0) for c in B] for b in B])
    for c in range(n_classes):
        covariance[c, c] += diagonal - np.sum(B[c] * K_new, axis=0)
    values, vectors = np.linalg.eigh(covariance.transpose(2, 0, 1))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    normal = random_state.standard_normal((SAMPLES, n_classes))
    return softmax(mean[:, None] + np.einsum("mij,sj->msi", roots, normal), axis=2).mean(axis=1)


def laplace(X, y, X_new):
    """Return the classes, predictions and probabilities."""
    from infwidth import InfiniteNetClassifier

    model = InfiniteNetClassifier(random_state=0).fit(X, y)
    Z, Z_new = model.feature_scaler_.transform(X), model.feature_scaler_.transform(X_new)
    K, Y = model.kernel_(Z), (y[:, None] == model.classes_).astype(float)
    best = max(
        ((*fit(factor * K + JITTER * np.eye(len(y)), Y), factor) for factor in FACTORS), key=lambda fitted: fitted[0]
    )
    _, state, factor = best
    diagonal = factor * model.kernel_.diag(Z_new)
    probabilities = predict(state, factor * model.kernel_(Z, Z_new), diagonal, np.random.RandomState(0))
    return model.classes_, model.classes_[probabilities.argmax(axis=1)], probabilities
