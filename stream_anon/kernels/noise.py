"""Noise for identity codes: twin of ``noise.cu``, bit for bit, and the tables it draws from.

A draw is the inverse of a distribution function that was rounded to multiples of 2**-64: 64 random
bits are compared with integers, and an integer comes out, a number of steps of a fixed grid. What
is added to a code that lies on the grid lies on the grid, so the lowest bits of the result say
nothing about the code (Mironov, CCS 2012, is the attack on noise in floating point).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import BLOCK_WORDS, keystream

Words = NDArray[np.uint32]
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Table = NDArray[np.uint64]

EACH = 8
"""Coordinates that one block of the stream serves; as in the source."""

_TAIL_BITS = 96
"""What lies beyond a table's ends has a mass of less than 2**-96."""
_DIGITS = 60


@dataclass(frozen=True, slots=True, eq=False)
class DrawTable:
    """A distribution on the whole numbers from ``low`` to ``low + len(thresholds)``.

    Attributes:
        thresholds: (k,) uint64, rising: 2**64 times the distribution function, rounded down.
        low: the smallest number.
        distance: bound on the total variation distance from the distribution without ends and
            rounding, for one coordinate.
    """

    thresholds: Table
    low: int
    distance: float


def gaussian_table(sigma: float) -> DrawTable:
    """The discrete Gaussian, P(k) in proportion to exp(-k^2 / (2 sigma^2)).

    Canonne, Kamath, Steinke, "The discrete Gaussian for differential privacy" (NeurIPS 2020).

    Args:
        sigma: in steps of the grid, above 0.

    Raises:
        ValueError: it is not, or so large that the table would be.
    """
    reach = _reach(sigma, math.sqrt(2.0 * _TAIL_BITS * math.log(2.0)) + 2.0)
    with localcontext() as context:
        context.prec = _DIGITS
        scale = 2 * Decimal(sigma) ** 2
        return _table([(-Decimal(k * k) / scale).exp() for k in range(reach + 1)])


def laplace_table(scale: float) -> DrawTable:
    """The discrete Laplace distribution, P(k) in proportion to exp(-|k| / scale).

    Ghosh, Roughgarden, Sundararajan, "Universally utility-maximizing privacy mechanisms" (2009).

    Args:
        scale: in steps of the grid, above 0.

    Raises:
        ValueError: it is not, or so large that the table would be.
    """
    reach = _reach(scale, (_TAIL_BITS + 2) * math.log(2.0))
    with localcontext() as context:
        context.prec = _DIGITS
        step = (-1 / Decimal(scale)).exp()
        weights = [Decimal(1)]
        for _ in range(reach):
            weights.append(weights[-1] * step)
        return _table(weights)


def _reach(scale: float, factor: float) -> int:
    if not (math.isfinite(scale) and scale > 0.0):
        raise ValueError(f"the scale of noise must be above 0, is {scale}")
    reach = math.ceil(scale * factor) + 2
    if reach > 1 << 18:
        raise ValueError(f"a scale of {scale:g} steps needs a table of {2 * reach} entries")
    return reach


def _table(half: list[Decimal]) -> DrawTable:
    """From the weights of 0, 1, 2 ...; those of -1, -2 ... are the same."""
    weights = [*reversed(half[1:]), *half]
    total = sum(weights)
    thresholds, reached = np.empty(len(weights) - 1, np.uint64), Decimal(0)
    for k, weight in enumerate(weights[:-1]):
        reached += weight
        thresholds[k] = min(int(reached * 2**64 / total), 2**64 - 1)
    distance = len(weights) * 2.0**-64 + 2.0 ** (1 - _TAIL_BITS)
    return DrawTable(thresholds, 1 - len(half), distance)


def noise_stream(key: Words, counter: Any, nonce: Words, count: Any, words: Words) -> None:
    """The key's blocks from ``counter`` on: ``words`` (count, 16)."""
    words[...] = _stream(key, int(counter), nonce, int(count))


def _stream(key: Words, counter: int, nonce: Words, count: int) -> Words:
    drawn = keystream(
        key.astype("<u4").tobytes(),
        count * BLOCK_WORDS,
        counter=counter,
        nonce=(int(nonce[0]), int(nonce[1]), int(nonce[2])),
    )
    return drawn.reshape(count, BLOCK_WORDS)


def noise_add(
    codes: Floats,
    rows: Any,
    dimension: Any,
    bits: Any,
    owners: Ints,
    keys: Words,
    nonce: Words,
    table: Table,
    entries: Any,
    low: Any,
    noisy: Ints,
    squares: Table,
) -> None:
    """Codes on a grid plus noise on that grid.

    Args:
        codes: (rows, dimension) float32.
        rows, dimension: see above.
        bits: the grid's step is 2**-bits.
        owners: (rows,) which key each row takes: the same for all frames of a track.
        keys: (n, 8).
        nonce: (3,).
        table, entries, low: of a ``DrawTable``.
        noisy: (rows, dimension) int32, written: steps of the grid.
        squares: (rows,) uint64, the squared lengths are added.
    """
    blocks = -(-int(dimension) // EACH)
    for row in range(int(rows)):
        words = _stream(keys[owners[row]], 0, nonce, blocks).reshape(-1, 2).astype(np.uint64)
        drawn = (words[:, 0] | (words[:, 1] << np.uint64(32)))[: int(dimension)]
        noise = int(low) + np.searchsorted(table[: int(entries)], drawn, side="right")
        grid = np.rint(codes[row] * np.float32(1 << int(bits))).astype(np.int64)
        value = grid + noise
        noisy[row] = value
        squares[row] += np.uint64((value * value).sum())


def noise_normalise(
    noisy: Ints, rows: Any, dimension: Any, squares: Table, codes: Floats
) -> None:
    """Back onto the sphere: ``codes`` (rows, dimension) float32."""
    for row in range(int(rows)):
        if squares[row]:
            codes[row] = noisy[row].astype(np.float64) / np.sqrt(np.float64(squares[row]))
        else:
            codes[row] = 0.0
            codes[row, 0] = 1.0
