"""InfiniteNetClassifier against NNGPRegressor and scikit-learn's GaussianProcessClassifier, in one run.

    python doc/benchmarks/classify.py [--n 5000] [--classes 10]

Fit, and probabilities of as many new rows. The regressor has the same network and the same rows, with one output, and
predicts with standard deviations: the classifier adds its other outputs and the leave-one-out predictions that
calibrate it.
scikit-learn's classifier fits a binary Laplace approximation for each class, with fixed hyperparameters unless
--optimize says otherwise; sizes where it would take hours are left out with --gp-n.
"""

import argparse
import time

import numpy as np
from _measure import alternate
from sklearn.datasets import make_classification
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import log_loss

from infwidth import InfiniteNetClassifier, NNGPRegressor
from infwidth.networks import MLP


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gp-n", type=int, nargs="*", default=[1000, 2000, 5000], help="rows for scikit-learn's")
    parser.add_argument("--optimize", action="store_true", help="let scikit-learn's learn its kernel")
    parser.add_argument("--learn", action="store_true", help="compare the defaults, which learn their networks, too")
    args = parser.parse_args()
    X, y = make_classification(
        2 * args.n, 20, n_informative=12, n_classes=args.classes, n_clusters_per_class=1, random_state=0
    )
    X, X_new, y, y_new = X[: args.n], X[args.n :], y[: args.n], y[args.n :]

    def ours(n, **options):
        return InfiniteNetClassifier(random_state=0, **options).fit(X[:n], y[:n]).predict_proba(X_new[:n])

    def regression(n, **options):
        return NNGPRegressor(random_state=0, **options).fit(X[:n], y[:n]).predict(X_new[:n], return_std=True)

    fixed = {"network": MLP(2), "optimizer": None}
    seconds = alternate({"c": lambda: ours(args.n, **fixed), "r": lambda: regression(args.n, **fixed)}, args.repeats)
    report(f"n = {args.n}, {args.classes} classes, fixed network", seconds["c"], seconds["r"])
    if args.learn:
        times = {}
        for name, run in (("classifier", ours), ("regressor", regression)):
            start = time.perf_counter()
            run(args.n)
            times[name] = time.perf_counter() - start
        report("defaults, which learn", times["classifier"], times["regressor"])
    for n in args.gp_n:
        start = time.perf_counter()
        probabilities = ours(n, **fixed)
        own = time.perf_counter() - start
        optimizer = "fmin_l_bfgs_b" if args.optimize else None
        start = time.perf_counter()
        rival = GaussianProcessClassifier(RBF(np.sqrt(20.0)), optimizer=optimizer, random_state=0).fit(X[:n], y[:n])
        rival_probabilities = rival.predict_proba(X_new[:n])
        theirs = time.perf_counter() - start
        losses = log_loss(y_new[:n], probabilities), log_loss(y_new[:n], rival_probabilities)
        print(
            f"n = {n}: {own:.2f} s, log loss {losses[0]:.3f}; GaussianProcessClassifier {theirs:.1f} s, "
            f"{theirs / own:.0f} x, log loss {losses[1]:.3f}",
            flush=True,
        )


def report(what, ours, regressor):
    print(f"{what}: {ours:.2f} s, {ours / regressor:.2f} x the regressor's {regressor:.2f} s", flush=True)


if __name__ == "__main__":
    main()
