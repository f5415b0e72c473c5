"""Faces and frames of which little is left: twin of ``covers.cu``, bit for bit."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.planes import (
    FORMAT,
    Addresses,
    Ints,
    Longs,
    PixelFormat,
    levels,
    samples,
)

Bytes = NDArray[np.uint8]


def cover_cells(
    crops: Bytes, faces: Any, size: Any, cells: Ints, side: Any, out: Bytes
) -> None:
    """Squares: ``crops`` (n, size, size, 3) as means of cells[f] x cells[f] areas in ``out``."""
    for n in range(int(faces)):
        across = int(cells[n])
        weights = _shares(int(size), across)
        sums = np.einsum("yp,pqc,xq->yxc", weights, crops[n].astype(np.int64), weights)
        whole = int(size) ** 2
        small = (sums + whole // 2) // whole
        at = np.arange(int(side)) * across // int(side)
        out[n] = small[at[:, None], at]


def _shares(size: int, across: int) -> Longs:
    """(across, size): how much of each pixel lies in each cell, in parts of 1 / across."""
    cell = np.arange(across, dtype=np.int64)[:, None] * size
    pixel = np.arange(size, dtype=np.int64) * across
    shared = np.minimum(cell + size, pixel + across) - np.maximum(cell, pixel)
    return np.asarray(np.maximum(shared, 0), np.int64)


def cover_fit(crops: Bytes, faces: Any, size: Any, solve: Longs, planes: Longs) -> None:
    """Planes of colour ``planes`` (n, 3, 3): what ``solve`` (3, size * size) reads of the crops."""
    flat = crops[: int(faces)].reshape(int(faces), -1, 3).astype(np.int64)
    planes[...] = np.einsum("kp,npc->nck", solve, flat)


def cover_plane(planes: Longs, faces: Any, size: Any, out: Bytes) -> None:
    """Planes of colour (n, 3, 3) as pictures ``out`` (n, size, size, 3)."""
    side = int(size)
    along = 2 * np.arange(side, dtype=np.int64) + 1 - side
    x, y = along[None, :, None], along[:, None, None]
    for n in range(int(faces)):
        level = 2 * side * planes[n, :, 0] + x * planes[n, :, 1] + y * planes[n, :, 2]
        out[n] = np.clip((level + (side << 32)) // ((2 * side) << 32), 0, 255)


def cover_means(
    crops: Bytes, faces: Any, size: Any, kinds: Ints, cells: Any, means: Longs
) -> None:
    """Means of the soft cover's cells, ``means`` (n, cells, 3) in units of 1 / 65536."""
    for kind in range(int(cells)):
        inside = np.flatnonzero(kinds == kind)
        flat = crops[: int(faces)].reshape(int(faces), -1, 3)
        sums = flat[:, inside].astype(np.int64).sum(axis=1)
        means[:, kind] = ((sums << 16) + len(inside) // 2) // max(len(inside), 1)


def cover_shown(
    crops: Bytes,
    faces: Any,
    size: Any,
    kinds: Ints,
    cells: Any,
    means: Longs,
    tables: Ints,
    small: Ints,
    shown: Ints,
) -> None:
    """Smoothed cells where something is hidden, the crop elsewhere, in units of 1 / 256."""
    hidden = (kinds >= 0).reshape(int(size), int(size), 1)
    for n in range(int(faces)):
        weights = tables[1 if small[n] else 0].astype(np.int64)
        inside = (weights @ means[n] + (1 << 23)) >> 24
        outside = crops[n].astype(np.int64) << 8
        shown[n] = np.where(hidden, inside.reshape(outside.shape), outside)


def cover_blur(
    from_: Ints, faces: Any, size: Any, kernel: Ints, taps: Any, down: Any, to: Ints
) -> None:
    """Blurred across or down; the border goes on."""
    side, axis = int(size), 1 if down else 2
    sums = np.zeros(from_.shape, np.int64)
    for k in range(int(taps)):
        at = np.clip(np.arange(side) + k - int(taps) // 2, 0, side - 1)
        sums += int(kernel[k]) * np.take(from_, at, axis=axis).astype(np.int64)
    to[...] = (sums + 32768) >> 16


def cover_noise(
    crops: Bytes, faces: Any, size: Any, kinds: Ints, bins: Any, counts: NDArray[np.uint32]
) -> None:
    """How often each strength of fine noise is met outside: added to ``counts`` (n, bins)."""
    outside = (kinds < 0).reshape(int(size), int(size))
    ones = (1, -2, 1)
    for n in range(int(faces)):
        r, g, b = np.moveaxis(crops[n].astype(np.int64), -1, 0)
        grey = (r * 9798 + g * 19235 + b * 3735 + 16384) >> 15
        wide = np.pad(grey, 1, "reflect")
        side = int(size)
        fine = np.zeros_like(grey)
        for y, down in enumerate(ones):
            for x, across in enumerate(ones):
                fine += down * across * wide[y : y + side, x : x + side]
        found = np.minimum(np.abs(fine[outside]), int(bins) - 1)
        counts[n] += np.bincount(found, minlength=int(bins)).astype(np.uint32)


def cover_level(
    counts: NDArray[np.uint32], faces: Any, bins: Any, unit: Any, most: Any, grains: Ints
) -> None:
    """Strength of the grain, from the median of the counts."""
    for n in range(int(faces)):
        ends = np.cumsum(counts[n].astype(np.int64))
        total = int(ends[-1])
        low, high = (int(np.searchsorted(ends, k, "right")) for k in ((total - 1) // 2, total // 2))
        twice = low + high if total else 0
        grains[n] = min(max(twice * int(unit) // 2, 0), int(most))


def cover_finish(
    blurred: Ints,
    faces: Any,
    size: Any,
    grain: Ints,
    grains: Ints,
    shift_x: Any,
    shift_y: Any,
    out: Bytes,
) -> None:
    """With grain on top, as bytes."""
    tile = np.roll(grain.astype(np.int64), (int(shift_y), int(shift_x)), (0, 1))
    for n in range(int(faces)):
        more = (tile * int(grains[n])) >> 24
        out[n] = np.clip((blurred[n] + more[..., None] + 128) >> 8, 0, 255)


def cover_rows(
    planes: Addresses,
    geometry: Ints,
    count: Any,
    height: Any,
    across: Any,
    firsts: Ints,
    weights: Ints,
    taps: Ints,
    sums: Longs,
) -> None:
    """Rows of frames in blocks: ``sums`` (count, 3, height, across)."""
    for frame in range(int(count)):
        for c in range(3):
            plane = levels(planes, geometry, frame, c)
            first, weight = _axis(firsts, weights, taps, int(across), 1 if c else 0)
            for block in range(int(across)):
                part = plane[:, first[block] : first[block] + weight.shape[1]]
                sums[frame, c, : len(plane), block] = part @ weight[block, : part.shape[1]]


def cover_blocks(
    sums: Longs,
    count: Any,
    height: Any,
    across: Any,
    down: Any,
    firsts: Ints,
    weights: Ints,
    taps: Ints,
    blocks: Ints,
) -> None:
    """Levels of the blocks: ``blocks`` (count, 3, down, across)."""
    for c in range(3):
        first, weight = _axis(firsts, weights, taps, int(down), 1 if c else 0)
        for row in range(int(down)):
            part = sums[: int(count), c, first[row] : first[row] + weight.shape[1]]
            found = np.einsum("k,nkx->nx", weight[row, : part.shape[1]], part)
            blocks[: int(count), c, row] = (found + (1 << 31)) >> 32


def _axis(
    firsts: Ints, weights: Ints, taps: Ints, length: int, which: int
) -> tuple[Ints, Longs]:
    """Luma's or chroma's part of two axes that follow each other."""
    at = length * int(taps[0]) if which else 0
    number = int(taps[which])
    part = weights[at : at + length * number].reshape(length, number)
    return firsts[which * length : (which + 1) * length], part.astype(np.int64)


def cover_paint(
    planes: Addresses,
    geometry: Ints,
    count: Any,
    width: Any,
    height: Any,
    blocks: Ints,
    across: Any,
    down: Any,
) -> None:
    """Every sample of the frames takes the level of its block (count, 3, down, across)."""
    for frame in range(int(count)):
        for c in range(3):
            plane = samples(planes, geometry, frame, c)
            y = np.arange(plane.shape[0]) * int(down) // plane.shape[0]
            x = np.arange(plane.shape[1]) * int(across) // plane.shape[1]
            found = blocks[frame, c][y[:, None], x]
            shift = 6 if geometry[frame, FORMAT] == PixelFormat.P010 else 0
            plane[...] = found << shift


def cover_gather(crops: Bytes, faces: Any, values: Any, indexes: Addresses, out: Bytes) -> None:
    """Values of each crop put elsewhere in it, by an index (values,) int32 at each address."""
    size = int(values)
    for n in range(int(faces)):
        memory = (ctypes.c_int32 * size).from_address(int(indexes[n]))
        out.reshape(-1, size)[n] = crops.reshape(-1, size)[n][np.ctypeslib.as_array(memory)]
