"""Small pictures of whole frames: twin of ``maps.cu``, bit for bit, and the weights it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.planes import (
    COLOURS,
    FORMAT,
    ONE,
    TO_RGB,
    Addresses,
    Ints,
    Longs,
    PixelFormat,
    levels,
    mixed,
    samples,
)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """From which source samples each destination sample is made.

    Attributes:
        first: (d,) int32, the first of them.
        weights: (d, taps) int32 of sum 65536.
    """

    first: Ints
    weights: Ints

    @property
    def taps(self) -> int:
        """Source samples of each destination sample."""
        return int(self.weights.shape[1])


@lru_cache(maxsize=64)
def axis(source: int, wanted: int) -> Axis:
    """Means over areas where samples become fewer, straight lines between them otherwise.

    Args:
        source, wanted: samples, at least 1 each.
    """
    edges = np.arange(wanted + 1, dtype=np.int64) * source
    if wanted <= source:
        # Sample s covers s to s + 1, which is wanted * s to wanted * (s + 1) in these units.
        first = edges[:-1] // wanted
        taps = int((-(-edges[1:] // wanted) - first).max())
        first = np.minimum(first, source - taps)
        at = first[:, None] + np.arange(taps)
        low = np.maximum(at * wanted, edges[:-1, None])
        high = np.minimum((at + 1) * wanted, edges[1:, None])
        share = np.maximum(high - low, 0) / source
    else:
        place = np.clip((np.arange(wanted) + 0.5) * source / wanted - 0.5, 0.0, source - 1.0)
        taps = min(2, source)
        first = np.minimum(np.floor(place).astype(np.int64), source - taps)
        share = 1.0 - np.abs(first[:, None] + np.arange(taps) - place[:, None])
    # Sums are rounded, not weights: so they add up, and none is below 0.
    ends = np.rint(np.cumsum(share, axis=1) * ONE).astype(np.int64)
    ends[:, -1] = ONE
    weights = np.diff(ends, axis=1, prepend=0)
    return Axis(first.astype(np.int32), np.ascontiguousarray(weights, np.int32))


def thumbnail_axes(width: int, height: int, to_width: int, to_height: int) -> tuple[Axis, ...]:
    """Across luma, down luma, across chroma, down chroma of a frame.

    Two neighbours share their colour, as FFmpeg's scaler has it for RGB: what a detector sees
    should not hang on the device.
    """
    small = (width + 1) // 2, (height + 1) // 2
    paired = axis(small[0], (to_width + 1) // 2)
    across = Axis(*(np.repeat(p, 2, axis=0)[:to_width] for p in (paired.first, paired.weights)))
    return axis(width, to_width), axis(height, to_height), across, axis(small[1], to_height)


def joined(*axes: Axis) -> tuple[Ints, ...]:
    """Firsts, weights and taps of axes, one after the other, as kernels are given them."""
    return (
        np.concatenate([one.first for one in axes]),
        np.concatenate([one.weights.ravel() for one in axes]),
        np.array([one.taps for one in axes], np.int32),
    )


def map_thumbnail(
    planes: Addresses,
    geometry: Ints,
    colours: Ints,
    count: Any,
    width: Any,
    height: Any,
    firsts: Ints,
    weights: Ints,
    taps: Ints,
    out: Bytes,
) -> None:
    """Scale frames of one size to (count, height, width, 3) BGR.

    Args:
        planes, geometry, colours: of a batch of frames.
        count, width, height: of ``out``.
        firsts, weights, taps: of the four axes of ``thumbnail_axes``, one after the other.
        out: written.
    """
    axes, at, place = [], 0, 0
    for length, number in zip((width, height) * 2, taps.tolist(), strict=True):
        part = weights[at : at + int(length) * number].reshape(int(length), number)
        axes.append(Axis(firsts[place : place + int(length)], part))
        at, place = at + part.size, place + int(length)
    for frame in range(int(count)):
        rgb = geometry[frame, FORMAT] == PixelFormat.RGB
        values = np.stack(
            [
                _weighted(
                    levels(planes, geometry, frame, c), *(axes[:2] if rgb or c == 0 else axes[2:])
                )
                for c in range(3)
            ],
            axis=-1,
        )
        values = (values + (1 << 23)) >> 24
        if rgb:
            found = values << 16
        else:
            found = mixed(colours.reshape(-1, COLOURS)[frame, TO_RGB], values, 8)
        out[frame] = np.clip((found + (1 << 23)) >> 24, 0, 255)[..., ::-1]


def _weighted(plane: Longs, across: Axis, down: Axis) -> Longs:
    rows = np.zeros((len(down.first), plane.shape[1]), np.int64)
    for k in range(down.taps):
        rows += down.weights[:, k, None].astype(np.int64) * plane[down.first + k]
    out = np.zeros((len(rows), len(across.first)), np.int64)
    for k in range(across.taps):
        out += across.weights[:, k].astype(np.int64) * rows[:, across.first + k]
    return out


def map_luma(
    planes: Addresses, geometry: Ints, count: Any, step: Any, width: Any, height: Any, out: Bytes
) -> None:
    """Every ``step``-th luma sample of every ``step``-th row, 8 bit: ``out`` (count, h, w)."""
    for frame in range(int(count)):
        shift = 8 if geometry[frame, FORMAT] == PixelFormat.P010 else 0
        out[frame] = samples(planes, geometry, frame, 0)[::step, ::step] >> shift


def map_change(
    luma: Bytes, last: Bytes, count: Any, width: Any, height: Any, blurred: Bytes, change: Bytes
) -> None:
    """Luma blurred by 3 x 3 (borders mirrored), and how far it has changed.

    Args:
        luma: (count, height, width).
        last: (height, width), the frame before the first.
        count, width, height: see above.
        blurred, change: of luma's shape, written.
    """
    before = _mean_of_nine(last)
    for frame in range(int(count)):
        now = _mean_of_nine(luma[frame])
        blurred[frame] = now
        change[frame] = np.abs(now - before)
        before = now


def _mean_of_nine(plane: Bytes) -> NDArray[np.int32]:
    height, width = plane.shape
    # One row or column has no neighbour to mirror.
    wide = np.pad(plane.astype(np.int32), ((1, 1), (0, 0)), "reflect" if height > 1 else "edge")
    wide = np.pad(wide, ((0, 0), (1, 1)), "reflect" if width > 1 else "edge")
    sums = sum(wide[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return np.asarray((2 * sums + 9) // 18, np.int32)


def map_cells(
    luma: Bytes,
    count: Any,
    columns: Any,
    rows: Any,
    width: Any,
    height: Any,
    first_x: Ints,
    weight_x: Ints,
    taps_x: Any,
    first_y: Ints,
    weight_y: Ints,
    taps_y: Any,
    out: Bytes,
) -> None:
    """Luma (count, rows, columns) scaled to ``out`` (count, height, width), rounded."""
    across, down = Axis(first_x, weight_x), Axis(first_y, weight_y)
    for frame in range(int(count)):
        sums = _weighted(luma[frame].astype(np.int64), across, down)
        out[frame] = np.clip((sums + (1 << 31)) >> 32, 0, 255)
