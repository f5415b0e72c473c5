"""What the kernels are told of faces: fixed-point plans, regions and tiles, made in NumPy.

The arithmetic of places is ``media.resampling``'s, so a device's crops and pastes lie where the
CPU's lie; here it is rounded to what integers can hold (``kernels/sources/faces.cu``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.faces import PATCH, PLACE_BITS, PLAN, TILE
from stream_anon.media.frame import Pixels, Transforms
from stream_anon.media.resampling import (
    ResamplePlan,
    bounds,
    compose_left,
    compose_right,
    inverse,
    resample_plans,
    units_from_crop,
)

Longs = NDArray[np.int64]
Ints = NDArray[np.int32]

_STEEPEST = 1 << 22
_FARTHEST = 1 << 35
"""Bounds on a plan's numbers: no place of a crop of 4096 pixels leaves 64 bits."""


def fixed(plans: list[ResamplePlan]) -> Longs:
    """(n, PLAN) from plans of ``media.resampling``."""
    out = np.empty((len(plans), PLAN), np.int64)
    for row, plan in zip(out, plans, strict=True):
        nx, ny = -(-(plan.x1 - plan.x0) // plan.step_x), -(-(plan.y1 - plan.y0) // plan.step_y)
        row[:6] = plan.x0, plan.y0, nx, ny, plan.step_x, plan.step_y
        matrix = np.array(plan.matrix)
        matrix[:, :2] = np.clip(matrix[:, :2], -_STEEPEST, _STEEPEST)
        matrix[:, 2] = np.clip(matrix[:, 2], -_FARTHEST, _FARTHEST)
        row[6:] = np.rint(matrix * (1 << PLACE_BITS)).astype(np.int64).ravel()
    # Weights are eighths of a byte: half of one, so that they are rounded.
    out[:, [8, 11]] += 1 << (PLACE_BITS - 9)
    return out


def crop_plans(
    transforms: Transforms, size: int, extent: float, width: int, height: int, frame: int = 0
) -> Longs:
    """Rows for ``face_crop``.

    Args:
        transforms, size, extent: as of ``Frame.crops``.
        width, height: of the frame.
        frame: its number in the batch.

    Returns:
        (n, 1 + 2 * PLAN).

    Raises:
        ValueError: a transform is singular or not finite.
    """
    a, b = units_from_crop(size, extent)
    to_frame = compose_right(inverse(transforms), np.full(2, a), np.full(2, b))
    sizes = np.full((len(transforms), 2), size)
    luma = fixed(resample_plans(to_frame, sizes, (height, width)))
    to_chroma = compose_left(to_frame, np.full(2, 0.5), np.full(2, -0.25))
    small = ((height + 1) // 2, (width + 1) // 2)
    chroma = fixed(resample_plans(to_chroma, sizes, small))
    numbers = np.full((len(transforms), 1), frame, np.int64)
    return np.hstack([numbers, luma, chroma])


def paste_plans(
    masks: Pixels,
    transforms: Transforms,
    size: int,
    extent: float,
    width: int,
    height: int,
    frame: int = 0,
) -> tuple[Longs, Longs]:
    """Rows for ``face_paste``.

    Args:
        masks: (n, m, m) uint8.
        transforms: (n, 2, 3).
        size: side of the crops.
        extent: as of ``Frame.paste``.
        width, height: of the frame.
        frame: its number in the batch.

    Returns:
        (k, PATCH + 2 * PLAN) for those whose mask reaches the frame, and their numbers (k,).

    Raises:
        ValueError: a transform is singular.
    """
    grid = masks.shape[1]
    a, b = units_from_crop(grid, extent)
    to_mask = compose_left(transforms, np.full(2, 1.0 / a), np.full(2, -b / a))
    kept, starts, ends = _regions(inverse(to_mask), masks, width, height)
    if not len(kept):
        return np.empty((0, PATCH + 2 * PLAN), np.int64), kept
    a, b = units_from_crop(size, extent)
    to_crop = compose_left(transforms[kept], np.full(2, 1.0 / a), np.full(2, -b / a))
    one, corner, sizes = np.ones(2), starts.astype(np.float64), ends - starts
    news = fixed(resample_plans(compose_right(to_crop, one, corner), sizes, (size, size)))
    cover = fixed(resample_plans(compose_right(to_mask[kept], one, corner), sizes, (grid, grid)))
    region = np.hstack([np.full((len(kept), 1), frame, np.int64), starts, ends])
    return np.hstack([region, news, cover]), kept


def _regions(
    to_frame: NDArray[np.float64], masks: Pixels, width: int, height: int
) -> tuple[Longs, Longs, Longs]:
    """Numbers of the masks that reach the frame, and their regions in whole chroma blocks."""
    boxes = np.array([cv2.boundingRect(mask) for mask in masks], np.float64).reshape(-1, 4)
    first, size = boxes[:, :2], boxes[:, 2:]
    low, high = bounds(to_frame, first - 1.5, first + size + 0.5)
    whole = np.array([width, height], np.float64)
    starts = np.floor(np.clip(low - 1.0, 0.0, whole)).astype(np.int64) // 2 * 2
    ends = np.ceil(np.clip(high + 1.0, -1.0, whole - 1.0)).astype(np.int64) + 1
    kept = np.flatnonzero((size > 0).all(axis=1) & (starts < ends).all(axis=1))
    return kept, starts[kept], (ends[kept] + 1) // 2 * 2


def tiles_of(rows: Longs) -> tuple[Ints, Ints]:
    """Which tiles of the frames the regions touch, and which faces lie in each.

    Args:
        rows: as of ``paste_plans``, in the order of painting; of one frame or of several.

    Returns:
        (t, 5) frame, x, y, begin, end; and the numbers of rows that these point to.
    """
    region = rows[:, :PATCH]
    first, last = region[:, 1:3] // TILE, (region[:, 3:5] - 1) // TILE
    spans = last - first + 1
    counts = spans.prod(axis=1)
    faces = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(faces)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = first[faces, 0] + within % spans[faces, 0]
    y = first[faces, 1] + within // spans[faces, 0]
    # One number for a tile; a stable sort keeps the order of painting in each.
    keys = (region[faces, 0] << 40) | (y << 20) | x
    order = np.argsort(keys, kind="stable")
    found, begins = np.unique(keys[order], return_index=True)
    tiles = np.empty((len(found), 5), np.int32)
    tiles[:, 0] = found >> 40
    tiles[:, 1] = (found & ((1 << 20) - 1)) * TILE
    tiles[:, 2] = ((found >> 20) & ((1 << 20) - 1)) * TILE
    tiles[:, 3], tiles[:, 4] = begins, np.append(begins[1:], len(order))
    return tiles, faces[order].astype(np.int32)


def outline_transforms(box: NDArray[np.float64], width: int, height: int) -> Transforms:
    """(4, 2, 3): the sides of a box (4,), x0 y0 x1 y1 pixels, as patches of one unit's extent.

    Each is stretched over its side; its mask is fine, since it runs out over one of its samples.
    """
    thick = max(2, min(width, height) // 270)
    x0, x1 = (float(np.clip(v, 0, width - 1)) for v in (box[0], box[2]))
    y0, y1 = (float(np.clip(v, 0, height - 1)) for v in (box[1], box[3]))
    sides = [
        (x0, y0, max(x1 - x0, thick), thick),
        (x0, max(y1 - thick, y0), max(x1 - x0, thick), thick),
        (x0, y0, thick, max(y1 - y0, thick)),
        (max(x1 - thick, x0), y0, thick, max(y1 - y0, thick)),
    ]
    return np.array(
        [[[1 / w, 0, -x / w - 0.5], [0, 1 / h, -y / h - 0.5]] for x, y, w, h in sides]
    )
