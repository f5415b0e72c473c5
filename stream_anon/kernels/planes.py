"""Frames as the kernels are told of them, and the reading of a plane: twin of ``common.cuh``.

A batch of frames is three arrays: addresses (f, 3) uint64, geometry (f, 8) int32 and colours
(f, 24) int32. An address is that of a plane's first byte, wherever the module's arrays live;
whoever makes the table keeps the planes alive.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Addresses = NDArray[np.uint64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

PLANES = 3
WIDTH, HEIGHT, PITCH, CHROMA_PITCH, FORMAT = range(5)
GEOMETRY = 8
TO_RGB, TO_YCC, COLOURS = slice(0, 12), slice(12, 24), 24

ONE = 1 << 16
"""Units of a colour matrix."""


class PixelFormat(IntEnum):
    """How a frame lies in memory."""

    NV12 = 0
    """8 bits: a plane of luma, a plane of Cb and Cr in turn for every 2 x 2 samples of it."""
    P010 = 1
    """The same in the upper 10 of 16 bits."""
    RGB = 2
    """8 bits, a plane for each colour."""

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return 10 if self is PixelFormat.P010 else 8


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames where the kernels can read them.

    Attributes:
        addresses, geometry, colours: see above, where the module's arrays live.
        count: frames.
    """

    addresses: Any
    geometry: Any
    colours: Any
    count: int


def fixed_matrix(matrix: NDArray[np.floating]) -> Ints:
    """A (3, 4) colour matrix as 12 numbers in units of 1 / 65536."""
    return np.rint(np.asarray(matrix, np.float64) * ONE).astype(np.int32).ravel()


def samples(addresses: Addresses, geometry: Ints, frame: int, component: int) -> NDArray[Any]:
    """A writable view (h, w) of one component of a frame in host memory; uint16 for P010."""
    row = geometry[frame]
    wide = row[FORMAT] == PixelFormat.P010
    kind = np.dtype("<u2" if wide else "u1")
    if component == 0 or row[FORMAT] == PixelFormat.RGB:
        plane, height, width, pitch = component, row[HEIGHT], row[WIDTH], row[PITCH]
        across = slice(0, int(width))
    else:
        plane, pitch = 1, row[CHROMA_PITCH]
        height, width = (row[HEIGHT] + 1) // 2, (row[WIDTH] + 1) // 2
        across = slice(component - 1, 2 * int(width), 2)
    size = int(height) * int(pitch)
    memory = (ctypes.c_uint8 * size).from_address(int(addresses[frame, plane]))
    rows: NDArray[np.uint8] = np.ctypeslib.as_array(memory).reshape(int(height), int(pitch))
    whole: NDArray[Any] = rows[:, : int(pitch) // kind.itemsize * kind.itemsize].view(kind)
    return whole[:, across]


def levels(addresses: Addresses, geometry: Ints, frame: int, component: int) -> Longs:
    """A copy of one component as (h, w) int64 levels of the frame's depth."""
    found = samples(addresses, geometry, frame, component).astype(np.int64)
    return found >> 6 if geometry[frame, FORMAT] == PixelFormat.P010 else found


def mixed(matrix: Ints, values: Longs, bits: int) -> Longs:
    """A colour matrix (12,) times (..., 3) values in units of 2**-bits; out: 2**-(16 + bits)."""
    table = matrix.astype(np.int64).reshape(3, 4)
    out: Longs = values @ table[:, :3].T + (table[:, 3] << bits)
    return out
