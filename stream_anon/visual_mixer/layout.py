"""What depends on an image's size alone: regions, windows, and where VFE is sampled.

All of it is public: it is the same for every image of a size, and cached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import PUBLIC_KEY, keystream

Integers = NDArray[np.int32]

LARGEST_REGION = 32
"""Pixels. A window of 32 x 32 needs 10 bits to number its pixels; 22 are left for the key."""

SAMPLES = 4096
"""Triples of neighbours looked at to predict the VFE of one window size over a whole image.

Twice as many cost more time in every image than they save in those that are shuffled again.
"""


def region_side(height: int, width: int) -> int:
    """Side of a region: 2 ** ceil(log2(sqrt(longer side))), from 2 to 32 pixels.

    112 and 224 px give 16, 64 px gives 8. Source: CSVAR, arXiv 2506.01425, base region (as
    summarised by others; VisualMixer's own rule could not be read). The bound is ours.
    """
    side = 1 << math.ceil(math.log2(math.sqrt(max(height, width))))
    return min(max(side, 2), LARGEST_REGION)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Regions and windows of one image size.

    Attributes:
        height: rows, at least 2.
        width: columns, at least 2.
        region: side of a region in pixels, a power of two.
        sides: window sides, the levels of the search: rising powers of two up to ``region``.
        rows: regions from top to bottom; those at the bottom may be lower.
        columns: regions from left to right; those at the right may be narrower.
        weights: (rows * columns,) int32, pixels of each region that have a neighbour to the
            right and one below, which is where VFE is defined.
        samples: K, sampled pixels per region and level.
    """

    height: int
    width: int
    region: int
    sides: tuple[int, ...]
    rows: int
    columns: int
    weights: Integers
    samples: int

    @property
    def regions(self) -> int:
        """Number of regions."""
        return self.rows * self.columns

    @property
    def domain(self) -> int:
        """Number of pixels on which VFE is defined."""
        return (self.height - 1) * (self.width - 1)


@lru_cache(maxsize=32)
def layout(
    height: int, width: int, region: int | None = None, smallest: int | None = None
) -> Layout:
    """The layout of an image size.

    Args:
        height: rows.
        width: columns.
        region: side of a region; None chooses by ``region_side``.
        smallest: the smallest window; None takes half a region's side, 1 allows pixels to stay
            where they are.

    Raises:
        ValueError: a side is below 2, or region or smallest is no power of two in range.
    """
    if height < 2 or width < 2:
        raise ValueError(f"an image of {width} x {height} is too small to be mixed")
    side = region_side(height, width) if region is None else region
    least = max(side // 2, 2) if smallest is None else smallest
    for name, value, low in (("region", side, 2), ("smallest window", least, 1)):
        if not low <= value <= LARGEST_REGION or value & (value - 1):
            raise ValueError(f"{name} must be a power of two from {low} to {LARGEST_REGION}")
    sides = tuple(1 << k for k in range(6) if min(least, side) <= 1 << k <= side)
    rows, columns = -(-height // side), -(-width // side)
    tall = np.minimum(np.arange(1, rows + 1) * side, height - 1) - np.arange(rows) * side
    wide = np.minimum(np.arange(1, columns + 1) * side, width - 1) - np.arange(columns) * side
    weights = (tall[:, None] * wide[None, :]).astype(np.int32).ravel()
    samples = 1 << max(4, min(8, round(math.log2(SAMPLES / (rows * columns)))))
    return Layout(height, width, side, sides, rows, columns, weights, samples)


@lru_cache(maxsize=64)
def slots(height: int, width: int, side: int) -> NDArray[np.intp]:
    """The pixels of every window of one side.

    Windows at the right and bottom edge are cut by it. A row lists a window's own pixels first,
    row by row, and fills up with ``height * width``, which is no pixel.

    Returns:
        (windows, side * side) pixel numbers.
    """
    rows, columns = -(-height // side), -(-width // side)
    padded = np.full((rows * side, columns * side), height * width, np.intp)
    padded[:height, :width] = np.arange(height * width).reshape(height, width)
    table = padded.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    # Stable: pixels keep their order, and what is no pixel goes last.
    table = np.take_along_axis(table, np.argsort(table, axis=1, kind="stable"), axis=1)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def region_of(height: int, width: int, region: int, side: int) -> NDArray[np.intp]:
    """(windows,) number of the region in which each window of one side lies."""
    rows, columns = -(-height // side), -(-width // side)
    row, column = np.divmod(np.arange(rows * columns), columns)
    number: NDArray[np.intp] = row * side // region * -(-width // region) + column * side // region
    number.flags.writeable = False
    return number


@lru_cache(maxsize=16)
def triples(
    height: int, width: int, region: int, smallest: int
) -> tuple[Integers, NDArray[np.uint8]]:
    """Which pixels may meet after a shuffle, sampled per region and level.

    A sample is a pixel position, the one to its right and the one below. In each of the three a
    shuffle puts some pixel of that position's window, never the same pixel twice.

    Returns:
        (levels, regions, samples, 3) int32 pixel numbers and uint8 bytes of the same shape,
        which stand for the low bytes of the random words. Both are public.
    """
    plan = layout(height, width, region, smallest)
    shape = (plan.regions, plan.samples)
    words = keystream(PUBLIC_KEY, plan.regions * plan.samples * 6).reshape(6, *shape)
    draw = (words >> np.uint32(8)).astype(np.int64)
    low = (words[:3] & np.uint32(0xFF)).astype(np.uint8)
    row, column = np.divmod(np.arange(plan.regions)[:, None], plan.columns)
    top, left = row * region, column * region
    # A region of one pixel's width at the very edge has no weight: any position will do.
    y = top + draw[0] % np.maximum(np.minimum(region, height - 1 - top), 1)
    x = left + draw[1] % np.maximum(np.minimum(region, width - 1 - left), 1)
    y, x = np.minimum(y, height - 2), np.minimum(x, width - 2)

    levels = []
    for side in plan.sides:
        windows = [
            _window(y + down, x + right, side, plan) for down, right in ((0, 0), (0, 1), (1, 0))
        ]
        area = [window.tall * window.wide for window in windows]
        same_row = x % side + 1 < windows[0].wide
        same_column = y % side + 1 < windows[0].tall
        first = draw[2] % area[0]
        others = np.maximum(area[0] - 1, 1)
        one = 1 + draw[3] % others
        two = 1 + draw[4] % np.where(same_row, np.maximum(others - 1, 1), others)
        two = np.where(same_row & (two >= one), two + 1, two)
        places = (
            first,
            np.where(same_row, (first + one) % area[0], draw[3] % area[1]),
            np.where(same_column, (first + two) % area[0], draw[4] % area[2]),
        )
        levels.append(
            np.stack([w.pixel(at, width) for w, at in zip(windows, places, strict=True)], axis=-1)
        )
    table = np.stack(levels).astype(np.int32)
    bytes_ = np.broadcast_to(np.moveaxis(low, 0, -1), table.shape)
    table.flags.writeable = False
    return table, bytes_


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Corner and size of the window in which each of many positions lies."""

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    tall: NDArray[np.int64]
    wide: NDArray[np.int64]

    def pixel(self, at: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Number of a window's ``at``-th pixel in an image ``width`` pixels wide."""
        return (self.top + at // self.wide) * width + self.left + at % self.wide


def _window(y: NDArray[np.int64], x: NDArray[np.int64], side: int, plan: Layout) -> _Windows:
    top, left = y // side * side, x // side * side
    tall, wide = np.minimum(plan.height - top, side), np.minimum(plan.width - left, side)
    return _Windows(top, left, tall, wide)
