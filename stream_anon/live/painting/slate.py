"""What is shown while there is nothing to show: a plain picture with the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import av
import cv2
import numpy as np

from stream_anon.media.pixel_formats import plane_bytes

DARK, LIGHT = 52, 200


class Slate:
    """Makes frames that hold no pixel of any camera.

    Args:
        width, height: even, in pixels.
        words: under the clock.
    """

    def __init__(self, width: int, height: int, words: str = "no picture") -> None:
        self._size = width, height
        self._words = words
        self._second = ""
        self._luma = np.full((height, width), DARK, np.uint8)

    def frame(self) -> Any:
        """An ``av.VideoFrame`` in yuv420p with the time of day, UTC."""
        second = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if second != self._second:
            self._second = second
            self._luma = self._drawn(second)
        made = av.VideoFrame(*self._size, "yuv420p")
        for index, plane in enumerate(made.planes):
            rows = plane_bytes(plane)
            if index == 0:
                rows[:, : self._size[0]] = self._luma
            else:
                rows[:] = 128
        return made

    def _drawn(self, second: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        width, height = self._size
        luma = np.full((height, width), DARK, np.uint8)
        for row, words in ((0.48, second), (0.62, self._words)):
            scale = width * 0.7 / max(1, cv2.getTextSize(second, 0, 1.0, 1)[0][0])
            thick = max(1, round(scale * 1.5))
            wide = cv2.getTextSize(words, 0, scale, thick)[0][0]
            place = ((width - wide) // 2, round(height * row))
            cv2.putText(luma, words, place, 0, scale, LIGHT, thick, cv2.LINE_AA)
        return luma
