"""RGB that a decoder made out of 4:2:0, back as NV12: twin of ``rgb.cu``, bit for bit.

DALI hands out nothing but RGB, by BT.601 whatever the tags say, and draws chroma between its
samples as straight lines (nvidia/dali, ``operators/video/color_space.cu``). What is undone here is
exact but for rounding, and but for colours that RGB does not hold, which DALI cut off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.planes import (
    COLOURS,
    ONE,
    TO_YCC,
    Addresses,
    Ints,
    Longs,
    mixed,
    samples,
)

RADIUS = 4
"""Samples on either side from which a chroma sample is made; what is left out is below 0.001."""


@lru_cache(maxsize=1)
def chroma_weights() -> Ints:
    """(2 * RADIUS + 1,) int32 of sum 65536: the inverse of (1, 6, 1) / 8.

    Its response has a pole at ``2 * sqrt(2) - 3``, on both sides (Unser, Aldroubi and Eden 1993,
    B-spline signal processing, part I, section II-C, with other numbers).
    """
    pole = 2.0 * np.sqrt(2.0) - 3.0
    exact = pole ** np.abs(np.arange(-RADIUS, RADIUS + 1))
    found = np.rint(exact / exact.sum() * ONE).astype(np.int32)
    found[RADIUS] += ONE - found.sum()
    return np.asarray(found, np.int32)


def rgb_luma(
    rgb: NDArray[np.uint8],
    planes: Addresses,
    geometry: Ints,
    colours: Ints,
    count: Any,
    width: Any,
    height: Any,
    means: Ints,
) -> None:
    """Luma into the frames, and the mean chroma of two by two samples.

    Args:
        rgb: (count, height, width, 3); even sizes.
        planes, geometry, colours: of a batch of frames in NV12.
        count, width, height: of ``rgb``.
        means: (count, 2, height / 2, width / 2), written, in units of 1 / 256.
    """
    for frame in range(int(count)):
        matrix = colours.reshape(-1, COLOURS)[frame, TO_YCC]
        found = mixed(matrix, rgb[frame].astype(np.int64), 0)
        luma = (found[..., 0] + (1 << 15)) >> 16
        samples(planes, geometry, frame, 0)[...] = np.clip(luma, 0, 255)
        pairs = found[..., 1:].reshape(int(height) // 2, 2, int(width) // 2, 2, 2)
        sums = pairs.sum(axis=(1, 3))
        means[frame] = np.moveaxis((sums + 512) >> 10, -1, 0)


def rgb_chroma(
    means: Ints,
    planes: Addresses,
    geometry: Ints,
    count: Any,
    width: Any,
    height: Any,
    weights: Ints,
    taps: Any,
) -> None:
    """Chroma into the frames: ``means`` filtered across and down, borders mirrored.

    Args:
        means: as of ``rgb_luma``.
        planes, geometry: of the frames.
        count, width, height: of the frames.
        weights, taps: of the filter; see ``chroma_weights``.
    """
    across = _places(int(width) // 2, int(taps))
    down = _places(int(height) // 2, int(taps))
    given = means.reshape(int(count), 2, int(height) // 2, int(width) // 2).astype(np.int64)
    for frame in range(int(count)):
        for component in range(2):
            rows: Longs = given[frame, component][:, across] @ weights.astype(np.int64)
            rows = (rows + (1 << 15)) >> 16
            sums = np.einsum("ktx,t->kx", rows[down], weights.astype(np.int64))
            levels = np.clip((sums + (1 << 23)) >> 24, 0, 255)
            samples(planes, geometry, frame, component + 1)[...] = levels


def _places(length: int, taps: int) -> Longs:
    """(length, taps): which sample each weight of each sample is for."""
    at = np.arange(length)[:, None] + np.arange(taps) - taps // 2
    at %= 2 * length
    return np.asarray(np.where(at < length, at, 2 * length - 1 - at), np.int64)
