"""Where a mesh shows which texel: a texture warped into a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.morphable import Morphable
from stream_anon.alignment.topology import topology
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.methods.base import Pixels

Floats = NDArray[np.float32]

GRID = 96
"""Side at which places in a frame are told their texel."""


def painted(
    paint: Pixels, model: Morphable, mesh: Floats, amount: float, side: int
) -> tuple[Pixels, Floats] | None:
    """A texture where a mesh is: (side, side, 3) uint8 and the share of it (side, side), 0 to 1.

    Args:
        paint: (192, 192, 4) uint8.
        model: whose raster the texture has.
        mesh: (468, 3) aligned units.
        amount: 0 to 1.
        side: of the aligned face space, in pixels.

    Returns:
        None where nothing of it is seen.
    """
    found = where(model, mesh)
    if found is None:
        return None
    x, y, cover = (
        cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in found
    )
    shown = cv2.remap(
        paint, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0)
    )
    share = cv2.multiply(
        cv2.extractChannel(shown, 3), np.ones(1), scale=amount / 255.0, dtype=cv2.CV_32F
    )
    share_of: Floats = np.asarray(cv2.min(share, cover), np.float32)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGBA2RGB), np.uint8), share_of


@dataclass(frozen=True, slots=True, eq=False)
class _Texels:
    """Every other texel of every other row: a quarter of them is enough for the map.

    Attributes:
        corners: three times (k,), vertices of each texel's triangle.
        weights: three times (k, 1), barycentric.
        triangle: (k,).
        places: (2, k), x and y in the texture.
        counts: (m,) texels of each triangle, at least 1.
    """

    corners: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    weights: tuple[Floats, Floats, Floats]
    triangle: NDArray[np.int32]
    places: Floats
    counts: Floats


@lru_cache(maxsize=2)
def _texels(model: Morphable) -> _Texels:
    raster = model.raster
    y, x = np.nonzero(raster.inside)
    kept = (x % 2 == 0) & (y % 2 == 0)
    corners, weights = raster.corners[kept].astype(np.int64), raster.weights[kept]
    triangle = raster.triangle[kept]
    counts = np.bincount(triangle, minlength=len(topology().triangles))
    return _Texels(
        (corners[:, 0].copy(), corners[:, 1].copy(), corners[:, 2].copy()),
        (weights[:, :1].copy(), weights[:, 1:2].copy(), weights[:, 2:].copy()),
        triangle,
        np.stack([x[kept], y[kept]]).astype(np.float32),
        np.maximum(counts, 1).astype(np.float32),
    )


@lru_cache(maxsize=1)
def _corners() -> tuple[NDArray[np.int64], ...]:
    table = topology().triangles.astype(np.int64)
    return tuple(np.ascontiguousarray(table[:, k]) for k in range(3))


_ACROSS = np.array([[-0.5, 0.0, 0.5]], np.float32)


def where(model: Morphable, mesh: Floats) -> tuple[Floats, Floats, Floats] | None:
    """Which texel each place of the frame shows.

    Every texel is thrown to its place with the weight of the area it takes there; a place's texel
    is the weighted mean of those that fall near it. So a closed mouth, whose inside takes no
    area, shows lips; and what faces away takes none either.

    Returns:
        Three of (96, 96) float32: x and y in texels, and coverage from 0 to 1; None if nothing
        falls into the frame.
    """
    texels = _texels(model)
    step = np.float32(GRID / ALIGNED_SIDE)
    flat = (mesh[:, :2] + np.float32(0.5)) * step - np.float32(0.5)
    a, b, c = (flat[k] for k in _corners())
    u, v = b - a, c - a
    areas = np.float32(0.5) * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    weight = (np.maximum(areas, np.float32(0.0)) / texels.counts)[texels.triangle]
    (i, j, k), (p, q, r) = texels.corners, texels.weights
    places: Floats = np.ascontiguousarray((flat[i] * p + flat[j] * q + flat[k] * r).T, np.float32)
    near = np.rint(places)
    inside = ((near >= 0.0) & (near < GRID)).all(axis=0)
    weight *= inside
    if not weight.any():
        return None
    off = places - near
    near = np.where(inside, near, 0.0).astype(np.int64)
    index = near[1] * GRID + near[0]
    sums = [weight, *(weight * texels.places), *(weight * off)]
    planes = [
        cv2.GaussianBlur(
            np.bincount(index, c, GRID * GRID).astype(np.float32).reshape(GRID, GRID),
            (5, 5), 0.75, borderType=cv2.BORDER_CONSTANT,
        )
        for c in sums
    ]  # fmt: skip
    mass = np.asarray(planes[0], np.float32)
    per = np.float32(1.0) / np.maximum(mass, np.float32(1e-6))
    x, y, aside, below = (np.asarray(plane, np.float32) * per for plane in planes[1:])
    # Texels are means over what lies near, not at the place itself: one step back along the map.
    found = []
    for plane in (x, y):
        change = cv2.filter2D(plane, -1, _ACROSS) * aside
        change += cv2.filter2D(plane, -1, _ACROSS.T) * below
        found.append(np.asarray(plane - np.clip(change, -2.0, 2.0), np.float32))
    cover = np.clip(mass * np.float32(2.0) - np.float32(0.6), 0.0, 1.0)
    return found[0], found[1], np.asarray(cover, np.float32)
