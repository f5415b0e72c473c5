"""What is measured of one face in one frame, clear and new, by a mesh and by plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.mesh import PRESENT, FaceMesh
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]

WIDE = 0.16
"""Share of the crop's side by which it is wider than the plain alignment, on each side."""

LARGEST = 512
"""Side in pixels beyond which a crop is not enlarged, whatever the face's size."""

CHANGED = 6.0
"""Levels from which a pixel counts as changed."""


_NONE: Pixels = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One face in one frame.

    Attributes:
        frame: number of the frame.
        size: side of its box in pixels.
        turn: degrees between its axis and the camera's, in the clear; NaN without a mesh.
        present: presence of a mesh, clear and new, 0 to 1.
        mouth: opening, clear and new; NaN without a mesh.
        eyes: likewise.
        apart: degrees between the directions of the clear and the new head; NaN without both.
        detail: fine detail inside the face, new over clear.
        seam: gradient along the edge of what was changed, new over clear; NaN if nothing was.
        crops: (s, s, 3) clear and new, for the sheet.
        again: (s, s, 3) the clear crop as it comes out of the output's encoder; None if not asked.
        change: motion-compensated change since the frame before in levels, clear and new; 0 where
            it is not known.
    """

    frame: int
    size: float
    turn: float
    present: tuple[float, float]
    mouth: tuple[float, float]
    eyes: tuple[float, float]
    apart: float
    detail: float
    seam: float
    crops: tuple[Pixels, Pixels]
    change: tuple[float, float] = (0.0, 0.0)
    again: Pixels | None = None

    @property
    def drawn(self) -> bool:
        """Whether the new frame shows a face there."""
        return self.present[1] >= PRESENT

    def without_pictures(self) -> Mark:
        """The same figures, without the crops."""
        return replace(self, crops=(_NONE, _NONE), again=None)

    @property
    def badness(self) -> float:
        """How much a person would see here, roughly: no face is worst, then a wrong one."""
        if not self.drawn:
            return 4.0
        away = 0.0 if np.isnan(self.apart) else min(self.apart / 15.0, 2.0)
        mouth = 0.0 if np.isnan(self.mouth[1]) else min(4.0 * abs(np.subtract(*self.mouth)), 1.5)
        seam = 0.0 if np.isnan(self.seam) else min(abs(np.log(max(self.seam, 1e-3))), 1.5)
        return float(away + mouth + seam + min(abs(np.log(max(self.detail, 1e-3))), 1.5))


def side_of(scale: float) -> int:
    """Pixels of a crop that shows a face at its own size, ``scale`` units per pixel."""
    return int(np.clip(round(ALIGNED_SIDE * (1 + 2 * WIDE) / max(scale, 1e-6)), 64, LARGEST))


def cut(frame: Pixels, transform: Array, side: int) -> Pixels:
    """(side, side, 3): the plain alignment and ``WIDE`` of it on each side."""
    units = ALIGNED_SIDE * (1 + 2 * WIDE)
    scale = side / units
    move = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    move[:, 2] = (WIDE * ALIGNED_SIDE + 0.5) * scale - 0.5
    whole = move[:, :2] @ transform
    whole[:, 2] += move[:, 2]
    shrink = np.sqrt(abs(np.linalg.det(whole[:, :2])))
    if shrink < 0.6:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), 0.4 / shrink), np.uint8)
    border = cv2.BORDER_REPLICATE
    crop = cv2.warpAffine(frame, whole, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(crop, np.uint8)


def inner(side: int) -> NDArray[np.bool_]:
    """The face without hair and outline, in a crop of ``cut``."""
    units = ALIGNED_SIDE * (1 + 2 * WIDE)
    axis = (np.arange(side) + 0.5) / side * units - 0.5 - WIDE * ALIGNED_SIDE
    x, y = (axis - 64.0) / 27.0, (axis - 76.0) / 36.0
    return np.asarray(x[None] ** 2 + y[:, None] ** 2 < 1.0)


def fine(crop: Pixels) -> float:
    """Root mean square of the finest octave inside the face, in levels."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    high = grey - cv2.GaussianBlur(grey, (0, 0), 1.4)
    return float(np.sqrt(np.square(high[inner(len(crop))]).mean()))


def seam(clear: Pixels, new: Pixels) -> float:
    """Gradient along the edge of what was changed, new over clear; NaN where nothing was."""
    side = len(clear)
    apart = np.abs(clear.astype(np.float32) - new.astype(np.float32)).mean(axis=2)
    changed = (cv2.GaussianBlur(apart, (0, 0), side / 64) > CHANGED).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, side // 24) | 1,) * 2)
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel)
    # Blurring moved the edge outwards a little: a band about it is looked at.
    band = np.ones((max(3, side // 32) | 1,) * 2, np.uint8)
    edge = cv2.morphologyEx(changed, cv2.MORPH_GRADIENT, band) > 0
    margin = max(2, side // 40)
    edge[:margin] = edge[-margin:] = edge[:, :margin] = edge[:, -margin:] = False
    if edge.sum() < side // 2:
        return float("nan")
    steps = []
    for crop in (new, clear):
        grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (0, 0), side / 160)
        dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
        dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        steps.append(float(np.hypot(dx, dy)[edge].mean()))
    return steps[0] / max(steps[1], 1.0)


def mark(
    mesh: FaceMesh, number: int, size: float, clear: Pixels, new: Pixels
) -> Mark:
    """Measure one face.

    Args:
        mesh: the judge.
        number: of the frame.
        size: of the face's box in pixels.
        clear: (s, s, 3) from ``cut``.
        new: likewise, of the new frame, by the same transform.
    """
    meshes, presence = mesh(np.stack([clear, new]))
    seen = presence >= PRESENT
    mouths = np.where(seen, mesh_measures.mouth_opening(meshes), np.nan)
    eyes = np.where(seen, mesh_measures.eye_opening(meshes), np.nan)
    turn, apart = float("nan"), float("nan")
    if seen[0]:
        rotations = mesh_measures.rigid(meshes[:1])[0]
        turn = mesh_measures.direction_of(rotations[0]).turn
        if seen[1]:
            apart = mesh_measures.between(rotations[0], mesh_measures.rigid(meshes[1:])[0][0])
    return Mark(
        number,
        size,
        turn,
        (float(presence[0]), float(presence[1])),
        (float(mouths[0]), float(mouths[1])),
        (float(eyes[0]), float(eyes[1])),
        apart,
        fine(new) / max(fine(clear), 0.5),
        seam(clear, new),
        (clear, new),
    )


def away_from_faces(shape: tuple[int, ...], boxes: Array, growth: float = 2.0) -> NDArray[np.bool_]:
    """Pixels (h, w) outside the boxes (n, 4), each grown about its centre by ``growth``."""
    open_ = np.ones(shape[:2], np.bool_)
    for x0, y0, x1, y1 in boxes:
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * growth, (y1 - y0) * growth
        left, right = (max(0, round(cx + s * w / 2)) for s in (-1, 1))
        top, bottom = (max(0, round(cy + s * h / 2)) for s in (-1, 1))
        open_[top:bottom, left:right] = False
    return open_


def changed_share(clear: Pixels, new: Pixels, where: NDArray[np.bool_]) -> float:
    """Share of the pixels ``where`` that differ by more than ``CHANGED`` levels on the mean."""
    if not where.any():
        return float("nan")
    apart = cv2.absdiff(clear, new).astype(np.uint16).sum(axis=2)
    return float((apart[where] > 3 * CHANGED).mean())
