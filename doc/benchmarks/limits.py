"""Start-up times, the largest exact fit, and the refusal of a larger one.

python doc/benchmarks/limits.py [--n 30000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from _measure import peak_extra_bytes

from infwidth import NNGPRegressor
from infwidth.networks import MLP

FIRST_FIT = """
import time
start = time.perf_counter()
import infwidth
imported = time.perf_counter()
import numpy as np
X = np.random.default_rng(0).standard_normal((200, 5))
fit = []
for _ in range(2):
    begin = time.perf_counter()
    infwidth.NNGPRegressor(optimizer=None).fit(X, X[:, 0]).predict(X, return_std=True)
    fit.append(time.perf_counter() - begin)
print(f"import {imported - start:.2f} s, first fit and predict {fit[0]:.2f} s, second {fit[1]:.3f} s")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=30_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty numba cache", "filled numba cache"):
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            print(f"{state}:", end=" ", flush=True)
            subprocess.run([sys.executable, "-c", FIRST_FIT], env=environment, check=True)

    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 10))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(len(X))
    start = time.perf_counter()
    try:
        NNGPRegressor(optimizer=None).fit(X, y)
    except MemoryError as error:
        print(f"n=200,000, after {time.perf_counter() - start:.2f} s: {error}")

    model = NNGPRegressor(MLP(depth=3), optimizer=None, verbose=True)
    start = time.perf_counter()
    _, peak = peak_extra_bytes(lambda: model.fit(X[: args.n], y[: args.n]))
    seconds = time.perf_counter() - start
    error = np.sqrt(np.mean((model.predict(X[-2000:]) - np.sin(X[-2000:, 0])) ** 2))
    print(f"n={args.n:,}: fit {seconds:.1f} s, peak {peak / 1e9:.2f} GB, RMSE of the noise-free target {error:.3f}")


if __name__ == "__main__":
    main()
