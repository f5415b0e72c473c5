"""What of a frame the detector has not seen yet: change detection on a coarse luma plane.

Each frame is compared with what was there when the detector last looked. What has only moved
is moved along (dense inverse search flow, Kroeger et al., ECCV 2016) and is no news; what
cannot be explained by motion is new content, and the detector must look at it. So a frame
that changes everywhere is looked at in every frame, and a still room now and then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.tracking.camera_motion import camera_motion

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FACE_SAMPLES = 9.0
"""Samples along the side of the smallest face that are enough to see it come; finer planes are
averaged down to that."""

CELL = 8
"""Samples along the side of a cell, in which it is remembered what was looked at when."""

LEVELS = 14
"""Difference in levels from which a sample has become something else, noise permitting."""

NOISE_FACTOR = 4.0
"""The same, in median differences that noise makes from frame to frame: a noisy camera is not all
news."""

MOST_LEVELS = 24
"""However noisy, a difference of so many levels is news."""

QUIET = (20, 2.66)
"""Noise is read off the quietest fifth of the samples, since the others may move: their greatest
difference in per cent of all, and a normal distribution's median over its fifth."""

MOVING_LEVELS = 6
"""Difference from the frame before from which a sample moves."""

LEAST_MOVING = 0.0005
"""Share of the samples below which nothing is followed: it is less than a face."""

BEYOND = 32
"""Samples around what moves among which the flow is computed."""

FASTEST_SAMPLES = 20.0
"""Luma samples from frame to frame up to which motion explains a change."""

SMALL = (1.4, 3, 12)
"""New content is a patch of at least this side: smallest faces, least samples, most luma
samples."""

SUDDEN = (2.5, 5, 18)
"""New content of this side that is there at once is looked at in this very frame."""

PATIENCE = 6
"""Frames that smaller or growing news may wait: what moves uncovers a little all the time."""

DENSE, DENSE_AT_ONCE = 0.6, 0.7
"""Share of a patch that must be new: a face is never unlike what was behind it everywhere. The
edge of what walks past is narrower than the larger patch."""

CAMERA_SHARE = 0.04
"""Share of the samples that must move before the camera's own motion is looked for."""

EMPTY_LOOKS = 3
"""Looks in a row that found nothing, after which what only moves is looked at less often."""

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
        empty: factor on both where ``EMPTY_LOOKS`` have found nothing and nothing new has come.
        carried: factor on both where only the camera has moved what is there.
    """

    seconds: float
    frames: int
    idle: float
    empty: float = 1.0
    carried: float = 1.0


class ChangeMap:
    """Remembers of one stream what the detector has seen and when.

    For each frame call ``push``, then ask ``needs_detection`` and ``sudden``; where the detector
    looked, call ``looked`` or ``glanced``.

    Args:
        smallest: side of the smallest face that matters, in luma samples.

    Attributes:
        step: luma samples along the side of a sample that is compared.
    """

    def __init__(self, smallest: float) -> None:
        self.step = max(1, int(smallest / FACE_SAMPLES))
        self._small = _side(smallest, SMALL, self.step)
        self._sudden = _side(smallest, SUDDEN, self.step)
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._now: Luma | None = None
        self._seen: Luma
        self._grid: tuple[NDArray[np.float32], NDArray[np.float32]]
        self._age: NDArray[np.uint8]
        self._urgent: Mask
        self._moved: Mask
        self._carried: Mask
        self._frame = -1
        self._seconds = 0.0
        self._since_frame: NDArray[np.int64]
        self._since_seconds: NDArray[np.float64]
        self._looked_frame: NDArray[np.int64]
        self._looked_seconds: NDArray[np.float64]
        self._empty: NDArray[np.uint8]

    @property
    def sudden_face(self) -> float:
        """Side in luma samples of the smallest face that is news at once."""
        return float(math.sqrt(DENSE_AT_ONCE) * self._sudden * self.step)

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
        now = np.asarray(cv2.blur(_averaged(luma, self.step), (3, 3)), np.uint8)
        if self._now is None or self._now.shape != now.shape:
            self._begin(now)
            return
        before, self._now = self._now, now
        change = np.asarray(cv2.absdiff(now, before), np.uint8)
        noise = QUIET[1] * _quantile(change[::4, ::4], QUIET[0] / 100.0)
        moving = (change > max(MOVING_LEVELS, 3.0 * noise)).view(np.uint8)
        if not moving.any() and not self._age.any():
            # Slow changes add up in here without one frame that moves.
            moving = (cv2.absdiff(now, self._seen) > LEVELS).view(np.uint8)
            if not moving.any():
                return
        camera = self._follow(moving, now, before)
        self._compare(now, min(MOST_LEVELS, max(LEVELS, NOISE_FACTOR * noise)))
        # Specks are an encoder's work, no face's.
        moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_OPEN, _SQUARE3), np.uint8)
        if camera is not None:
            self._carried |= _cells(moving, self.shape)
            moved = cv2.warpAffine(
                before, camera, (now.shape[1], now.shape[0]),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            own = _unlike(now, np.asarray(moved, np.uint8)) > max(MOVING_LEVELS, 3.0 * noise)
            moving &= np.asarray(cv2.morphologyEx(own.view(np.uint8), cv2.MORPH_OPEN, _SQUARE3))
        self._moves(_cells(moving, self.shape))

    def _moves(self, cells: Mask) -> None:
        """Something moves in these cells from now on."""
        began = cells & ~self._moved
        self._since_frame[began] = self._frame
        self._since_seconds[began] = self._seconds
        self._moved |= cells

    def sudden(self, known: Mask | None = None) -> Mask:
        """Cells in which something large has come at once: to be looked at in this very frame.

        Args:
            known: as for ``needs_detection``.
        """
        return self._urgent.copy() if known is None else self._urgent & ~known

    def needs_detection(self, periods: Periods, known: Mask | None = None) -> Mask:
        """Cells (rows, columns) at which the detector must look in this frame, as closely as at
        any; beside those that are ``sudden``.

        Args:
            periods: how long they may go without.
            known: cells in which somebody is painted anyway: what is new there can wait.
        """
        frames = self._frame - self._looked_frame
        seconds = self._seconds - self._looked_seconds + 1e-6
        # What has only moved to a place was looked at where it was before.
        moving_frames = self._frame + 1 - self._since_frame
        moving_seconds = self._seconds - self._since_seconds + 1e-6
        free = np.True_ if known is None else ~known
        needs_detection = np.zeros(self.shape, np.bool_)
        if (self._age > PATIENCE).any():
            aged = _cells((self._age > PATIENCE).view(np.uint8), self.shape) & free
            if aged.any():
                # The younger go with the older: one detector run for all in a few frames, not one
                # for each.
                young = _cells((self._age > PATIENCE // 2).view(np.uint8), self.shape)
                needs_detection |= young & free
        factor = np.where(self._empty >= EMPTY_LOOKS, periods.empty, 1.0)
        most_frames, most_seconds = factor * periods.frames, factor * periods.seconds
        overdue = (moving_frames >= most_frames) | (moving_seconds >= most_seconds)
        if (overdue & self._moved).any():
            # What would be due soon goes with it: one large look costs less than two.
            half = (moving_frames >= 0.5 * most_frames) | (moving_seconds >= 0.5 * most_seconds)
            needs_detection |= self._moved & half
        carried = periods.carried
        late = (frames >= carried * periods.frames) | (seconds >= carried * periods.seconds)
        needs_detection |= self._carried & late
        idle = periods.idle
        needs_detection |= (frames >= idle * periods.frames) | (seconds >= idle * periods.seconds)
        return needs_detection

    def unseen(self) -> Mask:
        """Cells in which anything has moved or changed since the detector looked."""
        return (self._moved | _cells(self._age, self.shape)) & (self._looked_frame < self._frame)

    def detail(self) -> float:
        """How sharp the latest frame is: levels by which samples differ from those around."""
        if self._now is None:
            return 0.0
        return float(cv2.mean(cv2.absdiff(self._now, cv2.blur(self._now, (5, 5))))[0])

    def found(self, cells: Mask, doubtful: Mask) -> None:
        """What came of looking at the latest frame.

        Args:
            cells: in which, or near which, there is a face or may be one.
            doubtful: in which may be one that nobody follows: they are looked at as what moves.
        """
        looked = self._looked_frame == self._frame
        self._empty[looked] = np.minimum(self._empty[looked], 254) + 1
        self._empty[cells | doubtful] = 0
        self._moves(doubtful)

    def glanced(self, cells: Mask) -> None:
        """The detector has looked for large faces in these cells of the latest frame."""
        self._urgent &= ~cells

    def looked(self, cells: Mask | None = None) -> None:
        """The detector has seen these cells of the latest frame, or all of it."""
        now = self._now
        if now is None:
            return
        if cells is None:
            empty = self._empty
            self._begin(now)
            self._empty = empty
            return
        self._looked_frame[cells] = self._frame
        self._looked_seconds[cells] = self._seconds
        self._moved &= ~cells
        self._carried &= ~cells
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
        self._carried = np.zeros((rows, columns), np.bool_)
        self._since_frame = np.full((rows, columns), self._frame, np.int64)
        self._since_seconds = np.full((rows, columns), self._seconds)
        self._looked_frame = np.full((rows, columns), self._frame, np.int64)
        self._looked_seconds = np.full((rows, columns), self._seconds)
        self._empty = np.zeros((rows, columns), np.uint8)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._grid = (x, y)

    def _follow(self, moving: NDArray[np.uint8], now: Luma, before: Luma) -> Array | None:
        """Move what was seen along with the frame, where it moves.

        Returns:
            (2, 3) from the samples of this frame to those of the one before, as the camera's
            motion alone would have it; None where most of the frame does not move with it.
        """
        count = cv2.countNonZero(moving)
        if count < LEAST_MOVING * moving.size:
            return None
        # Around what moves as well: it has hidden or uncovered what lies there.
        where = cv2.dilate(moving, _SQUARE9)
        left, top, wide, high = cv2.boundingRect(where)
        height, width = now.shape
        x0, y0 = max(0, left - BEYOND), max(0, top - BEYOND)
        x1, y1 = min(width, left + wide + BEYOND), min(height, top + high + BEYOND)
        part = np.s_[y0:y1, x0:x1]
        small = (max(16, (x1 - x0) // 2), max(16, (y1 - y0) // 2))
        here = cv2.resize(now[part], small, interpolation=cv2.INTER_AREA)
        there = cv2.resize(before[part], small, interpolation=cv2.INTER_AREA)
        across, down = cv2.split(self._flow.calc(here, there, None))
        ratio = (x1 - x0) / small[0], (y1 - y0) / small[1]
        # Faster than faces can be followed is no explanation: what came there is looked at.
        speed = np.maximum(np.abs(across), np.abs(down))
        slow = (speed <= FASTEST_SAMPLES / (self.step * max(ratio))).view(np.uint8)
        size = (x1 - x0, y1 - y0)
        cv2.min(where[part], cv2.resize(slow, size, interpolation=cv2.INTER_NEAREST), where[part])
        x = cv2.scaleAdd(cv2.resize(across, size), ratio[0], self._grid[0][part])
        y = cv2.scaleAdd(cv2.resize(down, size), ratio[1], self._grid[1][part])
        # What comes in over the frame's border is news unless it goes on like what is there.
        border = cv2.BORDER_REPLICATE
        moved = cv2.remap(self._seen, x, y, cv2.INTER_LINEAR, borderMode=border)
        cv2.copyTo(np.asarray(moved, np.uint8), where[part], self._seen[part])
        if count < CAMERA_SHARE * moving.size:
            return None
        return camera_motion(here, np.asarray(across), np.asarray(down), (x0, y0), ratio)

    def _compare(self, now: Luma, levels: float) -> None:
        # The envelope of the neighbours forgives a motion that is off by a sample.
        unlike = _unlike(now, self._seen)
        news = (cv2.blur(unlike, (3, 3)) > levels).view(np.uint8)
        news = _dense(news, self._small, DENSE)
        if not news.any():
            self._age[:] = 0
            return
        # News that grows out of older news is as old; what is large and young came at once.
        self._age = (np.minimum(cv2.dilate(self._age, _SQUARE5), 254) + 1).astype(np.uint8) * news
        at_once = _dense(news & (self._age <= 1).view(np.uint8), self._sudden, DENSE_AT_ONCE)
        urgent = _cells(at_once, self.shape)
        self._urgent |= urgent
        self._empty[urgent] = 0


def _unlike(now: Luma, expected: Luma) -> Luma:
    """Levels by which samples lie outside what is expected around them."""
    above = cv2.subtract(now, cv2.dilate(expected, _SQUARE3))
    below = cv2.subtract(cv2.erode(expected, _SQUARE3), now)
    return np.asarray(cv2.max(above, below), np.uint8)


def _quantile(levels: Luma, share: float) -> int:
    """The level that so many of the samples do not exceed."""
    counts = np.cumsum(np.bincount(levels.ravel(), minlength=256))
    return int(np.searchsorted(counts, share * counts[-1]))


def _averaged(luma: Luma, step: int) -> Luma:
    """Averages of step x step samples."""
    if step == 1 or min(luma.shape) < 8 * step:
        return luma
    size = (luma.shape[1] // step, luma.shape[0] // step)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _side(smallest: float, bounds: tuple[float, int, int], step: int) -> int:
    share, least, most = bounds
    return max(least, round(min(most, share * smallest) / step))


def _dense(mask: NDArray[np.uint8], side: int, least: float) -> NDArray[np.uint8]:
    """Samples of a 0/1 mask around which at least such a share of a square patch is set."""
    share = cv2.blur(mask * np.uint8(255), (side, side), borderType=cv2.BORDER_REPLICATE)
    return (np.asarray(share) > 255.0 * least).view(np.uint8)


def _cells(samples: NDArray[np.uint8], shape: tuple[int, int]) -> Mask:
    """Which cells hold a sample that is not 0."""
    rows, columns = shape
    height, width = samples.shape
    if (rows * CELL, columns * CELL) != (height, width):
        samples = np.pad(samples, ((0, rows * CELL - height), (0, columns * CELL - width)))
    # One sample of 255 in a cell leaves a mean of 4: much faster than a maximum over two axes.
    full = (samples != 0).view(np.uint8) * np.uint8(255)
    means = cv2.resize(full, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means > 0)
