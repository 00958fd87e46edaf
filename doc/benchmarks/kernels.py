"""Kernel matrices against neural-tangents, in one run.

    python doc/benchmarks/kernels.py --rival-python ENV/bin/python

ENV is an environment with neural-tangents 0.6.5 and jax 0.4.30. Its jitted float64 NTK and ours take turns; the
table gives medians and ratios, for the full symmetric array and for the lower triangle by tiles that feeds the solver.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
from _measure import alternate

from infwidth._engine.engine import PANEL, KernelEngine, ProgramSource
from infwidth._linalg.tiles import LowerTiles
from infwidth.networks import MLP

CASES = [(3, "relu"), (10, "relu"), (3, "erf"), (3, "gelu")]


class Rival:
    """neural-tangents in its own process: answers each line with the seconds of one kernel matrix."""

    def __init__(self, python, n, d, depth, activation):
        script = Path(__file__).with_name("_neural_tangents.py")
        command = [python, script, str(n), str(d), str(depth), activation]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.seconds = []

    def __call__(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.seconds.append(float(self.process.stdout.readline()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        return median(self.seconds[1:])


def fill_both(engine, rows, pairs):
    """Write the lower triangles of K and Θ in one pass."""

    def panel(item):
        (i0, j0, K), (_, _, T), start = item
        stop, first = min(start + PANEL, K.shape[1]), start if i0 == j0 else 0
        place = {"row": start, "column": first, "upper": i0 == j0}
        engine.block(rows, j0 + start, j0 + stop, rows, i0 + first, i0 + K.shape[0], K.T, T.T, **place)

    engine.run(panel, [(k, t, start) for k, t in pairs for start in range(0, k[2].shape[1], PANEL)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rival-python", help="interpreter with neural-tangents; without it only ours is timed")
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--d", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    X = np.random.default_rng(0).standard_normal((args.n, args.d))
    tiles, more_tiles = LowerTiles(args.n), LowerTiles(args.n)
    print(f"n={args.n}, d={args.d}: milliseconds, and how many times faster than neural-tangents' NTK")
    for depth, activation in CASES:
        network = MLP(depth, activation, weight_variance=2.25, bias_variance=0.01)
        engine = KernelEngine(network.lower(args.d), ntk=True)
        rows = engine.rows(X)
        source = ProgramSource(engine, rows, "ntk")
        pairs = list(zip(tiles, more_tiles, strict=True))
        functions = {
            "ntk full": lambda network=network: network.ntk(X),
            "ntk tiles": lambda source=source: source.fill(tiles),
            "both full": lambda network=network: network.kernels(X),
            "both tiles": lambda engine=engine, rows=rows, pairs=pairs: fill_both(engine, rows, pairs),
        }
        rival = Rival(args.rival_python, args.n, args.d, depth, activation) if args.rival_python else None
        if rival:
            functions["neural-tangents"] = rival
        seconds = alternate(functions, args.repeats)
        if rival:
            seconds["neural-tangents"] = rival.close()
        base = seconds.get("neural-tangents", float("nan"))
        row = ", ".join(f"{name} {1e3 * s:.0f} ({base / s:.1f}x)" for name, s in seconds.items())
        both = seconds["both tiles"] / seconds["ntk tiles"], seconds["both full"] / seconds["ntk full"]
        print(f"depth {depth} {activation}: {row}; both/ntk: tiles {both[0]:.2f}, full {both[1]:.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
