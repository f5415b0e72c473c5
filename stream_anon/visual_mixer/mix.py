"""VisualMixer: shuffle pixels inside windows and across colour channels up to a target VFE.

The NumPy twin of ``visual_mixer.cu``; both compute in integers (the one square root is IEEE
single precision of an exact integer), so they agree in every bit. Source: Li et al., "You Can
Use But Cannot Recognize", NDSS 2024, abstract: per image, regions and window sizes are chosen
by the desired Visual Feature Entropy; pixels move in space and between channels; no noise.

The paper's formula and window rule could not be read. **Ours, named as ours**:

* VFE of an image: the mean, over the pixels with a neighbour to the right and one below, of
  ``sqrt(sum over R, G, B of dx**2 + dy**2)``, ``dx`` and ``dy`` being forward differences of
  0-255 values. Kept in sixteenths.
* The image is tiled by square regions. A region takes the smallest window (half its side or
  all of it; from 2, 4, 8 ... on where a caller allows that) whose *expected* shuffled VFE
  reaches a threshold common to the image; the threshold is found by bisection so that the
  whole image meets the target. The expectation is sampled at fixed, public places
  (``layout.triples``).
* The result is measured; where it is off by more than 1.7 %, every region's expectation is scaled
  to what was measured in it and the search repeated, at most five times; from the second on
  only the expectation of the window used is replaced. The closest result counts.
* An image of few regions may still be further off: its channels then change in fewer pixels.
* Where even the smallest windows overshoot, fewer pixels change their channels. A target beyond
  a full shuffle is *not* reached: the result is the full shuffle and ``Mixed.outcome`` says
  ``below``. A target under what the weakest shuffle gives yields the weakest shuffle and
  ``above``: no region is left unshuffled because a target is low.

What is drawn: word ``p`` of the key's ChaCha20 stream belongs to pixel ``p``. Its upper bits are
the pixel's sort key within its window, its lowest byte chooses one of six channel orders for the
place. Sorting random keys is one vectorised call, where Fisher and Yates' loop is serial. Two of
the n pixels of a window draw equal sort keys (and then keep their order) with a probability of
at most n**2 / 2**25, 0.3 % for n = 256; a full channel share gives the identity order to 46 of
256 bytes and every other order to 42. Both stand here because they are not exactly uniform.

VFE measures visible structure. It is no privacy guarantee: see ``docs/methods/visual_mixer.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import keystream
from stream_anon.visual_mixer.layout import Layout, layout
from stream_anon.visual_mixer.permutation import (
    FULL_SHARE,
    flat_index,
    order_numbers,
    shuffled,
    six_orders,
    sources,
)
from stream_anon.visual_mixer.search import CLOSE, choose, corrected, landing, prepare
from stream_anon.visual_mixer.vfe import SCALE, check, measure, region_sums, vfe, vfe_map

__all__ = ["DEFAULT_VFE", "Mixed", "Outcome", "mix", "vfe"]

Pixels = NDArray[np.uint8]
Sums = NDArray[np.int64]

DEFAULT_VFE = 100.0
"""The default target; ``docs/results/visual_mixer.md`` shows what it costs and what it hides."""

PASSES = 6
"""Searches at most; nearly every image needs one or two."""

TOLERANCE = 50
"""A target counts as met within 1 / TOLERANCE."""

Outcome = Literal["met", "below", "above"]


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A mixed image and what was done to it.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        vfe: VFE of the result.
        outcome: ``met`` within 2 % of the target; ``below`` where the target is beyond a full
            shuffle of this image, ``above`` where the weakest shuffle already exceeds it, and
            either where the image has too few regions to come closer.
        windows: (regions,) uint8, side of the windows in each region.
        channels: share of the pixels whose channels were drawn anew, 0 to 1.
        source: (h * w,) int32, the pixel that came to each place. It *is* the secret.
        orders: (h * w,) intp, the order of the channels at each place, and part of it.
    """

    image: Pixels
    vfe: float
    outcome: Outcome
    windows: NDArray[np.uint8]
    channels: float
    source: NDArray[np.int32]
    orders: NDArray[np.intp]

    @property
    def index(self) -> NDArray[np.int32]:
        """(h * w * 3,) int32, flat source of each flat output value; made anew at each call."""
        return flat_index(self.source, self.orders)


def mix(
    image: Pixels,
    key: bytes,
    target: float | None,
    *,
    region: int | None = None,
    smallest: int | None = None,
    channels: float = 1.0,
) -> Mixed:
    """Mix one image.

    Args:
        image: (h, w, 3) uint8 RGB, both sides at least 2.
        key: 32 secret bytes, fresh for this image; used twice, a known pair undoes both.
        target: VFE to be reached, on the 0-255 scale; None shuffles fully (largest windows).
        region: side of a region, None by ``layout.region_side``.
        smallest: smallest window allowed; None takes half a region's side, because the
            search gives the smallest windows to the places with the most detail, which in a face
            are the eyes; 1 lets regions stay as they are.
        channels: greatest share of pixels whose channels are drawn anew, 0 to 1; less where even
            the smallest windows would overshoot the target with it.

    Raises:
        ValueError: shape, type or a parameter is out of range.
    """
    check(image)
    plan = layout(image.shape[0], image.shape[1], region, smallest)
    share = share_of(channels)
    words = keystream(key, image.shape[0] * image.shape[1])
    low = (words & np.uint32(0xFF)).astype(np.uint8)
    orders = six_orders(image)
    if target is None:
        levels = np.full(plan.regions, len(plan.sides) - 1, np.uint8)
        source, numbers = sources(plan, levels, words), np.take(order_numbers(share), low)
        mixed = shuffled(orders, image.shape, source, numbers)
        reached = measure(mixed) / (SCALE * plan.domain)
        sides = _sides(plan, levels)
        return Mixed(mixed, reached, "met", sides, share / FULL_SHARE, source, numbers)

    wanted = goal_of(target) * plan.domain
    table, used = prepare(orders, plan, wanted * plan.samples, share)
    numbers = np.take(order_numbers(used), low)
    best: Mixed | None = None
    best_levels, least = np.zeros(0, np.uint8), 0
    last: tuple[NDArray[np.uint8], NDArray[np.int32]] | None = None

    def shuffle(levels: NDArray[np.uint8], numbers: NDArray[np.intp], used: int) -> Sums:
        nonlocal best, best_levels, least, last
        source = sources(plan, levels, words, last)
        last = levels, source
        mixed = shuffled(orders, image.shape, source, numbers)
        sums = region_sums(plan, vfe_map(mixed))
        reached = int(sums.sum())
        miss = abs(reached - wanted)
        if best is None or miss < least:
            best_levels, least = levels, miss
            best = Mixed(
                mixed,
                reached / (SCALE * plan.domain),
                verdict(reached, wanted),
                _sides(plan, levels),
                used / FULL_SHARE,
                source,
                numbers,
            )
        return sums

    for turn in range(PASSES):
        levels = choose(table, plan.weights, wanted * plan.samples)
        if last is not None and np.array_equal(last[0], levels):
            break
        sums = shuffle(levels, numbers, used)
        if least * CLOSE <= wanted:
            break
        table = corrected(table, levels, sums, plan, first=turn == 0)
    assert best is not None  # noqa: S101 - PASSES is positive
    if least * TOLERANCE > wanted:
        side = wanted + least if best.outcome == "above" else wanted - least
        ways = landing(wanted, best_levels, used, side, (len(plan.sides) - 1, share))
        way = next(ways, None)
        while way is not None:
            sums = shuffle(way[0], np.take(order_numbers(way[1]), low), way[1])
            try:
                way = ways.send(int(sums.sum()))
            except StopIteration:
                way = None
    return best


def verdict(reached: int, wanted: int) -> Outcome:
    """``met`` within 2 %, else on which side of the target the result lies."""
    if abs(reached - wanted) * TOLERANCE <= wanted:
        return "met"
    return "below" if reached < wanted else "above"


def _sides(plan: Layout, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(plan.sides, np.uint8)[levels]


def share_of(channels: float) -> int:
    """A share of pixels as a number of byte values, 0 to ``FULL_SHARE``.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0.0 <= channels <= 1.0:
        raise ValueError(f"the share of channel changes must lie between 0 and 1, not {channels}")
    return round(channels * FULL_SHARE)


def goal_of(target: float) -> int:
    """A target VFE in sixteenths.

    Raises:
        ValueError: it is not positive and finite (the greatest VFE there is, is 625).
    """
    if not 0.0 < target < 1e4:
        raise ValueError(f"a target VFE must be positive and finite, not {target}")
    return max(1, round(target * SCALE))
