"""Regression with uncertainty on two real tables that scikit-learn ships and on a generated one.

    python examples/quickstart.py [quickstart.png]

The infinitely wide network stands beside two models that also predict a standard deviation, Bayesian ridge and
scikit-learn's Gaussian process with an RBF kernel, and beside ordinary least squares, whose standard deviation is
that of its training residuals. All see the same random splits. NNGPRegressor has its defaults: it learns the
variances and the noise of four networks from the training rows alone, by their marginal likelihood, and averages them.
The generated table is Friedman's first, five features that matter and five that do not, with noise of variance 1: no
model can have an RMSE far below 1.
"""

import argparse
import time
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_diabetes, load_wine, make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infwidth import NNGPRegressor

N_SPLITS = 5
LEVEL = 0.9
Z = norm.ppf(0.5 + LEVEL / 2)


def fit_infinite_network(X, y):
    return NNGPRegressor(random_state=0).fit(X, y)


def fit_rbf_process(X, y):
    kernel = ConstantKernel() * RBF(length_scale=np.sqrt(X.shape[1])) + WhiteKernel()
    process = GaussianProcessRegressor(kernel, normalize_y=True)
    return make_pipeline(StandardScaler(), process).fit(X, y)


def fit_bayesian_ridge(X, y):
    return make_pipeline(StandardScaler(), BayesianRidge()).fit(X, y)


class LeastSquares(LinearRegression):
    """Least squares with one standard deviation for all rows, from the residuals."""

    def fit(self, X, y):
        super().fit(X, y)
        residual = y - super().predict(X)
        self.std_ = np.sqrt(residual @ residual / (len(y) - X.shape[1] - 1))
        return self

    def predict(self, X, return_std=False):
        mean = super().predict(X)
        return (mean, np.full(len(X), self.std_)) if return_std else mean


def fit_least_squares(X, y):
    return LeastSquares().fit(X, y)


MODELS = {
    "NNGPRegressor": fit_infinite_network,
    "GaussianProcessRegressor, RBF": fit_rbf_process,
    "BayesianRidge": fit_bayesian_ridge,
    "LinearRegression": fit_least_squares,
}


def load():
    wine, diabetes = load_wine(), load_diabetes()
    colour = wine.feature_names.index("color_intensity")
    return {
        "wine: colour intensity from 12 measurements": (np.delete(wine.data, colour, axis=1), wine.data[:, colour]),
        "Friedman: 10 generated features, 5 of them in use": make_friedman1(300, noise=1.0, random_state=0),
        "diabetes: progression from 10 measurements": (diabetes.data, diabetes.target),
    }


def compare(X, y):
    """Return the scores of each model on each split, and the network's predictions on the last one."""
    scores, shown = defaultdict(list), None
    for train, test in ShuffleSplit(N_SPLITS, test_size=0.25, random_state=0).split(X):
        for name, fit in MODELS.items():
            start = time.perf_counter()
            model = fit(X[train], y[train])
            seconds = time.perf_counter() - start
            mean, std = model.predict(X[test], return_std=True)
            error = y[test] - mean
            scores[name].append(
                (
                    np.sqrt(np.mean(error**2)),
                    norm.logpdf(error, scale=std).mean(),
                    np.mean(np.abs(error) < Z * std),
                    seconds,
                )
            )
            if name == "NNGPRegressor":
                shown = y[test], mean, std
    return scores, shown


def print_table(title, scores):
    print(f"{title}; mean ± standard deviation over {N_SPLITS} splits")
    print(f"{'':30s} {'RMSE':>14s} {'log density':>14s} {'90 % interval':>14s} {'fit (s)':>8s}")
    for name, rows in scores.items():
        (rmse, density, coverage, seconds), spread = np.mean(rows, axis=0), np.std(rows, axis=0)
        digits = 1 if rmse > 10 else 3
        print(
            f"{name:30s} {f'{rmse:.{digits}f} ± {spread[0]:.{digits}f}':>14s} "
            f"{f'{density:.2f} ± {spread[1]:.2f}':>14s} {f'{coverage:.1%}':>14s} {seconds:8.2f}"
        )
    print()


def plot(axes, title, shown):
    """Draw predictions with intervals against observations; rows outside their interval stand out."""
    y, mean, std = shown
    inside = np.abs(y - mean) < Z * std
    for mask, colour, text in [(inside, "C0", "inside the interval"), (~inside, "C3", "outside")]:
        axes.errorbar(y[mask], mean[mask], Z * std[mask], fmt="o", ms=3, lw=0.7, color=colour, label=text)
    ends = [y.min(), y.max()]
    axes.plot(ends, ends, color="0.5", lw=1, zorder=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("observed, held out")
    axes.set_ylabel(f"predicted, with {LEVEL:.0%} interval")
    axes.legend(fontsize=8, loc="upper left")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", default="quickstart.png", help="where the plot is saved")
    args = parser.parse_args()

    figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axes, (title, (X, y)) in zip(panels, load().items(), strict=True):
        scores, shown = compare(X, y)
        print_table(title, scores)
        plot(axes, title, shown)
    figure.savefig(args.picture, dpi=110)
    print(f"picture: {args.picture}")


if __name__ == "__main__":
    main()
