"""
What a network learns first
===========================

Gradient descent learns some functions fast and others slowly. In the limit of infinite width the error falls along
each eigenvector of the neural tangent kernel (NTK) of the training rows on its own, at a rate that is its eigenvalue.
Smooth functions have the large eigenvalues. This is the spectral bias of networks, and the reason why early
stopping smooths.
"""

# %%
# Points on a circle
# ------------------
# For equally spaced points on a circle the eigenvectors of the NTK are sines and cosines, because a turn of the circle
# leaves the kernel as it is. The eigenvalues are the Fourier transform of one row of the kernel matrix.

import matplotlib.pyplot as plt
import numpy as np

from infwidth import NTKRegressor
from infwidth.finite import FiniteNetwork
from infwidth.networks import MLP

n = 64
angle = 2 * np.pi * np.arange(n) / n
X = np.column_stack([np.cos(angle), np.sin(angle)])
networks = {"relu, depth 1": MLP(1, "relu"), "relu, depth 3": MLP(3, "relu"), "erf, depth 1": MLP(1, "erf")}

falls = {}
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
for (name, network), marker in zip(networks.items(), "osD", strict=True):
    eigenvalues = np.fft.rfft(network.ntk(X)[0]).real[:13]
    axes.semilogy(eigenvalues / n, marker=marker, ms=4, label=name)
    falls[name] = eigenvalues[1] / eigenvalues[12]
axes.set_xticks(range(0, 13, 2))
axes.set_xlabel("frequency on the circle")
axes.set_ylabel("eigenvalue of the NTK / number of rows")
axes.legend()
print("eigenvalue of frequency 1 over that of 12:", {name: f"{fall:.0e}" for name, fall in falls.items()})
assert falls["erf, depth 1"] > 100 * max(falls["relu, depth 1"], falls["relu, depth 3"])

# %%
# An eigenvalue :math:`\lambda` means a rate :math:`\lambda / n`: along its eigenvectors the error after the training
# time :math:`t` is :math:`e^{-\lambda t / n}` of the target. The rates of an error function, which is smooth, fall much
# faster with the frequency than those of a rectifier.
#
# Four frequencies at once
# ------------------------
# The target is a sum of four cosines of equal size. ``staged_predict`` gives the mean of trained networks at many
# times, from one decomposition; what is left of each cosine is read from the difference to the target. The dots are
# five finite networks that were trained for the same times: their mean error, relative to that at the start.

frequencies = [1, 2, 4, 6]
waves = np.cos(np.outer(frequencies, angle))
y = waves.sum(axis=0)

network = MLP(depth=1, activation="relu")
given = {"noise_variance": 0.0, "optimizer": None, "feature_scaling": None, "normalize_y": False}
model = NTKRegressor(network, **given).fit(X, y)
times = np.geomspace(0.1, 3000.0, 60)
left = np.array([(y - mean) @ waves.T / (n / 2) for mean in model.staged_predict(X, times)])

n_steps = np.array([0, 2, 6, 20, 60, 200, 600])


def left_by_networks(width):
    """Return what five trained networks leave of each cosine, after each number of steps but the first."""
    finite = FiniteNetwork(network, width=width, n_features=2, n_networks=5, random_state=0)
    outputs = finite.staged_forward(X, X, y, learning_rate=0.25, n_steps=n_steps)[..., 0]
    errors = (y - outputs.mean(axis=1)) @ waves.T
    return errors[1:] / errors[0]


wide = left_by_networks(width=2000)

figure, (axes, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
for place, frequency in enumerate(frequencies):
    axes.semilogx(times, left[:, place], color=f"C{place}", label=f"frequency {frequency}")
    axes.plot(0.25 * n_steps[1:], wide[:, place], "o", ms=4, color=f"C{place}")
axes.plot([], [], "o", ms=4, color="0.5", label="networks of width 2000")
axes.set_ylabel("share of each cosine still to learn")
figure.legend(loc="outside right upper")
below.semilogx(times, model.training_loss(times), color="k")
below.set_xlabel("training time")
below.set_ylabel("training loss of the mean")

# %%
# The lines are the exponentials of the eigenvalues, and the loss is a quarter of the sum of their squares. The
# finite networks are a little behind at high frequencies and late times, the less so the wider they are.

rates = np.fft.rfft(network.ntk(X)[0]).real[frequencies] / n
exact = np.exp(-np.outer(times, rates))
loss = 0.25 * (exact**2).sum(axis=1)
print(f"largest difference of the lines: {np.abs(left - exact).max():.0e}")
print(f"largest difference of the loss: {np.abs(model.training_loss(times) - loss).max():.0e}")
assert np.allclose(left, exact, atol=1e-10)
assert np.allclose(model.training_loss(times), loss, atol=1e-10)

limit = np.exp(-np.outer(0.25 * n_steps[1:], rates))
behind = {"2000": (wide - limit)[-1], "200": (left_by_networks(width=200) - limit)[-1]}
for width, values in behind.items():
    print(f"width {width}, behind the limit at the last time: {values.round(3)}")
assert np.all(behind["2000"][2:] > 0.02)
assert np.all(behind["200"][2:] > behind["2000"][2:])

# %%
# Stopping early
# --------------
# Noise has all frequencies, and most of them are high. With the two low frequencies as the target and noisy
# observations, the early network has learned the target and not yet the noise; the late one reproduces both.
# ``training_time="validation"`` chooses the time by cross-validation.

noisy = waves[0] + waves[1] + 0.7 * np.random.default_rng(0).standard_normal(n)
validated = NTKRegressor(network, training_time="validation", random_state=0, **given).fit(X, noisy)
stages = {f"time {validated.training_time_:.0f}, validated": validated.training_time_, "end of training": np.inf}

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(np.degrees(angle), waves[0] + waves[1], "k--", lw=1, label="target")
axes.plot(np.degrees(angle), noisy, "k.", label="observations")
errors = []
for mean, name in zip(validated.staged_predict(X, stages.values()), stages, strict=True):
    axes.plot(np.degrees(angle), mean, label=name)
    errors.append(np.sqrt(np.mean((mean - waves[0] - waves[1]) ** 2)))
    print(f"{name}: root mean squared error to the target {errors[-1]:.2f}")
assert errors[0] < errors[1] / 2
assert np.allclose(mean, noisy, atol=1e-6)  # the last mean, that of the end of training
axes.set_xlabel("angle in degrees")
axes.set_xticks(range(0, 361, 90))
axes.legend()

plt.show()
