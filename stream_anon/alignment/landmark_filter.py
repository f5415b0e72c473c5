"""Landmarks that move as the face moves: what a detector says now and then, what pixels say always.

A detector's landmarks tremble, and between its runs they are interpolated. A face drawn by them
swims over the head. So the motion from frame to frame is measured in the frame itself
(Lucas & Kanade 1981, pyramids by Bouguet) and the detector's landmarks only correct it slowly:
a complementary filter, high frequencies from flow, low ones from the detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.geometry import MASK_CENTRE, MASK_SEMI_AXES, apply, invert, similarity
from stream_anon.track_state import Part, TrackState

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SIDE = 64
"""Side in pixels of the crops in which motion is measured."""

EXTENT = 128.0
"""Aligned units that such a crop shows."""

POSE_GAIN = 0.12
"""Share of the way to the detector's place, size and turn that is taken at each frame."""

SHAPE_GAIN = 0.5
"""Likewise for what no place, size and turn explains: pose and expression."""

LEAST_POINTS = 8
"""Points that must be followed well, or the detector is believed at once."""

LARGEST_ERROR = 14.0
"""Mean absolute difference in levels of a point's window, beyond which it is lost."""

MAX_DRIFT = 14.0
"""Distance in units between lock and detector beyond which the lock has lost the face."""

_SCALE = SIDE / EXTENT
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03)
_x, _y = np.meshgrid(np.linspace(-0.75, 0.75, 5), np.linspace(-0.75, 0.75, 7))
_keep = np.hypot(_x, _y) < 0.9
_GRID = np.stack(
    [
        MASK_CENTRE[0] + _x[_keep] * MASK_SEMI_AXES[0],
        MASK_CENTRE[1] + _y[_keep] * MASK_SEMI_AXES[1],
    ],
    axis=1,
)
# Crop pixel k shows unit (k + 0.5) / scale - 0.5.
_POINTS = ((_GRID + 0.5) * _SCALE - 0.5).astype(np.float32)[:, None, :]


@dataclass(slots=True, eq=False)
class _State:
    crop: Pixels
    transform: Array
    landmarks: Array
    seconds: float


class LandmarkFilter:
    """Per track, the landmarks as they were and the crop they were in.

    Args:
        longest: seconds between two frames beyond which a track begins anew.
    """

    def __init__(self, longest: float = 0.25) -> None:
        self._longest = longest
        self._last: Part[_State] = Part()

    def __call__(
        self,
        state: TrackState,
        crop: Pixels,
        transform: Array,
        landmarks: Array,
        seconds: float,
        *,
        observed: bool = True,
    ) -> Array:
        """The landmarks to draw by.

        Args:
            state: of the track; keeps the crop until the next frame.
            crop: (64, 64) uint8 luma of the frame under ``transform``.
            transform: (2, 3), frame pixels to aligned units.
            landmarks: (5, 2) pixels, from the tracker.
            seconds: of the frame; they rise.
            observed: whether the landmarks were seen in this frame. If not, they only serve where
                the motion cannot be followed.

        Returns:
            (5, 2) pixels.
        """
        last = self._last.get(state)
        filtered = landmarks
        if last is not None and 0.0 < seconds - last.seconds <= self._longest:
            motion = follow(last.crop, crop)
            if motion is not None:
                there = apply(last.transform, last.landmarks)
                moved, seen = apply(motion, there), apply(transform, landmarks)
                filtered = apply(invert(transform), _corrected(moved, seen, correct=observed))
        self._last.put(state, _State(crop, transform, filtered, seconds))
        return filtered


def _corrected(filtered: Array, seen: Array, *, correct: bool) -> Array:
    """Landmarks (5, 2) that were followed, drawn a little toward those that were seen."""
    try:
        way = similarity(filtered, seen)
    except ValueError:
        return seen
    moved = apply(way, filtered)
    if float(np.hypot(*(moved - filtered).T).max()) > MAX_DRIFT:
        return seen
    if not correct:
        return filtered
    return np.asarray(filtered + POSE_GAIN * (moved - filtered) + SHAPE_GAIN * (seen - moved))


def follow(before: Pixels, now: Pixels) -> Array | None:
    """The similarity (2, 3), in aligned units, by which a face moved between two crops.

    Args:
        before: (64, 64) uint8 luma.
        now: likewise.

    Returns:
        None where too few points could be followed.
    """
    points, status, error = cv2.calcOpticalFlowPyrLK(
        before, now, _POINTS, np.empty_like(_POINTS), winSize=(9, 9), maxLevel=2, criteria=_CRITERIA
    )
    good = (status[:, 0] > 0) & (error[:, 0] < LARGEST_ERROR)
    if int(good.sum()) < LEAST_POINTS:
        return None
    source = (_POINTS[good, 0].astype(np.float64) + 0.5) / _SCALE - 0.5
    target = (points[good, 0].astype(np.float64) + 0.5) / _SCALE - 0.5
    for _ in range(3):
        try:
            way = similarity(source, target)
        except ValueError:
            return None
        away = np.hypot(*(apply(way, source) - target).T)
        near = away <= max(0.75, 2.0 * float(np.median(away)))
        if near.all():
            break
        if int(near.sum()) < LEAST_POINTS:
            return None
        source, target = source[near], target[near]
    return way
