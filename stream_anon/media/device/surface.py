"""The memory of one frame on a device, and batches of frames as kernels are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.cuda import MemoryModule
from stream_anon.kernels.planes import COLOURS, GEOMETRY, PLANES, Batch, PixelFormat, fixed_matrix
from stream_anon.media.device.pool import SurfacePool
from stream_anon.media.pixel_formats import rgb_to_ycc, ycc_to_rgb

Array = NDArray[Any]

SCALER_BIAS = (0.4, 1.5, 0.4)
"""Levels of red, green and blue by which FFmpeg's scaler, which rounds down at every step, is
darker than the arithmetic says: measured on eight clips. What a detector sees should not hang on
the device."""

UNTAGGED = 6
"""SMPTE 170M, which is BT.601."""

PITCH_UNIT = 256
"""A row's bytes are a multiple of it, as decoders and encoders on cards want them."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """One frame's planes, where a module's arrays live.

    Attributes:
        planes: NV12 and P010: luma (h, pitch) and chroma ((h + 1) / 2, pitch), bytes; RGB: three
            of (h, pitch).
        width, height: in luma samples.
        format: how they lie.
        colorspace: AVColorSpace to compute with.
        shown: likewise for thumbnails: FFmpeg's scaler takes BT.601 for what has no tag.
        full: samples use the whole range.
    """

    planes: tuple[Any, ...]
    width: int
    height: int
    format: PixelFormat
    colorspace: int = 1
    full: bool = False
    shown: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of all planes."""
        return sum(int(plane.nbytes) for plane in self.planes)

    def geometry(self) -> NDArray[np.int32]:
        """Its row of ``kernels.planes``' table."""
        row = np.zeros(GEOMETRY, np.int32)
        pitches = self.planes[0].shape[1], self.planes[1].shape[1]
        row[:5] = self.width, self.height, *pitches, self.format
        return row

    def colours(self, *, thumbnail: bool = False) -> NDArray[np.int32]:
        """Its row of matrices, for crops and pastes or for thumbnails."""
        if self.format is PixelFormat.RGB:
            return np.zeros(COLOURS, np.int32)
        key = self.shown if thumbnail else self.colorspace, self.full, self.format.depth
        to_rgb = ycc_to_rgb(*key).astype(np.float64)
        if thumbnail:
            to_rgb[:, 3] -= SCALER_BIAS
        return np.concatenate([fixed_matrix(to_rgb), fixed_matrix(rgb_to_ycc(*key))])


def pitch_of(samples: int, sample_bytes: int) -> int:
    """Bytes of a row of so many samples."""
    return -(-samples * sample_bytes // PITCH_UNIT) * PITCH_UNIT


def batch_of(
    module: MemoryModule, surfaces: Sequence[Surface], *, thumbnail: bool = False
) -> Batch:
    """Tables of several frames, with the colours for crops and pastes or for thumbnails.

    The surfaces must outlive what is launched on them.
    """
    addresses = np.zeros((len(surfaces), PLANES), np.uint64)
    for row, surface in zip(addresses, surfaces, strict=True):
        row[: len(surface.planes)] = [module.address(plane) for plane in surface.planes]
    return Batch(
        module.put(addresses),
        module.put(np.stack([surface.geometry() for surface in surfaces])),
        module.put(np.stack([surface.colours(thumbnail=thumbnail) for surface in surfaces])),
        len(surfaces),
    )


def from_planar(
    module: MemoryModule,
    planes: Sequence[Array],
    width: int,
    height: int,
    depth: int,
    colorspace: int,
    full: bool,
    shown: int = UNTAGGED,
    pool: SurfacePool | None = None,
) -> Surface:
    """Planar 4:2:0 of 8 or 10 bits, repacked as NV12 or P010.

    Args:
        module: where it goes.
        planes: luma, Cb and Cr as (h, w) arrays, uint8 or uint16.
        width, height: in luma samples.
        depth: 8 or 10.
        colorspace, full, shown: as of ``Surface``.
        pool: where its memory is from; None allocates.
    """
    kind = np.dtype("u1" if depth == 8 else "<u2")
    shift = 0 if depth == 8 else 16 - depth
    small = (height + 1) // 2, (width + 1) // 2
    luma = _rows(module, height, width, kind)
    luma[:, :width] = planes[0] << shift if shift else planes[0]
    chroma = _rows(module, small[0], 2 * small[1], kind)
    for k, plane in enumerate(planes[1:3]):
        chroma[:, k : 2 * small[1] : 2] = plane << shift if shift else plane
    made = []
    for plane in (luma.view(np.uint8), chroma.view(np.uint8)):
        if pool is None:
            made.append(module.put(plane))
            continue
        made.append(pool.plane(*plane.shape))
        module.write(made[-1], plane)
    return Surface(
        tuple(made),
        width,
        height,
        PixelFormat.NV12 if depth == 8 else PixelFormat.P010,
        colorspace,
        full,
        shown,
    )


def _rows(module: MemoryModule, height: int, samples: int, kind: np.dtype[Any]) -> Array:
    return module.host((height, pitch_of(samples, kind.itemsize) // kind.itemsize), kind)


def to_planar(surface: Surface, planes: Sequence[Array]) -> list[Array]:
    """Luma, Cb and Cr, (h, w) each, uint8 or uint16: what ``from_planar`` took.

    Args:
        surface: whose they are.
        planes: its planes in the host's memory.
    """
    kind = np.dtype("u1" if surface.format is PixelFormat.NV12 else "<u2")
    shift = 0 if surface.format is PixelFormat.NV12 else 6
    luma, chroma = (plane.view(kind) for plane in planes)
    wide = 2 * ((surface.width + 1) // 2)
    found = [luma[:, : surface.width], chroma[:, 0:wide:2], chroma[:, 1:wide:2]]
    return [plane >> shift if shift else plane for plane in found]
