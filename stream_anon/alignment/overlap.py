"""How masks of several faces lie to each other in a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.geometry import MASK_CENTRE, MASK_SEMI_AXES

EDGE_RADIUS = 1.25
"""Radius of the widest mask that a method paints with, in minimum masks."""


def crowded(own: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which faces' masks, soft edges included, may touch another's: n transforms twice, to (n,)."""
    radius_in_units = EDGE_RADIUS * max(MASK_SEMI_AXES)
    centre = np.array(MASK_CENTRE)

    def circles(transforms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        back = np.linalg.inv(transforms[:, :, :2])
        middle = np.einsum("nij,nj->ni", back, centre - transforms[:, :, 2])
        return middle, radius_in_units * np.sqrt(np.abs(np.linalg.det(back)))

    (here, radius), (there, far) = circles(own), circles(others)
    gap = np.linalg.norm(here[:, None] - there[None], axis=2) - radius[:, None] - far[None]
    np.fill_diagonal(gap, np.inf)
    return np.asarray((gap < 0).any(axis=1))
