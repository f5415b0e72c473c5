"""From where a face must be to what is painted of it: rather too much than too little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.align import align_all
from stream_anon.detection.types import TrackedFace
from stream_anon.tracking.trajectory import BoxEstimate

Array = NDArray[np.float64]

CONFIRMED_SCORE = 0.5
"""A face that was seen twice, and once with this score, is painted beyond ``backfill`` and
``max_age`` for as long as it can be followed."""

LOW_SCORE_GROWTH = 0.15
"""Share of its size by which a face of score 0 is grown beyond the margin, one of
``CONFIRMED_SCORE`` not at all: boxes of profiles and half-hidden faces are off by about that
much."""

_UNKNOWN: Array = np.full((5, 2), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class TrackingResult:
    """What is to be painted in one frame.

    Attributes:
        index: of the frame, as it was pushed.
        faces: all of them, in order of their tracks' numbers.
        ended: tracks that no later frame carries.
    """

    index: int
    faces: tuple[TrackedFace, ...]
    ended: tuple[int, ...]


def over_cover(
    estimates: list[tuple[int, BoxEstimate]],
    margin: float,
    size: tuple[int, int],
    quarter_turns: int,
) -> list[TrackedFace]:
    """Grow boxes by what is not known of them and find their transforms.

    Args:
        estimates: track ids and boxes, without margin.
        margin: share of its size by which every box is grown.
        size: width and height of the frame in pixels.
        quarter_turns: counter-clockwise, that make the frame upright.

    Returns:
        In order of the track ids; none for boxes outside the frame.
    """
    if not estimates:
        return []
    estimates.sort(key=lambda one: one[0])
    known = [estimate for _, estimate in estimates]
    centres = np.array([estimate.centre for estimate in known])
    halves = np.array([estimate.half for estimate in known])
    scores = np.array([estimate.score for estimate in known])
    uncertainties = np.array([estimate.uncertainty for estimate in known])
    points = np.array([_UNKNOWN if p.points is None else p.points for p in known])
    points = centres[:, None] + points * halves[:, None]
    unsure = LOW_SCORE_GROWTH * np.maximum(0.0, 1.0 - scores / CONFIRMED_SCORE)
    halves = halves * (1.0 + margin + unsure)[:, None] + uncertainties[:, None]
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    inside = (boxes[:, 2:] > 0).all(axis=1)
    inside &= (boxes[:, :2] < size).all(axis=1)
    kept = np.flatnonzero(inside)
    if not len(kept):
        return []
    transforms = align_all(boxes[kept], points[kept], quarter_turns)
    return [
        TrackedFace(
            estimates[k][0],
            transform,
            boxes[k],
            None if known[k].points is None else points[k],
            known[k].origin,
            known[k].score,
        )
        for k, transform in zip(kept.tolist(), transforms, strict=True)
    ]
