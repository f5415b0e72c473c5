"""What a decoder on the device left there, as surfaces of our own: out of its memory, as NV12."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream_anon.kernels.planes import PixelFormat
from stream_anon.kernels.rgb import chroma_weights
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.surface import UNTAGGED, Surface, batch_of, pitch_of


@dataclass(slots=True)
class Decoded:
    """A frame that somebody else than FFmpeg decoded; what ``StreamDecoder`` asks of one.

    Attributes:
        surface: its planes, of the device's pool.
        pts, duration, opaque, key_frame: of the packet that it came of.
        is_corrupt: it is damaged.
        pict_type: not known.
    """

    surface: Surface
    pts: int | None
    duration: int
    opaque: Any
    key_frame: bool
    is_corrupt: bool = False
    pict_type: int = 0

    @property
    def width(self) -> int:
        """In luma samples."""
        return self.surface.width

    @property
    def height(self) -> int:
        """Likewise."""
        return self.surface.height


@dataclass(slots=True)
class Redone:
    """A frame that FFmpeg decoded in the place of somebody else.

    Attributes:
        frame: ``av.VideoFrame``.
        is_corrupt: it is damaged, or comes after what is.
    """

    frame: Any
    is_corrupt: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.frame, name)


def from_semi_planar(
    kernels: DeviceKernels,
    planes: Sequence[Any],
    width: int,
    height: int,
    depth: int,
    colorspace: int,
    full: bool,
    shown: int = UNTAGGED,
) -> Surface:
    """NV12 or P010 that a decoder left on the device, copied out of the decoder's own surfaces.

    Args:
        kernels: of the device.
        planes: luma (h, w) and chroma (h / 2, w / 2, 2) by DLPack, uint8 or uint16.
        width, height: in luma samples, even.
        depth, colorspace, full, shown: as of ``surface.from_planar``.

    Raises:
        MemoryError: the device has none.
    """
    module, streams = kernels["maps"], kernels.streams
    kind = np.dtype("u1" if depth == 8 else "<u2")
    pitch = pitch_of(width, kind.itemsize)
    own = []
    with streams.on("upload"):
        for plane, rows in zip(planes, (height, height // 2), strict=True):
            memory = kernels.pool.plane(rows, pitch)
            module.copy(memory.view(kind)[:, :width], module.shared(plane).reshape(rows, width))
            own.append(memory)
        copied = streams.record()
    # The decoder takes its surface back with the frame, whatever still reads it.
    streams.finish(copied)
    known = PixelFormat.NV12 if depth == 8 else PixelFormat.P010
    return Surface(tuple(own), width, height, known, colorspace, full, shown)


def from_rgb(
    kernels: DeviceKernels, sequence: Any, colorspace: int, shown: int = UNTAGGED
) -> list[Surface]:
    """Frames that a decoder made RGB of by BT.601, as the NV12 that they were.

    Args:
        kernels: of the device.
        sequence: (n, h, w, 3) uint8 by DLPack, contiguous, of even sizes; it may be written over
            once this returns.
        colorspace, shown: as of ``Surface``: what the samples mean, whatever DALI took them for.

    Raises:
        MemoryError: the device has none.
    """
    module, streams = kernels["rgb"], kernels.streams
    with streams.on("upload"):
        rgb = module.shared(sequence)
        count, height, width = (int(side) for side in rgb.shape[:3])
        pitch = pitch_of(width, 1)
        surfaces = [
            Surface(
                (kernels.pool.plane(height, pitch), kernels.pool.plane(height // 2, pitch)),
                width,
                height,
                PixelFormat.NV12,
                UNTAGGED,
            )
            for _ in range(count)
        ]
        (weights,) = kernels.table(("rgb", "chroma"), lambda: (chroma_weights(),), "rgb")
        batch = batch_of(module, surfaces)
        means = module.zeros((count, 2, height // 2, width // 2), np.int32)
        frames = np.int32(count), np.int32(width), np.int32(height)
        quarter = count * (height // 2) * (width // 2)
        module.launch(
            "rgb_luma", quarter, rgb, batch.addresses, batch.geometry, batch.colours, *frames,
            means,
        )  # fmt: skip
        module.launch(
            "rgb_chroma", 2 * quarter, means, batch.addresses, batch.geometry, *frames, weights,
            np.int32(len(weights)),
        )  # fmt: skip
        done = streams.record()
    streams.finish(done)
    return [replace(one, colorspace=colorspace, shown=shown) for one in surfaces]
