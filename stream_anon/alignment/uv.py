"""Triangles to pixels: which point of a mesh each texel of an unrolled texture shows, and back.

Everything here is piecewise affine: inside a triangle a place is told by its three barycentric
weights, which hold in the texture and in a crop alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Texels and what they show.

    Attributes:
        inside: (s, s) bool, which texels lie in a triangle.
        corners: (k, 3) int16, the vertices of each such texel's triangle, row by row.
        weights: (k, 3) float32, barycentric, of sum 1.
        triangle: (k,) int32, number of the triangle.
    """

    inside: NDArray[np.bool_]
    corners: Ints
    weights: Floats
    triangle: NDArray[np.int32]

    def at(self, points: NDArray[np.floating]) -> Floats:
        """What the texels show of values (468, c) at the vertices: (k, c) float32."""
        values = np.asarray(points, np.float32)[self.corners]
        return np.asarray(np.einsum("kj,kjc->kc", self.weights, values), np.float32)


def rasterise(places: NDArray[np.floating], triangles: Ints, side: int) -> Raster:
    """Which triangle each pixel's centre lies in; later triangles win.

    Args:
        places: (v, 2) in pixels (centres at whole numbers).
        triangles: (m, 3).
        side: of the square image.
    """
    owner = np.full((side, side), -1, np.int32)
    weights = np.zeros((side, side, 3), np.float32)
    for i, triangle in enumerate(triangles):
        a, b, c = (places[k].astype(np.float64) for k in triangle)
        low = np.floor(np.minimum(np.minimum(a, b), c)).astype(int).clip(0, side - 1)
        high = np.ceil(np.maximum(np.maximum(a, b), c)).astype(int).clip(0, side - 1)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        (ux, uy), (vx, vy) = b - a, c - a
        area = ux * vy - uy * vx
        if abs(area) < 1e-9:
            continue
        px, py = x - a[0], y - a[1]
        second = (px * vy - py * vx) / area
        third = (ux * py - uy * px) / area
        first = 1.0 - second - third
        hit = (first >= -1e-6) & (second >= -1e-6) & (third >= -1e-6)
        owner[y[hit], x[hit]] = i
        weights[y[hit], x[hit]] = np.stack([first[hit], second[hit], third[hit]], axis=1)
    inside = owner >= 0
    chosen = owner[inside]
    return Raster(inside, triangles[chosen].astype(np.int16), weights[inside], chosen)


def unroll(image: NDArray[np.uint8], points: NDArray[np.floating], raster: Raster) -> Floats:
    """The texture of a face in an image.

    Args:
        image: (h, w, 3) uint8.
        points: (468, 2 or more) pixels of the image.

    Returns:
        (k, 3) float32 levels, one row for each texel of the raster.
    """
    places = raster.at(np.asarray(points)[:, :2])
    border = cv2.BORDER_REPLICATE
    rows = np.empty((len(places), 3), np.float32)
    # cv2.remap takes no more than 32767 rows.
    for start in range(0, len(places), 32000):
        part = places[start : start + 32000]
        found = cv2.remap(
            image, part[:, None, 0], part[:, None, 1], cv2.INTER_LINEAR, borderMode=border
        )
        rows[start : start + 32000] = found.reshape(-1, 3)
    return rows
