"""Whether a place in two frames shows the same, in spite of an encoder between them.

Encoding takes away what is finest and leaves the rest. Painting a face takes away its features and
may leave the coarse colours (pixelation, VisualMixer) or put other features in the same place (a
new face). So what is compared is a band between the two: details of about a twenty-fourth to an
eighth of the face's width, the size of eyes, nostrils and lips. The place is compared in small
cells, so that half a face that stayed open is not averaged away.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.media.frame import Frame

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

GRID = 48
"""Side of the square to which every face is brought."""

CORE = 0.9
"""Share of the box that is compared: its rim is background and hair."""

CELLS = 4
"""Cells across the square."""

SAME = 0.55
"""Residual by contrast up to which a cell counts as the same, as root mean squares of the band."""

ALIKE = 0.85
"""Correlation of the band within a cell from which it counts as the same."""

FINE = 0.9
"""Residual by contrast up to which it counts as the same in the next finer band, which an encoder
may take away, but which blocks and strange edges add to."""

FLAT, NOISE = 0.5, 1.5
"""Levels of luma that are added to the contrast, so that a flat cell is not decided by an encoder's
noise; of the band and of the finer one."""


def same_shares(original: Frame, output: Frame, boxes: Array) -> Array:
    """How much of each place shows the same in both frames.

    Args:
        original, output: frames of equal size.
        boxes: (n, 4) x0 y0 x1 y1 in pixels.

    Returns:
        (n,) in 0..1: share of the place's contrast that lies in cells that are the same.
    """
    if not len(boxes):
        return np.empty(0)
    before, after = (_squares(frame, boxes) for frame in (original, output))
    return np.array([share(a, b) for a, b in zip(before, after, strict=True)])


def share(before: Floats, after: Floats) -> float:
    """How much of one square shows the same.

    Args:
        before, after: (GRID, GRID) float32 luma.

    Returns:
        0..1, weighted by the contrast of ``before``.
    """
    old, new = _band(before, 24), _band(after, 24)
    inside = _ELLIPSE.astype(np.float32)
    area = _cells(inside)
    energy = _cells(old * old * inside)
    residual = _cells((old - new) ** 2 * inside)
    same = residual <= SAME**2 * energy + FLAT**2 * area
    product = _cells(old * new * inside)
    norm = np.sqrt(energy * _cells(new * new * inside))
    same &= (product >= ALIKE * norm) | (energy <= FLAT**2 * area)
    old, new = _band(before, 48), _band(after, 48)
    residual = _cells((old - new) ** 2 * inside)
    same &= residual <= FINE**2 * _cells(old * old * inside) + NOISE**2 * area
    return float(energy[same].sum() / max(float(energy.sum()), 1e-9))


def _squares(frame: Frame, boxes: Array) -> Floats:
    """(n, GRID, GRID) luma of the boxes' cores."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * CORE
    transforms = np.zeros((len(boxes), 2, 3))
    for axis in (0, 1):
        scale = GRID / np.maximum(sides[:, axis], 1.0)
        transforms[:, axis, axis] = scale
        transforms[:, axis, 2] = (GRID - 1) / 2 - scale * centres[:, axis]
    # Twice as fine first, then averaged: a crop takes single samples of a large face.
    crops = frame.crops(transforms, 2 * GRID, float(GRID))
    out = np.empty((len(boxes), GRID, GRID), np.float32)
    for square, crop in zip(out, crops, strict=True):
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        cv2.resize(grey.astype(np.float32), (GRID, GRID), square, interpolation=cv2.INTER_AREA)
    return out


def _band(square: Floats, part: int) -> Floats:
    """Details between one and three ``part``-ths of the square's side."""
    fine, coarse = (cv2.GaussianBlur(square, (0, 0), GRID / p) for p in (part, part / 3))
    return np.asarray(fine - coarse, np.float32)


def _cells(values: Floats) -> Array:
    side = GRID // CELLS
    parts = values.astype(np.float64).reshape(CELLS, side, CELLS, side)
    return np.asarray(parts.sum(axis=(1, 3)))


def _ellipse() -> NDArray[np.bool_]:
    rows, columns = np.mgrid[0:GRID, 0:GRID] - (GRID - 1) / 2
    return np.asarray(rows**2 + columns**2 <= (GRID / 2) ** 2)


_ELLIPSE = _ellipse()
