"""The search for windows and a share of channel changes that bring an image to a target VFE."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.visual_mixer.layout import Layout, triples
from stream_anon.visual_mixer.permutation import FULL_SHARE, order_numbers
from stream_anon.visual_mixer.vfe import sixteenths

Words = NDArray[np.uint32]
Sums = NDArray[np.int64]

CLOSE = 60
"""The search stops once the result is within 1 / CLOSE of the target: 1.7 %."""

SHARE_TRIALS = 5
"""Shares tried at most between none and all; nearly always one is enough."""


@lru_cache(maxsize=16)
def samples_of(
    size: tuple[int, int, int, int], level: int
) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.intp]]:
    """Where the sampled triples of one level lie in what ``six_orders`` gives.

    Args:
        size: height, width, region, smallest window.
        level: the level.

    Returns:
        (3, regions * samples) pixel numbers in the first order of channels, the low bytes that
        stand for the pixels' words, and what is added to the numbers where a byte counts.
    """
    places, low = triples(*size)
    at, byte = (np.ascontiguousarray(a[level].reshape(-1, 3).T) for a in (places, low))
    shift = order_numbers(256)[byte] * (size[0] * size[1])
    at = at.astype(np.intp)
    for array in (at, byte, shift):
        array.flags.writeable = False
    return at, byte, shift


def expected(orders: Words, plan: Layout, share: int, level: int) -> Sums:
    """(regions,) int64: sampled VFE sums of one level in sixteenths."""
    size = (plan.height, plan.width, plan.region, plan.sides[0])
    at, byte, shift = samples_of(size, level)
    if share:
        at = at + shift * (byte < share)
    met = np.take(orders, at).view(np.uint8).reshape(3, -1, 4)
    across, down = cv2.absdiff(met[1], met[0]), cv2.absdiff(met[2], met[0])
    square = np.multiply(across, across, dtype=np.uint16).astype(np.float32)
    square += np.multiply(down, down, dtype=np.uint16)
    summed = square[:, 0] + square[:, 1]
    summed += square[:, 2]
    result: Sums = sixteenths(summed).reshape(plan.regions, -1).sum(axis=1, dtype=np.int64)
    return result


def expected_table(orders: Words, plan: Layout, share: int, lowest: Sums | None = None) -> Sums:
    """(levels, regions) int64: sampled VFE sums in sixteenths, never falling with the level.

    Args:
        orders: the image, as from ``six_orders``.
        plan: its layout.
        share: as from ``share_of``.
        lowest: the sums of level 0, where they are known.
    """
    first = expected(orders, plan, share, 0) if lowest is None else lowest
    rest = [expected(orders, plan, share, level) for level in range(1, len(plan.sides))]
    result: Sums = np.maximum.accumulate(np.stack([first, *rest]), axis=0)
    return result


def prepare(orders: Words, plan: Layout, wanted: int, share: int) -> tuple[Sums, int]:
    """The table to choose from, and the share of channel changes.

    Where even the smallest windows overshoot, the share is lowered until they stay 2 to 7 %
    under the target: larger windows in some regions then make up the rest, in finer steps.

    Args:
        orders: the image, as from ``six_orders``.
        plan: its layout.
        wanted: target, in sixteenths times samples times pixels.
        share: greatest share, as from ``share_of``.
    """
    weights = plan.weights.astype(np.int64)
    lowest = expected(orders, plan, share, 0)
    most = int(lowest @ weights)
    if share == 0 or most <= wanted:
        return expected_table(orders, plan, share, lowest), share

    tried = {0: expected(orders, plan, 0, 0)}
    bracket = Bracket(0, int(tried[0] @ weights), share, most)
    for _ in range(SHARE_TRIALS):
        trial = bracket.guess(wanted)
        if trial == bracket.low:
            break
        tried[trial] = expected(orders, plan, trial, 0)
        bracket = bracket.narrowed(trial, int(tried[trial] @ weights), wanted)
    return expected_table(orders, plan, bracket.low, tried[bracket.low]), bracket.low


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two shares with their totals, between which the wanted one lies.

    Attributes:
        low: share whose total is below the goal (or 0).
        less: its total.
        high: share whose total is above the goal.
        more: its total.
    """

    low: int
    less: int
    high: int
    more: int

    def guess(self, wanted: int) -> int:
        """The share expected to give 95.5 % of the goal; ``low`` where that will do.

        On images of every kind tried the total is a straight line over the square of the share
        that is *not* changed, to within a hundredth: the first guess nearly always does.
        """
        if self.less * 100 >= wanted * 93 or self.more <= self.less:
            return self.low
        return min(max(self.at(wanted * 191 // 200), self.low), self.high - 1)

    def at(self, aim: int) -> int:
        """The share at which the line meets ``aim``; not bounded. ``more`` exceeds ``less``."""
        left, right = (FULL_SHARE - self.low) ** 2, (FULL_SHARE - self.high) ** 2
        square = left - (left - right) * (aim - self.less) // (self.more - self.less)
        return FULL_SHARE - math.isqrt(max(square, 0))

    def narrowed(self, trial: int, total: int, wanted: int) -> Bracket:
        """With one end moved to a share that was tried; 98 % is still low."""
        if total * 100 <= wanted * 98:
            return Bracket(trial, total, self.high, self.more)
        return Bracket(self.low, self.less, trial, total)


def landing(
    wanted: int, levels: NDArray[np.uint8], share: int, reached: int, full: tuple[int, int]
) -> Generator[tuple[NDArray[np.uint8], int], int, None]:
    """Shuffles that may come closer where windows alone did not: images of few regions.

    Windows are kept where they overshoot, else they become the largest; then fewer channels
    change. Yields levels and a share, and is sent the VFE sum measured with them.

    Args:
        wanted: VFE sum in sixteenths.
        levels: (regions,) best levels so far.
        share: the share used with them.
        reached: the VFE sum they gave.
        full: the highest level and the greatest share allowed.
    """
    if reached < wanted:
        if share == full[1] and (levels == full[0]).all():
            return
        levels, share = np.full_like(levels, full[0]), full[1]
        reached = yield levels, share
    if reached <= wanted or share == 0:
        return
    none = yield levels, 0
    bracket = Bracket(0, none, share, reached)
    for _ in range(SHARE_TRIALS):
        if not bracket.less < wanted < bracket.more:
            return
        trial = min(max(bracket.at(wanted), bracket.low + 1), bracket.high - 1)
        if trial <= bracket.low:
            return
        total = yield levels, trial
        if abs(total - wanted) * CLOSE <= wanted:
            return
        ends = (bracket.low, bracket.less, bracket.high, bracket.more)
        ends = (trial, total, *ends[2:]) if total < wanted else (*ends[:2], trial, total)
        bracket = Bracket(*ends)


def choose(table: Sums, weights: NDArray[np.int32], wanted: int) -> NDArray[np.uint8]:
    """Levels whose expected total comes closest to a goal.

    Args:
        table: (levels, regions), not falling along the first axis.
        weights: (regions,) pixels.
        wanted: goal for ``sum(weights * table[level])``.

    Returns:
        (regions,) uint8: in every region the lowest level that reaches the common threshold.
    """
    heavy = table * weights.astype(np.int64)
    regions = np.arange(heavy.shape[1])

    def at(threshold: int) -> tuple[NDArray[np.intp], int]:
        levels = (table[:-1] < threshold).sum(axis=0)
        return levels, int(heavy[levels, regions].sum())

    # A region steps up where the threshold passes its entry. With the steps in order, their
    # running total shows at once where the bisection of visual_mixer.cu ends.
    steps = np.argsort(table[:-1], axis=None, kind="stable")
    least = int(heavy[0].sum())
    totals = least + np.cumsum(np.diff(heavy, axis=0).ravel()[steps])
    step = int(np.searchsorted(totals, wanted))
    if least >= wanted:
        low = 0
    elif step < len(totals):
        low = int(table[:-1].ravel()[steps[step]]) + 1
    else:
        low = int(table.max(initial=0)) + 1
    over, more = at(low)
    under, less = at(max(low - 1, 0))
    return (over if abs(more - wanted) <= abs(wanted - less) else under).astype(np.uint8)


def corrected(
    table: Sums, levels: NDArray[np.uint8], sums: Sums, plan: Layout, *, first: bool
) -> Sums:
    """The table with what was measured, (levels, regions), not falling along the first axis.

    Args:
        table: as it was.
        levels: (regions,) levels used.
        sums: (regions,) VFE sums measured at them, in sixteenths.
        plan: the layout.
        first: every level of a region is scaled by what its measured one was off; later only
            the measured level is replaced, since the other may have been measured before.
    """
    regions = np.arange(plan.regions)
    weights = plan.weights.astype(np.int64)
    if first:
        scale = table[levels, regions] * weights
        known = scale > 0
        return np.where(known, table * (sums * plan.samples) // np.where(known, scale, 1), table)
    result = table.copy()
    known = weights > 0
    result[levels[known], regions[known]] = sums[known] * plan.samples // weights[known]
    ordered: Sums = np.maximum.accumulate(result, axis=0)
    return ordered
