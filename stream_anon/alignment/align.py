"""From a face's box and landmarks to its transform into the aligned face space.

The compositor paints the minimum mask of the aligned face space (``geometry.MASK_*``), so the
transform decides what is covered. Good landmarks of a frontal face give the plain ArcFace
alignment, on which recognisers and generators are trained. Wherever that mask would leave
a part of the box's inscribed ellipse open, the crop is enlarged and drawn toward the box;
landmarks that do not fit their box are not used at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CORNERS = 24
"""Points by which an ellipse's outline is checked."""

SHIFTS: Array = np.linspace(0.0, 1.0, 5)
"""Shares of the way from the landmarks' centre to the box's that are tried."""

SHIFT_COST = 0.15
"""A shift by the mask's whole radius is worth this much enlargement: scale is the dearer."""

WIDEST = 2.2
"""Change of size against the box's own crop from which landmarks are not believed."""

# The polygon lies inside the ellipse whose outline it samples.
_SLACK = 1.005 / np.cos(np.pi / CORNERS)
_ANGLES = np.arange(CORNERS) * (2 * np.pi / CORNERS)
_CIRCLE: Array = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_CENTRE: Array = np.array(geometry.MASK_CENTRE)
_AXES: Array = np.array(geometry.MASK_SEMI_AXES)
_TEMPLATE_MEAN: Array = geometry.TEMPLATE.mean(axis=0)
_TEMPLATE: Array = geometry.TEMPLATE - _TEMPLATE_MEAN


def align(box: Array, landmarks: Array | None, quarter_turns: int = 0) -> Array:
    """``align_all`` for one face: (4,) pixels and (5, 2) pixels or None; returns (2, 3)."""
    points = np.full((1, 5, 2), np.nan) if landmarks is None else landmarks[None]
    return np.asarray(align_all(box[None], points, quarter_turns)[0])


def align_all(boxes: Array, landmarks: Array, quarter_turns: int = 0) -> Array:
    """The transforms whose minimum mask covers each box's inscribed ellipse.

    Args:
        boxes: (n, 4) pixels, already grown by whatever margin is wanted.
        landmarks: (n, 5, 2) pixels, NaN where they are not known.
        quarter_turns: quarter turns, counter-clockwise, that make the frame upright; used where
            landmarks do not tell the rotation.

    Returns:
        (n, 2, 3) float64, frame pixels to aligned units; finite.

    Raises:
        ValueError: a box has no area or is not finite.
    """
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    if not np.isfinite(boxes).all() or (halves <= 0).any():
        raise ValueError("a box must be finite and have an area")
    starts, good = _by_landmarks(centres, halves, landmarks)
    if not good.all():
        starts[~good] = _by_box(centres[~good], halves[~good], quarter_turns)
    linear, shift = starts[:, :, :2], starts[:, :, 2]
    middles = (_times(linear, centres) + shift - _CENTRE) / _AXES
    spokes = (_CIRCLE * halves[:, None]) @ linear.transpose(0, 2, 1) / _AXES
    return _enlarge(starts, spokes, middles)


def widen_all(
    transforms: Array, landmarks: Array, crop_scale: float | Array
) -> tuple[Array, Array]:
    """Crops about the landmarks whose minimum mask covers those of ``transforms``.

    A generator wants every face at the same place and size of its crop; a tracker's crops
    follow boxes as well.

    Args:
        transforms: (n, 2, 3), from ``align_all``.
        landmarks: (n, 5, 2) pixels; where they are NaN or fit no face the transform is kept.
        crop_scale: how much wider than the plain alignment the crops are at least; one or (n,).

    Returns:
        (n, 2, 3) float64, frame pixels to aligned units; finite. And (n,) how much wider
        than the plain alignment they had to be, 1 where the transform was kept.
    """
    linear = transforms[:, :, :2]
    back = np.linalg.inv(linear)
    # The outline of the old mask in the frame.
    outline = np.einsum("nij,kj->nki", back, _CIRCLE * _AXES)
    centres = np.einsum("nij,nj->ni", back, _CENTRE - transforms[:, :, 2])
    starts, good = _fitted(landmarks)
    # Landmarks that call for a far smaller or larger face than the box are not believed.
    change = np.sqrt(np.abs(np.linalg.det(linear) / np.linalg.det(starts[:, :, :2])))
    good &= (change > 1.0 / WIDEST) & (change < WIDEST)
    starts[~good] = transforms[~good]
    middles = np.einsum("nij,nj->ni", starts[:, :, :2], centres) + starts[:, :, 2]
    middles = (middles - _CENTRE) / _AXES
    spokes = np.einsum("nij,nkj->nki", starts[:, :, :2], outline) / _AXES
    radii = np.sqrt(((spokes + middles[:, None]) ** 2).sum(axis=2).max(axis=1))
    needed = np.where(good, radii * _SLACK, 1.0)
    factor = np.where(good, np.maximum(crop_scale, needed), 1.0)
    alignments = starts / factor[:, None, None]
    alignments[:, :, 2] = (starts[:, :, 2] - _CENTRE) / factor[:, None] + _CENTRE
    return np.asarray(alignments), np.asarray(needed)


def locked_all(
    transforms: Array, landmarks: Array, crop_scale: float, most: float
) -> tuple[Array, Array]:
    """Crops about the landmarks that are always as wide, whatever a tracker's boxes are.

    A generator draws a head as wide as its crop, so a crop that follows boxes gives heads that
    are too large and breathe. What these crops' minimum masks leave open of those of
    ``transforms`` must be covered beside them.

    Args:
        transforms: (n, 2, 3), from ``align_all``.
        landmarks: (n, 5, 2) pixels; where they are NaN or fit no face the transform is kept.
        crop_scale: how much wider than the plain alignment the crops are.
        most: how much wider they may have to be for landmarks to be believed; beyond it they are
            widened.

    Returns:
        (n, 2, 3) float64, frame pixels to aligned units; finite. And (n,), how much wider
        they would have to be to leave nothing open, 1 where the transform was kept.
    """
    wide, needed = widen_all(transforms, landmarks, crop_scale)
    # A crop that is wider than asked for is brought back about its centre.
    excess = np.where(needed <= most, np.maximum(needed / crop_scale, 1.0), 1.0)
    locked = wide * excess[:, None, None]
    locked[:, :, 2] = (wide[:, :, 2] - _CENTRE) * excess[:, None] + _CENTRE
    return np.asarray(locked), needed


def reach(transforms: Array, crops: Array) -> Array:
    """How far the minimum masks of ``transforms`` reach in those of ``crops``: (n,) radii, in
    minimum masks; up to 1 nothing of them lies outside."""
    back = np.linalg.inv(transforms[:, :, :2])
    outline = _CIRCLE * _AXES + _CENTRE
    places = np.einsum("nij,nkj->nki", back, outline - transforms[:, None, :, 2])
    there = np.einsum("nij,nkj->nki", crops[:, :, :2], places) + crops[:, None, :, 2]
    radii = np.sqrt((((there - _CENTRE) / _AXES) ** 2).sum(axis=2).max(axis=1))
    return np.asarray(radii * _SLACK)


def _fitted(landmarks: Array) -> tuple[Array, Mask]:
    """Least-squares alignments (``geometry.similarity``, all at once), and where there are any."""
    known: Mask = np.asarray(np.isfinite(landmarks).all(axis=(1, 2)))
    points = np.where(known[:, None, None], landmarks, 0.0)
    mean = points.mean(axis=1)
    s = points - mean[:, None]
    spread = (s * s).sum(axis=(1, 2))
    known &= spread > 1e-6
    spread = np.maximum(spread, 1e-9)
    a = (s[:, :, 0] @ _TEMPLATE[:, 0] + s[:, :, 1] @ _TEMPLATE[:, 1]) / spread
    b = (s[:, :, 0] @ _TEMPLATE[:, 1] - s[:, :, 1] @ _TEMPLATE[:, 0]) / spread
    known &= np.hypot(a, b) > 1e-9
    a = np.where(known, a, 1.0)
    linear = np.stack([a, -b, b, a], axis=1).reshape(-1, 2, 2)
    shift = _TEMPLATE_MEAN - _times(linear, mean)
    return np.concatenate([linear, shift[:, :, None]], axis=2), known


def _by_landmarks(centres: Array, halves: Array, landmarks: Array) -> tuple[Array, Mask]:
    """ArcFace alignments (``geometry.similarity``, all at once), and where they fit their boxes."""
    starts, known = _fitted(landmarks)
    linear, shift = starts[:, :, :2], starts[:, :, 2]
    scale = np.hypot(linear[:, 0, 0], linear[:, 1, 0])
    longest = halves.max(axis=1)
    # The mask is meant to be a little larger than the box and about its centre.
    mask_ratio = _AXES[1] / scale / longest
    middle = (_times(linear, centres) + shift - _CENTRE) / _AXES
    points = np.where(known[:, None, None], landmarks, 0.0)
    size = (points.max(axis=1) - points.min(axis=1)).max(axis=1)
    good = known & (size > 0.2 * longest) & (mask_ratio > 0.7) & (mask_ratio < 1.9)
    good &= np.hypot(middle[:, 0], middle[:, 1]) < 0.6
    return starts, good


def _by_box(centres: Array, halves: Array, quarter_turns: int) -> Array:
    """Upright faces in their boxes."""
    angle = quarter_turns % 4 * (np.pi / 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    # Counter-clockwise for a viewer, with y down.
    turn = np.array([[cosine, sine], [-sine, cosine]])
    upright = halves if quarter_turns % 2 == 0 else halves[:, ::-1]
    linear = (_AXES / upright).min(axis=1)[:, None, None] * turn
    shift = _CENTRE - _times(linear, centres)
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def _enlarge(starts: Array, spokes: Array, middles: Array) -> Array:
    """Shift and enlarge the crops until the outlines lie inside the mask.

    Args:
        starts: (n, 2, 3) transforms.
        spokes: (n, k, 2) from the outlines' centres to the outlines, in the mask's semi-axes.
        middles: (n, 2) the outlines' centres from the mask's, likewise.
    """
    # (n, shifts, k), x and y apart: every outline at every shift.
    left = middles[:, None] * (1.0 - SHIFTS)[:, None]
    x = spokes[:, None, :, 0] + left[:, :, 0, None]
    y = spokes[:, None, :, 1] + left[:, :, 1, None]
    radii = np.sqrt((x * x + y * y).max(axis=2))
    needed = np.maximum(1.0, radii * _SLACK)
    far = np.hypot(middles[:, 0], middles[:, 1])
    best = np.argmin(needed + SHIFT_COST * SHIFTS * far[:, None], axis=1)
    factor = needed[np.arange(len(best)), best][:, None]
    shift = SHIFTS[best][:, None] * middles * _AXES
    transforms = starts / factor[:, :, None]
    transforms[:, :, 2] = (starts[:, :, 2] - shift - _CENTRE) / factor + _CENTRE
    return np.asarray(transforms)


def _times(linear: Array, points: Array) -> Array:
    """(n, 2, 2) times (n, 2)."""
    return np.asarray((linear @ points[:, :, None])[:, :, 0])
