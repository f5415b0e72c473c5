"""How a box becomes a warp and the least that must be covered: one shape for each kind of thing.

The transforms are made here from boxes and keypoints alone, whether these come from a detector or
from a file, so that both give the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.align import align_all
from stream_anon.alignment.masks import at_least_minimum
from stream_anon.detection.types import TrackedFace
from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE
from stream_anon.regions import FACE, HEAD, REGION, Region

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

COVER_GROWTH = 1.25
"""The solid cover of a face is larger than the method's mask by this factor."""

DRAWN_MASK = 256
"""Side in cells of the mask of what was drawn by hand."""

DRAWN_PAD = (4.0, 0.06)
"""A drawn region's crop reaches over its box on every side by so many pixels, and by this share."""

DRAWN_GROWTH = 1.5
"""Pixels by which what was drawn by hand is painted beyond its outline, at least."""

HEAD_PAD = (2.0, 0.125)
"""Likewise of a head's crop: room for the soft edge of its mask."""

HEAD_MASK = 128
"""Side in cells of a head's mask."""

HEAD_EXPONENT = 3.0
"""Of the superellipse that is covered of a head's box: of its corners more than an ellipse takes,
since hair and hats are no ellipses."""

_UNKNOWN: Array = np.full((5, 2), np.nan)


class Shape(Protocol):
    """How a box becomes a warp and a minimum mask.

    Attributes:
        aligned: whether its crops show aligned faces. Methods that are made for faces can paint
            these only, and what they decline of them takes the soft cover.
    """

    aligned: ClassVar[bool]

    def transforms(self, items: Sequence[Region], quarter_turns: int) -> Array:
        """(n, 2, 3) from pixels to the units of the square that a method is given.

        Args:
            items: n regions of one frame.
            quarter_turns: quarter turns, counter-clockwise, that make the frame upright.

        Raises:
            ValueError: a place cannot be painted.
        """

    def masks(self, rendered: Pixels | None, faces: Sequence[TrackedFace]) -> Pixels:
        """(n, m, m) uint8: what a method painted or left open, raised to what must be covered."""

    def cover(self, faces: Sequence[TrackedFace]) -> tuple[Array, Pixels]:
        """Transforms (n, 2, 3) and masks (n, m, m) of the solid cover."""


class FaceShape:
    """The minimum ellipse of the aligned face space, aligned by keypoints where they fit their
    box."""

    aligned: ClassVar[bool] = True

    def transforms(self, items: Sequence[Region], quarter_turns: int) -> Array:
        """See ``Shape.transforms``."""
        boxes = np.array([item.box for item in items], np.float64)
        points = np.stack(
            [_UNKNOWN if item.keypoints is None else np.array(item.keypoints) for item in items]
        )
        return align_all(boxes, points, quarter_turns)

    def masks(self, rendered: Pixels | None, faces: Sequence[TrackedFace]) -> Pixels:
        """See ``Shape.masks``."""
        return at_least_minimum(rendered, len(faces))

    def cover(self, faces: Sequence[TrackedFace]) -> tuple[Array, Pixels]:
        """See ``Shape.cover``."""
        transforms = np.stack([grown(face.transform, COVER_GROWTH) for face in faces])
        return transforms, at_least_minimum(None, len(faces))


class HeadShape:
    """A whole head, hair included, from whichever side it is seen: a superellipse that fills its
    box, with a soft edge outside of it."""

    aligned: ClassVar[bool] = False

    def transforms(self, items: Sequence[Region], quarter_turns: int) -> Array:
        """See ``Shape.transforms``; a crop's sides are the frame's, stretched."""
        return stretched(items, HEAD_PAD)

    def masks(self, rendered: Pixels | None, faces: Sequence[TrackedFace]) -> Pixels:
        """See ``Shape.masks``. A method's own mask is one of a face, and is not asked for."""
        return np.stack([_head_mask(*_half_units(face)) for face in faces])

    def cover(self, faces: Sequence[TrackedFace]) -> tuple[Array, Pixels]:
        """See ``Shape.cover``: the whole crop, box and pad."""
        transforms = np.stack([face.transform for face in faces])
        return transforms, np.full((len(faces), HEAD_MASK, HEAD_MASK), 255, np.uint8)


class DrawnShape:
    """A rectangle or polygon, painted up to its outline and a little beyond, and no further."""

    aligned: ClassVar[bool] = False

    def transforms(self, items: Sequence[Region], quarter_turns: int) -> Array:
        """See ``Shape.transforms``; a crop's sides are the frame's, stretched."""
        return stretched(items, DRAWN_PAD)

    def masks(self, rendered: Pixels | None, faces: Sequence[TrackedFace]) -> Pixels:
        """See ``Shape.masks``. What a method asks for beyond the outline is not painted."""
        return np.stack([_outline_mask(face) for face in faces])

    def cover(self, faces: Sequence[TrackedFace]) -> tuple[Array, Pixels]:
        """See ``Shape.cover``."""
        return np.stack([face.transform for face in faces]), self.masks(None, faces)


SHAPES: dict[str, Shape] = {FACE: FaceShape(), HEAD: HeadShape(), REGION: DrawnShape()}
"""In the order in which they are painted: what was drawn by hand lies on top."""


def grown(transform: Array, factor: float) -> Array:
    """A (2, 3) transform whose mask is larger in the frame by ``factor``, about its centre."""
    centre = np.array(MASK_CENTRE)
    result = transform / factor
    result[:, 2] += centre * (1.0 - 1.0 / factor)
    return result


def stretched(items: Sequence[Region], pad: tuple[float, float]) -> Array:
    """(n, 2, 3) that put each box, and a pad around it, upright into the square.

    Args:
        items: n regions.
        pad: on every side, in pixels and as a share of the box.
    """
    boxes = np.array([item.box for item in items], np.float64)
    low, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    around = pad[0] + pad[1] * size
    scale = ALIGNED_SIDE / (size + 2 * around)
    transforms = np.zeros((len(items), 2, 3))
    transforms[:, 0, 0], transforms[:, 1, 1] = scale[:, 0], scale[:, 1]
    # The square covers -0.5 to ALIGNED_SIDE - 0.5 units.
    transforms[:, :, 2] = -0.5 - (low - around) * scale
    return transforms


def _half_units(face: TrackedFace) -> tuple[float, float]:
    """Half sides of a face's box in the units of its crop, to a tenth."""
    sides = (face.box[2:] - face.box[:2]) / 2
    across, down = sides * (face.transform[0, 0], face.transform[1, 1])
    return round(float(across), 1), round(float(down), 1)


@lru_cache(maxsize=64)
def _head_mask(across: float, down: float) -> Pixels:
    """(m, m) uint8, read-only: 255 in every cell that touches the superellipse of these half
    sides in units, falling to 0 at the crop's edge."""
    step = ALIGNED_SIDE / HEAD_MASK
    # From the crop's middle to the near side of each cell, so that no cell is left half open.
    away = np.abs((np.arange(HEAD_MASK) + 0.5) * step - ALIGNED_SIDE / 2) - step
    away = np.maximum(away, 0.0)
    x, y = np.meshgrid(away / across, away / down)
    radius = (x**HEAD_EXPONENT + y**HEAD_EXPONENT) ** (1.0 / HEAD_EXPONENT)
    edge = ALIGNED_SIDE / 2 / max(across, down) - 1.0
    mask: Pixels = np.clip(np.rint(255.0 * (1.0 - (radius - 1.0) / edge)), 0, 255).astype(np.uint8)
    mask.setflags(write=False)
    return mask


def _outline_mask(face: TrackedFace) -> Pixels:
    """(m, m) uint8: 255 in every cell that the outline, grown, touches, and 0 elsewhere."""
    x0, y0, x1, y1 = face.box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if face.polygon is not None:
        corners = face.polygon
    cells = DRAWN_MASK / ALIGNED_SIDE
    scale = np.array([face.transform[0, 0], face.transform[1, 1]])
    at = ((corners * scale + face.transform[:, 2]) + 0.5) * cells - 0.5
    mask = np.zeros((DRAWN_MASK, DRAWN_MASK), np.uint8)
    shift = 6
    fixed = np.rint(at * (1 << shift)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_8, shift)
    # One cell more than the growth needs: a pixel takes its share of the cells around it.
    across, down = (np.ceil(DRAWN_GROWTH * scale * cells) + 1).astype(int).tolist()
    kernel = np.ones((2 * down + 1, 2 * across + 1), np.uint8)
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)
