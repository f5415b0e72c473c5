"""A cover that few notice, for faces that a method declines: profiles, backs of heads, far ones.

Under the minimum ellipse nothing is left of the frame but its averages over 4 x 4 cells of the
ellipse's rectangle, smoothly interpolated; of a face of under ``SMALL`` pixels, whose cells are
hardly coarser than what a viewer sees, only the plane through them. Beyond it the cover is what
lies there, blurred, and runs out softly. The frame's own grain is put on top. What 4 x 4 colours
tell is measured in docs/results/identity.md ("4x4 core in 44x58").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import EDGE
from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE, MASK_SEMI_AXES, mask_radius
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.generative.bottleneck import plane_matrix

Floats = NDArray[np.float32]

SIDE = 96
"""Side of the crops in pixels."""

GRID = 4
"""Cells along each side of the ellipse's rectangle."""

SMALL = 48.0
"""Side of a face's box in pixels below which a plane of colour is left of it."""

GROWTH = 1.4
"""By how much the frame in which it is painted is wider than the face's own, so that the soft
edge has room."""

OUTERMOST = 1.37
"""Radius, in minimum ellipses, at which it has run out."""

GRAIN = 5.0
"""Standard deviation in levels that its grain is limited to."""


class SoftCover(Method):
    """The place's own coarse colours, softly.

    Its crops must be cut ``GROWTH`` times wider than the face's own frame, about the mask's
    centre (``painting.gate.grown``), and its masks hold in that frame: they are 255 over the
    whole minimum mask of the face's own.

    Args:
        grain: (s, s) float32 of unit variance that is put on top; s is ``SIDE``.
    """

    name: ClassVar[str] = "soft-cover"
    crop_size = SIDE

    def __init__(self, grain: Floats | None = None) -> None:
        if grain is None:
            # The grain hides nothing and is the same for everybody.
            grain = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
        self._grain = grain
        self._generated = 0

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``; masks (n, SIDE, SIDE)."""
        out = np.empty_like(crops)
        for crop, subject, into in zip(crops, subjects, out, strict=True):
            cover = _colours(crop, plane=subject.size < SMALL)
            level = min(GRAIN, _grain_of(crop))
            shift = (self._generated * 37) % SIDE
            tile = np.roll(self._grain, (shift, 3 * shift), (0, 1)) * np.float32(level)
            into[:] = np.clip(np.rint(cover + tile[..., None]), 0, 255)
        self._generated += 1
        return Rendered(out, np.broadcast_to(soft_mask(), (len(crops), SIDE, SIDE)))


@lru_cache(maxsize=1)
def _radius() -> NDArray[np.float64]:
    """Distance of each pixel (s, s) from the centre, in the face's own minimum ellipses."""
    step = ALIGNED_SIDE / SIDE
    centres = (np.arange(SIDE) + 0.5) * step - 0.5
    x, y = np.meshgrid(centres, centres)
    return mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(SIDE, SIDE) * GROWTH


@lru_cache(maxsize=1)
def soft_mask() -> Pixels:
    """(s, s) uint8, read-only: 255 over the minimum mask, 0 from ``OUTERMOST`` on."""
    radius = _radius()
    # A pixel's diagonal and the minimum mask's own edge are covered whole.
    solid = 1.0 + (EDGE + 1.5 * GROWTH * ALIGNED_SIDE / SIDE) / min(MASK_SEMI_AXES)
    way = np.clip((OUTERMOST - radius) / (OUTERMOST - solid), 0.0, 1.0)
    mask = np.asarray(np.rint(255.0 * way * way * (3.0 - 2.0 * way)), np.uint8)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=1)
def _cells() -> tuple[NDArray[np.bool_], NDArray[np.int64], Floats, Floats]:
    """Pixels that are hidden; their cells; maps by which the cells are enlarged (x, y)."""
    step = GROWTH * ALIGNED_SIDE / SIDE
    centres = (np.arange(SIDE) + 0.5 - SIDE / 2) * step
    # Units of the face's own frame, from the mask's centre.
    middle = (np.array(MASK_CENTRE) + 0.5 - ALIGNED_SIDE / 2) * GROWTH
    x, y = centres - middle[0], centres - middle[1]
    u, v = (c / (2 * a) * GRID + GRID / 2 for c, a in zip((x, y), MASK_SEMI_AXES, strict=True))
    hidden = _radius() <= 1.0 + EDGE / min(MASK_SEMI_AXES)
    column = np.clip(np.floor(u), 0, GRID - 1).astype(np.int64)
    row = np.clip(np.floor(v), 0, GRID - 1).astype(np.int64)
    cells = np.where(hidden, row[:, None] * GRID + column[None], -1)
    map_x, map_y = np.meshgrid((u - 0.5).astype(np.float32), (v - 0.5).astype(np.float32))
    return hidden, cells, map_x, map_y


def _colours(crop: Pixels, *, plane: bool) -> Floats:
    """The cover (s, s, 3): a function of the cells' averages and of what lies outside."""
    hidden, cells, map_x, map_y = _cells()
    flat, kinds = crop.reshape(-1, 3).astype(np.float64), cells.ravel()
    known = kinds >= 0
    counts = np.maximum(np.bincount(kinds[known], minlength=GRID * GRID), 1)
    sums = [np.bincount(kinds[known], flat[known, c], GRID * GRID) for c in range(3)]
    means = np.stack([s / counts for s in sums], axis=1)
    if plane:
        means = plane_matrix() @ means
    grid = means.reshape(GRID, GRID, 3).astype(np.float32)
    border = cv2.BORDER_REPLICATE
    inside = cv2.remap(grid, map_x, map_y, cv2.INTER_CUBIC, borderMode=border)
    shown = np.where(hidden[..., None], inside, crop.astype(np.float32))
    # Blurred as a whole: no pixel outside keeps its detail, and none inside had any.
    return np.asarray(cv2.GaussianBlur(shown, (0, 0), SIDE / 22, borderType=border), np.float32)


def _grain_of(crop: Pixels) -> float:
    """Fine noise around the ellipse, in levels (Immerkaer, CVIU 1996, with a median)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.filter2D(grey, -1, kernel)
    return float(np.median(np.abs(fine[~_cells()[0]])) / (0.6745 * 6.0))
