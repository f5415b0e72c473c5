"""What a detector says and what a tracker makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Origin = Literal["detected", "interpolated", "held", "look-back", "edited"]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face as a detector sees it in one picture.

    Attributes:
        box: (4,) float64, x0 y0 x1 y1 in pixels of the picture, x0 < x1 and y0 < y1; it may
            reach over the picture's border.
        landmarks: (5, 2) float64 pixels (left eye, right eye, nose, left and right mouth
            corner, left in the image), or None from a detector that has none.
        score: the detector's confidence, 0 to 1.

    Raises:
        ValueError: a value is not finite or out of its range.
    """

    box: Array
    landmarks: Array | None
    score: float

    def __post_init__(self) -> None:
        if self.box.shape != (4,) or not np.isfinite(self.box).all():
            raise ValueError(f"a face's box must be four finite numbers, got {self.box!r}")
        if not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"a face's box must have an area, got {self.box!r}")
        if self.landmarks is not None and (
            self.landmarks.shape != (5, 2) or not np.isfinite(self.landmarks).all()
        ):
            raise ValueError("a face's landmarks must be (5, 2) finite numbers")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a face's score must lie in 0..1, got {self.score!r}")

    @property
    def size(self) -> float:
        """Geometric mean of the box's sides in pixels."""
        return float(np.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1])))


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """One person's face in one picture, as it is to be painted.

    Attributes:
        track: number of the track, unique within a run.
        transform: (2, 3) float64, picture pixels to face-frame units, smoothed over time. It is
            chosen so that the minimum mask covers the (grown) box: painting the mask is enough.
        box: (4,) float64 pixels, smoothed, over-covering.
        landmarks: (5, 2) float64 pixels, smoothed, or None where they are not known.
        origin: how the place is known in this picture.
        score: confidence of the detections it rests on, 0 to 1.
        label: what it is; ``region`` was drawn by hand.
        method: paints it in the place of the run's method, or None.
        polygon: (k, 2) float64 pixels, corners of what is painted of a ``region``; None paints
            its whole box.
    """

    track: int
    transform: Array
    box: Array
    landmarks: Array | None
    origin: Origin
    score: float
    label: str = "face"
    method: str | None = None
    polygon: Array | None = None

    @property
    def size(self) -> float:
        """Geometric mean of the box's sides in pixels."""
        return float(np.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1])))
