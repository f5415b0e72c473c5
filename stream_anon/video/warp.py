"""Warps between a square crop and a region of a plane: area-averaging, never the whole plane.

All transforms map *destination* samples to *source* samples, centres at integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Matrix = NDArray[np.float64]

Box = tuple[float, float, float, float]

_MARGIN = 2


def frame_from_crop(size: int, extent: float) -> tuple[float, float]:
    """(a, b) such that crop pixel i lies at unit ``a * i + b``.

    A crop of ``extent`` pixels has its pixels at integer units, and a crop of any other size
    covers the same area: -0.5 to ``extent - 0.5``.
    """
    a = extent / size
    return a, 0.5 * a - 0.5


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The (2, 3) transform that applies ``inner`` first."""
    out = outer[:, :2] @ inner
    out[:, 2] += outer[:, 2]
    return out


def inverse(matrix: Matrix) -> Matrix:
    """Of a (2, 3) transform.

    Raises:
        ValueError: it is singular or not finite.
    """
    (a, b, c), (d, e, f) = matrix.tolist()
    det = a * e - b * d
    if not math.isfinite(det + c + f) or abs(det) < 1e-12:
        raise ValueError("a transform is singular or not finite")
    return np.array(
        [
            [e / det, -b / det, (b * f - c * e) / det],
            [-d / det, a / det, (c * d - a * f) / det],
        ]
    )


def scaled(matrix: Matrix, ax: float, bx: float, ay: float, by: float) -> Matrix:
    """``matrix`` followed by x -> ax x + bx and y -> ay y + by."""
    return np.array(
        [
            [matrix[0, 0] * ax, matrix[0, 1] * ax, matrix[0, 2] * ax + bx],
            [matrix[1, 0] * ay, matrix[1, 1] * ay, matrix[1, 2] * ay + by],
        ]
    )


def bounds(matrix: Matrix, x0: float, y0: float, x1: float, y1: float) -> Box:
    """Bounding box (x0, y0, x1, y1) of a rectangle's image."""
    xs = [matrix[0, 0] * x + matrix[0, 1] * y for x in (x0, x1) for y in (y0, y1)]
    ys = [matrix[1, 0] * x + matrix[1, 1] * y for x in (x0, x1) for y in (y0, y1)]
    return (
        min(xs) + matrix[0, 2],
        min(ys) + matrix[1, 2],
        max(xs) + matrix[0, 2],
        max(ys) + matrix[1, 2],
    )


def _span(low: float, high: float, step: int, length: int) -> tuple[int, int]:
    """Samples to read along one axis: clipped to the plane, at least one of them."""
    start = math.floor(max(low - _MARGIN * step, 0.0))
    stop = math.ceil(min(high + _MARGIN * step, length - 1.0)) + 1
    start = min(start, length - 1)
    return start, max(min(stop, length), start + 1)


def sample(
    source: Array | Sequence[Array],
    matrix: Matrix,
    width: int,
    height: int,
    border: int = cv2.BORDER_REPLICATE,
) -> Array:
    """Resample a region.

    Where the destination is coarser than the source by 1.5 and more, blocks of source samples
    are averaged first, so that nothing aliases.

    Args:
        source: (h, w) or (h, w, c), uint8 or uint16; or c planes of (h, w), which are
            resampled together.
        matrix: (2, 3), destination to source.
        width, height: of the destination.
        border: OpenCV's border mode; with ``BORDER_CONSTANT`` the outside is 0.

    Returns:
        (height, width) or (height, width, c) of the source's type.
    """
    m = matrix
    # How far the source moves for one destination sample, along each of its axes.
    step_x = max(1, round(math.hypot(m[0, 0], m[0, 1])))
    step_y = max(1, round(math.hypot(m[1, 0], m[1, 1])))
    low_x, low_y, high_x, high_y = bounds(m, 0, 0, width - 1, height - 1)
    planes = [source] if isinstance(source, np.ndarray) else source
    x0, x1 = _span(low_x, high_x, step_x, planes[0].shape[1])
    y0, y1 = _span(low_y, high_y, step_y, planes[0].shape[0])
    regions = [plane[y0:y1, x0:x1] for plane in planes]
    region = regions[0] if len(regions) == 1 else cv2.merge(regions)
    if step_x > 1 or step_y > 1:
        fill_x, fill_y = -(x1 - x0) % step_x, -(y1 - y0) % step_y
        if fill_x or fill_y:
            region = cv2.copyMakeBorder(region, 0, fill_y, 0, fill_x, border, value=0)
        size = (region.shape[1] // step_x, region.shape[0] // step_y)
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    a, b = 1.0 / step_x, 1.0 / step_y
    local = scaled(m, a, (0.5 - x0) * a - 0.5, b, (0.5 - y0) * b - 0.5)
    return cv2.warpAffine(
        region,
        local,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )


def max_pool(mask: Array, sub_x: int, sub_y: int) -> Array:
    """The largest value of each block of ``2**sub_y`` x ``2**sub_x`` samples.

    Args:
        mask: (h, w) with sides that are whole numbers of blocks.
    """
    for _ in range(sub_x):
        mask = np.maximum(mask[:, 0::2], mask[:, 1::2])
    for _ in range(sub_y):
        mask = np.maximum(mask[0::2], mask[1::2])
    return mask


def blend(target: Array, new: Array, mask: Array) -> None:
    """Replace ``target`` in place by ``new`` in the share mask / 255, rounded.

    At 255 the result is ``new`` and at 0 ``target``, exactly.

    Args:
        target, new: (h, w) of the same type, uint8 or uint16.
        mask: (h, w) uint8.
    """
    total: Array
    if target.dtype == np.uint8:
        # Exact division by 255 of sums up to 255 * 255, in 16 bits.
        alpha = mask.astype(np.uint16)
        total = alpha * new
        np.subtract(255, alpha, out=alpha)
        alpha *= target
        total += alpha
        total += 128
        total += total >> 8
        total >>= 8
    else:
        wide = mask.astype(np.uint32)
        total = wide * new
        np.subtract(255, wide, out=wide)
        wide *= target
        total += wide
        total += 127
        total //= 255
    target[...] = total
