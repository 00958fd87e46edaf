"""MNIST with the first n training images: accuracy and calibration as n grows (the curve of Lee et al. 2018).

    python doc/benchmarks/mnist.py --data-dir DATA --sizes 100 1000 10000 --rival

DATA holds images/mnist.npz with X_train, y_train, X_test, y_test in canonical order. Each image is a row of 784 pixels,
raised to a power (1/2, or --power 1) and scaled to one norm. The kernel is that of an infinitely wide network of RBF
units, the NNGP. Its input variance is the one with the smallest leave-one-out log loss, in closed form, on the n
training images: one factorisation for each of the grid. Seconds of fit are those of the whole grid; peak memory is that
of fit and predict_proba beyond what the process held before. --defaults lets InfiniteNetClassifier() learn and average
its networks. With --solver neighbours all 60,000 images can be learned from.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _measure import peak_extra_bytes
from uci_classification import scores

SIZES = [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]


class LeaveOneOutGrid:
    """One classifier for each input variance; the best by leave-one-out is kept."""

    def __init__(self, input_variances, noise_variance, solver):
        self.input_variances, self.noise_variance, self.solver = input_variances, noise_variance, solver

    def fit(self, X, y):
        from infwidth import InfiniteNetClassifier
        from infwidth.networks import MLP

        best = None
        for value in self.input_variances:
            network = MLP(1, "rbf", input_variance=value, bias_variance=1e-3)
            model = InfiniteNetClassifier(
                network,
                noise_variance=self.noise_variance,
                optimizer=None,
                feature_scaling=None,
                solver=self.solver,
            ).fit(X, y)
            if best is None or model.evidence_[0] > best.evidence_[0]:
                best = model
            del model
        self.best_, self.classes_ = best, best.classes_
        return self

    def predict_proba(self, X):
        return self.best_.predict_proba(X)


def classifier(args):
    if args.defaults:
        from infwidth import InfiniteNetClassifier

        return InfiniteNetClassifier(random_state=0, feature_scaling=None, solver=args.solver)
    return LeaveOneOutGrid(args.input_variances, args.noise_variance, args.solver)


def rivals():
    """Return scikit-learn's classifiers, by name."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC

    return {"random-forest": RandomForestClassifier(500, random_state=0), "svc-rbf": SVC(gamma="scale", C=10.0)}


def images(path, n_train, n_test, power, norm):
    """Return the first images of each part as rows of this norm, and their digits."""
    with np.load(path, allow_pickle=False) as data:
        parts = [data["X_train"][:n_train], data["X_test"][:n_test]]
        digits = [data["y_train"][:n_train], data["y_test"][:n_test]]
    rows = [part.reshape(len(part), -1).astype(float) ** power for part in parts]
    X, X_test = (norm * part / np.linalg.norm(part, axis=1, keepdims=True) for part in rows)
    return X, digits[0], X_test, digits[1]


def fit_and_predict(model, X, y, X_test):
    """Return probabilities, and the seconds of fit and of predict_proba."""
    start = time.perf_counter()
    model.fit(X, y)
    fitted = time.perf_counter()
    probabilities = model.predict_proba(X_test)
    return probabilities, fitted - start, time.perf_counter() - fitted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--n-test", type=int, default=10_000)
    parser.add_argument("--norm", type=float, default=28.0, help="of each row; 28 is √784")
    parser.add_argument("--power", type=float, default=0.5, help="of each pixel")
    parser.add_argument("--input-variances", nargs="+", type=float, default=[2.0, 4.0, 8.0])
    parser.add_argument("--noise-variance", type=float, default=2e-3)
    parser.add_argument("--solver", choices=["cholesky", "neighbours"], default="cholesky")
    parser.add_argument("--defaults", action="store_true", help="run InfiniteNetClassifier() instead of the grid")
    parser.add_argument("--rival", action="store_true", help="run a random forest and a support vector machine too")
    args = parser.parse_args()
    path = args.data_dir / "images" / "mnist.npz"
    X, y, X_test, y_test = images(path, max(args.sizes), args.n_test, args.power, args.norm)
    digits = np.arange(10)

    names = list(rivals()) if args.rival else []
    print("| n | accuracy % | log loss | ECE | fit s | predict s | peak MB |" + "".join(f" {m} % | s |" for m in names))
    print("|---|---|---|---|---|---|---|" + "---|---|" * len(names))
    for n in args.sizes:
        model = classifier(args)
        result, peak = peak_extra_bytes(lambda model=model, n=n: fit_and_predict(model, X[:n], y[:n], X_test))
        probabilities, fit_seconds, predict_seconds = result
        predicted = model.classes_[probabilities.argmax(axis=1)]
        accuracy, log_loss, ece = scores(y_test, digits, model.classes_, predicted, probabilities)
        cells = [f"{100 * accuracy:.2f}", f"{log_loss:.4f}", f"{ece:.4f}"]
        cells += [f"{fit_seconds:.1f}", f"{predict_seconds:.1f}", f"{peak / 1e6:.0f}"]
        for rival in rivals().values() if args.rival else ():
            start = time.perf_counter()
            accuracy = rival.fit(X[:n], y[:n]).score(X_test, y_test)
            cells += [f"{100 * accuracy:.2f}", f"{time.perf_counter() - start:.1f}"]
        print(f"| {n} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
