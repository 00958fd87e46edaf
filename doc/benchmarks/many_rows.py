"""Many rows: neighbours, the exact solver and other programs; each in a process of its own, so that memory is its own.

python doc/benchmarks/many_rows.py --data-dir DATA --table protein-tertiary-structure --models neighbours lightgbm
python doc/benchmarks/many_rows.py --data-dir DATA --table teacher --n 1000000 --n-test 100000
python doc/benchmarks/many_rows.py --data-dir DATA --table letters --n 20000 --models neighbours cholesky catboost

DATA has the arrays of the tables, and beside them ``load.py`` and ``teacher.py``. Other programs run in the interpreter
``--rival-python``. Printed are seconds, the peak of the process in GB, RMSE and the mean log density of new targets; of
classes, which the table ``letters`` has, accuracy and log loss.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

OWN = ("neighbours", "cholesky")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--table", default="teacher")
    parser.add_argument("--n", type=int, default=100_000, help="rows of the teacher's table")
    parser.add_argument("--n-test", type=int, default=2000)
    parser.add_argument("--models", nargs="+", choices=list(REGRESSORS), default=["neighbours"])
    parser.add_argument("--neighbours", type=int, default=None)
    parser.add_argument("--rival-python", default=sys.executable)
    parser.add_argument("--alone", action="store_true", help="one model, in this process")
    args = parser.parse_args()
    if args.alone:
        measure(args)
        return
    scores = ("accuracy", "log loss") if args.table == "letters" else ("RMSE", "log density")
    print(f"{'table':28}{'model':14}{'fit s':>9}{'predict s':>10}{'GB':>7}{scores[0]:>11}{scores[1]:>13}", flush=True)
    for model in args.models:
        own = [part for part in sys.argv[1:] if part not in args.models and part != "--models"]
        python = sys.executable if model in OWN else args.rival_python
        subprocess.run([python, __file__, *own, "--models", model, "--alone"], check=True)


def measure(args):
    X, y, new, target = read(args)
    model = args.models[0]
    start = time.perf_counter()
    if args.table == "letters":
        fit, score = CLASSIFIERS[model], class_scores
    else:
        fit, score = REGRESSORS[model], target_scores
    predict = fit(args, X, y)
    fitted = time.perf_counter()
    found = predict(new)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    first, second = score(found, target)
    print(
        f"{args.table:28}{model:14}{fitted - start:9.1f}{done - fitted:10.1f}{peak:7.2f}{first:11.4g}{second:13.4f}",
        flush=True,
    )


def target_scores(found, target):
    """Return RMSE and mean log density, given means and standard deviations."""
    mean, std = found
    density = -0.5 * np.log(2 * np.pi * std**2) - 0.5 * ((mean - target) / std) ** 2
    return np.sqrt(np.mean((mean - target) ** 2)), np.mean(density)


def class_scores(probabilities, label):
    """Return accuracy and log loss, given the probabilities of classes 0, 1, …"""
    own = probabilities[np.arange(len(label)), label]
    return np.mean(probabilities.argmax(axis=1) == label), -np.mean(np.log(np.maximum(own, 1e-6)))


def read(args):
    """Return rows to learn from, and new ones: a random tenth, or the first split that comes with the table."""
    sys.path.insert(0, args.data_dir)
    import load
    from teacher import teacher

    if args.table == "teacher":
        return teacher(args.n, n_test=args.n_test)
    if args.table == "letters":
        return letters(args.n, args.n_test)
    if args.table in load.names("large_regression"):
        table = load.read("large_regression", args.table)
        X, y = np.where(np.isnan(table["X"]), np.nanmedian(table["X"], axis=0), table["X"]), table["y"]
        order, n_test = np.random.default_rng(0).permutation(len(y)), len(y) // 10
        return X[order[n_test:]], y[order[n_test:]], X[order[:n_test]], y[order[:n_test]]
    return next(load.regression_splits(args.table))


def letters(n, n_test):
    """Draw 26 classes of 16 integers from 0 to 15, each in four shapes: like the features of printed letters."""
    rng = np.random.default_rng(0)
    centres = 7.5 + 2.0 * rng.standard_normal((26, 1, 16)) + 1.5 * rng.standard_normal((26, 4, 16))
    directions = rng.standard_normal((26, 4, 5, 16)) / np.sqrt(5)
    label, shape = rng.integers(26, size=n + n_test), rng.integers(4, size=n + n_test)
    spread = 2.1 * np.einsum("ni,nij->nj", rng.standard_normal((n + n_test, 5)), directions[label, shape])
    X = np.clip(np.round(centres[label, shape] + spread + 1.3 * rng.standard_normal((n + n_test, 16))), 0, 15)
    return X[:n], label[:n], X[n:], label[n:]


def own(args, X, y):
    from infwidth import NNGPRegressor

    model = NNGPRegressor(solver=args.models[0], n_neighbours=args.neighbours, random_state=0).fit(X, y)
    print(f"{model.network_weights_} {model.network_}", file=sys.stderr)
    return lambda new: model.predict(new, return_std=True)


def own_classes(args, X, y):
    from infwidth import InfiniteNetClassifier

    model = InfiniteNetClassifier(solver=args.models[0], n_neighbours=args.neighbours, random_state=0).fit(X, y)
    return model.predict_proba


def boosted_classes(args, X, y):
    if args.models[0] == "catboost":
        from catboost import CatBoostClassifier

        return CatBoostClassifier(verbose=False, allow_writing_files=False).fit(X, y).predict_proba
    from lightgbm import LGBMClassifier

    return LGBMClassifier(verbose=-1).fit(X, y).predict_proba


def with_one_std(fit, X, y):
    """Fit a model of means; its standard deviation is the root mean square error of a tenth that was held out."""
    n_held_out = len(y) // 10
    order = np.random.default_rng(1).permutation(len(y))
    held_out, used = order[:n_held_out], order[n_held_out:]
    std = np.sqrt(np.mean((fit(X[used], y[used])(X[held_out]) - y[held_out]) ** 2))
    predict = fit(X, y)
    return lambda new: (predict(new), np.full(len(new), std))


def lightgbm(_, X, y):
    from lightgbm import LGBMRegressor

    return with_one_std(lambda X, y: LGBMRegressor(verbose=-1).fit(X, y).predict, X, y)


def lightgbm_long(_, X, y):
    from lightgbm import LGBMRegressor

    return with_one_std(lambda X, y: LGBMRegressor(n_estimators=2000, verbose=-1).fit(X, y).predict, X, y)


def catboost(_, X, y):
    from catboost import CatBoostRegressor

    model = CatBoostRegressor(loss_function="RMSEWithUncertainty", verbose=False, allow_writing_files=False).fit(X, y)

    def predict(new):
        mean, variance = model.predict(new).T
        return mean, np.sqrt(variance)

    return predict


def gpboost(_, X, y):
    import gpboost

    center, scale = X.mean(axis=0), np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    model = gpboost.GPModel(
        gp_coords=(X - center) / scale,
        cov_function="matern_ard",
        cov_fct_shape=1.5,
        likelihood="gaussian",
        gp_approx="vecchia",
        num_neighbors=20,
    )
    model.fit(y=(y - y.mean()) / y.std(), params={"trace": False})
    model.set_prediction_data(vecchia_pred_type="order_obs_first_cond_obs_only", num_neighbors_pred=200)

    def predict(new):
        found = model.predict(gp_coords_pred=(new - center) / scale, predict_var=True, predict_response=True)
        return found["mu"] * y.std() + y.mean(), np.sqrt(found["var"]) * y.std()

    return predict


REGRESSORS = {
    **dict.fromkeys(OWN, own),
    "lightgbm": lightgbm,
    "lightgbm-2000": lightgbm_long,
    "catboost": catboost,
    "gpboost": gpboost,
}
CLASSIFIERS = {**dict.fromkeys(OWN, own_classes), **dict.fromkeys(("lightgbm", "catboost"), boosted_classes)}

if __name__ == "__main__":
    main()
