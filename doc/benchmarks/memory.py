"""What calls say that they need, beside the peak of what the process takes (Linux).

python doc/benchmarks/memory.py [--n 5000]
"""

import argparse
import re
import sys
import warnings
from functools import partial
from subprocess import run

import numpy as np
from _measure import peak_extra_bytes
from sklearn.exceptions import ConvergenceWarning

from infwidth import InfiniteNetClassifier, NNGPRegressor, NTKRegressor
from infwidth.networks import MLP

NETWORK = MLP(2, "erf")
LEARNED = {"max_optimizer_time": 20.0}
MODELS = {
    "NNGP": partial(NNGPRegressor, NETWORK, optimizer=None),
    "NNGP, learned": partial(NNGPRegressor, NETWORK, **LEARNED),
    'NNGP, learned by "loo"': partial(NNGPRegressor, NETWORK, optimizer="loo", **LEARNED),
    "NTK": partial(NTKRegressor, NETWORK, optimizer=None),
    "NTK, finite time": partial(NTKRegressor, NETWORK, optimizer=None, training_time=50.0),
    "NTK, validation": partial(NTKRegressor, NETWORK, optimizer=None, training_time="validation"),
    "classifier": partial(InfiniteNetClassifier, NETWORK, optimizer=None),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--model", choices=MODELS, help="of one model only, in this process")
    args = parser.parse_args()
    if args.model:
        measure(args.model, args.n)
        return
    print(f"n = {args.n:,}; of m = n / 2 new rows where a call has such; in units of n²: said, measured")
    for name in MODELS:
        run([sys.executable, __file__, "--n", str(args.n), "--model", name], check=True)


def measure(name, n):
    warnings.simplefilter("ignore", ConvergenceWarning)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 6))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(n)
    target, new = (y > 0 if name == "classifier" else y), X[: n // 2]
    model, small = MODELS[name](), MODELS[name]()
    for ask, call in calls(name).items():
        call(small, X[:300], target[:300], new[:300])  # code is compiled
        said = bytes_named_by(partial(call, model.set_params(max_memory=1), X, target, new))
        _, peak = peak_extra_bytes(partial(call, model.set_params(max_memory=None), X, target, new))
        print(f"{name:24}{ask:25}{said / n**2:7.2f}{peak / n**2:7.2f}", flush=True)


def calls(name):
    """Return what is asked of a model, the fit first, as functions of the model, X, y and new rows."""
    fit = {"fit": lambda model, X, y, new: model.fit(X, y)}
    if name == "classifier":
        return fit | {"loo_decision_function": lambda model, *_: model.loo_decision_function()}
    rest = {
        "return_cov": lambda model, X, y, new: model.predict(new, return_cov=True),
        "sample_y": lambda model, X, y, new: model.sample_y(new),
        "log_marginal_likelihood": lambda model, *_: model.log_marginal_likelihood(eval_gradient=True),
    }
    if name in ("NNGP", "NTK"):
        rest["loo_predict"] = lambda model, *_: model.loo_predict()
    if name == "NTK":
        rest["staged_predict"] = lambda model, X, y, new: list(model.staged_predict(new, [1.0, 10.0]))
    return fit | rest


def bytes_named_by(call):
    try:
        call()
    except MemoryError as error:
        return int(re.search(r"needs ([\d,]+) bytes", str(error))[1].replace(",", ""))
    raise RuntimeError("one byte was enough")


if __name__ == "__main__":
    main()
