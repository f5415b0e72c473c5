"""Frames turned upright for a network, and boxes turned back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.base import View

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def upright(view: View, quarter_turns: int, width: int, height: int) -> Pixels:
    """A view's thumbnail, (height, width, 3) uint8 BGR as it is stored, turned upright."""
    pixels = view.thumbnail(width, height)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns % 4))


def stored(box: Array, quarter_turns: int, width: int, height: int) -> Array:
    """A box (4,) of the upright frame in pixels of the frame as it is stored.

    Args:
        box: x0 y0 x1 y1.
        quarter_turns: counter-clockwise, that made the frame upright.
        width: of the frame as it is stored.
        height: likewise.
    """
    wide, high = (width, height) if quarter_turns % 2 == 0 else (height, width)
    for _ in range(quarter_turns % 4):
        # numpy.rot90 moved (x, y) to (y, W - x), W the width before it, now the height.
        box = np.array([high - box[3], box[0], high - box[1], box[2]])
        wide, high = high, wide
    return box
