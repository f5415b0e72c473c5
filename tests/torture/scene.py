"""Frames that know which faces they show: composition with visibility.

Whatever is put on a canvas later hides what lay there; an owner plane says which face every
pixel belongs to, so the truth holds only what can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.torture.images import Head, Pixels

INNER = 0.8
"""The ellipse within a face's box that is judged, as a share of the box's sides: eyes to mouth
and cheeks. A hairline or an ear that peeps out is not what a face is known by."""

VISIBLE = 0.7
"""Share of that ellipse that must be seen for a face to count as shown by the input."""

CLEAR = 0.6
"""Opacity from which a face that is blended in (a fade, a pane of glass) counts."""

SMALLEST = 20.0
"""Geometric mean of the sides from which a face counts, in pixels: the default's smallest face."""

CELL = 8.0
"""Side in pixels, about, of the cells that a face is judged in."""


@dataclass(frozen=True, eq=False)
class TrueFace:
    """A face that can be seen in a frame.

    Attributes:
        box: x0 y0 x1 y1 in pixels; it may reach over the border.
        cells: (n, n) bool, the cells of the box that lie in the judged ellipse and can be seen.
        person: number of the head in its clip.
    """

    box: tuple[float, float, float, float]
    cells: NDArray[np.bool_]
    person: int

    @property
    def size(self) -> float:
        """Geometric mean of the sides in pixels."""
        x0, y0, x1, y1 = self.box
        return float(np.sqrt((x1 - x0) * (y1 - y0)))


@dataclass(frozen=True, eq=False)
class Frame:
    """What the camera gives: (h, w, 3) uint8 RGB and the faces in it."""

    pixels: Pixels
    faces: tuple[TrueFace, ...]


@dataclass
class _Placed:
    box: tuple[float, float, float, float]
    person: int
    opacity: float


@dataclass
class Canvas:
    """A frame in the making."""

    pixels: Pixels
    owner: NDArray[np.int16] = field(init=False)
    placed: list[_Placed] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.pixels = self.pixels.copy()
        self.owner = np.zeros(self.pixels.shape[:2], np.int16)

    def head(
        self,
        head: Head,
        x: float,
        y: float,
        size: float,
        *,
        angle: float = 0.0,
        opacity: float = 1.0,
        blur: float = 0.0,
        gain: float = 1.0,
        person: int = 0,
    ) -> None:
        """Paste a head with its face centred on (x, y), of ``size`` pixels.

        Args:
            blur: standard deviation in pixels, of the head alone.
            gain: factor on its levels.
        """
        cut = head.cut(size, angle)
        pixels, alpha = cut.pixels, cut.alpha
        if blur > 0:
            pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
        # To the sub-pixel, or a slow head would jump.
        left, top = x - cut.centre[0], y - cut.centre[1]
        column, row = int(np.floor(left)), int(np.floor(top))
        move = np.array([[1, 0, left - column], [0, 1, top - row]], np.float64)
        size_ = (alpha.shape[1] + 1, alpha.shape[0] + 1)
        if left != column or top != row:
            pixels = cv2.warpAffine(pixels, move, size_, borderMode=cv2.BORDER_REPLICATE)
            alpha = cv2.warpAffine(alpha, move, size_)
        self._blend(pixels * gain, alpha * opacity, alpha > 0.5, column, row)
        half = cut.half
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        self.placed.append(_Placed(box, person, opacity))

    def _blend(
        self,
        pixels: NDArray[np.float32],
        alpha: NDArray[np.float32],
        owned: NDArray[np.bool_],
        column: int,
        row: int,
    ) -> None:
        height, width = self.owner.shape
        x0, y0 = max(column, 0), max(row, 0)
        x1, y1 = min(column + alpha.shape[1], width), min(row + alpha.shape[0], height)
        if x1 <= x0 or y1 <= y0:
            return
        part = (slice(y0 - row, y1 - row), slice(x0 - column, x1 - column))
        here = (slice(y0, y1), slice(x0, x1))
        share = alpha[part][..., None]
        mixed = pixels[part] * share + self.pixels[here] * (1 - share)
        self.pixels[here] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        self.owner[here][owned[part]] = len(self.placed) + 1

    def cover(
        self, x0: float, y0: float, x1: float, y1: float, with_: Pixels | None = None
    ) -> None:
        """Put something opaque before everything: a pole, a curtain, a door."""
        height, width = self.owner.shape
        a, b = int(np.clip(round(x0), 0, width)), int(np.clip(round(x1), 0, width))
        c, d = int(np.clip(round(y0), 0, height)), int(np.clip(round(y1), 0, height))
        if b <= a or d <= c:
            return
        self.pixels[c:d, a:b] = 70 if with_ is None else with_[c:d, a:b]
        self.owner[c:d, a:b] = 0

    def inset(self, other: Canvas, x0: int, y0: int, x1: int, y1: int) -> None:
        """Show another canvas inside this one, scaled: a monitor, a split screen."""
        to = (x1 - x0, y1 - y0)
        scale = np.array([to[0] / other.owner.shape[1], to[1] / other.owner.shape[0]] * 2)
        how = cv2.INTER_AREA if to[0] < other.owner.shape[1] else cv2.INTER_LINEAR
        self.pixels[y0:y1, x0:x1] = cv2.resize(other.pixels, to, interpolation=how)
        owner = cv2.resize(other.owner, to, interpolation=cv2.INTER_NEAREST)
        self.owner[y0:y1, x0:x1] = np.where(owner > 0, owner + len(self.placed), 0)
        for one in other.placed:
            box = np.array(one.box) * scale + (x0, y0, x0, y0)
            self.placed.append(_Placed(tuple(box.tolist()), one.person, one.opacity))

    def warp(self, matrix: NDArray[np.float64]) -> None:
        """Move, turn or zoom everything on the canvas by a (2, 3) matrix."""
        size = (self.owner.shape[1], self.owner.shape[0])
        self.pixels = cv2.warpAffine(self.pixels, matrix, size, borderMode=cv2.BORDER_REFLECT)
        self.owner = cv2.warpAffine(self.owner, matrix, size, flags=cv2.INTER_NEAREST)
        for one in self.placed:
            x0, y0, x1, y1 = one.box
            centre = matrix @ ((x0 + x1) / 2, (y0 + y1) / 2, 1.0)
            grow = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
            half = np.array([x1 - x0, y1 - y0]) / 2 * grow
            one.box = tuple(np.concatenate([centre - half, centre + half]).tolist())

    def overlay(self, pixels: Pixels, opacity: float) -> None:
        """Blend a frame over everything: a reflection, a crossfade, a flash."""
        self.pixels = cv2.addWeighted(self.pixels, 1 - opacity, pixels, opacity, 0)
        for one in self.placed:
            one.opacity *= 1 - opacity

    def to_av(self) -> Frame:
        """The finished frame with the faces that can be seen in it."""
        faces = []
        for number, one in enumerate(self.placed, 1):
            if one.opacity < CLEAR:
                continue
            face = _true_face(one, self.owner, number)
            if face is not None and face.size >= SMALLEST:
                faces.append(face)
        return Frame(np.ascontiguousarray(self.pixels), tuple(faces))


def ellipse(n: int) -> NDArray[np.bool_]:
    """(n, n) bool: the cells of a box whose centres lie in the judged ellipse."""
    at = (np.arange(n) + 0.5) / n * 2 - 1
    return (at[:, None] ** 2 + at[None] ** 2) <= INNER**2


def cell_means(plane: NDArray[np.float32], box: tuple[float, ...], n: int) -> NDArray[np.float32]:
    """Means of an (h, w) or (h, w, c) plane over n x n cells of a box; NaN-free, zero outside."""
    x0, y0, x1, y1 = box
    fine = 4
    side = n * fine
    matrix = np.array([[side / (x1 - x0), 0, 0], [0, side / (y1 - y0), 0]], np.float64)
    matrix[:, 2] = (0.5 - x0) * matrix[0, 0] - 0.5, (0.5 - y0) * matrix[1, 1] - 0.5
    taken = cv2.warpAffine(plane, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(taken, (n, n), interpolation=cv2.INTER_AREA), np.float32)


def _true_face(one: _Placed, owner: NDArray[np.int16], number: int) -> TrueFace | None:
    x0, y0, x1, y1 = one.box
    n = int(np.clip(round(np.sqrt((x1 - x0) * (y1 - y0)) / CELL), 4, 14))
    height, width = owner.shape
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return None
    left, top = max(0, int(x0) - 2), max(0, int(y0) - 2)
    mine = owner[top : int(y1) + 3, left : int(x1) + 3] == number
    near = (x0 - left, y0 - top, x1 - left, y1 - top)
    seen = cell_means(mine.astype(np.float32), near, n) > 0.9
    inner = ellipse(n)
    seen &= inner
    if seen.sum() < VISIBLE * inner.sum():
        return None
    return TrueFace(one.box, seen, one.person)
