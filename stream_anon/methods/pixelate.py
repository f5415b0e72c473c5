"""Mosaic: the face as a few large squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.masks import shrink

CELL_PIXELS = 8


class Pixelate(Method):
    """Block averages on a grid that is fixed to the face, not to the picture.

    A grid fixed to the picture lets a moving face cross the cells, which sharpens it again
    when many frames are combined (multi-frame super-resolution).

    Args:
        cells: cells across the face frame, 2 to 32.
    """

    name: ClassVar[str] = "pixelate"

    def __init__(self, cells: int = 8) -> None:
        self._cells = cells
        self.crop_size = cells * CELL_PIXELS

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        small = shrink(crops, self._cells)
        return Rendered(np.repeat(np.repeat(small, CELL_PIXELS, axis=1), CELL_PIXELS, axis=2))
