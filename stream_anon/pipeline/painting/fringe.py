"""What a tracker asks to be covered beyond the edge of a drawn face.

A drawn face stands in a crop that is locked to its landmarks and always as wide. The tracker's
minimum mask, grown by whatever is not known of a box, may reach over it. That fringe is filled with
what lies around it: with the drawn face on one side and the surroundings on the other, carried
smoothly across. Nothing that was under the fringe has any influence on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.align import reach
from stream_anon.alignment.masks import EDGE
from stream_anon.detection.types import TrackedFace
from stream_anon.geometry import (
    ALIGNED_SIDE,
    MASK_CENTRE,
    MASK_SEMI_AXES,
    apply,
    mask_radius,
    scale_of,
)
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Pixels
from stream_anon.pipeline.painting.shapes import grown

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIDE = 96
"""Side in pixels of the crops that are filled."""

GROWTH = 1.3
"""By how much they are wider than the tracker's own, so that its surroundings are seen."""

MASK = 96
"""Side in cells of the masks."""

FADE = (0.91, 0.99)
"""Radius in minimum ellipses up to which a drawn face is left as it is, and from which there is
nothing left of it under a fringe."""

SPREADS = ((1.5, 1.0), (4.0, 0.03), (12.0, 1e-3), (32.0, 1e-5))
"""Standard deviations in pixels over which what is known is carried, and the weights of each."""


def open_beside(faces: Sequence[TrackedFace], crops: Array) -> Mask:
    """Which drawn faces leave something open that the tracker asks for: (n,) bool.

    Args:
        faces: n of them.
        crops: (n, 2, 3) transforms that they were drawn in.
    """
    asked = np.stack([face.transform for face in faces])
    return np.asarray(reach(asked, crops) > 1.0)


def cover_beside(frame: Frame, faces: Sequence[TrackedFace], crops: Array, beside: Mask) -> None:
    """Cover what is open beside drawn faces.

    Args:
        frame: in which they are painted already.
        faces: n drawn ones, of which none has been painted over inside its minimum ellipse by
            anything that shows a face.
        crops: (n, 2, 3) transforms that they were drawn in.
        beside: (n,) bool, from ``open_beside``.
    """
    chosen = np.flatnonzero(beside)
    if not len(chosen):
        return
    asked = np.stack([faces[i].transform for i in chosen])
    own = np.stack([grown(transform, GROWTH) for transform in asked])
    pixels = frame.crops(own, SIDE, ALIGNED_SIDE)
    filled = np.empty_like(pixels)
    masks = np.empty((len(chosen), MASK, MASK), np.uint8)
    size = (frame.width, frame.height)
    for k, transform in enumerate(own):
        drawn, others = (_near(transform, some) for some in (crops, asked))
        filled[k] = _filled(pixels[k], _known(transform, others, drawn, size))
        masks[k] = _mask(transform, asked[k], drawn)
    frame.paste(filled, masks, own, ALIGNED_SIDE)


def _near(own: Array, others: Array) -> Array:
    """Those of the transforms whose masks may lie in a crop."""
    centre = np.array(MASK_CENTRE)
    back = np.linalg.inv(others[:, :, :2])
    middles = np.einsum("nij,nj->ni", back, centre - others[:, :, 2])
    away = np.linalg.norm(apply(own, middles) - ALIGNED_SIDE / 2, axis=1)
    reached = max(MASK_SEMI_AXES) * scale_of(own) * np.sqrt(np.abs(np.linalg.det(back)))
    return np.asarray(others[away < reached + ALIGNED_SIDE])


def _known(own: Array, asked: Array, crops: Array, size: tuple[int, int]) -> Mask:
    """Which pixels (s, s) of a crop show nothing that is still to be covered."""
    places = _places(own, SIDE)
    inside = ((places > -0.5) & (places < np.array(size) - 0.5)).all(axis=1)
    # Units of the crop from which a pixel of it is made: its own neighbours, and the frame's, of
    # which every second may have a colour of its own.
    slack = (ALIGNED_SIDE / SIDE + 1.5 * scale_of(own)) / min(MASK_SEMI_AXES) / scale_of(own)
    hidden = np.zeros(len(places), np.bool_)
    for transform in asked:
        hidden |= _radius(places, transform) < 1.0 + slack * scale_of(transform)
    drawn = np.zeros(len(places), np.bool_)
    for transform in crops:
        drawn |= _radius(places, transform) < 1.0 - slack * scale_of(transform)
    found: Mask = (inside & (drawn | ~hidden)).reshape(SIDE, SIDE)
    return found


def _filled(crop: Pixels, known: Mask) -> Pixels:
    """A crop (s, s, 3) of which only what is known is left, carried over the rest."""
    weight = known.astype(np.float32)
    if not known.any():
        return np.full_like(crop, 128)
    given = crop.astype(np.float32) * weight[..., None]
    total, mass = np.zeros_like(given), np.zeros_like(weight)
    for sigma, share in SPREADS:
        total += share * cv2.GaussianBlur(given, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        mass += share * cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    # Sums that are all but nothing are rounding errors: there the mean of all that is known.
    mean = given.reshape(-1, 3).sum(axis=0) / weight.sum()
    total, mass = total + np.float32(1e-7) * mean, mass + np.float32(1e-7)
    return np.asarray(np.clip(np.rint(total / mass[..., None]), 0, 255), np.uint8)


def _mask(own: Array, asked: Array, crops: Array) -> Pixels:
    """Where a crop's filling is painted (m, m): over the tracker's minimum mask, but for what lies
    in a drawn face."""
    places = _places(own, MASK)
    radius = _radius(places, asked)
    # Half a cell's diagonal of slack: a cell that the mask only touches is covered whole.
    cell = 0.75 * GROWTH * ALIGNED_SIDE / MASK
    away = (radius - 1.0) * min(MASK_SEMI_AXES) - cell
    share = np.clip(1.0 - away / (2.0 * EDGE), 0.0, 1.0)
    for transform in crops:
        way = np.clip((_radius(places, transform) - FADE[0]) / (FADE[1] - FADE[0]), 0.0, 1.0)
        share *= way * way * (3.0 - 2.0 * way)
    return np.asarray(np.rint(255.0 * share), np.uint8).reshape(MASK, MASK)


@lru_cache(maxsize=2)
def _grid(side: int) -> Array:
    """Centres of a crop's pixels in its units: (side * side, 2)."""
    axis = (np.arange(side) + 0.5) * (ALIGNED_SIDE / side) - 0.5
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _places(own: Array, side: int) -> Array:
    """Where a crop's pixels lie in the frame: (side * side, 2) pixels."""
    back = np.linalg.inv(own[:, :2])
    return np.asarray((_grid(side) - own[:, 2]) @ back.T)


def _radius(places: Array, transform: Array) -> Array:
    """Distance of pixels (n, 2) of the frame from a crop's centre, in its minimum ellipses."""
    return mask_radius(places @ transform[:, :2].T + transform[:, 2])

