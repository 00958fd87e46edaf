"""Print the polynomial coefficients of infwidth/activations/_vector_math.py, with their errors.

    pip install mpmath
    python doc/benchmarks/dual_polynomials.py

Each function is analytic on its interval once its singular factor (a power of the square root) is divided out.
It is interpolated at the Chebyshev points in 60 decimal digits, the interpolant is written in powers of the
variable, and the powers' coefficients are rounded to double precision. Two relative errors are printed, the
largest on a grid of the interval: of the rounded coefficients evaluated exactly, and of the double-precision
evaluation that the package makes (even and odd half by Horner's rule).
"""

from collections.abc import Callable
from typing import NamedTuple

import mpmath as mp
import numpy as np

DIGITS = 60
GRID = 400


class Target(NamedTuple):
    """One polynomial: its name in ``_vector_math``, what it stands for, the function, the degree and the interval."""

    name: str
    text: str
    function: Callable
    degree: int
    low: mp.mpf
    high: mp.mpf


def arccosine_0(u):
    return mp.acos(1 - u) / mp.pi / mp.sqrt(u)


def arccosine_1(u):
    a = 1 - u
    return (mp.sqrt(1 - a * a) - a * mp.acos(a)) / mp.pi / u ** mp.mpf(1.5)


def arccosine_2(u):
    a = 1 - u
    return ((1 + 2 * a * a) * mp.acos(a) - 3 * a * mp.sqrt(1 - a * a)) / mp.pi / u ** mp.mpf(2.5)


def arcsine(w):
    x = mp.sqrt(w)
    return mp.asin(x) / x


def exponential(r):
    if abs(r) < mp.mpf(10) ** -9:  # the quotient would be 0 / 0
        return mp.mpf(1) / 2 + r / 6
    return (mp.expm1(r) - r) / r**2


def targets():
    half_log_2 = mp.log(2) / 2
    zero, one, quarter = mp.mpf(0), mp.mpf(1), mp.mpf(1) / 4
    return [
        Target("_ARCCOS_0", "arccos(1 - u) / (pi u^(1/2))", arccosine_0, 18, zero, one),
        Target("_ARCCOS_1", "(sin t - t cos t) / (pi u^(3/2)), t = arccos(1 - u)", arccosine_1, 17, zero, one),
        Target(
            "_ARCCOS_2",
            "(t (1 + 2 cos^2 t) - 3 sin t cos t) / (pi u^(5/2)), t = arccos(1 - u)",
            arccosine_2,
            16,
            zero,
            one,
        ),
        Target("_ARCSIN", "arcsin(x) / x of w = x^2", arcsine, 12, zero, quarter),
        Target("_EXPM1", "(exp(r) - 1 - r) / r^2", exponential, 10, -half_log_2, half_log_2),
    ]


def interpolate(target):
    """Return the coefficients, lowest first, of the interpolant at the Chebyshev points, as doubles."""
    n = target.degree + 1
    matrix, values = mp.matrix(n, n), mp.matrix(n, 1)
    for row in range(n):
        x = mp.cos(mp.pi * (row + mp.mpf(1) / 2) / n)
        u = target.low + (target.high - target.low) * (x + 1) / 2
        for column in range(n):
            matrix[row, column] = u**column
        values[row] = target.function(u)
    return [float(coefficient) for coefficient in mp.lu_solve(matrix, values)]


def errors(target, coefficients):
    """Return the largest relative errors of exact and of double-precision evaluation."""
    exact = rounded = mp.mpf(0)
    highest_first = [mp.mpf(c) for c in reversed(coefficients)]
    for k in range(1, GRID + 1):
        # a double, so that both evaluations are of the same argument; never the singular end itself
        u = float(target.low + (target.high - target.low) * (mp.mpf(k) - mp.mpf("0.5")) / GRID)
        value = target.function(mp.mpf(u))
        exact = max(exact, abs(mp.polyval(highest_first, mp.mpf(u)) / value - 1))
        rounded = max(rounded, abs(mp.mpf(in_doubles(coefficients, u)) / value - 1))
    return exact, rounded


def in_doubles(coefficients, u):
    """Evaluate as ``_vector_math`` does, without fused multiply-adds."""
    v = u * u
    even = odd = 0.0
    for c in reversed(coefficients[::2]):
        even = even * v + c
    for c in reversed(coefficients[1::2]):
        odd = odd * v + c
    return even + u * odd


def main():
    mp.mp.dps = DIGITS
    for target in targets():
        coefficients = interpolate(target)
        exact, rounded = errors(target, coefficients)
        epsilon = float(rounded) / np.finfo(float).eps
        print(f"# {target.text}, in [{mp.nstr(target.low, 4)}, {mp.nstr(target.high, 4)}], degree {target.degree}")
        print(f"# relative error {mp.nstr(exact, 2)} of the polynomial, {mp.nstr(rounded, 2)} in doubles ", end="")
        print(f"({epsilon:.1f} machine epsilon)")
        print(f"{target.name} = _polynomial(\n    (")
        for coefficient in coefficients:
            print(f"        {coefficient!r},")
        print("    )\n)\n")


if __name__ == "__main__":
    main()
