"""Seconds of fits with defaults, and held-out log density, beside other programs and another checkout, in one run.

    python doc/benchmarks/default_fits.py --rival-python ENV/bin/python
    python doc/benchmarks/default_fits.py --models infwidth before --before ../another-checkout --sizes 500x10 4000x10

ENV is an environment with LightGBM, CatBoost and scikit-learn. Tables are drawn from a small network of five of the
features, with a tenth of noise. Models take turns, each in a process of its own after a fit of 200 rows, so that
nothing is compiled or loaded meanwhile; printed are medians, and seconds as a share of those of ``infwidth``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from statistics import median

import numpy as np
from many_rows import catboost, lightgbm, target_scores

SIZES = ["500x10", "1000x10", "2000x10", "4000x10", "1000x100"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="rows x features")
    parser.add_argument(
        "--models", nargs="+", choices=list(MODELS), default=["infwidth", "catboost", "lightgbm", "gpr"]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", help="a checkout whose package the model 'before' is")
    parser.add_argument("--rival-python", default=sys.executable)
    parser.add_argument("--alone", action="store_true", help="one model on one table, in this process")
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measured(args.models[0], args.sizes[0])))
        return
    print(f"{'rows x features':18}{'model':10}{'fit s':>9}{'share':>8}{'RMSE':>9}{'log density':>13}")
    for size in args.sizes:
        runs = [{model: in_own_process(model, size, args) for model in args.models} for _ in range(args.repeats)]
        seconds = {model: median(run[model][0] for run in runs) for model in args.models}
        for model in args.models:
            _, error, density = runs[0][model]
            share = seconds[model] / seconds["infwidth"] if "infwidth" in seconds else np.nan
            print(f"{size:18}{model:10}{seconds[model]:9.2f}{share:8.2f}{error:9.4f}{density:13.4f}", flush=True)


def in_own_process(model, size, args):
    """Return seconds, RMSE and mean log density of a model."""
    python = sys.executable if model in ("infwidth", "before") else args.rival_python
    path = {"PYTHONPATH": args.before} if model == "before" else {}
    command = [python, __file__, "--alone", "--models", model, "--sizes", size]
    done = subprocess.run(command, env={**os.environ, **path}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(model, size):
    n, n_features = map(int, size.split("x"))
    X, y = table(n + 2000, n_features)
    warnings.simplefilter("ignore")
    MODELS[model](None, X[:200], y[:200])
    start = time.perf_counter()
    predict = MODELS[model](None, X[:n], y[:n])
    seconds = time.perf_counter() - start
    return seconds, *map(float, target_scores(predict(X[n:]), y[n:]))


def table(n, n_features):
    rng = np.random.RandomState(0)
    X = rng.randn(n, n_features)
    signal = np.tanh(X[:, :5] @ rng.randn(5, 8) / np.sqrt(5)) @ rng.randn(8)
    return X, signal + 0.1 * signal.std() * rng.randn(n)


def own(_, X, y):
    from infwidth import NNGPRegressor

    model = NNGPRegressor(random_state=0).fit(X, y)
    return lambda new: model.predict(new, return_std=True)


def gpr(_, X, y):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
    return lambda new: model.predict(new, return_std=True)


MODELS = {"infwidth": own, "before": own, "catboost": catboost, "lightgbm": lightgbm, "gpr": gpr}

if __name__ == "__main__":
    main()
