"""Warps between a square crop and a region of a plane: area-averaging, never the whole plane.

All transforms map *destination* samples to *source* samples, centres at integers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Matrix = NDArray[np.float64]
Counts = NDArray[np.int64]

_MARGIN = 2


def units_from_crop(size: int, extent: float) -> tuple[float, float]:
    """(a, b) such that crop pixel i lies at unit ``a * i + b``.

    A crop of ``extent`` pixels has its pixels at integer units, and a crop of any other size
    covers the same area: -0.5 to ``extent - 0.5``.
    """
    a = extent / size
    return a, 0.5 * a - 0.5


def inverse(matrices: Matrix) -> Matrix:
    """Of (..., 2, 3) transforms.

    Raises:
        ValueError: one is singular or not finite.
    """
    a, b, c = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 0, 2]
    d, e, f = matrices[..., 1, 0], matrices[..., 1, 1], matrices[..., 1, 2]
    with np.errstate(invalid="ignore", over="ignore"):
        det = a * e - b * d
        if not np.isfinite(det + c + f).all() or (np.abs(det) < 1e-12).any():
            raise ValueError("a transform is singular or not finite")
    out = np.empty(matrices.shape)
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = e / det, -b / det, (b * f - c * e) / det
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = -d / det, a / det, (c * d - a * f) / det
    return out


def compose_right(matrices: Matrix, scale: Matrix, shift: Matrix) -> Matrix:
    """(n, 2, 3) transforms after p -> scale p + shift, each (2,) or (n, 2): x and y."""
    scale, shift = np.broadcast_arrays(scale, shift)
    out = np.empty(matrices.shape)
    out[:, :, :2] = matrices[:, :, :2] * scale[..., None, :]
    out[:, :, 2] = (matrices[:, :, :2] * shift[..., None, :]).sum(axis=2) + matrices[:, :, 2]
    return out


def compose_left(matrices: Matrix, scale: Matrix, shift: Matrix) -> Matrix:
    """(n, 2, 3) transforms followed by p -> scale p + shift, each (2,) or (n, 2): x and y."""
    out = matrices * np.asarray(scale)[..., None]
    out[:, :, 2] += shift
    return out


def bounds(matrices: Matrix, low: Matrix, high: Matrix) -> tuple[Matrix, Matrix]:
    """Bounding boxes of rectangles' images.

    Args:
        matrices: (n, 2, 3).
        low, high: (n, 2) corners, x and y.

    Returns:
        Their lowest and highest corners, (n, 2) each.
    """
    one, two = matrices[:, :, :2] * low[:, None], matrices[:, :, :2] * high[:, None]
    shift = matrices[:, :, 2]
    return np.minimum(one, two).sum(axis=2) + shift, np.maximum(one, two).sum(axis=2) + shift


class ResamplePlan(NamedTuple):
    """What is read of a plane for one destination, and how; made by ``resample_plans``.

    Attributes:
        x0, y0, x1, y1: samples of the source.
        step_x, step_y: of which so many are averaged first.
        matrix: (2, 3), destination to the averaged samples.
        width, height: of the destination.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    step_x: int
    step_y: int
    matrix: Matrix
    width: int
    height: int


def resample_plans(matrices: Matrix, sizes: Counts, source: tuple[int, ...]) -> list[ResamplePlan]:
    """Plan many resamplings at once: in NumPy on all of them, since one by one it costs as much
    as the resampling.

    Args:
        matrices: (n, 2, 3), destination to source.
        sizes: (n, 2) widths and heights of the destinations, at least 1.
        source: shape of the planes that are read, height and width first.
    """
    size = sizes.astype(np.float64)
    # How far the source moves for one destination sample, along each of its axes.
    steps = np.maximum(1.0, np.rint(np.hypot(matrices[:, :, 0], matrices[:, :, 1])))
    low, high = bounds(matrices, np.zeros_like(size), size - 1.0)
    length = np.array([source[1], source[0]], np.float64)
    start = np.minimum(np.floor(np.maximum(low - _MARGIN * steps, 0.0)), length - 1.0)
    stop = np.ceil(np.minimum(high + _MARGIN * steps, length - 1.0)) + 1.0
    stop = np.maximum(np.minimum(stop, length), start + 1.0)
    # A step beyond the plane averages all of it, as one of the plane's length does.
    steps = np.minimum(steps, stop - start)
    # Whole steps where the plane goes on, so that nothing need be filled up.
    stop = np.minimum(start + np.ceil((stop - start) / steps) * steps, length)
    local = compose_left(matrices, 1.0 / steps, (0.5 - start) / steps - 0.5)
    spans = np.concatenate([start, stop, steps, size], axis=1).astype(np.int64).tolist()
    return [
        ResamplePlan(x0, y0, x1, y1, step_x, step_y, matrix, width, height)
        for (x0, y0, x1, y1, step_x, step_y, width, height), matrix in zip(
            spans, local, strict=True
        )
    ]


def resample(source: Array, plan: ResamplePlan, border: int = cv2.BORDER_REPLICATE) -> Array:
    """Resample a region as planned; see ``sample``."""
    x0, y0, x1, y1, step_x, step_y, matrix, width, height = plan
    region = source[y0:y1, x0:x1]
    if step_x > 1 or step_y > 1:
        fill_x, fill_y = -(x1 - x0) % step_x, -(y1 - y0) % step_y
        if fill_x or fill_y:
            region = cv2.copyMakeBorder(region, 0, fill_y, 0, fill_x, border, value=0)
        size = (region.shape[1] // step_x, region.shape[0] // step_y)
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(
        region,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )


def sample(
    source: Array,
    matrix: Matrix,
    width: int,
    height: int,
    border: int = cv2.BORDER_REPLICATE,
) -> Array:
    """Resample a region.

    Where the destination is coarser than the source by 1.5 and more, blocks of source samples
    are averaged first, so that nothing aliases.

    Args:
        source: (h, w) or (h, w, c), uint8 or uint16. OpenCV 5 takes longer for two or three
            channels than for one or four.
        matrix: (2, 3), destination to source.
        width, height: of the destination.
        border: OpenCV's border mode; with ``BORDER_CONSTANT`` the outside is 0.

    Returns:
        (height, width) or (height, width, c) of the source's type.
    """
    plan = resample_plans(matrix[None], np.array([[width, height]]), source.shape)
    return resample(source, plan[0], border)


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
