"""What a detector says and what a tracker makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Origin = Literal["detected", "interpolated", "held", "look-back", "edited"]


def _fixed(values: Array) -> Array:
    """A float64 copy that nobody can write to: what was checked stays as it was checked.

    Raises:
        ValueError: these are no numbers.
    """
    try:
        own = np.asarray(values, np.float64)
    except TypeError as error:
        raise ValueError(f"a face's place must be numbers, not {type(values).__name__}") from error
    # On bytes, since an array's own memory could be made writable again.
    return np.frombuffer(own.tobytes(), np.float64).reshape(own.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face as a detector sees it in one frame; the arrays are its own, read-only.

    Attributes:
        box: (4,) float64, x0 y0 x1 y1 in pixels of the frame, x0 < x1 and y0 < y1; it may
            reach over the frame's border.
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
        object.__setattr__(self, "box", _fixed(self.box))
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", _fixed(self.landmarks))
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
    """One person's face in one frame, as it is to be painted; the arrays are its own, read-only.
    Whether the place makes sense is checked by the gate.

    Attributes:
        track: number of the track, unique within a run.
        transform: (2, 3) float64, frame pixels to aligned units, smoothed over time. It is
            chosen so that the minimum mask covers the (grown) box: painting the mask is enough.
        box: (4,) float64 pixels, smoothed, over-covering.
        landmarks: (5, 2) float64 pixels, smoothed, or None where they are not known.
        origin: how the place is known in this frame.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "transform", _fixed(self.transform))
        object.__setattr__(self, "box", _fixed(self.box))
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", _fixed(self.landmarks))
        if self.polygon is not None:
            object.__setattr__(self, "polygon", _fixed(self.polygon))

    @property
    def size(self) -> float:
        """Geometric mean of the box's sides in pixels."""
        return float(np.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1])))
