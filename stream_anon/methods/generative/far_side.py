"""What lies before a turned head: wall, not hair.

In a head that is turned by more than some 25 degrees a good part of the minimum ellipse lies
beyond the face's outline, on the side that it looks to. A generator draws hair there, or what it
has made of the old face's outline. Behind the new face's own outline it is filled with what is
seen outside the ellipse on that side, carried inwards. Nothing of the inside has any influence.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.geometry import ALIGNED_SIDE, mask_radius
from stream_anon.methods.base import Pixels

Floats = NDArray[np.float32]

SIDE = 64
"""Side in pixels at which colours are carried."""

TURNED = (24.0, 36.0)
"""Degrees of yaw from which it begins, and at which it is done wholly."""

MARGIN, EDGE = 1.0, 5.0
"""Units beyond the outline up to which a drawing is left as it is, and over which it is left."""

ABOVE, BELOW = 16.0, 6.0
"""Units above the mesh, and below it, over which it runs out: hair stands above, a neck below."""

OUTSIDE = 1.05
"""Radius in minimum ellipses from which a crop is what will be seen."""

SPREADS = ((2.0, 1.0), (5.0, 0.05), (14.0, 2e-3), (40.0, 1e-5))
"""Standard deviations in pixels over which colours are carried, and the weights of each."""


def clear(face: Pixels, crop: Pixels, points: Floats, yaw: float) -> Pixels:
    """Fill what lies beyond a turned face's outline.

    Args:
        face: (s, s, 3) uint8, drawn.
        crop: (t, t, 3) uint8, as it was; only what lies outside the minimum ellipse is looked at.
        points: (468, 3) of the new face, aligned units.
        yaw: degrees, to the right of the image positive.

    Returns:
        (s, s, 3) uint8; ``face`` itself where it is turned less.
    """
    way = float(np.clip((abs(yaw) - TURNED[0]) / (TURNED[1] - TURNED[0]), 0.0, 1.0))
    if way <= 0.0:
        return face
    mirrored = yaw < 0.0
    places = points[:, :2].astype(np.float32)
    if mirrored:
        places = np.stack([ALIGNED_SIDE - 1 - places[:, 0], places[:, 1]], axis=1)
        crop = np.ascontiguousarray(crop[:, ::-1])
    beyond, rows = _beyond(places)
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = np.where((_radius(SIDE) > OUTSIDE) & (beyond > 0.5), np.float32(1.0), np.float32(0.0))
    if float(weight.sum()) < 8.0:
        return face
    total, mass = np.zeros_like(small), np.zeros_like(weight)
    given = small * weight[..., None]
    for sigma, share in SPREADS:
        total += share * cv2.GaussianBlur(given, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        mass += share * cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    colours = total / np.maximum(mass, np.float32(1e-9))[..., None]
    part = beyond * rows * np.float32(way * way * (3.0 - 2.0 * way))
    if mirrored:
        colours, part = np.ascontiguousarray(colours[:, ::-1]), np.ascontiguousarray(part[:, ::-1])
    side = (face.shape[1], face.shape[0])
    filled = np.asarray(cv2.resize(colours, side, interpolation=cv2.INTER_CUBIC))
    there = np.asarray(cv2.resize(part, side, interpolation=cv2.INTER_LINEAR))[..., None]
    out = face.astype(np.float32) * (1.0 - there) + filled * there
    return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8)


def _beyond(places: Floats) -> tuple[Floats, Floats]:
    """How far pixels (SIDE, SIDE) lie right of the outline of points (n, 2), and the share that
    their rows have; both 0 to 1."""
    unit = ALIGNED_SIDE / SIDE
    hull = cv2.convexHull(places).reshape(-1, 2)
    rows = (np.arange(SIDE) + 0.5) * unit - 0.5
    top, bottom = float(hull[:, 1].min()), float(hull[:, 1].max())
    # Above the brow the outline goes on as the forehead does, not back to the crown.
    within = np.clip(rows, top + 0.15 * (bottom - top), bottom - 0.05 * (bottom - top))
    right = np.full(SIDE, -np.inf)
    for (x0, y0), (x1, y1) in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        low, high = min(y0, y1), max(y0, y1)
        crossed = (within >= low) & (within <= high) & (high > low)
        at = x0 + (within - y0) / (y1 - y0 if y1 != y0 else 1.0) * (x1 - x0)
        right = np.where(crossed, np.maximum(right, at), right)
    axis = (np.arange(SIDE) + 0.5) * unit - 0.5
    beyond = np.clip((axis[None] - right[:, None] - MARGIN) / EDGE, 0.0, 1.0)
    share = np.clip(1.0 - np.maximum((top - rows) / ABOVE, (rows - bottom) / BELOW), 0.0, 1.0)
    return beyond.astype(np.float32), np.repeat(share[:, None], SIDE, axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _radius(side: int) -> NDArray[np.float64]:
    """Distance of each pixel (side, side) from the centre, in minimum ellipses."""
    axis = (np.arange(side) + 0.5) * (ALIGNED_SIDE / side) - 0.5
    x, y = np.meshgrid(axis, axis)
    return mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(side, side)
