"""The price of evidence with all its gradients: against one inverse, and against scikit-learn's own, in one run.

    python doc/benchmarks/learning.py

Log marginal likelihood and its gradient with one input variance a feature: seconds over those of a bare dpotrf and
dpotri (n=2000, depth 3, several numbers of features), peak memory over 8n², and both against scikit-learn's Gaussian
process with an ARD RBF kernel (n=1500, d=10).
"""

import argparse

import numpy as np
from _measure import alternate, peak_array_bytes
from scipy.linalg import lapack
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from infwidth._data.data import Data
from infwidth._learning.evidence import leave_one_out_density, log_marginal_likelihood
from infwidth._learning.objective import Objective
from infwidth.networks import MLP


def table(n, d):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, np.sin(X[:, 0]) + 0.1 * rng.standard_normal(n)


def evidence_and_gradient(network, X, y, evidence=log_marginal_likelihood):
    """Return a function of no arguments that computes both."""
    data = Data(X, y[:, None], np.ones(len(y)), np.zeros((len(y), 1)))
    network = network.untied().expanded(X.shape[1])
    return lambda: Objective([data], "nngp", evidence).evaluate(network, np.array([0.1]))


def against_inverse(n, repeats):
    A = np.asfortranarray(np.cov(np.random.default_rng(0).standard_normal((n, 2 * n))))
    work = np.empty_like(A)

    def copy():
        np.copyto(work, A)

    def inverse():
        copy()
        factor, _ = lapack.dpotrf(work, lower=1, clean=0, overwrite_a=1)
        lapack.dpotri(factor, lower=1, overwrite_c=1)

    runs = {"copy": copy, "inverse": inverse}
    for d in (3, 30, 300):
        for evidence in (log_marginal_likelihood, leave_one_out_density):
            runs[f"{evidence.__name__}, {d} features"] = evidence_and_gradient(MLP(3, ard=True), *table(n, d), evidence)
    seconds = alternate(runs, repeats)
    bare = seconds["inverse"] - seconds["copy"]
    print(f"n={n}, depth 3: dpotrf + dpotri {bare:.3f} s")
    for name, run in list(runs.items())[2:]:
        memory = peak_array_bytes(run) / (8 * n * n)
        print(f"  {name}: {seconds[name] / bare:.2f} x dpotrf + dpotri, peak memory {memory:.2f} x 8n²")


def against_scikit_learn(n, d, repeats):
    X, y = table(n, d)
    model = GaussianProcessRegressor(RBF(np.ones(d)) + WhiteKernel(0.1), optimizer=None).fit(X, y)
    theta = model.kernel_.theta

    def theirs():
        return model.log_marginal_likelihood(theta, eval_gradient=True)

    for network in (MLP(3, ard=True), MLP(1, "rbf", ard=True)):
        ours = evidence_and_gradient(network, X, y)
        seconds = alternate({"ours": ours, "theirs": theirs}, repeats)
        memory = peak_array_bytes(theirs) / peak_array_bytes(ours)
        print(
            f"n={n}, d={d}: {network} in {seconds['ours']:.3f} s; scikit-learn's RBF takes "
            f"{seconds['theirs'] / seconds['ours']:.1f} x the time and {memory:.1f} x the memory"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    against_inverse(args.n, args.repeats)
    against_scikit_learn(1500, 10, args.repeats)


if __name__ == "__main__":
    main()
