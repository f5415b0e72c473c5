"""The aligned face space and the privacy bottleneck, in NumPy.

Everything a generator may know of a face passes through this file: the image
around the face, the plane through a 4x4 grid of average colours of its inside
(how it is lit and coloured), and five landmarks. The replacement happens here,
on pixels, before any network runs, so that no layer and no skip connection can
carry a clear pixel of the inside.

The crops here are aligned face crops (`geometry`) of which one is ``CROP_SCALE`` times wider than
the template asks for, so that the mask covers the whole head and its outline.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry

SIZE = geometry.ALIGNED_SIDE
"""Side of the aligned face space, in pixels; their centres lie at integer coordinates."""

CENTRE = geometry.MASK_CENTRE
SEMI_AXES = geometry.MASK_SEMI_AXES

CROP_SCALE = 1.25
"""By how much a generator's crop is wider than the ArcFace alignment, about the mask's centre.

The mask of the plain alignment ends at hairline and jaw, whose outline still links two clips of
one person. It is also what keeps the crop steady: a tracker's boxes need this much anyway.
"""

TEMPLATE: NDArray[np.float32] = np.asarray(geometry.TEMPLATE, np.float32)
"""Landmarks of the plain alignment."""

WIDE_TEMPLATE: NDArray[np.float32] = np.asarray(
    (geometry.TEMPLATE - np.array(CENTRE)) / CROP_SCALE + np.array(CENTRE), np.float32
)
"""Where the landmarks of a mean face lie in a generator's crop."""

_CENTROID = WIDE_TEMPLATE.mean(0)
_SPOKES = WIDE_TEMPLATE - _CENTROID

GRID = 4
"""The inside of the mask is known to a generator by GRID x GRID average colours at most."""

HEATMAP_SIZE = 64
"""Side of the landmark heat maps, in cells of two units."""

HEATMAP_SIGMA = 1.5
"""Standard deviation of a landmark's bump, in heat-map cells."""


@lru_cache(maxsize=1)
def _unit_radius() -> NDArray[np.float32]:
    """Squared radius of every pixel centre in units of the minimum mask (128,128)."""
    axis = np.arange(SIZE, dtype=np.float32)
    x = (axis[None, :] - CENTRE[0]) / SEMI_AXES[0]
    y = (axis[:, None] - CENTRE[1]) / SEMI_AXES[1]
    return np.asarray(x * x + y * y, np.float32)


@lru_cache(maxsize=1)
def minimum_mask() -> NDArray[np.bool_]:
    """The pixels that are always replaced: bool (128,128)."""
    mask = _unit_radius() <= 1.0
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=1)
def paint_mask() -> NDArray[np.uint8]:
    """The mask a generator is trained to be pasted with: uint8 (128,128), 255 = new face.

    255 inside the minimum mask, then a ramp down to 0 at 1.22 times its size,
    so that the new face may also change the outline that surrounds it. The
    ramp reaches 0 at the crop's border, the minimum mask does not shrink there.
    """
    radius = np.sqrt(_unit_radius())
    ramp = np.clip((1.22 - radius) / (1.22 - 1.04), 0.0, 1.0)
    axis = np.arange(SIZE, dtype=np.float32)
    border = np.clip((np.minimum(axis, SIZE - 1 - axis) + 0.5) / 6.0, 0.0, 1.0)
    ramp = ramp * np.minimum(border[None, :], border[:, None])
    mask = np.where(minimum_mask(), 255.0, 255.0 * ramp * ramp * (3.0 - 2.0 * ramp))
    out = np.rint(mask).astype(np.uint8)
    out.flags.writeable = False
    return out


def _grid_axes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Position of every column and row in units of grid cells."""
    left, top = CENTRE[0] - SEMI_AXES[0], CENTRE[1] - SEMI_AXES[1]
    axis = np.arange(SIZE, dtype=np.float32)
    u = (axis - left) / (2 * SEMI_AXES[0]) * GRID
    v = (axis - top) / (2 * SEMI_AXES[1]) * GRID
    return u.astype(np.float32), v.astype(np.float32)


@lru_cache(maxsize=1)
def _cells() -> NDArray[np.int64]:
    """The grid cell of every pixel: (128,128)."""
    u, v = _grid_axes()
    cell_x = np.clip(np.floor(u), 0, GRID - 1).astype(np.int64)
    cell_y = np.clip(np.floor(v), 0, GRID - 1).astype(np.int64)
    return np.asarray(cell_y[:, None] * GRID + cell_x[None, :], np.int64)


@lru_cache(maxsize=1)
def _grid_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bilinear weights of the grid's rows and columns for every pixel: two of (128,4)."""

    def weights(position: NDArray[np.float32]) -> NDArray[np.float32]:
        p = np.clip(position - 0.5, 0, GRID - 1)
        hats = 1.0 - np.abs(p[:, None] - np.arange(GRID)[None, :])
        return np.asarray(np.maximum(0.0, hats), np.float32)

    u, v = _grid_axes()
    return weights(v), weights(u)


@lru_cache(maxsize=1)
def grid_matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrices that average the inside over the grid and spread it out again.

    Returns:
        ``gather`` (16, 16384) of 0 and 1: which inside pixels belong to a cell;
        ``spread`` (16384, 16): bilinear weights of the cells for every pixel.
    """
    gather = np.stack([(_cells() == k) & minimum_mask() for k in range(GRID * GRID)])
    wy, wx = _grid_weights()
    spread = wy[:, None, :, None] * wx[None, :, None, :]
    return (
        gather.reshape(GRID * GRID, -1).astype(np.float32),
        spread.reshape(SIZE * SIZE, GRID * GRID).astype(np.float32),
    )


@lru_cache(maxsize=1)
def plane_matrix() -> NDArray[np.float32]:
    """Matrix (16,16) that replaces the grid's colours by the plane nearest to them.

    A mean and two slopes for each channel say how a face is lit and coloured;
    what sixteen averages say beyond that (a dark brow, a beard) helps to
    recognise it: 4x4 colours lower the EER by four points against the outside
    alone (docs/results/identity.md).
    """
    axis = (np.arange(GRID) + 0.5) / GRID - 0.5
    v, u = np.meshgrid(axis, axis, indexing="ij")
    basis = np.stack([np.ones(GRID * GRID), u.ravel(), v.ravel()], axis=1)
    return np.asarray(basis @ np.linalg.pinv(basis), np.float32)


def heatmaps(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Five Gaussian bumps a face.

    Args:
        landmarks: float32 (n,5,2) in aligned units.

    Returns:
        float32 (n,5,64,64) in [0, 1].
    """
    axis = (np.arange(HEATMAP_SIZE, dtype=np.float32) + 0.5) - 0.5 * HEATMAP_SIZE / SIZE
    centre = landmarks * (HEATMAP_SIZE / SIZE)
    scale = -0.5 / HEATMAP_SIGMA**2
    x = np.exp(scale * (axis - centre[..., 0:1]) ** 2)
    y = np.exp(scale * (axis - centre[..., 1:2]) ** 2)
    return np.asarray(y[..., :, None] * x[..., None, :], np.float32)


@lru_cache(maxsize=1)
def _bands() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Which rows and columns belong to which of the grid's: two of (4,128) with 0 and 1; and the
    places (2,128) of rows and columns between the grid's first (0) and last (3) averages."""
    u, v = _grid_axes()
    rows, columns = (
        (np.clip(np.floor(axis), 0, GRID - 1) == np.arange(GRID)[:, None]).astype(np.float32)
        for axis in (v, u)
    )
    between = np.stack([np.clip(axis - 0.5, 0, GRID - 1) for axis in (v, u)])
    return rows, columns, between.astype(np.float32)


def _sums(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sums of bytes (n,128,128,c) over the grid's cells: (n,16,c), exact whole numbers."""
    count, _, _, channels = values.shape
    rows, columns, _ = _bands()
    # Sums of at most 16384 bytes are below 2**24: exact in float32, whatever their order.
    lines = rows @ values.reshape(count, SIZE, -1).astype(np.float32)
    cells = columns @ lines.reshape(count, GRID, SIZE, channels)
    return np.asarray(cells.reshape(count, GRID * GRID, channels), np.float64)


def conceal(
    crops: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None = None,
    *,
    keep_colour: bool = True,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Replace the inside of the minimum mask by what a generator may know of it.

    The sums over a cell are sums of integers: two images with the same cell
    averages give the same bits.

    Args:
        crops: uint8 RGB (n,128,128,3) in the aligned face space.
        valid: bool (n,128,128), False where the crop reaches beyond the crop.
        keep_colour: Whether the plane through the 4x4 colours of the inside is kept.
            If not, the inside is filled with the mean of the outside.

    Returns:
        uint8 (n,128,128,4): RGB, and 255 where the image is not known;
        float32 (n,48): the colours of the inside, channel by channel, in [-1, 1].
    """
    count = len(crops)
    inside = minimum_mask()
    known = np.broadcast_to(inside, (count, SIZE, SIZE)) if valid is None else inside & valid
    if keep_colour:
        counted = known.astype(np.uint8)
        seen_only = np.zeros_like(crops)
        for crop, mask, into in zip(crops, counted, seen_only, strict=True):
            cv2.copyTo(crop, mask, into)
        sums, sizes = _sums(seen_only), _sums(counted[..., None])
        whole = sums.sum(1, keepdims=True) / np.maximum(sizes.sum(1, keepdims=True), 1)
        cells = plane_matrix() @ np.where(sizes > 0, sums / np.maximum(sizes, 1), whole)
    else:
        outside = ~inside if valid is None else ~inside & valid
        seen = np.broadcast_to(outside, (count, SIZE, SIZE)).reshape(count, 1, -1)
        total = seen.astype(np.float64) @ crops.reshape(count, -1, 3).astype(np.float64)
        mean = total / np.maximum(seen.sum(2, keepdims=True), 1)
        cells = np.repeat(mean, GRID * GRID, axis=1)
    # The cells lie on a plane: what is spread between them is a row's part plus a column's.
    rows, columns = _bands()[2]
    first = cells[:, 0]
    down = (cells[:, GRID * (GRID - 1)] - first) / (GRID - 1)
    across = (cells[:, GRID - 1] - first) / (GRID - 1)
    lines = np.empty((count, 2, SIZE, cells.shape[2]), np.float32)
    lines[:, 0] = first[:, None] + columns[:, None] * across[:, None]
    lines[:, 1] = down[:, None]
    plane = np.stack([np.ones_like(rows), rows], axis=1) @ lines.reshape(count, 2, -1)
    fill = np.rint(plane).clip(0, 255).astype(np.uint8).reshape(crops.shape)
    unknown = inside if valid is None else inside | ~valid
    hidden = np.broadcast_to(unknown, known.shape).astype(np.uint8) * np.uint8(255)
    out = np.empty((count, SIZE, SIZE, 4), np.uint8)
    shown = ~hidden
    for i in range(count):
        cv2.copyTo(crops[i], shown[i], fill[i])
        cv2.merge([*cv2.split(fill[i]), hidden[i]], out[i])
    colours = (cells.transpose(0, 2, 1) / 127.5 - 1.0).astype(np.float32)
    return out, colours.reshape(count, -1)


def hints(colours: NDArray[np.float32], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the generator's first, linear guess is made from, beside the code.

    Args:
        colours: float32 (n,48), from `conceal`.
        landmarks: float32 (n,5,2), aligned units.

    Returns:
        float32 (n,58): the colours, then the offsets from `WIDE_TEMPLATE` / 16 of the landmarks
        where `place` takes them: pose and expression without turn, size and place.
    """
    linear, shift = _settle(landmarks)
    moved = landmarks @ linear.transpose(0, 2, 1) + shift[:, None]
    offsets = ((moved - WIDE_TEMPLATE) / 16.0).reshape(len(landmarks), -1)
    return np.concatenate([colours, offsets.astype(np.float32)], axis=1)


def place(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where the first guess, which is drawn for `WIDE_TEMPLATE`, belongs in the crop.

    Args:
        landmarks: float32 (n,5,2), aligned units.

    Returns:
        float32 (n,2,3): the similarity from the crop to the guess, both from -1 to 1.
    """
    linear, shift = _settle(landmarks)
    middle = (SIZE - 1) / 2
    offset = (shift + middle * linear.sum(2) - middle) / (SIZE / 2)
    return np.asarray(np.concatenate([linear, offset[:, :, None]], axis=2), np.float32)


def _settle(landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least-squares similarities from landmarks to `WIDE_TEMPLATE`: (n,2,2), (n,2)."""
    mean, target = landmarks.mean(1), _CENTROID
    s, t = landmarks - mean[:, None], _SPOKES
    size = np.maximum((s * s).sum((1, 2)), 1.0)
    a = (s * t).sum((1, 2)) / size
    b = (s[:, :, 0] @ t[:, 1] - s[:, :, 1] @ t[:, 0]) / size
    linear = np.empty((len(landmarks), 2, 2), a.dtype)
    linear[:, 0, 0] = linear[:, 1, 1] = a
    linear[:, 0, 1], linear[:, 1, 0] = -b, b
    return linear, target - (linear @ mean[:, :, None])[:, :, 0]
