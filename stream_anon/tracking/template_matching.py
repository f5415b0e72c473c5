"""Following a piece of a frame from one frame to the next, on a coarse luma plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

TEMPLATE_SIDE = 20
"""Longer side, in samples, to which a template is thinned: a bound on the search's cost."""

LEAST_SIDE = 8
"""Samples that a template has at least; a smaller face takes some of its surroundings along."""

GOOD = 0.6
"""Correlation from which a find is believed."""


def luma_step(width: int, height: int) -> int:
    """Distance of the luma samples that following needs: planes of about 640 samples."""
    return max(1, round(max(width, height) / 640))


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A piece of a luma plane.

    Attributes:
        samples: (h, w) uint8.
        stride: luma samples per sample of the template.
        anchor: x and y from its first sample to the point that it follows, in luma samples.
    """

    samples: Luma
    stride: int
    anchor: tuple[float, float]


def cut(luma: Luma, step: int, box: Array) -> Template | None:
    """Cut a template.

    Args:
        luma: (h, w) uint8, every ``step``-th sample of the frame.
        step: frame pixels per sample.
        box: (4,) in frame pixels.

    Returns:
        None where too little of the box lies inside the frame, or it is flat.
    """
    height, width = luma.shape
    centre = (box[:2] + box[2:]) / 2 / step
    half = np.maximum((box[2:] - box[:2]) / 2 / step, LEAST_SIDE / 2)
    x0, y0 = np.maximum(np.floor(centre - half), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(centre + half), (width, height)).astype(int)
    if x1 - x0 < LEAST_SIDE // 2 or y1 - y0 < LEAST_SIDE // 2:
        return None
    stride = max(1, round(max(x1 - x0, y1 - y0) / TEMPLATE_SIDE))
    if min(x1 - x0, y1 - y0) < 3 * stride:
        return None
    samples = _thinned(luma[y0:y1, x0:x1], stride)
    if float(samples.std()) < 2.0:
        return None
    return Template(samples, stride, (float(centre[0] - x0), float(centre[1] - y0)))


def find(
    template: Template, luma: Luma, step: int, guess: Array, search_radius: float
) -> tuple[Array, float]:
    """Look for a template around a guess.

    Args:
        template: from another frame.
        luma: (h, w) uint8 of this frame.
        step: frame pixels per sample.
        guess: (2,) where the followed point should be, in frame pixels.
        search_radius: how far from the guess it may be, in frame pixels.

    Returns:
        The point in frame pixels and the correlation, -1 to 1; the guess and 0 where the
        search area holds no whole template.
    """
    # Plain floats: this runs for every face in every frame, and NumPy is slow on pairs.
    stride = template.stride
    rows, columns = template.samples.shape
    height, width = luma.shape
    left = float(guess[0]) / step - template.anchor[0]
    top = float(guess[1]) / step - template.anchor[1]
    around = max(search_radius / step, 2.0 * stride)
    x0, y0 = max(0, math.floor(left - around)), max(0, math.floor(top - around))
    x1 = min(width, math.ceil(left + around) + columns * stride)
    y1 = min(height, math.ceil(top + around) + rows * stride)
    if x1 - x0 < columns * stride or y1 - y0 < rows * stride:
        return guess, 0.0
    area = _thinned(luma[y0:y1, x0:x1], stride)
    match = cv2.matchTemplate(area, template.samples, cv2.TM_CCOEFF_NORMED)
    _, score, _, (column, row) = cv2.minMaxLoc(match)
    if not -1.0 <= score <= 1.001:
        return guess, 0.0
    across = x0 + (column + _vertex(match[row], column)) * stride + template.anchor[0]
    down = y0 + (row + _vertex(match[:, column], row)) * stride + template.anchor[1]
    return np.array([across * step, down * step]), score


def _thinned(luma: Luma, stride: int) -> Luma:
    """Averages of stride x stride samples; what is left over at the end is dropped."""
    if stride == 1:
        return luma
    rows, columns = luma.shape[0] // stride, luma.shape[1] // stride
    whole = luma[: rows * stride, : columns * stride]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _vertex(values: NDArray[Any], at: int) -> float:
    """Offset of a peak between samples, by a parabola, -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = float(values[at - 1]), float(values[at]), float(values[at + 1])
    bend = left - 2 * middle + right
    return 0.0 if not bend < -1e-6 else min(0.5, max(-0.5, 0.5 * (left - right) / bend))
