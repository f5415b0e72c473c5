"""Mosaic: the face as a few large squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from stream_anon.alignment.masks import at_least_minimum
from stream_anon.geometry import ALIGNED_SIDE, FACE_BOX
from stream_anon.methods.base import Method, Pixels, Rendered, Subject

CELL_PIXELS = 8
"""Pixels of a new face for each cell: their edges are about that sharp."""

READ_PIXELS = 4
"""Pixels that are read for each cell of an old face; a cell's mean needs no more."""

READ_LEAST = 16
"""Side of what is read of an old face, at least: to tell whether the new one differs from it."""

LEAST_CELL = 14.0
"""Side of a cell in pixels of the frame, at least. Cells of a small face that are as fine as a
large one's are hardly coarser than the face itself."""

UNITS_PER_BOX = ALIGNED_SIDE / FACE_BOX
"""Side of the aligned face space over the size of the face's box, about."""


class Pixelate(Method):
    """Block averages on a grid that is fixed to the face, not to the frame.

    A grid fixed to the frame lets a moving face cross the cells, which sharpens it again
    when many frames are combined (multi-frame super-resolution).

    Args:
        cells: cells across the aligned face space, 2 to 32; small faces get fewer.
    """

    name: ClassVar[str] = "pixelate"
    faces_only: ClassVar[bool] = False
    batches: ClassVar[bool] = True

    def __init__(self, cells: int = 8) -> None:
        self._cells = cells
        self.crop_size = max(READ_LEAST, cells * READ_PIXELS)
        self._side = cells * CELL_PIXELS

    def cells(self, size: float) -> int:
        """Cells across the aligned face space for a face of ``size`` pixels, at least 2."""
        return max(2, min(self._cells, int(size * UNITS_PER_BOX / LEAST_CELL)))

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        result = np.empty((len(crops), self._side, self._side, 3), np.uint8)
        whole = (self._side, self._side)
        for crop, subject, out in zip(crops, subjects, result, strict=True):
            cells = self.cells(subject.size)
            small = cv2.resize(crop, (cells, cells), interpolation=cv2.INTER_AREA)
            cv2.resize(small, whole, dst=out, interpolation=cv2.INTER_NEAREST)
        # Of the new faces' own side, so that both are warped back in one go.
        return Rendered(result, at_least_minimum(None, len(crops), self._side))
