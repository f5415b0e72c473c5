"""Whether a new face still shows the old one.

Three tests, each blind where another sees:

1. *Change*: the mean absolute difference of coarse averages. An answer that is the old face, give
   or take a level, fails it.
2. *Structure*: normalised cross-correlation of the fine detail that every method has to destroy
   (wavelengths below about a seventh of the frame), in windows over the face, over small shifts
   and the mirror. Brightness, contrast, gamma, a negative, swapped channels, a shift, a
   mirror, a small turn or another scale do not hide a face from it. A mosaic or a blur keeps what
   is coarser on purpose, and a drawn face with the same landmarks agrees in part.
3. *Kept pixels*: the share of pixels of fine detail that are as they were. However strong what was
   drawn over a face is - stripes, dots, half a cover - the rest of it counts.

The limits lie between what the shipped methods reach on real footage and what altered copies of
real faces reach; ``tests/pipeline/test_likeness.py`` measures both again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.methods.base import Pixels

Floats = NDArray[np.float32]

UNCHANGED_LEVELS = 3.0
"""A new face that differs from the old one by less than this, on the mean over the minimum
ellipse of coarse averages, shows the old one."""

COARSE = 16
"""Side at which the mean change is taken: cells of eight aligned units, so that fine noise on
top of an old face does not count as a change."""

WINDOWS = 3
"""Windows of the structure test along each side."""

SHIFT = 2
"""Cells by which a window is searched for in each direction."""

FLOOR = 1.0
"""Root mean square of fine detail in levels that is taken for noise."""

SAMPLES = 32
"""Pixels sampled along each side for the test of kept pixels."""

DETAIL = 6
"""Levels between a pixel and its surroundings from which it is fine detail."""

KEPT = 4
"""A pixel of fine detail counts as kept if it has moved by less than this fraction (one over) of
its distance from its surroundings."""

KEPT_LIMIT = 0.4
"""Share of kept pixels from which a face shows. Methods reach 0.33, a face under stripes that cover
a quarter of it 0.7, half a raw face 0.44."""

LEAST_DETAIL = 24
"""Sampled pixels of fine detail without which the share says nothing."""


@dataclass(frozen=True, slots=True)
class Band:
    """At which resolution structure is compared.

    Attributes:
        side: of the grid over the aligned face space, in cells.
        left, top: where the windows begin, in cells; with ``SHIFT`` they stay inside the grid.
        window: side of a window in cells.
        surround: side of the box whose mean is subtracted, in cells; odd.
        limit: mean correlation over the windows from which a face shows.
    """

    side: int
    left: int
    top: int
    window: int
    surround: int
    limit: float


# Of altered copies of real faces 95 % and more lie above the limits, whatever the alteration; what
# the shipped methods make of real footage reaches 0.66 (pixelate) and 0.71 (identity) at most.
SMALL = Band(side=32, left=6, top=7, window=7, surround=5, limit=0.71)
LARGE = Band(side=48, left=12, top=15, window=8, surround=5, limit=0.77)

FROM_LARGE = 64
"""Side of crops from which ``LARGE`` is used."""


class OldFaces:
    """What is remembered of old faces, taken before a method is given them.

    Args:
        crops: (n, s, s, 3) uint8 RGB in the aligned face space; not kept.
    """

    def __init__(self, crops: Pixels) -> None:
        self._count, self._side = crops.shape[:2]
        if not self._count:
            return
        self._coarse = _coarse(crops)
        grey = _grey(crops)
        self._band = LARGE if self._side >= FROM_LARGE else SMALL
        self._bank = _bank(_detail(grey, self._band), self._band)
        self._energy = np.einsum("nwsp,nwsp->nws", self._bank, self._bank)
        samples = _sampled(grey)
        around = np.stack([cv2.blur(one, (7, 7)) for one in samples])
        distance = cv2.absdiff(samples, around)
        self._detail = (distance >= DETAIL) & minimum_interior(SAMPLES)
        self._samples, self._slack = samples, distance // KEPT

    def shown_in(self, crops: Pixels) -> NDArray[np.bool_]:
        """Which of them new faces still show.

        Args:
            crops: (n, t, t, 3) uint8 RGB, any side.

        Returns:
            (n,) bool.

        Raises:
            ValueError: there are not n of them.
        """
        if len(crops) != self._count:
            raise ValueError(f"{self._count} old faces and {len(crops)} new ones")
        if not self._count:
            return np.zeros(0, np.bool_)
        grey = _grey(crops)
        same = self.change(crops) < UNCHANGED_LEVELS
        alike = self.structure(grey) >= self._band.limit
        return np.asarray(same | alike | (self.kept(grey) >= KEPT_LIMIT))

    def change(self, crops: Pixels) -> NDArray[np.float64]:
        """(n,) mean absolute change in levels inside the minimum ellipse, of coarse averages."""
        change = cv2.absdiff(self._coarse, _coarse(crops)).reshape(self._count, -1, 3)
        inside = change[:, np.flatnonzero(minimum_interior(COARSE))]
        return np.asarray(inside.mean(axis=(1, 2), dtype=np.float64))

    def structure(self, grey: Pixels) -> Floats:
        """(n,) mean over the windows of the best correlation, 0 to 1; ``grey`` is (n, t, t)."""
        size = self._band.window
        new = _windows(_detail(grey, self._band), self._band)
        floor = FLOOR * FLOOR * size * size
        energy = np.einsum("nwpf,nwpf->nwf", new, new) + np.float32(floor)
        product = np.abs(self._bank @ new)
        product /= np.sqrt(self._energy + np.float32(floor))[..., None]
        best = product.max(axis=2) / np.sqrt(energy)
        return np.asarray(best.mean(axis=1).max(axis=1), np.float32)

    def kept(self, grey: Pixels) -> NDArray[np.float64]:
        """(n,) share of pixels of fine detail that are as they were; ``grey`` is (n, t, t)."""
        moved = cv2.absdiff(self._samples, _sampled(grey))
        still = (moved <= self._slack) & self._detail
        detail = np.count_nonzero(self._detail, axis=(1, 2))
        share = np.count_nonzero(still, axis=(1, 2)) / np.maximum(detail, 1)
        return np.where(detail >= LEAST_DETAIL, share, 0.0)


def unchanged(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    """Which new faces still show the old one.

    Args:
        before: (n, s, s, 3) uint8.
        after: (n, t, t, 3) uint8, any other side.

    Returns:
        (n,) bool. A flat face that a mosaic hardly changes is reported as well; the solid cover
        it then gets costs nothing.
    """
    return OldFaces(before).shown_in(after)


def _grey(crops: Pixels) -> Pixels:
    """(n, s, s, 3) to (n, s, s)."""
    count, side = crops.shape[:2]
    stack = np.ascontiguousarray(crops).reshape(count * side, side, 3)
    return np.asarray(cv2.cvtColor(stack, cv2.COLOR_RGB2GRAY), np.uint8).reshape(count, side, side)


def _detail(grey: Pixels, band: Band) -> Floats:
    """What of (n, s, s) is finer than the surround: (n, side, side) float32."""
    size, box = (band.side, band.side), (band.surround, band.surround)
    side = grey.shape[1]
    fine = np.empty((len(grey), *size), np.float32)
    # Averages over whole pixels are several times as fast as over parts of them.
    halve = side >= 2 * band.side and side % 2 == 0
    half = (side // 2, side // 2)
    how = cv2.INTER_AREA if side >= band.side and not halve else cv2.INTER_LINEAR
    for one, out in zip(grey, fine, strict=True):
        if halve:
            one = cv2.resize(one, half, interpolation=cv2.INTER_AREA)
        small = cv2.resize(one, size, interpolation=how)
        cv2.subtract(small, cv2.blur(small, box), dst=out, dtype=cv2.CV_32F)
    return fine


def _bank(fine: Floats, band: Band) -> Floats:
    """Every window at every shift: (n, windows, shifts, cells)."""
    count, size, shifts = len(fine), band.window, 2 * SHIFT + 1
    corner = fine[:, band.top - SHIFT :, band.left - SHIFT :]
    whole, down, across = corner.strides
    views = as_strided(
        corner,
        (count, WINDOWS, WINDOWS, shifts, shifts, size, size),
        (whole, size * down, size * across, down, across, down, across),
        writeable=False,
    )
    return views.reshape(count, WINDOWS * WINDOWS, shifts * shifts, size * size)


def _windows(fine: Floats, band: Band) -> Floats:
    """Every window as it is and out of the mirror: (n, windows, cells, 2)."""
    count, size, span = len(fine), band.window, WINDOWS * band.window
    out = np.empty((count, WINDOWS, WINDOWS, size, size, 2), np.float32)
    for i, view in enumerate((fine, fine[:, :, ::-1])):
        inside = view[:, band.top : band.top + span, band.left : band.left + span]
        split = inside.reshape(count, WINDOWS, size, WINDOWS, size)
        out[..., i] = split.transpose(0, 1, 3, 2, 4)
    return out.reshape(count, WINDOWS * WINDOWS, size * size, 2)


@lru_cache(maxsize=16)
def _places(side: int) -> NDArray[np.intp]:
    return (((np.arange(SAMPLES) + 0.5) * side) / SAMPLES).astype(np.intp)


def _sampled(grey: Pixels) -> Pixels:
    """Pixels as they are, not averaged, so that what was drawn over others leaves them alone."""
    places = _places(grey.shape[1])
    return np.ascontiguousarray(grey[:, places[:, None], places])


def _coarse(crops: Pixels) -> Pixels:
    """Averages of (n, s, s, 3) as one (n * COARSE, COARSE, 3) frame."""
    count, side = crops.shape[:2]
    if side % COARSE == 0:
        # Whole cells: one frame under the other, none reaches into the next.
        stack = crops.reshape(count * side, side, 3)
        size = (COARSE, count * COARSE)
        return np.asarray(cv2.resize(stack, size, interpolation=cv2.INTER_AREA), np.uint8)
    coarse = np.empty((count, COARSE, COARSE, 3), np.uint8)
    for crop, out in zip(crops, coarse, strict=True):
        cv2.resize(crop, (COARSE, COARSE), dst=out, interpolation=cv2.INTER_AREA)
    return coarse.reshape(count * COARSE, COARSE, 3)
