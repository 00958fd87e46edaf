"""Small UCI classification sets, four stratified hold-outs each; all choices are made on the training rows of each.

    python doc/benchmarks/uci_classification.py --data-dir DATA --methods infwidth random-forest --out results.csv
    python doc/benchmarks/uci_classification.py --data-dir DATA --out results.csv --table-only --per-set

DATA holds uci_classification/<name>.npz with X, y and the rows of each hold-out in fold<i>_train and fold<i>_test
(Fernández-Delgado et al. 2014, features standardised as theirs; the small sets are those of Arora et al. 2020). Each
result is a line of the file given by --out; a run goes on where the last one ended, and several can share the file.
Small sets come first.

The support vector machines choose kernel and C by 4-fold accuracy. Their probabilities are of libsvm (Platt scaling of
pairs of classes) or of temperature scaling, by log loss on held-out rows; their predictions need neither. "ntk-svm" is
the protocol of Arora et al. (2020) on each hold-out. libsvm stops after 100,000 iterations, which linear kernels with
large C reach. scikit-learn's Gaussian process and "laplace" (see laplace.py) run only where they end within minutes.

Scores are of one hold-out; probabilities are of all classes of the set, 1e-6 at least and renormalised, so a class
without training rows gets as much from every method. The table has means over sets, ± standard errors over sets. PMA is
the mean of accuracy / best accuracy, P90 and P95 the share of sets where that is 0.9 or 0.95 at least, the best being
that of the methods in the table.
"""

import argparse
import csv
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from laplace import laplace
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import rankdata

FIELDS = ["set", "fold", "method", "accuracy", "log_loss", "ece", "seconds"]
LEAST_PROBABILITY = 1e-6
BINS = 15  # of confidence, for the calibration error
MOST_ITERATIONS = 100_000
GP_MOST_OPERATIONS = 1e11  # rows³ · models: about 5 minutes


def infwidth(X, y, X_new):
    """Defaults only."""
    from infwidth import InfiniteNetClassifier

    return fitted(InfiniteNetClassifier(random_state=0), X, y, X_new)


def infwidth_ntk(X, y, X_new):
    """The other limit."""
    from infwidth import InfiniteNetClassifier

    return fitted(InfiniteNetClassifier(limit="ntk", random_state=0), X, y, X_new)


def infwidth_temperature(X, y, X_new):
    """Temperature scaling of held-out scores, as CalibratedClassifierCV(method="temperature") does it."""
    from infwidth import InfiniteNetClassifier

    model = InfiniteNetClassifier(calibration=None, random_state=0)
    folds = inner_folds(y)
    decided = [np.log(model.fit(X[train], y[train]).predict_proba(X[test])) for train, test in folds]
    labels = np.unique(y, return_inverse=True)[1][np.concatenate([test for _, test in folds])]
    inverse_temperature, _ = temperature_scaling(np.concatenate(decided), labels)
    classes, predicted, probabilities = fitted(model, X, y, X_new)
    return classes, predicted, softmax(inverse_temperature * np.log(probabilities), axis=1)


def random_forest(X, y, X_new):
    from sklearn.ensemble import RandomForestClassifier

    return fitted(RandomForestClassifier(500, random_state=0), X, y, X_new)


def lightgbm(X, y, X_new):
    """Defaults only."""
    from lightgbm import LGBMClassifier

    return fitted(LGBMClassifier(verbose=-1, n_jobs=1, random_state=0), X, y, X_new)


def catboost(X, y, X_new):
    """Defaults only."""
    from catboost import CatBoostClassifier

    return fitted(CatBoostClassifier(verbose=False, allow_writing_files=False, random_seed=0), X, y, X_new)


def xrfm(X, y, X_new):
    """Recursive feature machine with its defaults; a fifth of the rows is its validation set."""
    from uci_regression import a_fifth
    from xrfm import xRFM

    mean, std = X.mean(axis=0), X.std(axis=0)
    X, X_new = (((part - mean) / np.where(std > 0, std, 1.0)).astype(np.float32) for part in (X, X_new))
    classes, labels = np.unique(y, return_inverse=True)
    held_out, kept = a_fifth(len(y))
    model = xRFM(device="cpu", random_state=0, verbose=False)
    model.fit(X[kept], labels[kept], X[held_out], labels[held_out])
    probabilities = np.asarray(model.predict_proba(X_new))
    return classes, classes[probabilities.argmax(axis=1)], probabilities


def realmlp(X, y, X_new):
    """RealMLP predicts with its tuned defaults; the probabilities are of a second fit, as its authors advise."""
    from pytabkit import RealMLP_TD_Classifier

    options = {"device": "cpu", "n_threads": 1, "random_state": 0}
    predicted = RealMLP_TD_Classifier(**options).fit(X, y).predict(X_new)
    for_log_loss = RealMLP_TD_Classifier(val_metric_name="cross_entropy", use_ls=False, **options)
    classes, _, probabilities = fitted(for_log_loss, X, y, X_new)
    return classes, predicted, probabilities


def gpc_rbf(X, y, X_new):
    """scikit-learn's Gaussian process with the Laplace approximation, one class against the rest."""
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kernel = 1.0 * RBF(np.sqrt(X.shape[1]))
    return fitted(make_pipeline(StandardScaler(), GaussianProcessClassifier(kernel, random_state=0)), X, y, X_new)


def svc_rbf(X, y, X_new):
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(X)
    kernels = [partial(rbf_kernel, gamma=4.0**k / X.shape[1]) for k in range(-2, 3)]
    return kernel_svc(kernels, 10.0 ** np.arange(-1, 4), scaler.transform(X), y, scaler.transform(X_new))


def ntk_svm(X, y, X_new):
    """NTKs of ReLU networks without biases, 0 to 4 hidden layers deep, for each number of first layers frozen."""
    from infwidth.networks import Activation, Dense, Sequential

    def ntk(depth, frozen):
        layers = [Dense(weight_variance=X.shape[1], bias_variance=0.0, trainable=frozen == 0)]  # K⁰ = XXᵀ
        for layer in range(1, depth + 1):
            layers += [Activation("relu"), Dense(weight_variance=2.0, bias_variance=0.0, trainable=layer >= frozen)]
        return Sequential(layers).ntk

    kernels = [ntk(depth, frozen) for depth in range(5) for frozen in range(depth + 1)]
    return kernel_svc(kernels, 10.0 ** np.arange(-2, 5), X, y, X_new)


METHODS = {
    "infwidth": infwidth,
    "infwidth-ntk": infwidth_ntk,
    "infwidth-temperature": infwidth_temperature,
    "random-forest": random_forest,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "xrfm": xrfm,
    "realmlp": realmlp,
    "svc-rbf": svc_rbf,
    "ntk-svm": ntk_svm,
    "gpc-rbf": gpc_rbf,
    "laplace": laplace,
}


def fitted(model, X, y, X_new):
    """Return the classes of the training rows, predictions and probabilities."""
    probabilities = model.fit(X, y).predict_proba(X_new)
    return model.classes_, model.classes_[probabilities.argmax(axis=1)], probabilities


def kernel_svc(kernels, costs, X, y, X_new):
    """Return the same, of the support vector machine whose kernel and C are best in cross-validation."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    folds = inner_folds(y)
    searches = []
    for kernel in kernels:
        model = SVC(kernel="precomputed", max_iter=MOST_ITERATIONS)
        search = GridSearchCV(model, {"C": costs}, cv=folds, refit=False)
        searches.append(search.fit(kernel(X, X), y))
    best = int(np.argmax([search.best_score_ for search in searches]))

    model = SVC(
        kernel="precomputed", probability=True, random_state=0, max_iter=MOST_ITERATIONS, **searches[best].best_params_
    )
    K = kernels[best](X, X)
    held_out, decided, platt = [], [], []
    for train, test in folds:
        model.fit(K[np.ix_(train, train)], y[train])
        K_test = K[np.ix_(test, train)]
        held_out.append(test)
        decided.append(decisions(model, K_test))
        platt.append(model.predict_proba(K_test))
    model.fit(K, y)
    K_new = kernels[best](X_new, X)
    labels = np.searchsorted(model.classes_, y[np.concatenate(held_out)])
    inverse_temperature, loss = temperature_scaling(np.concatenate(decided), labels)
    if loss < smoothed_loss(np.concatenate(platt), labels):
        probabilities = softmax(inverse_temperature * decisions(model, K_new), axis=1)
    else:
        probabilities = model.predict_proba(K_new)
    return model.classes_, model.predict(K_new), probabilities


def inner_folds(y):
    """Return four folds, or fewer; a row alone in its class is never held out, so each fold trains on all classes."""
    from sklearn.model_selection import StratifiedKFold

    _, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    alone, rest = np.flatnonzero(counts[labels] == 1), np.flatnonzero(counts[labels] > 1)
    folds = StratifiedKFold(min(4, counts.max()), shuffle=True, random_state=0).split(rest, y[rest])
    return [(np.concatenate([rest[train], alone]), rest[test]) for train, test in folds]


def decisions(model, K):
    """Return the decision function with a column for each class, of two classes too."""
    decision = model.decision_function(K)
    return decision if decision.ndim == 2 else np.column_stack([-decision, decision]) / 2


def temperature_scaling(logits, labels):
    """Return 1 / temperature of the least loss, and that loss."""

    def loss(log_inverse):
        return smoothed_loss(softmax(np.exp(log_inverse) * logits, axis=1), labels)

    best = minimize_scalar(loss, bounds=(-6.0, 6.0), method="bounded")
    return np.exp(best.x), best.fun


def smoothed_loss(probabilities, labels):
    """Return the log loss with one more row of each class (Platt 2000), so that separable rows do not give zeros."""
    n, n_classes = probabilities.shape
    log = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return -(log[np.arange(n), labels].sum() + log.mean(axis=0).sum()) / (n + n_classes)


def scores(y, all_classes, classes, predicted, probabilities):
    """Return accuracy, log loss and the calibration error of the most probable class."""
    everywhere = np.zeros((len(y), len(all_classes)))
    everywhere[:, np.searchsorted(all_classes, classes)] = probabilities
    everywhere = np.maximum(everywhere, LEAST_PROBABILITY)
    everywhere /= everywhere.sum(axis=1, keepdims=True)
    labels = np.searchsorted(all_classes, y)
    confidence, correct = everywhere.max(axis=1), everywhere.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - correct, BINS)  # of each bin: rows · (mean confidence - accuracy)
    return (
        np.mean(predicted == y),
        -np.log(everywhere[np.arange(len(y)), labels]).mean(),
        np.abs(gaps).sum() / len(y),
    )


def data_sets(folder, names):
    """Return (name, arrays) of each set, small ones first."""
    sets = []
    for path in folder.glob("*.npz"):
        if not names or path.stem in names:
            with np.load(path, allow_pickle=False) as data:
                sets.append((path.stem, dict(data)))
    return sorted(sets, key=lambda pair: (len(pair[1]["fold0_train"]) * pair[1]["X"].shape[1], pair[0]))


def does_not_finish(method, y):
    n_classes = len(np.unique(y))
    n_models = 1 if n_classes == 2 else n_classes
    return method in {"gpc-rbf", "laplace"} and n_models * len(y) ** 3 > GP_MOST_OPERATIONS


def run(sets, methods, folds, out):
    """Append the scores of each method on each hold-out of each set to a file, but for those that it has."""
    if not out.exists():
        append(out, FIELDS)
    for name, data in sets:
        X, y = data["X"], data["y"]
        for fold in folds:
            train, test = data[f"fold{fold}_train"], data[f"fold{fold}_test"]
            for method in methods:
                if does_not_finish(method, y[train]) or fold in read(out).get((name, method), {}):
                    continue
                start = time.perf_counter()
                with warnings.catch_warnings():
                    if method != "infwidth":
                        warnings.simplefilter("ignore")  # few rows of a class, iterations, feature names
                    predictions = METHODS[method](X[train], y[train], X[test])
                seconds = time.perf_counter() - start
                row = [name, fold, method, *scores(y[test], np.unique(y), *predictions), seconds]
                append(out, row)
                print(*row[:3], *(f"{value:.4f}" for value in row[3:]), flush=True)


def append(path, row):
    """Write a line at once, since other processes may append to the file too."""
    with path.open("ab", buffering=0) as file:
        file.write((",".join(map(str, row)) + "\n").encode())


def read(path):
    """Return the results so far, by (set, method) and hold-out."""
    results: dict = {}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file, FIELDS):
                if row["set"] != "set":
                    values = np.array([float(row[field]) for field in FIELDS[3:]])
                    results.setdefault((row["set"], row["method"]), {})[int(row["fold"])] = values
    return results


def means(results, folds):
    """Return the means over hold-outs, by method and set, where the method has run all the hold-outs."""
    finished: dict = {}
    for (name, method), by_fold in results.items():
        if all(fold in by_fold for fold in folds):
            finished.setdefault(method, {})[name] = np.mean([by_fold[fold] for fold in folds], axis=0)
    return finished


def table(finished, methods, names):
    """Print the table of these methods over these sets."""
    values = np.array([[finished[method][name] for name in names] for method in methods])  # (method, set, score)
    accuracy, log_loss, ece, seconds = np.moveaxis(values, 2, 0)
    accuracy_rank = rankdata(-accuracy.round(12), axis=0).mean(axis=1)
    log_loss_rank = rankdata(log_loss.round(12), axis=0).mean(axis=1)
    relative = accuracy / accuracy.max(axis=0)
    print(f"\n{len(names)} sets that all of these have finished\n")
    print("| method | sets finished | accuracy % | log loss | ECE | rank: accuracy | rank: log loss ", end="")
    print("| P90 % | P95 % | PMA % | median seconds |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for i, method in enumerate(methods):
        error = 100 * accuracy[i].std(ddof=1) / np.sqrt(len(names)) if len(names) > 1 else np.nan
        print(
            f"| {method} | {len(finished[method])} | {100 * accuracy[i].mean():.2f} ± {error:.2f} "
            f"| {log_loss[i].mean():.3f} | {ece[i].mean():.3f} | {accuracy_rank[i]:.2f} | {log_loss_rank[i]:.2f} "
            f"| {100 * np.mean(relative[i] >= 0.90):.1f} | {100 * np.mean(relative[i] >= 0.95):.1f} "
            f"| {100 * relative[i].mean():.2f} | {np.median(seconds[i]):.2f} |"
        )


def summary(args):
    """Print the table over the sets that all methods have finished, and that of the methods with most sets."""
    finished = means(read(args.out), args.folds)
    for method in finished:
        finished[method] = {n: v for n, v in finished[method].items() if not args.sets or n in args.sets}
    methods = [method for method in args.methods if finished.get(method)]
    if not methods:
        print("no method has finished a set")
        return
    names = sorted({name for method in methods for name in finished[method]})
    shared = [name for name in names if all(name in finished[method] for method in methods)]
    if shared:
        table(finished, methods, shared)
    complete = [method for method in methods if len(finished[method]) == len(names)]
    if complete and len(complete) < len(methods):
        table(finished, complete, names)
    if args.per_set:
        print(f"\naccuracy %\n\n| set | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
        for name in names:
            cells = (f"{100 * finished[m][name][0]:.2f}" if name in finished[m] else "" for m in methods)
            print(f"| {name} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--folds", nargs="+", type=int, choices=range(4), default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("uci_classification.csv"))
    parser.add_argument("--table-only", action="store_true", help="print the table of the results so far")
    parser.add_argument("--per-set", action="store_true", help="print the accuracies of each set too")
    args = parser.parse_args()
    if not args.table_only:
        run(data_sets(args.data_dir / "uci_classification", args.sets), args.methods, args.folds, args.out)
    summary(args)


if __name__ == "__main__":
    main()
