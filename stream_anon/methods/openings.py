"""Mouth and eyes as far open as the video's, by one number each.

A smooth field moves lips and lids of a new face's mesh until the gap between them is what was
asked for; its profile is the mean face's, so nothing but the amount comes from the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.topology import (
    INNER_LIPS,
    LEFT_EYE,
    MOUTH_CORNERS,
    RIGHT_EYE,
    Contours,
)
from stream_anon.geometry import ALIGNED_SIDE

Floats = NDArray[np.float32]

LIPS_REACH, LIDS_REACH = 5.0, 3.5
"""Aligned units over which lips and lids take their surroundings along."""

UPPER_LIP, UPPER_LID = 0.35, 0.8
"""Share of a change that the upper one takes."""


LID = 0.6
"""Widths of an eye about its middle that its lids are shown over wholly."""


@dataclass(frozen=True, slots=True, eq=False)
class _Gap:
    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    ends: tuple[int, int]
    profile: Floats
    up: Floats
    down: Floats


class Openings:
    """Sets the openings of meshes that are aligned to the mean.

    Args:
        mean: (468, 3) the mean mesh.
    """

    def __init__(self, mean: Floats) -> None:
        lips = _gap(mean, INNER_LIPS, MOUTH_CORNERS, LIPS_REACH, UPPER_LIP)
        eyes = [
            _gap(mean, eye, (eye[0][0], eye[0][-1]), LIDS_REACH, UPPER_LID)
            for eye in (RIGHT_EYE, LEFT_EYE)
        ]
        self._gaps = (lips, *eyes)

    def read(self, mesh: Floats) -> tuple[float, ...]:
        """Openings of an aligned mesh over the widths: mouth, right eye, left eye."""
        return tuple(_opening(mesh, gap) for gap in self._gaps)

    def set(self, mesh: Floats, openings: Sequence[float]) -> Floats:
        """A mesh (468, 3) whose openings are these."""
        out = mesh.copy()
        for gap, opening in zip(self._gaps, openings, strict=True):
            width = float(np.linalg.norm(mesh[gap.ends[0]] - mesh[gap.ends[1]]))
            wanted = gap.profile * np.float32(max(opening, 0.0) * width)
            change = wanted - (mesh[gap.lower, 1] - mesh[gap.upper, 1])
            out[:, 1] += gap.down @ change - gap.up @ change
        return out


def _opening(mesh: Floats, gap: _Gap) -> float:
    width = float(np.linalg.norm(mesh[gap.ends[0]] - mesh[gap.ends[1]]))
    middle = _middle(len(gap.upper))
    apart = mesh[gap.lower][middle, 1] - mesh[gap.upper][middle, 1]
    return max(0.0, float(apart.mean()) / max(width, 1e-6))


def _middle(count: int) -> slice:
    return slice(count // 2 - 1, count // 2 + 2)


def _gap(
    mean: Floats, contours: Contours, ends: tuple[int, int], reach: float, share: float
) -> _Gap:
    upper, lower = (np.array(side[1:-1]) for side in contours)
    profile = mean[lower, 1] - mean[upper, 1]
    profile = profile / profile[_middle(len(profile))].mean()
    # What lies above the line between the contours goes up, what lies below goes down.
    line = 0.5 * (mean[upper] + mean[lower])
    order = np.argsort(line[:, 0])
    middle = np.interp(mean[:, 0], line[order, 0], line[order, 1])
    above = mean[:, 1] < middle
    above[upper], above[lower] = True, False
    fields = []
    for side, where, part in ((upper, above, share), (lower, ~above, 1.0 - share)):
        away = np.linalg.norm(mean[:, None] - mean[None, side], axis=2)
        kernel = np.exp(-np.square(away / reach))
        # Sharper weights tell which neighbour to follow, the kernel how far.
        follow = np.exp(-np.square(away / (0.35 * reach))) + 1e-12
        field = follow / follow.sum(axis=1, keepdims=True) * kernel.max(axis=1, keepdims=True)
        field[~where] = 0.0
        field[side] = np.eye(len(side))
        fields.append((part * field).astype(np.float32))
    # The corners stay where they are.
    for field in fields:
        field[[contours[0][0], contours[0][-1], *ends]] = 0.0
    return _Gap(upper, lower, ends, profile.astype(np.float32), fields[0], fields[1])


def lids(mesh: Floats, closed: Sequence[float], side: int) -> Floats:
    """Where lids lie over eyes (side, side), 0 to 1: as far as each eye is painted closed.

    Args:
        mesh: (468, 3) of the new face, aligned units.
        closed: how far the right and the left eye are painted closed, 0 to 1.
        side: over the whole aligned face space, in pixels.
    """
    axis = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(ALIGNED_SIDE / side) - 0.5
    found = np.zeros((side, side), np.float32)
    for eye, amount in zip((RIGHT_EYE, LEFT_EYE), closed, strict=True):
        if not amount > 0.0:
            continue
        points = mesh[[k for contour in eye for k in contour], :2]
        centre, wide = points.mean(axis=0), float(np.ptp(points[:, 0]))
        reach = np.float32(max(wide, 1.0) * LID)
        across, down = (np.square((axis - c) / reach) for c in centre)
        # Whole over the eye, and run out where the brow begins.
        away = np.sqrt(across[None] + down[:, None])
        found = np.maximum(found, np.float32(amount) * np.clip(2.0 - away, 0.0, 1.0))
    return np.asarray(found, np.float32)
