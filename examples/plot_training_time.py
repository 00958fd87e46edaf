"""
Networks trained by gradient descent, from start to end
=======================================================

Draw many wide networks at random, and train each of them on the same data by gradient descent. At the start their
outputs are samples of the NNGP prior; then each moves along the neural tangent kernel (NTK) of the network. In the
limit of infinite width the law of the ensemble is Gaussian at any training time, and ``NTKRegressor`` gives its mean
and its standard deviation. Here it stands beside finite networks that were truly trained.
"""

# %%
# The ensemble of infinitely wide networks
# ----------------------------------------
# Eight rows with a gap, without noise, and one hidden layer. ``optimizer=None`` keeps the variances that are given;
# ``feature_scaling=None`` and ``normalize_y=False`` keep the units of the pictures. ``training_time`` is in the units
# of learning rate times number of steps. With ``learning_rate`` the steps are of the same finite size as those of the
# finite networks below; without it they are infinitely small.

import matplotlib.pyplot as plt
import numpy as np

from infwidth import NNGPRegressor, NTKRegressor
from infwidth.finite import FiniteNetwork
from infwidth.networks import MLP

x_train = np.array([-1.1, -0.9, -0.75, -0.6, -0.45, 0.5, 0.65, 0.8])
y_train = np.sin(5 * x_train) + x_train
X_train = x_train[:, None]
x = np.linspace(-1.5, 1.5, 151)
X = x[:, None]

network = MLP(depth=1, activation="erf", weight_variance=2.0, bias_variance=0.5, input_variance=20.0)
given = {"noise_variance": 0.0, "optimizer": None, "feature_scaling": None, "normalize_y": False}
times = [0.0, 1.0, 10.0, 100.0]

model = NTKRegressor(network, learning_rate=0.25, **given).fit(X_train, y_train)
stages = list(model.staged_predict(X, times, return_std=True))
print(f"steps below {model.max_learning_rate():.2f} converge")

# %%
# Finite networks
# ---------------
# Forty networks with 1000 hidden units each, and full-batch gradient descent on half the mean squared error.
# ``staged_forward`` gives their outputs after several numbers of steps; 400 steps of size 0.25 are the time 100.

finite = FiniteNetwork(network, width=1000, n_features=1, n_networks=40, random_state=0)
n_steps = [round(time / 0.25) for time in times]
outputs = finite.staged_forward(X, X_train, y_train, learning_rate=0.25, n_steps=n_steps)[..., 0]

figure, panels = plt.subplots(2, 2, figsize=(9, 6.5), sharex=True, sharey=True, layout="constrained")
for axes, time, (mean, std), paths in zip(panels.flat, times, stages, outputs, strict=True):
    lines = axes.plot(x, paths.T, lw=0.5, color="C1", alpha=0.6)
    band = axes.fill_between(x, mean - 2 * std, mean + 2 * std, color="C0", alpha=0.25, lw=0)
    axes.plot(x, mean, lw=2, color="C0")
    rows = axes.plot(x_train, y_train, "ko", ms=4)
    axes.set_title(f"training time {time:g}", fontsize=10)
handles = {"infinite width, mean ± 2 std": band, "trained networks of width 1000": lines[0], "training rows": rows[0]}
figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)

# %%
# What is large and smooth is learned at once, the details follow. Where there are rows the networks come to agree; in
# the gap and outside they differ by some of what they drew at the start. Forty networks know a standard deviation to
# about :math:`1 / \sqrt{80}`, 11 % of it:

print("std of the output, mean over x")
for time, (_, std), paths in zip(times, stages, outputs, strict=True):
    spread = paths.std(axis=0, ddof=1).mean()
    print(f"time {time:3g}: infinite width {std.mean():.3f}, 40 networks {spread:.3f}")
    assert abs(spread / std.mean() - 1) < 0.11
at_rows = np.searchsorted(x, x_train)
assert stages[-1][1][at_rows].max() < stages[-1][1].max() / 3  # they agree where there are rows

# %%
# Three posteriors of one network
# -------------------------------
# Bayes' rule with the NNGP prior, the ensemble at the end of training, and the Gaussian process with the NTK as its
# prior, that of Bayesian deep ensembles (``posterior="ntkgp"``). The last two have the same mean, and where the
# rows say little the ensemble has much the smaller standard deviation of the two. The noise variance is the ridge
# that ends training before the rows are interpolated; the bands are those of the function without the noise.

given["noise_variance"] = 0.01
models = {
    "NNGP, Bayes' rule": NNGPRegressor(network, **given),
    "trained ensemble": NTKRegressor(network, **given),
    "NTK-GP": NTKRegressor(network, posterior="ntkgp", **given),
}
figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
means, stds = {}, {}
for axes, (name, posterior) in zip(panels, models.items(), strict=True):
    posterior.fit(X_train, y_train)
    mean, std = means[name], stds[name] = posterior.predict(X), posterior.predict_std(X, include_noise=False)
    axes.fill_between(x, mean - 2 * std, mean + 2 * std, alpha=0.25, lw=0)
    axes.plot(x, mean, lw=2)
    axes.plot(x_train, y_train, "ko", ms=4)
    axes.set_title(f"{name}: std at 1.5 is {std[-1]:.2f}", fontsize=10)
assert np.allclose(means["trained ensemble"], means["NTK-GP"])
assert stds["trained ensemble"][-1] < stds["NTK-GP"][-1] / 2

plt.show()
