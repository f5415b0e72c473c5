"""Where identity leaks with no network at all: the ring around a mask, and what a core keeps.

These probes do not keep to the minimum mask: they show what a narrower one would give away.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation.data.face_set import Pairs
from stream_anon.evaluation.data.stills import blend, in_batches
from stream_anon.evaluation.measures.verification import Probes, VerificationBench
from stream_anon.evaluation.reporting.report import Column, Section, Table
from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE

Pixels = NDArray[np.uint8]

EDGE = 2.0
"""Width in aligned units of the soft edge outside the ellipse."""

PROBES: tuple[tuple[str, tuple[float, float], int], ...] = (
    ("8x8 mosaic in 36x46", (36.0, 46.0), 8),
    ("ring only, 36x46", (36.0, 46.0), 1),
    ("ring only, 44x58", (44.0, 58.0), 1),
    ("ring only, 52x70", (52.0, 70.0), 1),
    ("4x4 core in 44x58", (44.0, 58.0), 4),
    ("8x8 core in 44x58", (44.0, 58.0), 8),
)
"""Name, semi-axes of the mask, cells across its bounding box."""


def concealed(image: Pixels, semi_axes: tuple[float, float], cells: int) -> Pixels:
    """Replace an ellipse by a few averages of itself, spread bilinearly.

    Args:
        image: (128, 128, 3) uint8 RGB in the aligned face space.
        semi_axes: of the ellipse around the mask's centre, in units.
        cells: averages along each side of the ellipse's bounding box; 1 is one flat colour,
            the mean of the ellipse itself.
    """
    axis = np.arange(ALIGNED_SIDE, dtype=np.float64)
    x = (axis - MASK_CENTRE[0])[None, :]
    y = (axis - MASK_CENTRE[1])[:, None]
    radius = np.sqrt((x / semi_axes[0]) ** 2 + (y / semi_axes[1]) ** 2)
    outside = np.hypot(x, y) * (1.0 - 1.0 / np.maximum(radius, 1e-9))
    mask = np.asarray(np.rint(255.0 * np.clip(1.0 - outside / EDGE, 0.0, 1.0)), np.uint8)
    if cells == 1:
        colour = image[radius <= 1.0].mean(axis=0)
        core = np.broadcast_to(np.rint(colour), image.shape).astype(np.uint8)
        return blend(image, core, mask)
    left, right, top, bottom = (
        round(v)
        for v in (
            max(0.0, MASK_CENTRE[0] - semi_axes[0]),
            min(ALIGNED_SIDE, MASK_CENTRE[0] + semi_axes[0]),
            max(0.0, MASK_CENTRE[1] - semi_axes[1]),
            min(ALIGNED_SIDE, MASK_CENTRE[1] + semi_axes[1]),
        )
    )
    box = image[top:bottom, left:right]
    small = cv2.resize(box, (cells, cells), interpolation=cv2.INTER_AREA)
    core = image.copy()
    core[top:bottom, left:right] = cv2.resize(small, (right - left, bottom - top))
    return blend(image, core, mask)


def leak(verification: VerificationBench, pairs: Pairs, tell: Callable[[str], None]) -> Section:
    """The leak table."""
    names = [a.name for a in verification.recognisers]
    columns = [Column("probe")]
    for name in names:
        columns += [Column(f"{name}: EER %", "percent"), Column("TAR@1e-3 %", "percent")]
    table = Table("What is left outside a mask, and what a low-passed core adds", columns)
    index = np.unique(pairs.b)
    for label, semi_axes, cells in PROBES:
        tell(f"leak: {label}")
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
        for part in in_batches(len(index), 64):
            images = verification.faces.images(index[part])
            hidden = np.stack([concealed(p, semi_axes, cells) for p in images])
            for attacker in verification.recognisers:
                parts[attacker.name].append(attacker.embed(hidden))
        embeddings = {name: np.concatenate(found) for name, found in parts.items()}
        probes = Probes(index, embeddings, 0.0, float("nan"))
        cells_of_row = []
        for name in names:
            verdict = verification.verdict(name, probes, pairs)
            cells_of_row += [verdict.equal_error, verdict.accepted[1]]
        table.add(label, *cells_of_row)
    return Section(
        "leak",
        "Where identity leaks with no network",
        "The inside of an ellipse (semi-axes in aligned units, soft edge of 2) is replaced by "
        "one flat colour ('ring only') or by n x n averages spread bilinearly. No method of "
        "this project uses a mask below 44x58.",
        [table],
    )
