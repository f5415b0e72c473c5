"""Which points of the face mesh are what, and how they are joined.

The numbering is that of the network (MediaPipe Face Mesh, Apache-2.0; Kartynnik et al. 2019,
arXiv 1907.06724). "Left" and "right" are the person's own, as in its lists; the five landmarks
are in this project's order, left in the image first. ``mesh_topology.npz`` is made by
``stream_anon.training.topology``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

POINTS = 468

Contours = tuple[tuple[int, ...], tuple[int, ...]]

RIGHT_EYE: Contours = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
)
"""Upper and lower lid, from the outer corner (left in the image) to the inner one."""

LEFT_EYE: Contours = (
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)
"""Upper and lower lid, from the inner corner to the outer one (right in the image)."""

INNER_LIPS: Contours = (
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
"""Upper and lower edge of the mouth's opening, from the corner that is left in the image."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The mesh's outline, from the top of the forehead."""

NOSE_TIP = 1
FOREHEAD, CHIN = 10, 152
MOUTH_CORNERS = (61, 291)
"""Outer corners, left in the image first."""

SURFACE, EYES, MOUTH = 0, (1, 2), 3
"""Kinds of triangles: skin and lips; between the lids (right eye, left eye); between the lips."""


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """How the points are joined.

    Attributes:
        triangles: (m, 3) int16, wound so that one that faces the camera has a positive area
            where x runs to the right and y down.
        kinds: (m,) uint8, ``SURFACE``, one of ``EYES`` or ``MOUTH``.
    """

    triangles: NDArray[np.int16]
    kinds: NDArray[np.uint8]


@lru_cache(maxsize=1)
def topology() -> Topology:
    """The mesh's triangles, read once."""
    file = resources.files("stream_anon.alignment").joinpath("mesh_topology.npz")
    with file.open("rb") as stream, np.load(stream) as stored:
        triangles, kinds = stored["triangles"], stored["kinds"]
    triangles.setflags(write=False)
    kinds.setflags(write=False)
    return Topology(triangles, kinds)
