"""From a face's box and landmarks to its transform into the face frame.

The compositor paints the minimum mask of the face frame (``geometry.MASK_*``), so the
transform decides what is covered. Good landmarks of a frontal face give the plain ArcFace
alignment, on which recognisers and generators are trained. Wherever that mask would leave
a part of the box's inscribed ellipse open, the frame is enlarged and drawn toward the box;
landmarks that do not fit their box are not used at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry

Array = NDArray[np.float64]

CORNERS = 24
"""Points by which an ellipse's outline is checked."""

SHIFTS: Array = np.linspace(0.0, 1.0, 5)
"""Shares of the way from the landmarks' centre to the box's that are tried."""

SHIFT_COST = 0.15
"""A shift by the mask's whole radius is worth this much enlargement: scale is the dearer."""

# The polygon lies inside the ellipse whose outline it samples.
_SLACK = 1.005 / np.cos(np.pi / CORNERS)
_ANGLES = np.arange(CORNERS) * (2 * np.pi / CORNERS)
_CIRCLE: Array = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_CENTRE: Array = np.array(geometry.MASK_CENTRE)
_AXES: Array = np.array(geometry.MASK_SEMI_AXES)


def align(box: Array, landmarks: Array | None, turns: int = 0) -> Array:
    """The transform whose minimum mask covers the box's inscribed ellipse.

    Args:
        box: (4,) pixels, already grown by whatever margin is wanted.
        landmarks: (5, 2) pixels, or None.
        turns: quarter turns, counter-clockwise, that make the picture upright; used where
            landmarks do not tell the rotation.

    Returns:
        (2, 3) float64, picture pixels to face-frame units; finite.

    Raises:
        ValueError: the box has no area or is not finite.
    """
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    if not np.isfinite(box).all() or (half <= 0).any():
        raise ValueError(f"a box must be finite and have an area, got {box!r}")
    start = None if landmarks is None else _by_landmarks(centre, half, landmarks)
    if start is None:
        start = _by_box(centre, half, turns)
    outline = geometry.apply(start, centre + _CIRCLE * half)
    middle = geometry.apply(start, centre[None])[0]
    return _enlarge(start, (outline - _CENTRE) / _AXES, (middle - _CENTRE) / _AXES)


def _by_landmarks(centre: Array, half: Array, landmarks: Array) -> Array | None:
    """The ArcFace alignment, or None where it contradicts the box."""
    if not np.isfinite(landmarks).all():
        return None
    spread = landmarks.max(axis=0) - landmarks.min(axis=0)
    if float(spread.max()) < 0.2 * float(half.max()):
        return None
    transform = geometry.similarity(landmarks)
    scale = geometry.scale_of(transform)
    if not np.isfinite(scale) or scale <= 0:
        return None
    reach = geometry.MASK_SEMI_AXES[1] / scale / float(half.max())
    off = geometry.apply(transform, centre[None])
    # The mask is meant to be a little larger than the box and about its centre.
    if 0.7 < reach < 1.9 and float(geometry.mask_radius(off)[0]) < 0.6:
        return transform
    return None


def _by_box(centre: Array, half: Array, turns: int) -> Array:
    """An upright face in its box."""
    angle = turns % 4 * (np.pi / 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    # Counter-clockwise for a viewer, with y down.
    turn = np.array([[cosine, sine], [-sine, cosine]])
    upright = half if turns % 2 == 0 else half[::-1]
    linear = float((_AXES / upright).min()) * turn
    return np.hstack([linear, (_CENTRE - linear @ centre)[:, None]])


def _enlarge(start: Array, outline: Array, middle: Array) -> Array:
    """Shift and enlarge the frame until the outline lies inside the mask.

    Args:
        start: (2, 3) transform.
        outline: (n, 2) points in units of the mask's semi-axes, from its centre.
        middle: (2,) the outline's centre, likewise.
    """
    radii = np.linalg.norm(outline[None] - SHIFTS[:, None, None] * middle, axis=2).max(axis=1)
    needed = np.maximum(1.0, radii * _SLACK)
    best = int(np.argmin(needed + SHIFT_COST * SHIFTS * np.linalg.norm(middle)))
    shift, factor = SHIFTS[best] * middle * _AXES, needed[best]
    transform = start / factor
    transform[:, 2] = (start[:, 2] - shift - _CENTRE) / factor + _CENTRE
    return np.asarray(transform)
