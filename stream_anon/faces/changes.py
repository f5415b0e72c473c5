"""What of a frame the detector has not seen yet: change detection on a coarse luma plane.

Each frame is compared with what was there when the detector last looked. What has only moved
is moved along (dense inverse search flow, Kroeger et al., ECCV 2016) and is no news; what
cannot be explained by motion is new content, and the detector must look at it. So a picture
that changes everywhere is looked at in every frame, and a still room next to never.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CELL = 8
"""Luma samples along the side of a cell, in which it is remembered what was looked at when."""

LEVELS = 12
"""Difference in levels from which a sample has become something else, noise permitting."""

NOISE_FACTOR = 4.0
"""The same, in median differences from frame to frame: a noisy camera is not all news."""

MOVING_LEVELS = 4
"""Difference from the frame before from which a sample moves."""

SMALL = (0.75, 2, 6)
"""New content is a patch of at least this side: smallest faces, least and most samples."""

SUDDEN = (1.5, 4, 12)
"""New content of this side that is there at once is looked at in this very frame."""

PATIENCE = 3
"""Frames that smaller or growing news may wait: what moves uncovers a little all the time."""

_SQUARE3 = np.ones((3, 3), np.uint8)
_SQUARE5 = np.ones((5, 5), np.uint8)
_SQUARE9 = np.ones((9, 9), np.uint8)


@dataclass(frozen=True, slots=True)
class Periods:
    """How long content may go without a look.

    Attributes:
        seconds: where something moves.
        frames: likewise; the shorter of the two counts.
        idle: factor on both where nothing has changed.
    """

    seconds: float
    frames: int
    idle: float


class ChangeMap:
    """Remembers of one stream what the detector has seen and when.

    For each frame call ``push``, then ask ``due``; where the detector looked, call ``looked``.

    Args:
        smallest: side of the smallest face that matters, in luma samples.
    """

    def __init__(self, smallest: float) -> None:
        self._small = _side(smallest, SMALL)
        self._sudden = _side(smallest, SUDDEN)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._now: Luma | None = None
        self._seen: Luma
        self._grid: tuple[NDArray[np.float32], NDArray[np.float32]]
        self._age: NDArray[np.uint8]
        self._urgent: Mask
        self._moved: Mask
        self._frame = -1
        self._seconds = 0.0
        self._looked_frame: NDArray[np.int64]
        self._looked_seconds: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self._moved.shape[0], self._moved.shape[1]

    def push(self, luma: Luma, seconds: float) -> None:
        """Compare the next frame with what was looked at.

        Args:
            luma: (h, w) uint8; of another size than before, everything is new.
            seconds: by a clock that rises.
        """
        self._frame += 1
        self._seconds = seconds
        now = np.asarray(cv2.blur(luma, (3, 3)), np.uint8)
        if self._now is None or self._now.shape != now.shape:
            self._begin(now)
            return
        before, self._now = self._now, now
        change = cv2.absdiff(now, before)
        noise = float(np.median(change[::4, ::4]))
        moving = (change > max(MOVING_LEVELS, 3.0 * noise)).view(np.uint8)
        if not moving.any() and not self._age.any():
            # Slow changes add up in here without one frame that moves.
            moving = (cv2.absdiff(now, self._seen) > LEVELS).view(np.uint8)
            if not moving.any():
                return
        self._follow(moving, now, before)
        self._compare(now, max(LEVELS, NOISE_FACTOR * noise))
        self._moved |= _cells(moving, self.shape)

    def due(self, periods: Periods) -> Mask:
        """Cells (rows, columns) at which the detector must look in this frame."""
        frames = self._frame - self._looked_frame
        seconds = self._seconds - self._looked_seconds + 1e-6
        due = self._urgent | _cells((self._age > PATIENCE).view(np.uint8), self.shape)
        due |= self._moved & ((frames >= periods.frames) | (seconds >= periods.seconds))
        idle = periods.idle
        due |= (frames >= idle * periods.frames) | (seconds >= idle * periods.seconds)
        return due

    def unseen(self) -> Mask:
        """Cells in which anything has moved or changed since the detector looked."""
        return (self._moved | _cells(self._age, self.shape)) & (self._looked_frame < self._frame)

    def looked(self, cells: Mask | None = None) -> None:
        """The detector has seen these cells of the latest frame, or all of it."""
        now = self._now
        if now is None:
            return
        if cells is None:
            self._begin(now)
            return
        self._looked_frame[cells] = self._frame
        self._looked_seconds[cells] = self._seconds
        self._moved &= ~cells
        self._urgent &= ~cells
        height, width = now.shape
        wide = cv2.resize(
            cells.view(np.uint8),
            (self.shape[1] * CELL, self.shape[0] * CELL),
            interpolation=cv2.INTER_NEAREST,
        )[:height, :width]
        cv2.copyTo(now, wide, self._seen)
        self._age[wide != 0] = 0

    def _begin(self, now: Luma) -> None:
        height, width = now.shape
        rows, columns = math.ceil(height / CELL), math.ceil(width / CELL)
        self._now = now
        self._seen = now.copy()
        self._age = np.zeros(now.shape, np.uint8)
        self._urgent = np.zeros((rows, columns), np.bool_)
        self._moved = np.zeros((rows, columns), np.bool_)
        self._looked_frame = np.full((rows, columns), self._frame, np.int64)
        self._looked_seconds = np.full((rows, columns), self._seconds)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._grid = (x, y)

    def _follow(self, moving: NDArray[np.uint8], now: Luma, before: Luma) -> None:
        """Move what was seen along with the picture, where it moves."""
        if moving.mean() < 0.0005:
            return
        height, width = now.shape
        small = (max(16, width // 2), max(16, height // 2))
        here = cv2.resize(now, small, interpolation=cv2.INTER_AREA)
        there = cv2.resize(before, small, interpolation=cv2.INTER_AREA)
        flow = cv2.resize(self._flow.calc(here, there, None), (width, height))
        x = self._grid[0] + flow[..., 0] * (width / small[0])
        y = self._grid[1] + flow[..., 1] * (height / small[1])
        # Around what moves as well: it has hidden or uncovered what lies there.
        where = cv2.dilate(moving, _SQUARE9)
        border = cv2.BORDER_CONSTANT
        moved = cv2.remap(self._seen, x, y, cv2.INTER_LINEAR, borderMode=border, borderValue=0)
        cv2.copyTo(np.asarray(moved, np.uint8), where, self._seen)

    def _compare(self, now: Luma, levels: float) -> None:
        # The envelope of the neighbours forgives a motion that is off by a sample.
        above = cv2.subtract(now, cv2.dilate(self._seen, _SQUARE3))
        below = cv2.subtract(cv2.erode(self._seen, _SQUARE3), now)
        news = (cv2.blur(cv2.max(above, below), (3, 3)) > levels).view(np.uint8)
        patch = np.ones((self._small, self._small), np.uint8)
        news = np.asarray(cv2.morphologyEx(news, cv2.MORPH_OPEN, patch), np.uint8)
        if not news.any():
            self._age[:] = 0
            return
        # News that grows out of older news is as old; what is large and young came at once.
        self._age = (np.minimum(cv2.dilate(self._age, _SQUARE5), 254) + 1).astype(np.uint8) * news
        young = cv2.bitwise_and(news, (self._age <= 1).view(np.uint8))
        patch = np.ones((self._sudden, self._sudden), np.uint8)
        at_once = np.asarray(cv2.morphologyEx(young, cv2.MORPH_OPEN, patch), np.uint8)
        self._urgent |= _cells(at_once, self.shape)


def _side(smallest: float, bounds: tuple[float, int, int]) -> int:
    share, least, most = bounds
    return min(most, max(least, round(share * smallest)))


def _cells(samples: NDArray[np.uint8], shape: tuple[int, int]) -> Mask:
    """Which cells hold a sample that is not 0."""
    rows, columns = shape
    height, width = samples.shape
    if (rows * CELL, columns * CELL) != (height, width):
        samples = np.pad(samples, ((0, rows * CELL - height), (0, columns * CELL - width)))
    blocks = samples.reshape(rows, CELL, columns, CELL)
    return np.asarray(blocks.any(axis=(1, 3)))
