"""NNGPRegressor against one bare dpotrf and scikit-learn's GaussianProcessRegressor, in one run.

    python doc/benchmarks/fit_and_predict.py [--n 8000]

Fit, predict 2000 rows with std, peak memory of both, and the peak of predicting the mean of 200,000 rows.
"""

import argparse
from functools import partial

import numpy as np
from _measure import alternate, peak_extra_bytes
from scipy.linalg import lapack
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from infwidth import NNGPRegressor
from infwidth.networks import MLP


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=8000)
    parser.add_argument("--d", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    n = args.n
    rng = np.random.default_rng(0)
    X, X_new = rng.standard_normal((n, args.d)), rng.standard_normal((2000, args.d))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(n)
    ours = NNGPRegressor(MLP(depth=3), optimizer=None)
    theirs = GaussianProcessRegressor(RBF(5.0) + WhiteKernel(0.1), optimizer=None)

    NNGPRegressor(MLP(depth=3), optimizer=None).fit(
        X[:50], y[:50]
    )  # loads the compiled code, which is not the fit's memory
    _, our_peak = peak_extra_bytes(lambda: ours.fit(X, y))
    many = rng.standard_normal((200_000, args.d))
    _, many_peak = peak_extra_bytes(partial(ours.predict, many))
    del many
    _, their_peak = peak_extra_bytes(lambda: theirs.fit(X, y))

    A = np.asfortranarray(X @ X.T / args.d)
    A[np.diag_indices(n)] += 1.0
    work = np.empty_like(A)

    def bare():
        np.copyto(work, A)
        lapack.dpotrf(work, lower=1, clean=0, overwrite_a=1)

    seconds = alternate(
        {
            "copy": lambda: np.copyto(work, A),
            "copy + dpotrf": bare,
            "fit": lambda: ours.fit(X, y),
            "scikit-learn fit": lambda: theirs.fit(X, y),
            "predict mean": lambda: ours.predict(X_new),
            "scikit-learn predict mean": lambda: theirs.predict(X_new),
            "predict with std": lambda: ours.predict(X_new, return_std=True),
            "scikit-learn predict with std": lambda: theirs.predict(X_new, return_std=True),
        },
        args.repeats,
    )
    dpotrf = seconds["copy + dpotrf"] - seconds["copy"]
    print(f"n={n}, d={args.d}, depth 3; medians of {args.repeats}")
    for name, value in seconds.items():
        print(f"{name:32s} {value:8.2f} s")
    print(f"fit / dpotrf                       {seconds['fit'] / dpotrf:.2f}")
    print(f"scikit-learn fit / ours            {seconds['scikit-learn fit'] / seconds['fit']:.2f}")
    for kind in ("mean", "with std"):
        ratio = seconds[f"scikit-learn predict {kind}"] / seconds[f"predict {kind}"]
        print(f"scikit-learn predict {kind} / ours  {ratio:.2f}")
    print(f"peak of fit: ours {our_peak / (8 * n * n):.3f} x 8n², scikit-learn {their_peak / (8 * n * n):.3f} x 8n²")
    print(f"peak of predicting the mean of 200,000 rows: {many_peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
