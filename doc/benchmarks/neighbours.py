"""Predictions given nearest rows as the number of rows and of neighbours grow, with one network for all.

    python doc/benchmarks/neighbours.py --data-dir DATA --sizes 10000 100000 1000000 --neighbours 50 150 400

DATA has ``teacher.py``, which draws rows of 20 features of which 10 matter. The network is learned once, on 10,000
rows; then it is conditioned on the first n rows. Printed are seconds of that, milliseconds of one row alone and of a
row among all new ones, with standard deviations, the memory of the process, RMSE and the mean log density of the new
targets. ``--solver cholesky`` shows the exact ones.
"""

import argparse
import resource
import sys
import time

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--neighbours", nargs="+", type=int, default=[50, 150, 400])
    parser.add_argument("--n-test", type=int, default=100_000)
    parser.add_argument("--solver", choices=["neighbours", "cholesky"], default="neighbours")
    args = parser.parse_args()
    sys.path.insert(0, args.data_dir)
    from teacher import teacher

    from infwidth import NNGPRegressor
    from infwidth.networks import MLP

    X, y, new, target = teacher(max(args.sizes), n_test=args.n_test)
    learned = NNGPRegressor(MLP(1, "erf", ard=True), feature_scaling="standard", solver="cholesky", random_state=0)
    learned.fit(X[:10_000], y[:10_000])
    options = {"noise_variance": learned.noise_variance_, "optimizer": None, "feature_scaling": "standard"}
    print(f"{'n':>9}{'m':>6}{'fit s':>8}{'one row ms':>12}{'a row ms':>10}{'GB':>7}{'RMSE':>9}{'log density':>13}")
    for n in args.sizes:
        for m in args.neighbours if args.solver == "neighbours" else [None]:
            model = NNGPRegressor(learned.network_, solver=args.solver, n_neighbours=m, **options)
            start = time.perf_counter()
            model.fit(X[:n], y[:n])
            fitted = time.perf_counter() - start
            one = median_seconds(model, new)
            start = time.perf_counter()
            mean, std = model.predict(new, return_std=True)
            each = (time.perf_counter() - start) / len(new)
            rmse = np.sqrt(np.mean((mean - target) ** 2))
            density = np.mean(-0.5 * np.log(2 * np.pi * std**2) - 0.5 * ((mean - target) / std) ** 2)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
            print(
                f"{n:9,}{m or n:6}{fitted:8.1f}{1e3 * one:12.2f}{1e3 * each:10.3f}{peak:7.2f}{rmse:9.4f}"
                f"{density:13.4f}",
                flush=True,
            )


def median_seconds(model, new):
    """Return the median time of a row alone."""
    seconds = []
    for row in new[:25]:
        start = time.perf_counter()
        model.predict(row[None], return_std=True)
        seconds.append(time.perf_counter() - start)
    return np.median(seconds)


if __name__ == "__main__":
    main()
