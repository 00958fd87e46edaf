"""Mean and covariance of the trained ensemble against neural-tangents, in one run; and the price of training times.

    python doc/benchmarks/ensemble.py --rival-python ENV/bin/python

ENV is an environment with neural-tangents 0.6.5 and jax 0.4.30. Its ``gradient_descent_mse_ensemble`` and our
``NTKRegressor`` take turns, from the data to the covariance of the new rows.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from _measure import peak_extra_bytes

from infwidth import NTKRegressor
from infwidth.networks import MLP

DEPTH, RIDGE = 3, 0.1
NETWORK = MLP(DEPTH, weight_variance=2.25, bias_variance=0.01)
OPTIONS = {"noise_variance": RIDGE, "optimizer": None, "feature_scaling": None, "normalize_y": False}


class Rival:
    """neural-tangents in its own process."""

    def __init__(self, python, data):
        script = Path(__file__).with_name("_neural_tangents_ensemble.py")
        self.result = data.with_name("result.npz")
        self.process = subprocess.Popen(
            [python, script, data, str(DEPTH), str(RIDGE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self):
        """Return seconds and peak bytes."""
        self.process.stdin.write(f"{self.result}\n")
        self.process.stdin.flush()
        seconds, peak = map(float, self.process.stdout.readline().split())
        self.process.stdout.readline()
        return seconds, peak


def ours(X, y, X_new):
    model = NTKRegressor(NETWORK, **OPTIONS).fit(X, y)
    mean, covariance = model.predict(X_new, return_cov=True)
    covariance[np.diag_indices_from(covariance)] -= RIDGE  # neural-tangents gives that of the networks' outputs
    return mean, covariance


def timed(function):
    start = perf_counter()
    result, peak = peak_extra_bytes(function)
    return perf_counter() - start, peak, result


def against_rival(python, X, y, X_new, repeats):
    ours(X[:50], y[:50], X_new[:5])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, X=X, y=y, X_new=X_new)
        rival = Rival(python, data)
        rival()
        pairs = [(timed(lambda: ours(X, y, X_new)), rival()) for _ in range(repeats)]
        with np.load(rival.result) as theirs:
            expected = theirs["mean"], theirs["covariance"]
    seconds = median(own[0] for own, _ in pairs), median(other[0] for _, other in pairs)
    peak = pairs[0][0][1], max(other[1] for _, other in pairs)
    errors = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(pairs[0][0][2], expected, strict=True)]
    print(
        f"n={len(X)}, {len(X_new)} new rows, covariance: {seconds[0]:.2f} s; neural-tangents takes "
        f"{seconds[1] / seconds[0]:.1f} x the time and {peak[1] / peak[0]:.1f} x the memory; "
        f"largest difference of means {errors[0]:.0e}, of covariances {errors[1]:.0e} (relative)"
    )


def training_times(X, y, X_new):
    start = perf_counter()
    model = NTKRegressor(NETWORK, training_time=1e3, **OPTIONS).fit(X, y)
    print(f"n={len(X)}: fit at a finite training time {perf_counter() - start:.2f} s")
    for n_times in (1, 100):
        start = perf_counter()
        list(model.staged_predict(X_new, np.geomspace(1e-2, 1e6, n_times)))
        print(f"  means of {len(X_new)} new rows at {n_times} times: {perf_counter() - start:.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rival-python", help="interpreter with neural-tangents; without it only ours is timed")
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--m", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X, X_new = rng.standard_normal((args.n, 20)), rng.standard_normal((args.m, 20))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(args.n)
    if args.rival_python:
        against_rival(args.rival_python, X, y, X_new, args.repeats)
    training_times(X, y, X_new)


if __name__ == "__main__":
    main()
