"""Mean ranks beside other programs, over tables of UCI: the figures and the chart of the README.

    python doc/benchmarks/ranks.py                    # print and draw the results in doc/benchmarks/results
    python doc/benchmarks/ranks.py --data-dir DATA    # first run what is missing there

DATA holds what uci_regression.py and uci_classification.py say, and uci_regression_more/<name>.npz of the same form.
The programs and their settings are of those two scripts, and all must be installed. Tables: for regression the first
two splits of all sets with up to 3000 rows and 100 features (a Gaussian process with 128 length scales does not end
within minutes); for classification the first hold-out of all sets with up to 1000 rows. Rank 1 is the best of a table,
ties share their ranks. A table that a program did not finish counts for none of them, and is named.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import uci_classification
import uci_regression
from scipy.stats import rankdata

FOLDER = Path(__file__).parent
RESULTS = {name: FOLDER / "results" / f"{name}.csv" for name in ("regression", "classification")}
MOST_ROWS = {"regression": 3000, "classification": 1000}  # of a table
MOST_FEATURES = 100  # for regression
SPLITS = {"regression": range(2), "classification": range(1)}
PROGRAMS = {
    "regression": {
        "nngp": "NNGPRegressor",
        "gp-rbf-ard": "GP, RBF-ARD",
        "realmlp": "RealMLP",
        "catboost": "CatBoost",
        "xrfm": "xRFM",
        "lightgbm": "LightGBM",
    },
    "classification": {
        "infwidth": "InfiniteNetClassifier",
        "svc-rbf": "SVC, RBF",
        "realmlp": "RealMLP",
        "catboost": "CatBoost",
        "xrfm": "xRFM",
        "lightgbm": "LightGBM",
    },
}
SCORES = {"regression": ("RMSE", "log density"), "classification": ("accuracy", "log loss")}
LARGER_IS_BETTER = {"log density", "accuracy"}


def run(data):
    """Append what is missing to the two files of results."""
    RESULTS["regression"].parent.mkdir(exist_ok=True)
    paths = [path for folder in ("uci_regression", "uci_regression_more") for path in (data / folder).glob("*.npz")]
    paths = sorted((path for path in paths if is_small(*shape(path))), key=shape)
    sets = uci_classification.data_sets(data / "uci_classification", None)
    sets = [(name, arrays) for name, arrays in sets if len(arrays["y"]) <= MOST_ROWS["classification"]]
    uci_regression.run(paths, PROGRAMS["regression"], len(SPLITS["regression"]), RESULTS["regression"])
    uci_classification.run(sets, PROGRAMS["classification"], SPLITS["classification"], RESULTS["classification"])


def shape(path):
    with np.load(path, allow_pickle=False) as data:
        return data["X"].shape


def is_small(n_rows, n_features):
    return n_rows <= MOST_ROWS["regression"] and n_features <= MOST_FEATURES


def scores(kind):
    """Return the sets that all programs have finished, their scores (program, set, score), and the other sets."""
    if kind == "regression":
        results = uci_regression.results(uci_regression.read(RESULTS[kind]))
    else:
        results = {}
        for (name, method), by_fold in uci_classification.read(RESULTS[kind]).items():
            results.setdefault(name, {})[method] = by_fold
    finished, others = [], []
    for name, by_program in sorted(results.items()):
        whole = all(split in by_program.get(program, {}) for program in PROGRAMS[kind] for split in SPLITS[kind])
        (finished if whole else others).append(name)
    values = [
        [np.mean([results[name][program][split] for split in SPLITS[kind]], axis=0) for name in finished]
        for program in PROGRAMS[kind]
    ]
    return finished, np.array(values), others


def ranks(values, score):
    """Return the rank of each program on each set."""
    return rankdata((-values if score in LARGER_IS_BETTER else values).round(12), axis=0)


def print_tables(kind, names, values, others):
    """Print mean ranks, and on how many tables the estimator of this package is better, level and worse."""
    programs = list(PROGRAMS[kind].values())
    all_ranks = [ranks(values[..., place], score) for place, score in enumerate(SCORES[kind])]
    print(f"{kind}, {len(names)} tables: {', '.join(names)}")
    if others:
        print(f"not finished by all, left out: {', '.join(others)}")
    header = f"| {' | '.join(SCORES[kind])} |\n|---|---|---|"
    print(f"\n| mean rank {header}")
    for row, program in enumerate(programs):
        print(f"| {program} | {' | '.join(f'{rank[row].mean():.2f}' for rank in all_ranks)} |")
    print(f"\n| {programs[0]} better, level, worse {header}")
    for row, program in enumerate(programs[1:], start=1):
        print(f"| {program} | {' | '.join(duel(rank[0], rank[row]) for rank in all_ranks)} |")
    print()


def duel(ours, theirs):
    """Return on how many tables ours are better, level and worse."""
    return ", ".join(str(np.sum(compare(ours, theirs))) for compare in (np.less, np.equal, np.greater))


def draw(results, path):
    """Draw mean ranks: two panels for each kind of task, the programs in the order of the mean of both."""
    figure, panels = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained")
    for kind, pair in zip(results, (panels[:2], panels[2:]), strict=True):
        names, values, _ = results[kind]
        programs = np.array(list(PROGRAMS[kind].values()))
        means = np.array([ranks(values[..., place], score).mean(axis=1) for place, score in enumerate(SCORES[kind])])
        order = np.argsort(-means.mean(axis=0))
        for axes, score, mean in zip(pair, SCORES[kind], means, strict=True):
            bars = axes.barh(programs[order], mean[order], color=np.where(order == 0, "C3", "0.75"))
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
            axes.set_title(f"{score}, {len(names)} tables", fontsize=9)
            axes.set_xlim(0, len(programs))
            axes.set_xticks([])
            axes.tick_params(axis="y", labelsize=9, length=0)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
        pair[1].set_yticklabels([])
    figure.suptitle("mean rank of six programs, 1 is best", fontsize=10)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="run what is missing first")
    parser.add_argument("--picture", type=Path, default=FOLDER.parent / "images" / "ranks.png")
    args = parser.parse_args()
    if args.data_dir:
        run(args.data_dir)
    results = {kind: scores(kind) for kind in RESULTS}
    for kind, result in results.items():
        print_tables(kind, *result)
    draw(results, args.picture)


if __name__ == "__main__":
    main()
