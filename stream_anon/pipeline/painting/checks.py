"""What the gate asks of the answers it is given: places that make sense, shapes that fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.types import TrackedFace
from stream_anon.errors import MethodFault, TrackerFault
from stream_anon.geometry import apply, mask_radius
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Rendered

FARTHEST = 1.0
"""Gap between a face's box and the frame, in the box's longer sides, from which the box makes no
sense: a tracker drops a face that has left the frame."""

LEAST_SIDE = 0.5
"""Side of a face's box in pixels below which it makes no sense."""


def misplaced(frame: Frame, faces: Sequence[TrackedFace]) -> TrackerFault | None:
    """What makes no sense about where faces are said to be, or None.

    A place that is not finite, has no area, lies far outside the frame, or whose transform puts
    the mask elsewhere would be painted nowhere, and nobody would notice.
    """
    size = np.array([frame.width, frame.height], np.float64)
    for face in faces:
        try:
            wrong = _wrong_place(face, size)
        except Exception as error:  # noqa: BLE001 - of the wrong type or shape, say
            wrong = f"cannot be read ({cause_of(error)})"
        if wrong is not None:
            return TrackerFault(f"the place of a face at {frame.seconds:.3f} s {wrong}")
    return None


def _wrong_place(face: TrackedFace, size: NDArray[np.float64]) -> str | None:
    box, transform, landmarks = face.box, face.transform, face.landmarks
    if box.shape != (4,) or transform.shape != (2, 3):
        return f"has shapes {box.shape} and {transform.shape}"
    finite = np.isfinite(box).all() and np.isfinite(transform).all()
    if not finite or not (landmarks is None or np.isfinite(landmarks).all()):
        return "is not finite"
    low, high = box[:2], box[2:]
    side = float((high - low).max())
    if not ((high - low) >= LEAST_SIDE).all():
        return "has no area"
    if max(float((low - size).max()), float((-high).max())) > FARTHEST * side:
        return "lies far outside the frame"
    middle = mask_radius(apply(transform, 0.5 * (low + high)[None]))[0]
    flat = abs(float(np.linalg.det(transform[:, :2]))) < 1e-9
    if flat or not middle <= 1.0:
        return "does not lie under its mask"
    return None


def check_rendered(rendered: object, count: int, name: str) -> None:
    """Hold a method's answer against its contract.

    Raises:
        MethodFault: a shape, type or number does not fit.
    """
    if not isinstance(rendered, Rendered):
        raise MethodFault(f"method {name} answered with {type(rendered).__name__}")
    crops, masks, declined = rendered.crops, rendered.masks, rendered.declined
    square = crops.ndim == 4 and crops.shape[0] == count and crops.shape[1] == crops.shape[2]
    if not square or crops.shape[3] != 3 or crops.dtype != np.uint8 or crops.shape[1] == 0:
        raise MethodFault(f"method {name} answered with crops {crops.shape} {crops.dtype}")
    if masks is not None and (
        masks.ndim != 3
        or masks.shape[0] != count
        or masks.shape[1] != masks.shape[2]
        or masks.shape[1] == 0
        or masks.dtype != np.uint8
    ):
        raise MethodFault(f"method {name} answered with masks {masks.shape} {masks.dtype}")
    if declined is not None and (declined.shape != (count,) or declined.dtype != np.bool_):
        raise MethodFault(f"method {name} answered with declined {declined.shape} {declined.dtype}")


def cause_of(error: BaseException) -> str:
    """One line: what was raised, and why."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
