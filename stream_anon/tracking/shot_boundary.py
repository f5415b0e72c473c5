"""Shot cuts, told from thumbnails of luma."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GRID = (32, 18)
"""Cells, across and down, in which two frames are compared."""

THRESHOLD = 6.0
"""Mean change in levels, times how unlike the structure is. On 36 clips every cut lies above
20 and everything else (fast pans, fades, walking past the lens) below 3.3."""

# Levels of contrast added to the correlation, so that noise on an even frame is no structure.
_FLOOR = 4.0


class CutDetector:
    """Compares each frame with the one before it. A camera flash counts as a cut too."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def push(self, luma: NDArray[np.uint8]) -> bool:
        """Whether this frame begins a new shot.

        Args:
            luma: (h, w) uint8; any size, which may change.

        Returns:
            True at a cut; False for the very first frame.
        """
        cells = cv2.resize(luma, GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, cells
        if last is None:
            return False
        change = float(np.abs(cells - last).mean())
        a, b = cells - cells.mean(), last - last.mean()
        floor = GRID[0] * GRID[1] * _FLOOR
        energy = float(np.sqrt(((a * a).sum() + floor) * ((b * b).sum() + floor)))
        return change * (1.0 - float((a * b).sum()) / energy) > THRESHOLD
