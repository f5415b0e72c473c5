"""Exact sampling on the unit sphere: directions, cosines, caps, and codes at a given cosine."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream_anon.privacy.contract import Code, Codes
from stream_anon.privacy.randomness import SecureRandom

Floats = NDArray[np.float64]


def directions(dimension: int, n: int, rng: SecureRandom) -> Codes:
    """(n, d): uniform on the sphere, as normalised Gaussian vectors."""
    x = rng.normal(n * dimension).reshape(n, dimension)
    rows: Codes = x / np.linalg.norm(x, axis=1, keepdims=True)
    return rows


def cosines(dimension: int, n: int, rng: SecureRandom) -> Floats:
    """(n,): cosine of a uniform direction with a fixed one, density (1 - t^2)^((d - 3) / 2).

    The shadow of a uniform direction on a plane has a uniform angle and a squared radius
    that is Beta(1, (d - 2) / 2), inverted here; t is one coordinate of it.
    """
    square = -np.expm1(np.log(rng.uniform(n)) * (2.0 / (dimension - 2)))
    t: Floats = np.sqrt(square) * np.cos(2.0 * np.pi * rng.uniform(n))
    return t


def at_cosine(code: Code, cosine: Floats, rng: SecureRandom) -> Codes:
    """(n, d): uniform among the unit vectors whose cosine with ``code`` is ``cosine``, (n,).

    The part across ``code`` is a uniform direction of its orthogonal complement.
    """
    n, dimension = cosine.size, code.size
    across = rng.normal(n * dimension).reshape(n, dimension)
    across -= np.outer(across @ code, code)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    rows: Codes = cosine[:, None] * code + np.sqrt(1.0 - cosine**2)[:, None] * across
    return rows


def until_full(n: int, propose: Callable[[int], Floats]) -> Floats:
    """``n`` accepted numbers; ``propose(m)`` makes m proposals and returns those it accepts.

    It goes on for as long as it takes. A sampler that gives up after some tries and returns
    the last proposal draws from the wrong distribution exactly where acceptance is rare.
    """
    accepted: list[Floats] = []
    missing = n
    while missing > 0:
        found = propose(2 * missing + 8)[:missing]
        accepted.append(found)
        missing -= found.size
    return np.concatenate(accepted) if accepted else np.empty(0)


def cap_cosines(dimension: int, g: float, complement: float, n: int, rng: SecureRandom) -> Floats:
    """(n,): ``cosines`` given that they are at least ``g`` >= 0; ``complement`` = 1 - g^2.

    The logarithm of the density is concave, so it lies below its tangent at g: proposals
    come from that exponential, cut at 1, and are accepted with the ratio of the two. Exact
    for every g, and quick where waiting for the uniform distribution to hit the cap is hopeless.
    """
    power = 0.5 * (dimension - 3)
    slope = 2.0 * power * g / complement
    width = complement / (1.0 + g)  # 1 - g without cancellation

    def propose(m: int) -> Floats:
        u = rng.uniform(m)
        reach = slope * width
        x = width * u if reach < 1e-12 else -np.log1p(u * math.expm1(-reach)) / slope
        # (1 - t^2) / (1 - g^2); rounding may put it a hair below 0 at the pole.
        shrunk = np.maximum(1.0 - x * (2.0 * g + x) / complement, 1e-300)
        ratio = power * np.log(shrunk) + slope * x
        accepted: Floats = g + x[-rng.exponential(m) < ratio]
        return accepted

    return until_full(n, propose)


def below_cap_cosines(dimension: int, g: float, n: int, rng: SecureRandom) -> Floats:
    """(n,): ``cosines`` given that they are below ``g`` >= 0: at least every second one is."""

    def propose(m: int) -> Floats:
        t = cosines(dimension, m, rng)
        return t[t < g]

    return until_full(n, propose)
