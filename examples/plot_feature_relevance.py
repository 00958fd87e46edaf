"""
Which features matter
=====================

With ``ard=True`` each feature has an input variance of its own, and learning moves it: a feature that the targets do
not depend on loses its variance, and with it its influence on the kernel. ``feature_relevance_`` is what is left,
as shares of one.
"""

# %%
# Five features in use, five of pure chance
# -----------------------------------------
# Friedman's first function is :math:`10 \sin(\pi x_1 x_2) + 20 (x_3 - 1/2)^2 + 10 x_4 + 5 x_5`. The targets have noise
# of variance 1, and five more features have nothing to do with them, which a good answer does not use.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1

from infwidth import NNGPRegressor
from infwidth.networks import MLP

X, y = make_friedman1(300, n_features=10, noise=1.0, random_state=0)
model = NNGPRegressor(MLP(depth=1, activation="erf", ard=True), random_state=0).fit(X, y)
used, unused = model.feature_relevance_[:5], model.feature_relevance_[5:]
print(f"the five in use: {used.round(3)}, the others: {unused.round(3)}")
assert used.min() > unused.max()
assert used.sum() > 0.95

# %%
# The larger a share, the more the predictions vary with the feature. Shares compare features as the model sees them,
# scaled, so units do not matter. They are about curvature as much as about size: the fourth feature alone explains more
# of the targets than the third, but along a straight line, which takes little variance.


def draw(relevance, names, by_chance, title):
    order = np.argsort(relevance)
    axes = plt.figure(figsize=(6.5, 4), layout="constrained").subplots()
    colours = np.where(by_chance, "C3", "C0")
    axes.barh(np.array(names)[order], relevance[order], color=colours[order])
    axes.set_xlabel("feature_relevance_")
    axes.set_title(title, fontsize=10)


draw(
    model.feature_relevance_,
    [f"x{i}" for i in range(1, 11)],
    np.arange(10) >= 5,
    "Friedman's function: shares of the input variances",
)
assert np.var(10 * X[:, 3]) > np.var(20 * (X[:, 2] - 0.5) ** 2)
assert model.feature_relevance_[3] < model.feature_relevance_[2]

# %%
# One variance for all
# --------------------
# Without ``ard`` all features keep one common variance. The two log evidences say which description of the data is
# the better one, and the errors on new rows agree.

common = NNGPRegressor(MLP(depth=1, activation="erf"), random_state=0).fit(X, y)
X_new, f_new = make_friedman1(1000, n_features=10, noise=0.0, random_state=1)
for name, fitted in [("a variance for each", model), ("one common variance", common)]:
    error = np.sqrt(np.mean((fitted.predict(X_new) - f_new) ** 2))
    print(f"{name}: log evidence {fitted.log_marginal_likelihood_value_:.1f}, error {error:.2f}")
assert model.log_marginal_likelihood_value_ > common.log_marginal_likelihood_value_
assert np.mean((model.predict(X_new) - f_new) ** 2) < np.mean((common.predict(X_new) - f_new) ** 2) / 2

# %%
# Where noise hides the answer
# ----------------------------
# The diabetes data: ten measurements of 442 patients, how the disease had progressed a year later, and two columns of
# random numbers. Half of the variance is noise here, and a share of some per cent proves nothing: a random column
# has more of it than several measurements.

data = load_diabetes()
chance = np.random.default_rng(0).standard_normal((len(data.data), 2))
noisy = NNGPRegressor(MLP(depth=1, activation="erf", ard=True), random_state=0)
noisy.fit(np.hstack([data.data, chance]), data.target)
names = [*data.feature_names, "random 1", "random 2"]
draw(noisy.feature_relevance_, names, np.arange(12) >= 10, "diabetes: shares of the input variances")
print(f"noise variance {noisy.noise_variance_:.2f} of a target with variance 1")
assert 0.3 < noisy.noise_variance_ < 0.6
assert np.sum(noisy.feature_relevance_[:10] < noisy.feature_relevance_[10:].max()) > 3

plt.show()
