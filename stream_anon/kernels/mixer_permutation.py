"""Where every value of a mixed picture comes from, given its key's words and its windows."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.mixer_layout import Layout, slots

Words = NDArray[np.uint32]

FULL_SHARE = 252
"""Of 256 bytes, those that change a pixel's channels at the full share: a multiple of six."""

ORDERS = tuple(permutations(range(3)))
"""The six orders of the channels; the first is the identity."""


@lru_cache(maxsize=64)
def channel_orders(share: int) -> NDArray[np.int32]:
    """(256, 3) int32: the channel order for each low byte of a word."""
    table = np.tile(np.arange(3, dtype=np.int32), (256, 1))
    table[:share] = np.array(ORDERS, np.int32)[np.arange(share) % 6]
    table.flags.writeable = False
    return table


def sources(plan: Layout, levels: NDArray[np.uint8], words: Words) -> NDArray[np.int32]:
    """(h * w,) int32: the pixel that comes to each place; a permutation within every window.

    Args:
        plan: the picture's layout.
        levels: (regions,) index into ``plan.sides``.
        words: (h * w,) uint32, one for each pixel.
    """
    count = plan.height * plan.width
    # The last entry takes what stands for "no pixel"; its key sorts after every real one.
    source = np.empty(count + 1, np.int32)
    keys = np.append(words, np.uint32(0xFFFFFFFF))
    grid = levels.reshape(plan.rows, plan.columns)
    for level, side in enumerate(plan.sides):
        places, where = slots(plan.height, plan.width, side)
        if not (levels == level).all():
            region = where * side // plan.region
            places = places[grid[region[:, 0], region[:, 1]] == level]
        if places.size == 0:
            continue
        low = max(8, 2 * (side.bit_length() - 1))
        order = np.take(keys, places)
        real = places < count
        np.right_shift(order, np.uint32(low), out=order)
        np.minimum(order, np.uint32((0xFFFFFFFF >> low) - 1), out=order, where=real)
        np.left_shift(order, np.uint32(low), out=order)
        order |= np.arange(side * side, dtype=np.uint32)
        order.sort(axis=1)
        order &= np.uint32((1 << low) - 1)
        at = order + np.arange(0, places.size, side * side, dtype=np.intp)[:, None]
        source[places] = np.take(places, at)
    return source[:count]


def gather_index(
    plan: Layout, levels: NDArray[np.uint8], words: Words, share: int
) -> NDArray[np.int32]:
    """(h * w * 3,) int32: flat source of every output value."""
    source = sources(plan, levels, words)
    order: NDArray[np.int32] = np.take(
        channel_orders(share), (words & np.uint32(0xFF)).astype(np.uint8), axis=0
    )
    order += (source * np.int32(3))[:, None]
    return order.ravel()
