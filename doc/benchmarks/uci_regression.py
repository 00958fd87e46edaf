"""The nine UCI regression sets of the Bayesian deep learning papers, 20 standard splits (5 for protein).

    python doc/benchmarks/uci_regression.py --data-dir DATA --models nngp gp-rbf-ard --splits 5
    python doc/benchmarks/uci_regression.py --data-dir DATA --summary

DATA holds uci_regression/<name>.npz with X, y and the rows of each split in train and test (Hernández-Lobato & Adams
2015; split files of Gal & Ghahramani 2016). Each result is a line of the file given by --results; a run goes on where
the last one ended. Models other than ours need their package in the environment; nothing is tuned per set. The
summary reads any number of such files, compares the models on the splits that all of them have run, and adds the
published rows of _uci_published.py.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from _uci_published import PUBLISHED
from scipy.stats import norm, rankdata

FIELDS = ["set", "model", "split", "rmse", "log_density", "coverage", "seconds"]
LEARNING_ROWS = 1000  # of more than 2000, on which scikit-learn's Gaussian process learns its hyperparameters
MOST_ROWS = 12_000  # scikit-learn's Gaussian process keeps this many: 41,157 rows need 40 GB


def nngp(X, y, X_new):
    """Defaults only."""
    from infwidth import NNGPRegressor

    return NNGPRegressor(random_state=0).fit(X, y).predict(X_new, return_std=True)


def nngp_best(X, y, X_new):
    """Defaults, but the best network alone in the place of the average."""
    from infwidth import NNGPRegressor

    learned = NNGPRegressor(random_state=0).fit(X, y)
    scaling = {"StandardScaler": "standard", "WeightedPowerTransformer": "power"}[
        type(learned.feature_scaler_).__name__
    ]
    options = {"noise_variance": learned.noise_variance_, "optimizer": None, "feature_scaling": scaling}
    return NNGPRegressor(learned.network_, **options).fit(X, y).predict(X_new, return_std=True)


def ntk_ensemble(X, y, X_new):
    """Defaults only."""
    from infwidth import NTKRegressor

    return NTKRegressor(random_state=0).fit(X, y).predict(X_new, return_std=True)


def ntkgp(X, y, X_new):
    """Defaults but for the posterior."""
    from infwidth import NTKRegressor

    return NTKRegressor(posterior="ntkgp", random_state=0).fit(X, y).predict(X_new, return_std=True)


def gp_rbf_ard(X, y, X_new):
    """scikit-learn's Gaussian process; with many rows it learns on a subset and is conditioned on all."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).permutation(len(y))
    X, y = X[rows[:MOST_ROWS]], y[rows[:MOST_ROWS]]
    scaler = StandardScaler().fit(X)
    X, X_new = scaler.transform(X), scaler.transform(X_new)
    kernel = ConstantKernel() * RBF(np.ones(X.shape[1]), (1e-2, 1e3)) + WhiteKernel(0.1, (1e-7, 1e1))
    few = slice(LEARNING_ROWS if len(y) > 2000 else None)
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(X[few], y[few])
    if len(y) > 2000:
        model = GaussianProcessRegressor(model.kernel_, normalize_y=True, optimizer=None).fit(X, y)
    return model.predict(X_new, return_std=True)


def boosted(make):
    """Point predictions; their std is the residual std of a tenth of the training rows that was held out."""

    def predict(X, y, X_new):
        rows = np.random.default_rng(0).permutation(len(y))
        held_out, kept = rows[: max(2, len(y) // 10)], rows[max(2, len(y) // 10) :]
        std = np.sqrt(np.mean((make().fit(X[kept], y[kept]).predict(X[held_out]) - y[held_out]) ** 2))
        return make().fit(X, y).predict(X_new), np.full(len(X_new), std)

    return predict


def _lightgbm():
    from lightgbm import LGBMRegressor

    return LGBMRegressor(verbose=-1)


def _catboost():
    from catboost import CatBoostRegressor

    return CatBoostRegressor(verbose=False, allow_writing_files=False)


def xrfm(X, y, X_new):
    """Recursive feature machine with its defaults; a fifth of the rows is its validation set, and gives the std."""
    from sklearn.preprocessing import StandardScaler
    from xrfm import xRFM

    scaler, mean, scale = StandardScaler().fit(X), y.mean(), y.std()
    X, X_new = (scaler.transform(part).astype(np.float32) for part in (X, X_new))
    target = ((y - mean) / scale).astype(np.float32)[:, None]
    held_out, kept = a_fifth(len(y))
    model = xRFM(device="cpu", tuning_metric="mse")
    model.fit(X[kept], target[kept], X[held_out], target[held_out])
    std = np.sqrt(np.mean((model.predict(X[held_out]).ravel() - target[held_out].ravel()) ** 2))
    return model.predict(X_new).ravel() * scale + mean, np.full(len(X_new), std * scale)


def realmlp(X, y, X_new):
    """RealMLP with its tuned defaults; a fifth of the rows is its validation set, and gives the std."""
    from pytabkit import RealMLP_TD_Regressor

    held_out, kept = a_fifth(len(y))
    model = RealMLP_TD_Regressor(device="cpu", n_threads=1, random_state=0)
    model.fit(X[kept], y[kept], X[held_out], y[held_out])
    std = np.sqrt(np.mean((model.predict(X[held_out]) - y[held_out]) ** 2))
    return model.predict(X_new), np.full(len(X_new), std)


def a_fifth(n):
    """Return a random fifth of n rows, and the others."""
    rows = np.random.default_rng(0).permutation(n)
    return rows[: n // 5], rows[n // 5 :]


MODELS = {
    "nngp": nngp,
    "nngp-best": nngp_best,
    "ntk-ensemble": ntk_ensemble,
    "ntkgp": ntkgp,
    "gp-rbf-ard": gp_rbf_ard,
    "lightgbm": boosted(_lightgbm),
    "catboost": boosted(_catboost),
    "xrfm": xrfm,
    "realmlp": realmlp,
}


def splits(path):
    """Yield training and test rows of one data set."""
    with np.load(path, allow_pickle=False) as data:
        X, y = data["X"], data["y"]
        for train, test in zip(data["train"], data["test"], strict=True):
            yield X[train], y[train], X[test], y[test]


def scores(y, mean, std):
    """Return RMSE, mean log density and coverage of 90 % intervals, in original units."""
    return (
        np.sqrt(np.mean((y - mean) ** 2)),
        norm.logpdf(y, mean, std).mean(),
        np.mean(np.abs(y - mean) <= norm.ppf(0.95) * std),
    )


def run(paths, models, n_splits, results):
    """Append the scores of each model on the first splits of each set to a file, but for those that it has."""
    done = {(row["set"], row["model"], int(row["split"])) for row in read(results)}
    is_new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(FIELDS)
        for path in paths:
            for split, (X, y, X_new, y_new) in enumerate(splits(path)):
                for model in models if split < n_splits else ():
                    if (path.stem, model, split) in done:
                        continue
                    start = time.perf_counter()
                    mean, std = MODELS[model](X, y, X_new)
                    seconds = time.perf_counter() - start
                    writer.writerow([path.stem, model, split, *scores(y_new, mean, std), seconds])
                    file.flush()


def read(path):
    """Return the results so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def results(rows):
    """Return for each set the rows of each model, by split."""
    sets: dict = {}
    for row in rows:
        values = np.array([float(row[field]) for field in FIELDS[3:]])
        sets.setdefault(row["set"], {}).setdefault(row["model"], {})[int(row["split"])] = values
    return sets


def summary(rows, models):
    """Print a table: of each set, means and standard errors over the splits that all the models have run; ranks."""
    ranks = []
    print("| set | model | splits | RMSE | log density | coverage of 90 % | seconds |\n|---|---|---|---|---|---|---|")
    for name, by_model in sorted(results(rows).items()):
        here = [model for model in models if model in by_model]
        shared = sorted(set.intersection(*(set(by_model[model]) for model in here)))
        means = {}
        for model in here:
            values = np.array([by_model[model][split] for split in shared])
            mean, error = values.mean(axis=0), values.std(axis=0) / np.sqrt(max(1, len(values) - 1))
            means[model] = mean
            print(
                f"| {name} | {model} | {len(shared)} | {mean[0]:.3g} ± {error[0]:.2g} | {mean[1]:.3f} ± {error[1]:.2g} "
                f"| {100 * mean[2]:.1f} | {mean[3]:.1f} |"
            )
        for model, published in PUBLISHED.items():
            print(f"| {name} | {model} (published) | | {published[name][0]:.3g} | {published[name][1]:.3f} | | |")
        if len(here) == len(models):
            ranks.append(
                [rankdata([sign * means[model][score] for model in models]) for score, sign in ((0, 1), (1, -1))]
            )
    for score, values in zip(("RMSE", "log density"), np.mean(ranks, axis=0) if ranks else (), strict=False):
        named = ", ".join(f"{model} {rank:.2f}" for model, rank in sorted(zip(models, values, strict=True), key=second))
        print(f"mean rank in {score} over {len(ranks)} sets: {named}")


def second(pair):
    """Return the second of two."""
    return pair[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["nngp"])
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--results", type=Path, nargs="+", default=[Path("uci_regression.csv")])
    parser.add_argument("--summary", action="store_true", help="print the table of the results so far")
    args = parser.parse_args()
    if not args.summary:
        paths = sorted((args.data_dir / "uci_regression").glob("*.npz"))
        paths = [path for path in paths if not args.sets or path.stem in args.sets]
        run(paths, args.models, args.splits, args.results[0])
    summary([row for path in args.results for row in read(path)], args.models)


if __name__ == "__main__":
    main()
