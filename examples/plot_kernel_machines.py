"""
Support vector machines and InfiniteNetClassifier
=================================================

Arora et al. (2020) put the neural tangent kernel into a support vector machine and had, on 90 small tables, the best
mean accuracy of all classifiers they compared. Their protocol is a few lines with ``NTKKernel``.
``InfiniteNetClassifier`` regresses on the classes instead: it needs no grid, and gives probabilities.
"""

# %%
# The protocol
# ------------
# Features are standardised. The networks are fully connected, without biases, with up to four hidden layers, and
# the first few layers can be *frozen*: they stay at their random start, while all later ones are trained. Freezing
# all but the last layer leaves the NNGP kernel. Kernel and C are chosen together by cross-validation on the training
# rows. ``Sequential`` writes down such networks; here, to be quick, with up to two hidden layers.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from infwidth import InfiniteNetClassifier
from infwidth.kernels import NTKKernel
from infwidth.networks import Activation, Dense, Sequential


def network(depth, n_frozen, n_features):
    """Return a ReLU network whose first ``n_frozen`` layers are not trained; its first kernel is the inner product."""
    layers = [Dense(weight_variance=n_features, bias_variance=0.0, trainable=n_frozen == 0)]
    for layer in range(1, depth + 1):
        layers += [Activation("relu"), Dense(weight_variance=2.0, bias_variance=0.0, trainable=layer >= n_frozen)]
    return Sequential(layers)


def kernel_machine(n_features):
    kernels = [NTKKernel(network(depth, frozen, n_features)) for depth in (0, 1, 2) for frozen in range(depth + 1)]
    return GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__kernel": kernels, "svc__C": 10.0 ** np.arange(-2, 5)},
        cv=4,
    )


# %%
# Four tables
# -----------
# A third of the rows is for training, the rest for the test. The support vector machine decides by a vote of pairs of
# classes and has no probabilities of its own.

tables = {
    "wine": load_wine(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
    "digits": load_digits(return_X_y=True),
}
X, progression = load_diabetes(return_X_y=True)
tables["diabetes"] = X, progression > np.median(progression)

print(f"{'':15s} {'SVC':>8s} {'infinite network':>18s} {'log loss':>10s}")
for name, (X, y) in tables.items():
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=1 / 3, random_state=0, stratify=y)
    machine = kernel_machine(X_train.shape[1]).fit(X_train, y_train)
    classifier = InfiniteNetClassifier(random_state=0).fit(X_train, y_train)
    loss = log_loss(y_test, classifier.predict_proba(X_test))
    scores = machine.score(X_test, y_test), classifier.score(X_test, y_test)
    print(f"{name:15s} {scores[0]:8.1%} {scores[1]:18.1%} {loss:10.3f}")

# %%
# Are the probabilities right?
# ----------------------------
# Of the patients to whom a classifier gives the probability p of a large progression, a share of p should have one.
# The plain softmax of the scores is far from that: it is never sure. The three numbers that were fitted on
# leave-one-out predictions of the training rows mend it, without any rows held out and without fitting again.

uncalibrated = InfiniteNetClassifier(calibration=None, random_state=0).fit(X_train, y_train)
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
losses = []
for axes, model, title in zip(panels, (uncalibrated, classifier), ("softmax of the scores", "calibrated"), strict=True):
    probability = model.predict_proba(X_test)[:, 1]
    losses.append(log_loss(y_test, probability))
    CalibrationDisplay.from_predictions(y_test, probability, n_bins=8, strategy="quantile", ax=axes)
    axes.set(xlabel="predicted probability", ylabel="share of patients", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{title}: log loss {losses[-1]:.3f}", fontsize=10)
assert uncalibrated.predict_proba(X_test).max() < 0.9
assert losses[1] < losses[0] - 0.05
plt.show()
