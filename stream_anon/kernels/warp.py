"""A texture carried to where a mesh lies: twin of ``warp.cu``, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

UNIT = 256
"""Units of a pixel in which points are told."""

FARTHEST = 1 << 20
"""Bound on their numbers, so that products of areas and places stay within 64 bits."""


def fixed_points(points: NDArray[np.floating]) -> Ints:
    """Points (..., 2) in pixels, centres at whole numbers, as the kernels take them."""
    scaled = np.rint(np.asarray(points, np.float64) * UNIT)
    return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.int32)


def warp_owners(
    points: Ints, faces: Any, count: Any, triangles: Ints, number: Any, size: Any, owners: Ints
) -> None:
    """Which triangle each pixel shows.

    Args:
        points: (faces, count, 2) in units of 1 / 256 pixel.
        faces, count: see above.
        triangles: (number, 3), clockwise on the screen where they face it.
        number: see above.
        size: side of the crops.
        owners: (faces, size, size), zero; number of the triangle plus 1 is written.
    """
    side = int(size)
    for n in range(int(faces)):
        for index in range(int(number)):
            x, y = points[n, triangles[index]].astype(np.int64).T
            if _area(x, y) <= 0:
                continue
            low = [min(max((int(v.min()) + 255) >> 8, 0), side) for v in (x, y)]
            high = [min(max(int(v.max()) >> 8, -1), side - 1) for v in (x, y)]
            if low[0] > high[0] or low[1] > high[1]:
                continue
            px = np.arange(low[0], high[0] + 1, dtype=np.int64) << 8
            py = (np.arange(low[1], high[1] + 1, dtype=np.int64) << 8)[:, None]
            inside = np.logical_and.reduce([part >= 0 for part in _parts(x, y, px, py)])
            found = owners[n, low[1] : high[1] + 1, low[0] : high[0] + 1]
            found[inside] = np.maximum(found[inside], index + 1)


def warp_paint(
    points: Ints,
    faces: Any,
    count: Any,
    triangles: Ints,
    owners: Ints,
    size: Any,
    texels: Ints,
    textures: Bytes,
    side: Any,
    amounts: Ints,
    crops: Bytes,
) -> None:
    """Textures over crops, in place.

    Args:
        points, faces, count, triangles, owners, size: as of ``warp_owners``.
        texels: (count, 2) where the points lie in the texture, units of 1 / 256.
        textures: (faces, side, side, 4) uint8, the fourth channel how far it is painted.
        side: see above.
        amounts: (faces,) 0 to 256, how far all of it is.
        crops: (faces, size, size, 3) uint8.
    """
    last = int(side) - 1
    for n in range(int(faces)):
        y, x = np.nonzero(owners[n])
        corners = triangles[owners[n][y, x] - 1]
        px, py = (points[n, corners, k].astype(np.int64).T for k in (0, 1))
        parts = _parts(px, py, x.astype(np.int64) << 8, y.astype(np.int64) << 8)
        place = []
        for k in (0, 1):
            values = texels[corners, k].astype(np.int64)
            total = sum(part * values[:, i] for i, part in enumerate(parts))
            # Towards zero, as the processor divides; what is below zero is cut off anyway.
            place.append(np.clip(total // np.maximum(_area(px, py), 1), 0, last << 8))
        shown = _bilinear(textures[n], place[0], place[1])
        whole = 255 << 16
        share = ((shown[:, 3] * int(amounts[n])) >> 8)[:, None]
        old = crops[n][y, x].astype(np.int64) << 16
        levels = (share * shown[:, :3] + (whole - share) * old) // whole
        crops[n][y, x] = (levels + 32768) >> 16


def _bilinear(texture: Bytes, u: Longs, v: Longs) -> Longs:
    """(k, 4) in units of 1 / 65536."""
    last = len(texture) - 1
    x, y, wx, wy = u >> 8, v >> 8, (u & 255)[:, None], (v & 255)[:, None]
    right, below = np.minimum(x + 1, last), np.minimum(y + 1, last)
    wide = texture.astype(np.int64)
    above = (256 - wx) * wide[y, x] + wx * wide[y, right]
    under = (256 - wx) * wide[below, x] + wx * wide[below, right]
    return np.asarray((256 - wy) * above + wy * under, np.int64)


def _area(x: Longs, y: Longs) -> Any:
    return (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])


def _parts(x: Longs, y: Longs, px: Longs, py: Longs) -> list[Longs]:
    """Weights of the three corners at places, in parts of the area."""
    out = []
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        out.append((x[b] - x[a]) * (py - y[a]) - (y[b] - y[a]) * (px - x[a]))
    return out
