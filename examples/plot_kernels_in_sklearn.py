"""
Network kernels in scikit-learn's own estimators
================================================

``NNGPKernel`` and ``NTKKernel`` are kernels in scikit-learn's sense: an estimator that takes a kernel object takes
them too, and so does one that takes a callable kernel. The neural tangent kernel (NTK) is the kernel of an
infinitely wide network trained by gradient descent, the NNGP kernel that of the random network; both are worth a try.
"""

# %%
# Two classes that no line separates
# ----------------------------------
# A support vector machine whose decision function is that of an infinitely wide network.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_moons
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from infwidth.kernels import NNGPKernel, NTKKernel
from infwidth.networks import MLP

X, y = make_moons(200, noise=0.25, random_state=0)
grid = np.stack(np.meshgrid(np.linspace(-2, 3, 80), np.linspace(-1.5, 2, 80)), axis=-1)

figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for axes, (depth, activation) in zip(panels, [(1, "relu"), (5, "relu"), (2, "erf")], strict=True):
    machine = SVC(kernel=NTKKernel(MLP(depth=depth, activation=activation))).fit(X, y)
    decision = machine.decision_function(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    axes.contourf(grid[..., 0], grid[..., 1], decision, levels=np.linspace(-3, 3, 13), cmap="RdBu", extend="both")
    axes.contour(grid[..., 0], grid[..., 1], decision, levels=[0.0], colors="k", linewidths=1)
    axes.scatter(*X.T, c=y, cmap="RdBu", edgecolors="k", s=15, linewidths=0.5)
    axes.set_title(f"SVC, NTK of {activation}, depth {depth}", fontsize=10)
    assert machine.score(X, y) > LogisticRegression().fit(X, y).score(X, y)

# %%
# Choosing the network by cross-validation
# ----------------------------------------
# The parameters of the network are parameters of the kernel, which are parameters of the estimator. So
# ``GridSearchCV`` reaches them by name. Kernel objects leave the features as they are: put a ``StandardScaler``
# before them. On the handwritten digits all pixels have one unit, and dividing by the largest value is enough.

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.data / 16.0, digits.target, train_size=600, random_state=0, stratify=digits.target
)
search = GridSearchCV(
    SVC(kernel=NTKKernel(MLP()), C=10.0),
    {"kernel__network__depth": [1, 3], "kernel__network__activation": ["relu", "erf", "gelu"]},
    cv=3,
).fit(X_train, y_train)
print(search.best_params_)
print(f"accuracy on the test digits: {search.score(X_test, y_test):.3f}")
print(f"SVC with its RBF kernel:     {SVC(C=10.0).fit(X_train, y_train).score(X_test, y_test):.3f}")

# %%
# Ridge regression and Gaussian processes
# ---------------------------------------
# The same object goes into ``KernelRidge`` and ``GaussianProcessRegressor``, and it adds and multiplies with
# scikit-learn's own kernels. It brings its gradient too, so the Gaussian process learns the network's variances and the
# noise; ``optimizer=None`` would keep those that are given.

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(StandardScaler().fit_transform(X), y, random_state=0)
network = MLP(depth=1, activation="erf", weight_variance=1.0)

centre = y_train.mean()
ridge = KernelRidge(alpha=0.5, kernel=NTKKernel(network)).fit(X_train, y_train - centre)
error = y_test - centre - ridge.predict(X_test)
print(f"KernelRidge on the NTK: RMSE {np.sqrt(np.mean(error**2)):.1f}")

process = GaussianProcessRegressor(NNGPKernel(network) + WhiteKernel(0.5), normalize_y=True)
process.fit(X_train, y_train)
mean, std = process.predict(X_test, return_std=True)
print(f"GaussianProcessRegressor: RMSE {np.sqrt(np.mean((y_test - mean) ** 2)):.1f}")
covered = np.mean(np.abs(y_test - mean) < 2 * std)
print(f"within two standard deviations: {covered:.0%}")
assert not np.allclose(process.kernel_.theta, process.kernel.theta)  # it has learned
assert 0.9 < covered < 0.99

# %%
# Features of a network
# ---------------------
# ``KernelPCA`` and ``Nystroem`` turn the kernel into features for any other estimator: the first into its principal
# components, the second into an approximation from a few rows that also serves data sets too large for a full
# kernel matrix.

pixels = digits.data / 16.0
components = KernelPCA(n_components=2, kernel=NNGPKernel(MLP())).fit_transform(pixels)

figure, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
points = axes.scatter(*components.T, c=digits.target, cmap="tab10", vmin=-0.5, vmax=9.5, s=8)
figure.colorbar(points, ax=axes, label="digit", ticks=range(10))
axes.set_title("KernelPCA: two components of the NNGP kernel", fontsize=10)

linear = make_pipeline(StandardScaler(), RidgeClassifier())
network_features = make_pipeline(Nystroem(NTKKernel(MLP()), n_components=300, random_state=0), linear)
accuracy = {}
for name, classifier in [("pixels", linear), ("300 NTK features", network_features)]:
    accuracy[name] = cross_val_score(classifier, pixels, digits.target, cv=5).mean()
    print(f"linear classifier on {name}: accuracy {accuracy[name]:.3f}")
assert accuracy["300 NTK features"] > accuracy["pixels"] + 0.05

plt.show()
