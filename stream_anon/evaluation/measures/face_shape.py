"""Pose and expression as five landmarks tell them, and how far two faces differ in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

PROXIES = ("roll", "yaw", "pitch", "mouth width", "mouth height")
"""Degrees for roll; the others are ratios, see ``proxies``."""


def interocular(points: Points) -> NDArray[np.float64]:
    """Distance between the eyes: (..., 5, 2) to (...)."""
    return np.asarray(np.linalg.norm(points[..., 1, :] - points[..., 0, :], axis=-1))


def landmark_error(points: Points, other: Points) -> NDArray[np.float64]:
    """Mean distance of five landmarks in units of the first face's interocular distance."""
    return np.asarray(np.linalg.norm(points - other, axis=-1).mean(-1) / interocular(points))


def proxies(points: Points) -> NDArray[np.float64]:
    """Five numbers that move with the head and the mouth.

    Args:
        points: (n, 5, 2) in any unit: eyes, nose tip, mouth corners.

    Returns:
        (n, 5): roll in degrees (positive clockwise in the image); yaw, the nose's offset from
        the middle of eyes and mouth across the face, in interocular units; pitch, the nose's
        place between the eyes (0) and the mouth (1); the mouth's width and its distance from
        the nose in interocular units. Five landmarks do not tell an open mouth or a closed eye.
    """
    eyes = points[:, 1] - points[:, 0]
    span = np.maximum(np.linalg.norm(eyes, axis=1), 1e-9)
    across = eyes / span[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    middle = points[:, :2].mean(axis=1)
    mouth = points[:, 3:].mean(axis=1)
    nose = points[:, 2]
    centre = (middle + mouth) / 2.0
    along = _dot(mouth - middle, down)
    return np.stack(
        [
            np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0])),
            _dot(nose - centre, across) / span,
            _dot(nose - middle, down) / np.where(np.abs(along) < 1e-9, 1e-9, along),
            np.linalg.norm(points[:, 4] - points[:, 3], axis=1) / span,
            _dot(mouth - nose, down) / span,
        ],
        axis=1,
    )


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation; NaN where one side does not vary or there are fewer than 3 values."""
    if len(a) < 3 or a.std() < 1e-12 or b.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _dot(a: Points, b: Points) -> NDArray[np.float64]:
    return np.asarray((a * b).sum(axis=1))
