"""Where every value of a mixed image comes from, given its key's words and its windows."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.visual_mixer.layout import Layout, region_of, slots

Pixels = NDArray[np.uint8]
Words = NDArray[np.uint32]

FULL_SHARE = 252
"""Of 256 bytes, those that change a pixel's channels at the full share: a multiple of six."""

ORDERS = tuple(permutations(range(3)))
"""The six orders of the channels; the first is the identity."""

_ORDER_TABLE = np.array(ORDERS, np.int32)


@lru_cache(maxsize=256)
def order_numbers(share: int) -> NDArray[np.intp]:
    """(256,) intp: which of ``ORDERS`` each low byte of a word stands for."""
    byte = np.arange(256)
    numbers: NDArray[np.intp] = np.where(byte < share, byte % len(ORDERS), 0).astype(np.intp)
    numbers.flags.writeable = False
    return numbers


def channel_orders(share: int) -> NDArray[np.int32]:
    """(256, 3) int32: the channel order for each low byte of a word."""
    return _ORDER_TABLE[order_numbers(share)]


def six_orders(image: Pixels) -> Words:
    """Every pixel as one word, its channels in each of the six orders.

    Six reorderings of the whole image take less time than one gather of single bytes, and a
    pixel is then moved and reordered by one gather of words.

    Args:
        image: (h, w, 3) uint8.

    Returns:
        (6 * h * w,) uint32, whose bytes in memory are three channels and a zero.
    """
    height, width = image.shape[:2]
    planes = cv2.split(image)
    nothing = np.zeros((height, width), np.uint8)
    table = np.empty((len(ORDERS), height, width, 4), np.uint8)
    for order, out in zip(ORDERS, table, strict=True):
        cv2.merge((*(planes[c] for c in order), nothing), out)
    return table.view(np.uint32).ravel()


def sources(
    plan: Layout,
    levels: NDArray[np.uint8],
    words: Words,
    before: tuple[NDArray[np.uint8], NDArray[np.int32]] | None = None,
) -> NDArray[np.int32]:
    """(h * w,) int32: the pixel that comes to each place; a permutation within every window.

    Args:
        plan: the image's layout.
        levels: (regions,) index into ``plan.sides``.
        words: (h * w,) uint32, one for each pixel.
        before: levels and result of an earlier call with these words: only regions whose level
            has changed are drawn again.
    """
    count = plan.height * plan.width
    if before is None:
        # The last entry takes what stands for "no pixel"; its key sorts after every real one.
        source = np.empty(count + 1, np.int32)
        due = np.ones(plan.regions, bool)
    else:
        source = np.append(before[1], np.int32(0))
        due = levels != before[0]
    for level, side in enumerate(plan.sides):
        wanted = due & (levels == level)
        if not wanted.any():
            continue
        places = slots(plan.height, plan.width, side)
        if not wanted.all():
            places = places[wanted[region_of(plan.height, plan.width, plan.region, side)]]
        low = max(8, 2 * (side.bit_length() - 1))
        most = 0xFFFFFFFF >> low
        keys = np.empty(count + 1, np.uint32)
        np.right_shift(words, np.uint32(low), out=keys[:count])
        np.minimum(keys[:count], np.uint32(most - 1), out=keys[:count])
        keys[count] = most
        keys <<= np.uint32(low)
        order = np.take(keys, places)
        order |= np.arange(side * side, dtype=np.uint32)
        order.sort(axis=1)
        order &= np.uint32((1 << low) - 1)
        at = order + np.arange(0, places.size, side * side, dtype=np.intp)[:, None]
        source[places] = np.take(places, at)
    return source[:count]


def shuffled(
    orders: Words, shape: tuple[int, ...], source: NDArray[np.int32], numbers: NDArray[np.intp]
) -> Pixels:
    """The image with its pixels at their places and their channels in their orders.

    Args:
        orders: as from ``six_orders``.
        shape: (h, w, 3).
        source: as from ``sources``.
        numbers: (h * w,) which of ``ORDERS`` each place takes.

    Returns:
        (h, w, 3) uint8.
    """
    height, width = shape[:2]
    moved = np.take(orders, numbers * (height * width) + source)
    four = moved.view(np.uint8).reshape(height, width, 4)
    mixed: Pixels = np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), np.uint8)
    return mixed


def flat_index(source: NDArray[np.int32], numbers: NDArray[np.intp]) -> NDArray[np.int32]:
    """(h * w * 3,) int32: flat source of every output value."""
    thrice = (source * np.int32(3)).reshape(1, -1)
    index: NDArray[np.int32] = np.asarray(cv2.merge((thrice, thrice, thrice)), np.int32)
    index = index.reshape(-1, 3)
    index += np.take(_ORDER_TABLE, numbers, axis=0)
    return index.ravel()
