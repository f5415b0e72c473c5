"""The least that a method must cover, as an image in the aligned face space."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE, mask_radius

Pixels = NDArray[np.uint8]

EDGE = 3.0
"""Width in aligned units of the soft edge; it lies wholly outside the minimum ellipse."""


MASK_SIZE = 96
"""Side in pixels of a mask that no method made finer."""


@lru_cache(maxsize=16)
def minimum_mask(size: int) -> Pixels:
    """The minimum mask with its soft edge.

    Args:
        size: side in pixels over the whole aligned face space.

    Returns:
        (size, size) uint8, read-only: 255 in every pixel that the ellipse touches, falling to
        0 over ``EDGE`` units outside it.
    """
    step = ALIGNED_SIDE / size
    centres = (np.arange(size) + 0.5) * step - 0.5
    x, y = np.meshgrid(centres, centres)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    offset = points - np.array(MASK_CENTRE)
    radius = mask_radius(points)
    # Distance to the ellipse along the ray from its centre, in units.
    length = np.hypot(offset[:, 0], offset[:, 1])
    outside = length * (1.0 - 1.0 / np.maximum(radius, 1e-9))
    # Half a pixel's diagonal of slack: a pixel that the ellipse only touches is covered whole.
    falloff = 1.0 - (outside - 0.75 * step) / EDGE
    mask: Pixels = np.clip(np.round(falloff * 255.0), 0, 255).astype(np.uint8).reshape(size, size)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=4)
def core_mask(size: int = MASK_SIZE) -> Pixels:
    """What of a new face may stand over its neighbours': the minimum ellipse, its soft edge inside.

    Args:
        size: side in pixels over the whole aligned face space.

    Returns:
        (size, size) uint8, read-only: 0 in every pixel whose centre lies outside the ellipse.
    """
    step = ALIGNED_SIDE / size
    centres = (np.arange(size) + 0.5) * step - 0.5
    x, y = np.meshgrid(centres, centres)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    offset = points - np.array(MASK_CENTRE)
    radius = mask_radius(points)
    inside = np.hypot(offset[:, 0], offset[:, 1]) * (1.0 / np.maximum(radius, 1e-9) - 1.0)
    mask: Pixels = np.clip(np.round(inside / EDGE * 255.0), 0, 255).astype(np.uint8)
    mask = mask.reshape(size, size)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=16)
def minimum_interior(size: int) -> NDArray[np.bool_]:
    """Pixels of a (size, size) crop whose centre lies inside the minimum ellipse; read-only."""
    step = ALIGNED_SIDE / size
    centres = (np.arange(size) + 0.5) * step - 0.5
    x, y = np.meshgrid(centres, centres)
    inside = mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)) <= 1.0
    interior: NDArray[np.bool_] = inside.reshape(size, size)
    interior.setflags(write=False)
    return interior


def at_least_minimum(masks: Pixels | None, count: int, size: int = MASK_SIZE) -> Pixels:
    """Raise masks to the minimum mask.

    Args:
        masks: (n, m, m) uint8, or None for the minimum mask itself.
        count: n.
        size: m, where there are no masks.

    Returns:
        (n, m, m) uint8, nowhere below the minimum mask.
    """
    if masks is None:
        return np.broadcast_to(minimum_mask(size), (count, size, size))
    return np.maximum(masks, minimum_mask(masks.shape[1]))

