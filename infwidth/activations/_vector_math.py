"""Elementary functions that LLVM can vectorise: polynomials, square roots and selections only.

numba brings no vector maths library, so ``math.acos`` in an inner loop is a scalar call; these forms are
several times faster and, where ``acos`` meets ±1, more accurate. The coefficients are printed, with
their errors, by ``doc/benchmarks/dual_polynomials.py``.
"""

import math
from collections.abc import Callable

import numpy as np

from infwidth._runtime.jit import inline

EQUAL = 8 * np.finfo(float).eps  # of 1 - |ρ|: rounding


def _polynomial(coefficients: tuple[float, ...]) -> Callable[[float], float]:
    """Compile the polynomial with these coefficients (lowest first): even and odd halves, two short chains."""
    if len(coefficients) < 2:
        raise ValueError("a polynomial needs two coefficients at least")

    def horner(terms: tuple[float, ...]) -> str:
        head = repr(terms[-1])
        return "(" * (len(terms) - 1) + head + "".join(f" * v + {c!r})" for c in terms[-2::-1])

    source = (
        "def polynomial(u):\n"
        "    v = u * u\n"
        f"    return {horner(coefficients[::2])} + u * {horner(coefficients[1::2])}\n"
    )
    namespace: dict[str, Callable[[float], float]] = {}
    exec(source, namespace)  # one literal expression: numba does not unroll a loop before it inlines
    return inline(namespace["polynomial"])


# arccos(1 - u) / (pi u^(1/2)), u in [0, 1]; relative error 4e-17.
_ARCCOS_0 = _polynomial(
    (
        0.45015815807855303,
        0.03751317983987564,
        0.00844046546442507,
        0.0025120432714529307,
        0.0008547930425932389,
        0.00031471098117365757,
        0.00012213551482788204,
        4.8544795153372625e-05,
        2.3195458675430442e-05,
        -2.2873114960199797e-06,
        3.460419989822555e-05,
        -6.525326994907856e-05,
        0.00011080327258598078,
        -0.00013687625959514212,
        0.00012754304139369471,
        -8.557648187341667e-05,
        3.955053770370357e-05,
        -1.1261280138402475e-05,
        1.527104740182858e-06,
    )
)

# (sin t - t cos t) / (pi u^(3/2)), t = arccos(1 - u), u in [0, 1]; relative error 8e-17.
_ARCCOS_1 = _polynomial(
    (
        0.30010543871903533,
        0.015005271935952597,
        0.0024115615610460976,
        0.0005582318466287261,
        0.0001554167357869515,
        4.841945348910864e-05,
        1.6263806339262657e-05,
        5.84070847629788e-06,
        1.857888431389364e-06,
        1.7398143778622169e-06,
        -1.9457839673763177e-06,
        4.3081759394265986e-06,
        -5.713317168339133e-06,
        5.894828158021196e-06,
        -4.290219170809671e-06,
        2.153383299693181e-06,
        -6.609434495385855e-07,
        9.759058594307168e-08,
    )
)

# (t (1 + 2 cos^2 t) - 3 sin t cos t) / (pi u^(5/2)), t = arccos(1 - u), u in [0, 1]; relative error 2e-17.
_ARCCOS_2 = _polynomial(
    (
        0.4801687019504566,
        0.017148882212515513,
        0.0021436102766403268,
        0.0004059867919436719,
        9.564117655300732e-05,
        2.582242482545201e-05,
        7.663645434586847e-06,
        2.4038845423187457e-06,
        9.269734750355194e-07,
        -3.452441654714879e-08,
        7.693325781874186e-07,
        -9.903200808512813e-07,
        1.173003899826876e-06,
        -9.243859931667669e-07,
        5.090159289265169e-07,
        -1.6890680126358324e-07,
        2.7448498401011674e-08,
    )
)

# arcsin(x) / x of w = x^2 in [0, 1/4]; relative error 3e-17.
_ARCSIN = _polynomial(
    (
        1.0,
        0.16666666666664942,
        0.07500000000385201,
        0.044642856805998936,
        0.03038195969768514,
        0.022371749733164054,
        0.01735977964134998,
        0.01388484282640208,
        0.012170138592391726,
        0.0065293020047365695,
        0.019513468251252167,
        -0.016187392271599134,
        0.03187962140081284,
    )
)

# (exp(r) - 1 - r) / r^2, |r| <= log(2) / 2; relative error 5e-18.
_EXPM1 = _polynomial(
    (
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.008333333333326141,
        0.0013888888888883752,
        0.00019841269874800493,
        2.4801587325533363e-05,
        2.7557255425746435e-06,
        2.7557273661348637e-07,
        2.510520637395701e-08,
        2.0914679376583935e-09,
    )
)


@inline
def arccosine_tail_0(u: float, root: float) -> float:
    """κ₀(-a) = arccos(a) / π for u = 1 - a, root = √u (Cho & Saul 2009, order 0)."""
    return root * _ARCCOS_0(u)


@inline
def arccosine_tail_1(u: float, root: float) -> float:
    """κ₁(-a) = (√(1-a²) - a arccos a) / π for u = 1 - a, root = √u (Cho & Saul 2009, order 1)."""
    return u * root * _ARCCOS_1(u)


@inline
def arccosine_tail_2(u: float, root: float) -> float:
    """κ₂(-a) = ((1+2a²) arccos a - 3a √(1-a²)) / π for u = 1 - a, root = √u (Cho & Saul 2009, order 2)."""
    return u * u * root * _ARCCOS_2(u)


@inline
def arcsin(z: float) -> float:
    """Arcsin z, with |z| clipped to 1; relative error of a few ulp."""
    a = min(abs(z), 1.0)
    large = a > 0.5
    w = 0.5 * (1.0 - a) if large else a * a
    x = math.sqrt(w) if large else a
    half = x * _ARCSIN(w)
    angle = 0.5 * math.pi - 2.0 * half if large else half
    return np.copysign(angle, z)


@inline
def arccos(z: float) -> float:
    """Arccos z, with |z| clipped to 1; relative error of a few ulp also where it vanishes, at z = 1."""
    a = min(abs(z), 1.0)
    large = a > 0.5
    w = 0.5 * (1.0 - a) if large else a * a
    x = math.sqrt(w) if large else a
    half = x * _ARCSIN(w)
    if large:
        return 2.0 * half if z > 0 else math.pi - 2.0 * half
    return 0.5 * math.pi - np.copysign(half, z)


@inline
def within(c: float, most: float) -> float:
    """The covariance c of two rows, with |c| clipped to ``most`` = √(q1 q2); within rounding of it they are equal rows.

    Deep networks that amplify differences would take the rounding for one.
    """
    a = abs(c)
    return np.copysign(most if a > most * (1.0 - EQUAL) else a, c)


@inline
def below_one(z: float) -> float:
    """z, with |z| clipped to the largest double below 1."""
    return min(max(z, 2.0**-53 - 1.0), 1.0 - 2.0**-53)


@inline
def one_minus_square(z: float) -> float:
    """1 - z² without cancellation, with |z| clipped to the largest double below 1: never zero."""
    a = min(abs(z), 1.0 - 2.0**-53)
    return (1.0 - a) * (1.0 + a)


@inline
def _exp_parts(x: float) -> tuple[float, float]:
    """Return 2^(k-1) and exp(r) - 1 with x = k log 2 + r, for x in [-708, 709.78]."""
    shifted = x * 1.4426950408889634 + 6755399441055744.0  # 1.5 * 2^52: k stands in the low bits
    k = shifted - 6755399441055744.0
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    bits = np.float64(shifted).view(np.int64)
    half_scale = np.int64((bits + 1022) << 52).view(np.float64)
    return half_scale, r + r * r * _EXPM1(r)


@inline
def exp(x: float) -> float:
    """e^x; 3e-308 where x < -708, infinity where x > 709.78."""
    clipped = min(-708.0 if x < -708.0 else x, 709.78)
    half_scale, p = _exp_parts(clipped)
    return math.inf if x > 709.78 else 2.0 * (half_scale * p + half_scale)


@inline
def expm1(x: float) -> float:
    """e^x - 1 for x <= 0, accurate near 0."""
    clipped = -708.0 if x < -708.0 else x
    half_scale, p = _exp_parts(clipped)
    return 2.0 * (half_scale * p + (half_scale - 0.5))
