"""The camera's own motion, read off a dense flow in which others move as well."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID = 10
"""Flow samples from one to the next by which the camera's motion is fitted."""

TEXTURE = 8
"""Levels by which the surroundings of such a sample must differ: elsewhere flow means nothing."""

FIT = (1.0, 0.4)
"""Flow samples by which the rest may differ from the camera's motion, and the share of them that
must not."""


def camera_motion(
    image: Any,
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    corner: tuple[int, int],
    ratio: tuple[float, float],
) -> Array | None:
    """Pan, zoom and roll (2, 3) that explain a dense flow, by least squares without outliers.

    Args:
        image: (h, w) uint8 at the flow's resolution.
        across, down: (h, w) float32, from this frame to the one before.
        corner: x and y of the flow's first sample in the frame.
        ratio: samples of the frame to one of the flow.

    Returns:
        None where too little of the flow agrees with any such motion.
    """
    edge = slice(GRID // 2, -(GRID // 2), GRID)
    span = np.asarray(cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)))[
        edge, edge
    ]
    rows, columns = np.nonzero(span >= TEXTURE)
    if len(rows) < 16:
        return None
    u = across[edge, edge][rows, columns] * ratio[0]
    v = down[edge, edge][rows, columns] * ratio[1]
    x = (columns * GRID + GRID // 2) * ratio[0] + corner[0]
    y = (rows * GRID + GRID // 2) * ratio[1] + corner[1]
    motion = np.array([np.median(u), np.median(v), 0.0, 0.0])
    limit = FIT[0] * max(ratio)
    for tolerance in (4.0 * limit, 2.0 * limit, limit):
        shift_x, shift_y, zoom, roll = motion.tolist()
        error = np.maximum(
            np.abs(shift_x + zoom * x - roll * y - u), np.abs(shift_y + roll * x + zoom * y - v)
        )
        fits = error <= tolerance
        if fits.sum() < max(4.0, FIT[1] * len(fits)):
            return None
        motion = _similarity(x[fits], y[fits], u[fits], v[fits])
    shift_x, shift_y, zoom, roll = motion.tolist()
    return np.array([[1.0 + zoom, -roll, shift_x], [roll, 1.0 + zoom, shift_y]])


def _similarity(x: Array, y: Array, u: Array, v: Array) -> Array:
    """Shift (2), zoom and roll that move (x, y) by (u, v), by least squares."""
    mean_x, mean_y, mean_u, mean_v = x.mean(), y.mean(), u.mean(), v.mean()
    x, y, u, v = x - mean_x, y - mean_y, u - mean_u, v - mean_v
    spread = max(1e-9, float(x @ x + y @ y))
    zoom, roll = float(x @ u + y @ v) / spread, float(x @ v - y @ u) / spread
    shift = mean_u - zoom * mean_x + roll * mean_y, mean_v - roll * mean_x - zoom * mean_y
    return np.array([*shift, zoom, roll])
