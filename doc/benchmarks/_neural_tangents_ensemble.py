"""The rival of ensemble.py: for each line read, the seconds and the peak of extra bytes of mean and covariance.

The last result is written to the file that the line names.
"""

import os
import sys
import time

os.environ["JAX_PLATFORMS"] = "cpu"
import jax

jax.config.update("jax_enable_x64", True)
import neural_tangents as nt
import numpy as np
from _measure import peak_extra_bytes
from neural_tangents import stax

data = np.load(sys.argv[1])
depth, ridge = int(sys.argv[2]), float(sys.argv[3])
layers = [f for _ in range(depth) for f in (stax.Dense(1, W_std=1.5, b_std=0.1), stax.Relu())]
_, _, kernel = stax.serial(*layers, stax.Dense(1, W_std=1.5, b_std=0.1))
kernel = jax.jit(kernel, static_argnames="get")


def run():
    predict = nt.predict.gradient_descent_mse_ensemble(
        kernel, data["X"], data["y"][:, None], diag_reg=ridge, diag_reg_absolute_scale=True
    )
    result = predict(t=None, x_test=data["X_new"], get="ntk", compute_cov=True)
    return np.asarray(result.mean)[:, 0], np.asarray(result.covariance)


for line in sys.stdin:
    start = time.perf_counter()
    (mean, covariance), peak = peak_extra_bytes(run)
    print(time.perf_counter() - start, peak, flush=True)
    np.savez(line.strip(), mean=mean, covariance=covariance)
    print("saved", flush=True)
