"""Aligned face space: the one coordinate system in which faces are compared, cut and painted.

It is the 112 px ArcFace template (Deng et al., CVPR 2019) with a margin of 8 units
on every side, so 128 x 128 units, x to the right and y down. Pixel centres lie at
integer coordinates. A 2x3 float64 *transform* maps frame pixels to
aligned units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TO_COMPLEX = np.array([1.0, 1.0j])

ALIGNED_SIDE = 128
"""Side of the aligned face space in units."""

FACE_BOX = 92.0
"""About how many aligned units a detector's box of an aligned face is wide."""

TEMPLATE: Array = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
) + 8.0
"""Left eye, right eye, nose tip, left and right mouth corner (left in the image); shape (5, 2)."""

MASK_CENTRE = (64.0, 70.0)
"""Centre of the minimum mask in aligned units."""

MASK_SEMI_AXES = (44.0, 58.0)
"""Semi-axes of the minimum mask: forehead, jaw and cheeks. A narrower one lets a
recogniser name people from the ring around it."""


def similarity(source: Array, target: Array = TEMPLATE) -> Array:
    """Least-squares similarity (rotation, uniform scale, shift; no mirror) from source to target.

    Args:
        source: (n, 2) points, n >= 2.
        target: (n, 2) points.

    Returns:
        (2, 3) transform. Source: Umeyama, PAMI 1991, eq. 39-43.

    Raises:
        ValueError: the shapes differ or the source points coincide.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise ValueError(f"points must be two (n, 2) arrays, got {source.shape} and {target.shape}")
    # In the plane the optimum is one complex number: sum(conj(s) t) / sum |s|^2. Complex numbers
    # also take a tenth of the time of small matrices, and this runs for every face and frame.
    s, t = source @ _TO_COMPLEX, target @ _TO_COMPLEX
    mean_s, mean_t = s.mean(), t.mean()
    s = s - mean_s
    spread = float(np.vdot(s, s).real)
    if not math.isfinite(spread) or spread < 1e-9:
        raise ValueError("the points coincide or are not finite")
    turn = np.vdot(s, t - mean_t) / spread
    shift = mean_t - turn * mean_s
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def apply(transform: Array, points: Array) -> Array:
    """Map (n, 2) points by a (2, 3) transform."""
    mapped: Array = points @ transform[:, :2].T + transform[:, 2]
    return mapped


def invert(transform: Array) -> Array:
    """The inverse of a (2, 3) transform.

    Raises:
        numpy.linalg.LinAlgError: the transform is singular.
    """
    linear = np.linalg.inv(transform[:, :2])
    return np.hstack([linear, (-linear @ transform[:, 2])[:, None]])


def scale_of(transform: Array) -> float:
    """Aligned units per frame pixel."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def mask_radius(points: Array) -> Array:
    """Normalised distance of (n, 2) points (aligned units) from the mask's centre; < 1 is inside
    it."""
    scaled = (points - np.array(MASK_CENTRE)) / np.array(MASK_SEMI_AXES)
    return np.asarray(np.hypot(scaled[:, 0], scaled[:, 1]))
