"""Faces out of frames and back into them: twin of ``faces.cu``, bit for bit.

The functions have the kernels' names and arguments, so that ``TwinModule`` can stand where a
compiled module stands. What a plan is, is told in the source; ``media/device/plans.py`` makes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.planes import (
    COLOURS,
    FORMAT,
    HEIGHT,
    TO_RGB,
    TO_YCC,
    WIDTH,
    Addresses,
    Ints,
    Longs,
    PixelFormat,
    levels,
    mixed,
    samples,
)

X0, Y0, NX, NY, SX, SY, A, B, C, D, E, F = range(12)
PLAN = 12
OF_FRAME, LEFT, TOP, RIGHT, BOTTOM = range(5)
PATCH = 5
TILE = 16
"""Luma samples along the side of a tile; as in the source."""
BLOCKS = (TILE // 2) ** 2
"""Chroma blocks of a tile, each a thread."""

PLACE_BITS = 24
"""A place among the blocks is told in units of 2**-24."""

Bytes = NDArray[np.uint8]


def face_crop(
    planes: Addresses,
    geometry: Ints,
    colours: Ints,
    plans: Longs,
    faces: Any,
    size: Any,
    crops: Bytes,
) -> None:
    """Cut aligned squares.

    Args:
        planes, geometry, colours: of a batch of frames (``kernels.planes``).
        plans: (n, 1 + 2 * PLAN): number of the frame, plan of luma, plan of chroma.
        faces: n.
        size: side of the crops.
        crops: (n, size, size, 3) uint8 RGB, written.
    """
    for n in range(int(faces)):
        frame = int(plans[n, 0])
        rgb = geometry[frame, FORMAT] == PixelFormat.RGB
        own, shared = plans[n, 1 : 1 + PLAN], plans[n, 1 + PLAN :]
        values = np.stack(
            [
                means(levels(planes, geometry, frame, c), own if rgb or c == 0 else shared,
                      int(size), int(size), 0, nothing_outside=False)
                for c in range(3)
            ],
            axis=-1,
        )  # fmt: skip
        if not rgb:
            matrix = colours.reshape(-1, COLOURS)[frame, TO_RGB]
            values = (mixed(matrix, values, 0) + 32768) >> 16
        crops[n] = np.clip(values, 0, 255)


def face_paste(
    planes: Addresses,
    geometry: Ints,
    colours: Ints,
    plans: Longs,
    tiles: Ints,
    count: Any,
    lists: Ints,
    crops: Bytes,
    size: Any,
    masks: Bytes,
    grid: Any,
) -> None:
    """Blend crops back, in the order in which they come, where their masks say.

    Args:
        planes, geometry, colours: of a batch of frames; changed in place.
        plans: (n, PATCH + 2 * PLAN): frame, region, plan of the crop, plan of the mask.
        tiles: (t, 5) frame, x, y, begin and end in ``lists``.
        count: t.
        lists: numbers of faces, those of each tile in the order of painting.
        crops: (n, size, size, 3) uint8 RGB.
        size: side of the crops.
        masks: (n, grid, grid) uint8.
        grid: side of the masks.
    """
    for tile in tiles[: int(count)]:
        for n in lists[tile[3] : tile[4]].tolist():
            _paste_part(planes, geometry, colours, plans[n], tile, crops[n], masks[n])


def _paste_part(
    planes: Addresses,
    geometry: Ints,
    colours: Ints,
    row: Longs,
    tile: Ints,
    crop: Bytes,
    mask: Bytes,
) -> None:
    """One face in one tile."""
    frame, width, height = int(tile[0]), *(int(geometry[tile[0], i]) for i in (WIDTH, HEIGHT))
    x0, x1 = max(int(tile[1]), int(row[LEFT])), min(int(tile[1]) + TILE, int(row[RIGHT]))
    y0, y1 = max(int(tile[2]), int(row[TOP])), min(int(tile[2]) + TILE, int(row[BOTTOM]))
    # Whole blocks; the last of an odd side hangs over the edge.
    x1, y1 = min(x1, width + width % 2), min(y1, height + height % 2)
    if x0 >= x1 or y0 >= y1:
        return
    wide, high = x1 - x0, y1 - y0
    where = (x0 - int(row[LEFT]), y0 - int(row[TOP]))
    cover, news = row[PATCH + PLAN :], row[PATCH : PATCH + PLAN]
    share = means(mask.astype(np.int64), cover, wide, high, 0, nothing_outside=True, start=where)
    share[height - y0 :], share[:, width - x0 :] = 0, 0
    if not share.any():
        return
    rgb = np.stack(
        [
            means(crop[..., c].astype(np.int64), news, wide, high, 8,
                  nothing_outside=False, start=where)
            for c in range(3)
        ],
        axis=-1,
    )  # fmt: skip
    ycc = mixed(colours.reshape(-1, COLOURS)[frame, TO_YCC], rgb, 8)
    p010 = geometry[frame, FORMAT] == PixelFormat.P010
    most, shift = (1023, 6) if p010 else (255, 0)
    luma = np.clip((ycc[..., 0] + (1 << 23)) >> 24, 0, most)
    inside = np.s_[: min(high, height - y0), : min(wide, width - x0)]
    target = samples(planes, geometry, frame, 0)[y0:y1, x0:x1]
    _blend(target, luma[inside], share[inside], shift)
    largest = share.reshape(high // 2, 2, wide // 2, 2).max(axis=(1, 3))
    for c in (1, 2):
        sums = ycc[..., c].reshape(high // 2, 2, wide // 2, 2).sum(axis=(1, 3))
        fresh = np.clip((sums + (1 << 25)) >> 26, 0, most)
        target = samples(planes, geometry, frame, c)[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        _blend(target, fresh, largest, shift)


def _blend(target: NDArray[Any], fresh: Longs, share: Longs, shift: int) -> None:
    old = target.astype(np.int64) >> shift
    out = (share * fresh + (255 - share) * old + 127) // 255 << shift
    # Samples that no mask reaches keep every bit, also those below the depth.
    np.copyto(target, out.astype(target.dtype), where=share > 0)


def means(
    plane: Longs,
    plan: Longs,
    width: int,
    height: int,
    bits: int,
    *,
    nothing_outside: bool,
    start: tuple[int, int] = (0, 0),
) -> Longs:
    """A plane resampled as planned: (height, width) int64 in units of 2**-bits.

    Args:
        plane: (h, w) int64.
        plan: (PLAN,), destination to source.
        width, height: of the part of the destination.
        bits: see above.
        nothing_outside: beyond the plane is 0; otherwise its border goes on.
        start: first place of the part, x and y.
    """
    blocks = _block_sums(plane, plan, nothing_outside)
    rows, columns = blocks.shape
    i = np.arange(start[0], start[0] + width, dtype=np.int64)
    j = np.arange(start[1], start[1] + height, dtype=np.int64)[:, None]
    u = plan[A] * i + plan[B] * j + plan[C]
    v = plan[D] * i + plan[E] * j + plan[F]
    x, y = u >> 24, v >> 24
    wx, wy = (u >> 16) & 255, (v >> 16) & 255
    total = np.zeros((height, width), np.int64)
    for down, weight_y in ((0, 256 - wy), (1, wy)):
        for across, weight_x in ((0, 256 - wx), (1, wx)):
            weight = weight_y * weight_x
            if nothing_outside:
                ok = (x + across >= 0) & (x + across < columns)
                ok &= (y + down >= 0) & (y + down < rows)
                weight = weight * ok
            at = np.clip(y + down, 0, rows - 1), np.clip(x + across, 0, columns - 1)
            total += weight * blocks[at]
    unit = int(plan[SX] * plan[SY]) << (16 - bits)
    return np.asarray((total + unit // 2) // unit, np.int64)


def _block_sums(plane: Longs, plan: Longs, nothing_outside: bool) -> Longs:
    height, width = plane.shape
    nx, ny, sx, sy = (int(plan[k]) for k in (NX, NY, SX, SY))
    x = int(plan[X0]) + np.arange(nx * sx)
    y = int(plan[Y0]) + np.arange(ny * sy)
    part = plane[np.minimum(y, height - 1)[:, None], np.minimum(x, width - 1)]
    if nothing_outside:
        part = part * ((y < height)[:, None] & (x < width))
    sums: Longs = part.reshape(ny, sy, nx, sx).sum(axis=(1, 3))
    return sums
