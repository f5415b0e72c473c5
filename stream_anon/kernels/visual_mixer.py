"""VisualMixer: shuffle pixels inside windows and across colour channels up to a target VFE.

The NumPy twin of ``visual_mixer.cu``; both compute in integers (the one square root is IEEE
single precision of an exact integer), so they agree in every bit. Source: Li et al., "You Can
Use But Cannot Recognize", NDSS 2024, abstract: per picture, regions and window sizes are chosen
by the desired Visual Feature Entropy; pixels move in space and between channels; no noise.

The paper's formula and window rule could not be read. **Ours, named as ours**:

* VFE of a picture: the mean, over the pixels with a neighbour to the right and one below, of
  ``sqrt(sum over R, G, B of dx**2 + dy**2)``, ``dx`` and ``dy`` being forward differences of
  0-255 values. Kept in sixteenths.
* The picture is tiled by square regions. A region takes the smallest window (half its side or
  all of it; from 2, 4, 8 ... on where a caller allows that) whose *expected* shuffled VFE
  reaches a threshold common to the picture; the threshold is found by bisection so that the
  whole picture meets the target. The expectation is sampled at fixed, public places
  (``mixer_layout.triples``).
* The result is measured; where it is off by more than 1 %, every region's expectation is scaled
  to what was measured in it and the search repeated; then the remaining error is added to the
  goal, at most four times. The closest result counts.
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
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import keystream
from stream_anon.kernels.mixer_layout import Layout, layout, triples
from stream_anon.kernels.mixer_permutation import FULL_SHARE, channel_orders, gather_index

Pixels = NDArray[np.uint8]
Sums = NDArray[np.int64]

DEFAULT_VFE = 100.0
"""The default target; ``docs/results/visual_mixer.md`` shows what it costs and what it hides."""

SCALE = 16
"""VFE is kept in sixteenths."""

PASSES = 6
"""Searches at most; nearly every picture needs one or two."""

SHARE_TRIALS = 5
"""Shares tried between none and all: the total is nearly a straight line over the share."""

CLOSE = 100
"""The search stops once the result is within 1 / CLOSE of the target."""

TOLERANCE = 50
"""A target counts as met within 1 / TOLERANCE."""

Outcome = Literal["met", "below", "above"]


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A mixed picture and what was done to it.

    Attributes:
        picture: (h, w, 3) uint8 RGB.
        vfe: VFE of the result.
        outcome: ``met`` within 2 % of the target; ``below`` where the target is beyond a full
            shuffle of this picture, ``above`` where the weakest shuffle already exceeds it, and
            either where the picture has too few regions to come closer.
        windows: (regions,) uint8, side of the windows in each region.
        channels: share of the pixels whose channels were drawn anew, 0 to 1.
        index: (h * w * 3,) int32, flat source of each flat output value. It *is* the secret.
    """

    picture: Pixels
    vfe: float
    outcome: Outcome
    windows: NDArray[np.uint8]
    channels: float
    index: NDArray[np.int32]


def mix(
    picture: Pixels,
    key: bytes,
    target: float | None,
    *,
    region: int | None = None,
    smallest: int | None = None,
    channels: float = 1.0,
) -> Mixed:
    """Mix one picture.

    Args:
        picture: (h, w, 3) uint8 RGB, both sides at least 2.
        key: 32 secret bytes, fresh for this picture; used twice, a known pair undoes both.
        target: VFE to be reached, on the 0-255 scale; None shuffles fully (largest windows).
        region: side of a region, None by ``mixer_layout.region_side``.
        smallest: smallest window allowed; None takes half a region's side, because the
            search gives the smallest windows to the places with the most detail, which in a face
            are the eyes; 1 lets regions stay as they are.
        channels: greatest share of pixels whose channels are drawn anew, 0 to 1; less where even
            the smallest windows would overshoot the target with it.

    Raises:
        ValueError: shape, type or a parameter is out of range.
    """
    flat = check(picture)
    plan = layout(picture.shape[0], picture.shape[1], region, smallest)
    share = share_of(channels)
    words = keystream(key, picture.shape[0] * picture.shape[1])
    if target is None:
        levels = np.full(plan.regions, len(plan.sides) - 1, np.uint8)
        index = gather_index(plan, levels, words, share)
        mixed = np.take(flat, index).reshape(picture.shape)
        reached = measure(mixed)
        sides = _sides(plan, levels)
        return Mixed(
            mixed, reached / (SCALE * plan.domain), "met", sides, share / FULL_SHARE, index
        )

    wanted = goal_of(target) * plan.domain
    table, used = prepare(flat, plan, wanted * plan.samples, share)
    best: Mixed | None = None
    least = 0
    last: NDArray[np.uint8] | None = None
    aim = wanted
    for turn in range(PASSES):
        levels = choose(table, plan.weights, max(aim, 0) * plan.samples)
        if last is not None and np.array_equal(last, levels):
            break
        last = levels
        index = gather_index(plan, levels, words, used)
        mixed = np.take(flat, index).reshape(picture.shape)
        sums = region_sums(plan, vfe_map(mixed))
        reached = int(sums.sum())
        miss = abs(reached - wanted)
        if best is None or miss < least:
            least = miss
            best = Mixed(
                mixed,
                reached / (SCALE * plan.domain),
                verdict(reached, wanted),
                _sides(plan, levels),
                used / FULL_SHARE,
                index,
            )
        if miss * CLOSE <= wanted:
            break
        if turn == 0:
            table = corrected(table, levels, sums, plan)
        else:
            aim += wanted - reached
    assert best is not None  # noqa: S101 - PASSES is positive
    return best


def verdict(reached: int, wanted: int) -> Outcome:
    """``met`` within 2 %, else on which side of the target the result lies."""
    if abs(reached - wanted) * TOLERANCE <= wanted:
        return "met"
    return "below" if reached < wanted else "above"


def _sides(plan: Layout, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(plan.sides, np.uint8)[levels]


def check(picture: Pixels) -> Pixels:
    """The picture's values as one flat run.

    Raises:
        ValueError: it is not (h, w, 3) uint8.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture is (h, w, 3) uint8, not {picture.shape} {picture.dtype}")
    return np.ascontiguousarray(picture).ravel()


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


# -- VFE ------------------------------------------------------------------------------------


def vfe_map(picture: Pixels) -> NDArray[np.int32]:
    """(h - 1, w - 1) int32: gradient magnitude of each pixel in sixteenths, rounded down."""
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.float32)
    here = planes[:, :-1, :-1]
    across = planes[:, :-1, 1:] - here
    down = planes[:, 1:, :-1] - here
    across *= across
    down *= down
    across += down
    square = across[0]
    square += across[1]
    square += across[2]
    return _sixteenths(square)


def _sixteenths(square: NDArray[np.float32]) -> NDArray[np.int32]:
    # Whole numbers below 2**24 are exact in single precision and IEEE square roots are rounded
    # correctly everywhere, so this is the same number on every machine.
    root = np.sqrt(square)
    root *= np.float32(SCALE)
    return root.astype(np.int32)


def measure(picture: Pixels) -> int:
    """Sum of ``vfe_map``."""
    return int(vfe_map(picture).sum(dtype=np.int64))


def vfe(picture: Pixels) -> float:
    """Visual Feature Entropy (our working definition) of an (h, w, 3) uint8 picture.

    Raises:
        ValueError: not a picture, or a side below 2.
    """
    check(picture)
    if min(picture.shape[:2]) < 2:
        raise ValueError("VFE needs at least two rows and two columns")
    domain: int = (picture.shape[0] - 1) * (picture.shape[1] - 1)
    return measure(picture) / (SCALE * domain)


def region_sums(plan: Layout, values: NDArray[np.int32]) -> NDArray[np.int64]:
    """(regions,) int64: the sum of a ``vfe_map`` over each region."""
    down = np.add.reduceat(values, np.arange(0, plan.height - 1, plan.region), axis=0)
    sums = np.zeros((plan.rows, plan.columns), np.int64)
    both = np.add.reduceat(down, np.arange(0, plan.width - 1, plan.region), axis=1)
    sums[: both.shape[0], : both.shape[1]] = both
    return sums.ravel()


# -- the search -------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def sample_index(
    size: tuple[int, int, int, int], share: int, level: int | None
) -> NDArray[np.intp]:
    """(3, 3, levels, regions, samples): flat values that meet in each sampled triple.

    The first axis is the pixel itself, its right and its lower neighbour; the second the channel.

    Args:
        size: height, width, region, smallest window.
        share: as from ``share_of``.
        level: one level, or None for all.
    """
    places, low = triples(*size)
    chosen = slice(None) if level is None else slice(level, level + 1)
    index = places[chosen][..., None] * 3 + channel_orders(share)[low[chosen]]
    moved = np.ascontiguousarray(np.moveaxis(index, (3, 4), (0, 1)).astype(np.intp))
    moved.flags.writeable = False
    return moved


def expected_table(flat: Pixels, plan: Layout, share: int, level: int | None = None) -> Sums:
    """(levels, regions) int64: sampled VFE sums in sixteenths, never falling with the level."""
    size = (plan.height, plan.width, plan.region, plan.sides[0])
    values = np.take(flat, sample_index(size, share, level)).astype(np.float32)
    apart = values[1:]
    apart -= values[:1]
    apart *= apart
    table: Sums = _sixteenths(apart.sum(axis=(0, 1))).sum(axis=-1, dtype=np.int64)
    result: Sums = np.maximum.accumulate(table, axis=0)
    return result


def prepare(flat: Pixels, plan: Layout, wanted: int, share: int) -> tuple[Sums, int]:
    """The table to choose from, and the share of channel changes.

    Where even the smallest windows overshoot, the share is lowered until they stay 2 to 7 %
    under the target: larger windows in some regions then make up the rest, in finer steps.

    Args:
        flat: the picture's values.
        plan: its layout.
        wanted: target, in sixteenths times samples times pixels.
        share: greatest share, as from ``share_of``.
    """
    table = expected_table(flat, plan, share)
    weights = plan.weights.astype(np.int64)
    most = int(table[0] @ weights)
    if share == 0 or most <= wanted:
        return table, share

    def total(trial: int) -> int:
        return int(expected_table(flat, plan, trial, level=0)[0] @ weights)

    bracket = Bracket(0, total(0), share, most)
    for _ in range(SHARE_TRIALS):
        trial = bracket.guess(wanted)
        if trial == bracket.low:
            break
        bracket = bracket.narrowed(trial, total(trial), wanted)
    return expected_table(flat, plan, bracket.low), bracket.low


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
        """The share at 95 % on the straight line between the two; ``low`` where that will do.

        The total bends over the share, so a line leads somewhat above what it aims at.
        """
        aim = wanted * 95 // 100
        if self.less * 100 >= wanted * 93 or self.more <= self.less:
            return self.low
        step = (self.high - self.low) * (aim - self.less) // (self.more - self.less)
        return self.low + min(step, self.high - self.low - 1)

    def narrowed(self, trial: int, total: int, wanted: int) -> Bracket:
        """With one end moved to a share that was tried; 98 % is still low."""
        if total * 100 <= wanted * 98:
            return Bracket(trial, total, self.high, self.more)
        return Bracket(self.low, self.less, trial, total)


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
    top = table.shape[0] - 1

    def at(threshold: int) -> tuple[NDArray[np.intp], int]:
        levels = np.minimum((table < threshold).sum(axis=0), top)
        return levels, int(heavy[levels, regions].sum())

    low, high = 0, int(table.max(initial=0)) + 1
    while low < high:
        middle = (low + high) // 2
        if at(middle)[1] >= wanted:
            high = middle
        else:
            low = middle + 1
    over, more = at(low)
    under, less = at(max(low - 1, 0))
    return (over if abs(more - wanted) <= abs(wanted - less) else under).astype(np.uint8)


def corrected(table: Sums, levels: NDArray[np.uint8], sums: Sums, plan: Layout) -> Sums:
    """The table scaled region by region to what was measured at the levels used."""
    used = table[levels, np.arange(plan.regions)]
    weights = plan.weights.astype(np.int64)
    scale = used * weights
    known = scale > 0
    result: Sums = np.where(
        known, table * (sums * plan.samples) // np.where(known, scale, 1), table
    )
    return result
