"""What is painted, label by label: how a box becomes a warp and the least that must be covered.

The analysis says *where* (``regions.Region``); a target says what that means for painting. The
transforms are made here from boxes and keypoints alone, whether these come from a detector or from
a file, so that both give the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.align import align_all
from stream_anon.alignment.masks import at_least_minimum
from stream_anon.config import MethodConfig
from stream_anon.detection.types import Origin, TrackedFace
from stream_anon.errors import AnalysisFault
from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE
from stream_anon.methods import Method, make_method
from stream_anon.regions import FACE, REGION, Region, Regions

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

_UNKNOWN: Array = np.full((5, 2), np.nan)


class Shape(Protocol):
    """How a box becomes a warp and a minimum mask."""

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


class DrawnShape:
    """A rectangle or polygon, painted up to its outline and a little beyond, and no further."""

    def transforms(self, items: Sequence[Region], quarter_turns: int) -> Array:
        """See ``Shape.transforms``; a crop's sides are the frame's, stretched."""
        boxes = np.array([item.box for item in items], np.float64)
        low, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        pad = DRAWN_PAD[0] + DRAWN_PAD[1] * size
        scale = ALIGNED_SIDE / (size + 2 * pad)
        transforms = np.zeros((len(items), 2, 3))
        transforms[:, 0, 0], transforms[:, 1, 1] = scale[:, 0], scale[:, 1]
        # The square covers -0.5 to FACE_FRAME - 0.5 units.
        transforms[:, :, 2] = -0.5 - (low - pad) * scale
        return transforms

    def masks(self, rendered: Pixels | None, faces: Sequence[TrackedFace]) -> Pixels:
        """See ``Shape.masks``. What a method asks for beyond the outline is not painted."""
        return np.stack([_outline_mask(face) for face in faces])

    def cover(self, faces: Sequence[TrackedFace]) -> tuple[Array, Pixels]:
        """See ``Shape.cover``."""
        return np.stack([face.transform for face in faces]), self.masks(None, faces)


@dataclass(frozen=True, slots=True)
class Target:
    """What a label means for painting.

    Attributes:
        label: as analysis gives it.
        shape: how its boxes are covered.
    """

    label: str
    shape: Shape


TARGETS = {
    target.label: target for target in (Target(FACE, FaceShape()), Target(REGION, DrawnShape()))
}
"""In the order in which they are painted: what was drawn by hand lies on top."""


def place(regions: Regions, quarter_turns: int) -> tuple[TrackedFace, ...]:
    """What is to be painted in a frame; what was named to be kept visible is not among it.

    Args:
        regions: as analysed and edited.
        quarter_turns: quarter turns, counter-clockwise, that make the frame upright.

    Returns:
        In the order of the targets, within them in the order of the regions.

    Raises:
        AnalysisFault: a region has a label that nobody can paint, or a place that nobody can.
    """
    found: list[TrackedFace] = []
    painted = [item for item in regions.items if item.kept is None]
    for item in painted:
        if item.label not in TARGETS:
            raise AnalysisFault(f"nothing here can paint a '{item.label}' (track {item.track})")
    for target in TARGETS.values():
        items = [item for item in painted if item.label == target.label]
        if not items:
            continue
        try:
            transforms = target.shape.transforms(items, quarter_turns)
            inverted = np.linalg.inv(transforms[:, :, :2])
        except (ValueError, np.linalg.LinAlgError) as error:
            raise AnalysisFault(f"a {target.label} is nowhere: {error}") from error
        if not (np.isfinite(transforms).all() and np.isfinite(inverted).all()):
            raise AnalysisFault(f"a {target.label} is nowhere: its transform is not finite")
        found += [_face(item, transform) for item, transform in zip(items, transforms, strict=True)]
    return tuple(found)


def other_methods(config: MethodConfig, names: Iterable[str]) -> dict[str, Method]:
    """The methods that single regions ask for beside the run's own.

    Args:
        config: of the run's own; the others take their options from it, but no privacy budget.
        names: of the methods; the run's own is left out.

    Raises:
        ConfigError: there is no method of a name.
        ModelError: weights are missing.
    """
    made = {}
    for name in names:
        if name != config.name:
            changed = {"name": name, "mechanism": None, "epsilon": None}
            made[name] = make_method(config.model_copy(update=changed))
    return made


def grown(transform: Array, factor: float) -> Array:
    """A (2, 3) transform whose mask is larger in the frame by ``factor``, about its centre."""
    centre = np.array(MASK_CENTRE)
    result = transform / factor
    result[:, 2] += centre * (1.0 - 1.0 / factor)
    return result


def _face(item: Region, transform: Array) -> TrackedFace:
    return TrackedFace(
        int(item.track),
        transform,
        np.array(item.box, np.float64),
        None if item.keypoints is None else np.array(item.keypoints, np.float64),
        cast(Origin, item.origin),
        item.score,
        item.label,
        item.method,
        None if item.polygon is None else np.array(item.polygon, np.float64),
    )


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
