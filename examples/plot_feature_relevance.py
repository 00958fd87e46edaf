"""
Which features matter
=====================

With ``ard=True`` each feature has an input variance of its own, and learning moves it: a feature that the targets do
not depend on loses its variance, and with it its influence on the kernel. ``feature_relevance_`` is what is left,
as shares of one.
"""

# %%
# Ten features and two of pure chance
# -----------------------------------
# The diabetes data: ten measurements of 442 patients, and how the disease had progressed a year later. Two columns of
# random numbers are added, which a good answer does not use.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from infwidth import NNGPRegressor
from infwidth.networks import MLP

data = load_diabetes()
noise = np.random.default_rng(0).standard_normal((len(data.data), 2))
X, y = np.hstack([data.data, noise]), data.target
names = np.array([*data.feature_names, "random 1", "random 2"])

model = NNGPRegressor(MLP(depth=1, activation="erf", ard=True), random_state=0).fit(X, y)
print(f"log evidence {model.log_marginal_likelihood_value_:.1f}, noise variance {model.noise_variance_:.2f}")

# %%
# The larger a share, the more the predictions vary with the feature. Shares compare features as the model sees them,
# scaled, so units do not matter.

order = np.argsort(model.feature_relevance_)
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
colours = ["C3" if name.startswith("random") else "C0" for name in names[order]]
axes.barh(names[order], model.feature_relevance_[order], color=colours)
axes.set_xlabel("feature_relevance_")
axes.set_title("diabetes: share of the input variances", fontsize=10)

# %%
# One variance for all
# --------------------
# Without ``ard`` all features keep one common variance. The two log evidences say which description of the data is
# the better one.

common = NNGPRegressor(MLP(depth=1, activation="erf"), random_state=0).fit(X, y)
print(f"log evidence with one common input variance: {common.log_marginal_likelihood_value_:.1f}")

plt.show()
