"""Random frames and faces for kernels and their twins."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from stream_anon.kernels.cuda import Module
from stream_anon.kernels.planes import PixelFormat
from stream_anon.media.device.surface import Surface, from_planar

EXTENT = 128.0


def planar(width: int, height: int, depth: int, seed: int) -> list[np.ndarray]:
    """Independent random samples of the whole range."""
    rng = np.random.default_rng(seed)
    small = (height + 1) // 2, (width + 1) // 2
    kind = np.uint8 if depth == 8 else np.uint16
    return [
        rng.integers(0, 1 << depth, shape).astype(kind) for shape in ((height, width), small, small)
    ]


def surface(module: Module, width: int, height: int, format_: PixelFormat, seed: int) -> Surface:
    """A frame of noise on a module's device."""
    if format_ is PixelFormat.RGB:
        rng = np.random.default_rng(seed)
        planes = [rng.integers(0, 256, (height, width + 3)).astype(np.uint8) for _ in range(3)]
        return Surface(tuple(module.put(p) for p in planes), width, height, format_)
    matrix, full = ((1, False), (6, True), (9, False))[seed % 3]
    values = planar(width, height, format_.depth, seed)
    return from_planar(module, values, width, height, format_.depth, matrix, full)


def transform(x: float, y: float, side: float, angle: float = 0.0) -> np.ndarray:
    """(2, 3): a square of ``side`` pixels about (x, y), turned, onto the aligned face space."""
    scale = EXTENT / side
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[c, -s], [s, c]])
    middle = np.array([EXTENT / 2 - 0.5, EXTENT / 2 - 0.5])
    return np.hstack([linear, (middle - linear @ np.array([x, y]))[:, None]])


squares = st.builds(
    transform,
    x=st.floats(-60, 140),
    y=st.floats(-60, 120),
    side=st.floats(1, 260),
    angle=st.floats(-math.pi, math.pi),
)
"""Faces of one pixel and of more than the frame, inside it, over its border and beyond."""
