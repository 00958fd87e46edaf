"""
Priors and posteriors of infinitely wide networks
=================================================

An infinitely wide random network is a Gaussian process. The activation and the depth decide what its functions
look like before any data are seen; conditioning on data turns that prior into predictions with a standard
deviation. Here is one input and one output, so both can be drawn.
"""

# %%
# Four networks
# -------------
# The bias variance spreads the bends of the functions: with no biases all of them would be at zero. The inputs lie
# between -1 and 1, so the two networks that saturate or oscillate get a large variance in their first layer.

import matplotlib.pyplot as plt
import numpy as np

from infwidth import NNGPRegressor
from infwidth.networks import MLP

networks = {
    "ReLU, depth 1": MLP(depth=1, activation="relu", weight_variance=2.0, bias_variance=0.5),
    "ReLU, depth 4": MLP(depth=4, activation="relu", weight_variance=2.0, bias_variance=0.5),
    "erf, depth 1": MLP(depth=1, activation="erf", weight_variance=2.0, bias_variance=0.5, input_variance=20.0),
    "RBF, depth 1": MLP(depth=1, activation="rbf", weight_variance=1.0, bias_variance=0.0, input_variance=20.0),
}

# %%
# The prior is the kernel
# -----------------------
# ``network.nngp(X)`` is the covariance of the network's outputs at random initialisation. Samples of a Gaussian with
# that covariance are functions drawn from the network. The dashed lines are two prior standard deviations.

rng = np.random.default_rng(0)
x = np.linspace(-1.5, 1.5, 301)
X = x[:, None]

figure, panels = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
for axes, (name, network) in zip(panels.flat, networks.items(), strict=True):
    samples = rng.multivariate_normal(np.zeros(len(X)), network.nngp(X), size=5, method="eigh")
    std = np.sqrt(network.diag(X))
    axes.plot(x, samples.T, lw=1)
    axes.plot(x, 2 * std, "--", x, -2 * std, "--", color="0.5", lw=1)
    axes.set_title(name, fontsize=10)
figure.suptitle("functions from the prior")

# %%
# ReLU networks draw functions that bend most near zero and become straight lines far away. The error function
# saturates, so its functions level off. With one hidden layer the activation ``"rbf"`` gives the
# squared-exponential kernel exactly: its functions look the same everywhere. The variances of differences along x,
# which follow from the kernel, say all of this in numbers.


def variance_of_differences(network, order):
    """Return the prior variance of differences of an order: of slopes for 1, of bends for 2."""
    return np.diff(np.diff(network.nngp(X), order, axis=0), order, axis=1).diagonal()


end, middle = 0, len(x) // 2
for depth in (1, 4):
    bends = variance_of_differences(networks[f"ReLU, depth {depth}"], order=2)
    assert bends[end] < bends[middle] / 5
slopes = variance_of_differences(networks["erf, depth 1"], order=1)
assert slopes[end] < slopes[middle] / 5
K = networks["RBF, depth 1"].nngp(X)
rate = -np.log(K[end, 1] / K[end, end]) / (x[1] - x[0]) ** 2
assert np.allclose(K, K[end, end] * np.exp(-rate * (x[:, None] - x) ** 2))

# %%
# The posterior
# -------------
# The same networks, conditioned on eight observations. ``optimizer=None`` keeps the variances that are given, and
# ``feature_scaling=None`` and ``normalize_y=False`` keep the units of the pictures above. For a data set of your own,
# whose best values nobody knows, the defaults are the better choice. The band is two standard deviations of the
# function itself (``include_noise=False``), the lines are joint samples of it.

x_train = np.array([-1.0, -0.8, -0.55, -0.3, 0.1, 0.35, 0.6, 0.7])
y_train = np.sin(5 * x_train) + x_train + 0.1 * rng.standard_normal(len(x_train))

figure, panels = plt.subplots(2, 2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
for axes, (name, network) in zip(panels.flat, networks.items(), strict=True):
    model = NNGPRegressor(network, noise_variance=0.01, optimizer=None, feature_scaling=None, normalize_y=False)
    model.fit(x_train[:, None], y_train)
    mean, std = model.predict(X), model.predict_std(X, include_noise=False)
    samples = model.sample_y(X, n_samples=4, random_state=0, include_noise=False)
    axes.fill_between(x, mean - 2 * std, mean + 2 * std, alpha=0.2, lw=0)
    axes.plot(x, samples, lw=0.7, color="C0", alpha=0.6)
    axes.plot(x, mean, lw=2, color="C0")
    axes.plot(x_train, y_train, "ko", ms=4)
    axes.set_title(f"{name}: log evidence {model.log_marginal_likelihood_value_:.1f}", fontsize=10)
panels[0, 0].set_ylim(-3, 3)
figure.suptitle("functions from the posterior")

# %%
# The evidence, ``log_marginal_likelihood_value_``, says how probable these observations were under each prior. It
# compares networks without a held-out set, and by default ``NNGPRegressor`` learns the variances that make it large.

for name, network in networks.items():
    model = NNGPRegressor(network, noise_variance=0.01, feature_scaling=None, normalize_y=False)
    given = model.set_params(optimizer=None).fit(x_train[:, None], y_train).log_marginal_likelihood_value_
    learned = model.set_params(optimizer="lml").fit(x_train[:, None], y_train).log_marginal_likelihood_value_
    print(f"{name}: log evidence {given:.1f} as given, {learned:.1f} learned")
    assert learned > given

plt.show()
