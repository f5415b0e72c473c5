"""Special functions in log space, in NumPy alone: SciPy is 110 MB that one release needs not.

Written for half-integer orders up to some thousands and compared with SciPy and mpmath in
``tests/privacy/test_special.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TINY = 1e-300
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_ndtr(x: float) -> float:
    """Logarithm of the standard normal distribution function."""
    if x > 0.0:
        return math.log1p(-0.5 * math.erfc(x / math.sqrt(2.0)))
    if x > -25.0:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    # Mills' ratio as an asymptotic series: at x = -25 six terms leave an error of 1e-13.
    inverse = 1.0 / (x * x)
    term, total = 1.0, 1.0
    for k in range(1, 7):
        term *= -(2 * k - 1) * inverse
        total += term
    return -0.5 * x * x - math.log(-x) - _LOG_SQRT_2PI + math.log(total)


def log_subtract(a: float, b: float) -> float:
    """log(exp(a) - exp(b)) for a >= b."""
    if a <= b:
        return -math.inf
    return a + math.log(-math.expm1(b - a))


def log_beta(a: float, b: float) -> float:
    """Logarithm of Euler's beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_betainc(a: float, b: float, x: float, y: float) -> float:
    """log I_x(a, b), the regularised incomplete beta function, where y = 1 - x.

    Both x and y are asked for, so that neither loses digits near 0. The continued fraction
    of Numerical Recipes section 6.4 by Lentz's method; meant for x < (a + 1) / (a + b + 2),
    where it converges in O(sqrt(max(a, b))) steps.
    """
    if x <= 0.0:
        return -math.inf
    front = a * math.log(x) + b * math.log(y) - math.log(a) - log_beta(a, b)
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / _away(1.0 + even * d), _away(1.0 + even / c)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / _away(1.0 + odd * d), _away(1.0 + odd / c)
        fraction *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front + math.log(fraction)


def _away(x: float) -> float:
    return x if abs(x) > _TINY else _TINY


def log_cap(dimension: int, square: float, complement: float) -> tuple[float, float]:
    """(log q, log(1 - q)) of a spherical cap {<y, z> >= g}, g >= 0, in ``dimension`` dimensions.

    q = 1/2 I_{1 - g^2}((d - 1) / 2, 1/2). Given are ``square`` = g^2 and
    ``complement`` = 1 - g^2, each with all its digits.
    """
    a = (dimension - 1) / 2
    if complement * (a + 2.5) < a + 1.0:
        log_q = math.log(0.5) + log_betainc(a, 0.5, complement, square)
        return log_q, math.log1p(-math.exp(log_q))
    # A cap of nearly half the sphere: measure the belt between it and the equator instead.
    belt = math.exp(log_betainc(0.5, a, square, complement)) if square > 0.0 else 0.0
    return math.log(0.5) + math.log1p(-belt), math.log(0.5) + math.log1p(belt)


def log_sphere_normaliser(dimension: int, kappa: float) -> float:
    """log of the integral of exp(kappa <z, y>) over the uniform distribution of y on the sphere.

    = log( Gamma(d/2) (2/kappa)^(d/2-1) I_{d/2-1}(kappa) ), as the power series of the Bessel
    function: all its terms are positive, so nothing cancels.
    """
    if kappa == 0.0:
        return 0.0
    order = dimension / 2 - 1
    peak = 0.5 * (math.hypot(order, kappa) - order)
    last = int(peak + 12.0 * math.sqrt(peak + 1.0)) + 40
    k = np.arange(1, last + 1, dtype=np.float64)
    steps = 2.0 * math.log(kappa / 2.0) - np.log(k) - np.log(order + k)
    terms = np.concatenate(([0.0], np.cumsum(steps)))
    top = float(terms.max())
    return top + math.log(float(np.exp(terms - top).sum()))


def mean_resultant(dimension: int, kappa: float) -> float:
    """A_d(kappa) = I_{d/2}(kappa) / I_{d/2-1}(kappa): the mean cosine of von Mises-Fisher.

    By the backward recurrence of its continued fraction
    A_n = 1 / (2 order / kappa + A_{n+1}), started so far out that the start is forgotten.
    """
    if kappa == 0.0:
        return 0.0
    ratio = 0.0
    for step in range(int(kappa) + 100, -1, -1):
        ratio = 1.0 / (2.0 * (dimension / 2 + step) / kappa + ratio)
    return ratio


def bisect(rises: Callable[[float], bool], low: float, high: float, steps: int = 200) -> float:
    """The point in [low, high] from which ``rises`` is true, from its upper side."""
    for _ in range(steps):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if rises(middle):
            high = middle
        else:
            low = middle
    return high


def minimum(f: Callable[[float], float], low: float, high: float, steps: int = 120) -> float:
    """Smallest value of a unimodal function on [low, high], by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    a, b = low, high
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    at_c, at_d = f(c), f(d)
    for _ in range(steps):
        if at_c <= at_d:
            b, d, at_d = d, c, at_c
            c = b - ratio * (b - a)
            at_c = f(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + ratio * (b - a)
            at_d = f(d)
    return min(at_c, at_d)


@lru_cache(maxsize=1)
def _legendre(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def mean_cosine(dimension: int, shape: float, scale: float) -> float:
    """E cos(z, z + eta), eta of uniform direction and with ||eta||^2 ~ scale * Gamma(shape).

    A quadrature over the squared radius, in its logarithm, and over the cosine between
    eta and z, whose density is proportional to (1 - t^2)^((d - 3) / 2).
    """
    # Both integrands are smooth and vanish at the ends: 401 and 96 nodes reach 1e-9.
    below, above = 12.0 / math.sqrt(shape) + 36.0 / shape, 12.0 / math.sqrt(shape) + 4.0
    y = math.log(shape) + np.linspace(-below, above, 401)
    log_weight = shape * y - np.exp(y)
    radius, weight = np.sqrt(scale * np.exp(y)), np.exp(log_weight - log_weight.max())
    reach = min(1.0, 12.0 / math.sqrt(dimension))
    nodes, t_weight = _legendre(96)
    t = reach * nodes
    t_weight = t_weight * np.exp(0.5 * (dimension - 3) * np.log1p(-t * t))
    r = radius[:, None]
    cosine = (1.0 + r * t) / np.sqrt(1.0 + 2.0 * r * t + r * r)
    mean: Floats = (cosine @ t_weight) / t_weight.sum()
    return float(mean @ weight / weight.sum())
