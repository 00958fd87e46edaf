"""The rival of kernels.py: prints the seconds of one jitted float64 NTK matrix for each line read."""

import os
import sys
import time

os.environ["JAX_PLATFORMS"] = "cpu"
import jax

jax.config.update("jax_enable_x64", True)
import numpy as np
from neural_tangents import stax

n, d, depth = map(int, sys.argv[1:4])
activation = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu}[sys.argv[4]]
layers = [f for _ in range(depth) for f in (stax.Dense(1, W_std=1.5, b_std=0.1), activation())]
_, _, kernel = stax.serial(*layers, stax.Dense(1, W_std=1.5, b_std=0.1))
X = np.random.default_rng(0).standard_normal((n, d))
ntk = jax.jit(lambda inputs: kernel(inputs, None, "ntk"))
ntk(X).block_until_ready()
for _ in sys.stdin:
    start = time.perf_counter()
    ntk(X).block_until_ready()
    print(time.perf_counter() - start, flush=True)
