"""A source whose frames are on a device: decoded there, or copied there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.device import Choice
from stream_anon.errors import UsageError
from stream_anon.kernels.cuda import KernelError
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.choose import Decoder, device_decoders
from stream_anon.media.device.frame import FORMATS, DeviceFrame, from_av
from stream_anon.media.device.kernels import DeviceKernels, cuda_kernels
from stream_anon.media.device.surface import from_planar
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Gap, Packet
from stream_anon.media.pixel_formats import LAYOUTS, colour_matrix

Plane = NDArray[np.uint8]

UNSPECIFIED = 2
LIMITED = 1

log = logging.getLogger(__name__)


class DeviceSource(Source):
    """Another source, its frames copied to a device as NV12 or P010.

    Frames of other formats (4:2:2, 4:4:4, opacity, 9 and more than 10 bits, grey) stay as they
    are: the pipeline takes both.

    Args:
        source: what is read; closed with this.
        kernels: of the device.
    """

    def __init__(self, source: Source, kernels: DeviceKernels) -> None:
        self._source = source
        self._kernels = kernels
        self.info: MediaInfo = source.info
        self.live = source.live

    @property
    def lost(self) -> int:  # type: ignore[override]
        """Packets that could not be decoded."""
        return self._source.lost

    @property
    def repaired(self) -> int:  # type: ignore[override]
        """Frames whose time was missing or did not grow."""
        return self._source.repaired

    @property
    def decoded_by(self) -> Mapping[int, str]:  # type: ignore[override]
        """What decoded each stream."""
        return self._source.decoded_by

    @property
    def conceals(self) -> Collection[int]:  # type: ignore[override]
        """Streams that were decoded by what does not tell of damage."""
        return self._source.conceals

    @property
    def spliced(self) -> int:  # type: ignore[override]
        """Places at which the clock ran back."""
        return self._source.spliced

    def __iter__(self) -> Iterator[Frame | Packet | Gap]:
        """Read from the beginning; see ``Source.__iter__``."""
        for item in self._source:
            yield moved(item, self._kernels) if isinstance(item, CpuFrame) else item

    def select(self, copied: Collection[int]) -> None:
        """See ``Source.select``."""
        self._source.select(copied)

    def start_digest(self) -> None:
        """See ``Source.start_digest``."""
        self._source.start_digest()

    def digest(self) -> tuple[int, str] | None:
        """See ``Source.digest``."""
        return self._source.digest()

    def close(self) -> None:
        """See ``Source.close``."""
        self._source.close()


def moved(frame: CpuFrame, kernels: DeviceKernels) -> Frame:
    """A frame on a device, or itself where its format does not go there or finds no memory."""
    if frame.layout.name not in FORMATS:
        return frame
    try:
        return from_av(
            frame.to_av(),
            kernels,
            stream=frame.stream,
            index=frame.index,
            pts=frame.pts,
            time_base=frame.time_base,
            rate=frame.rate,
            rotation=frame.rotation,
            vectors=frame.motion(),
            corrupt=frame.corrupt,
        )
    except MemoryError as error:
        # Slower, not less: the pipeline takes both.
        log.warning("no memory on the device, frame %d stays on the CPU: %s", frame.index, error)
        return frame


def uploader(kernels: DeviceKernels) -> Callable[..., Frame]:
    """What makes frames on a device out of planes in host memory, copied there once.

    It is called with planes of 4:2:0 (luma, Cb and Cr, 8 bits, limited range), AVColorSpace or
    None for no tag, and what the frame is told of itself by name. It raises MemoryError where the
    device has none.
    """
    layout = LAYOUTS["yuv420p"]

    def upload(planes: Sequence[Plane], matrix: int | None, place: dict[str, Any]) -> Frame:
        height, width = planes[0].shape
        tag = UNSPECIFIED if matrix is None else matrix
        with kernels.streams.on("upload"):
            surface = from_planar(
                kernels["maps"], planes, width, height, layout.depth, colour_matrix(tag, height),
                False, colour_matrix(tag, 0), kernels.pool,
            )  # fmt: skip
            tags = (tag, LIMITED, UNSPECIFIED, UNSPECIFIED)
            return DeviceFrame(surface, kernels, layout, tags, pooled=True, **place)

    return upload


LOSSY = {"mpegts": "MPEG-TS", "rtp": "RTP", "rtsp": "RTSP"}
"""Containers that are sent over lines which lose and change packets, or written from them."""


def on_device(
    source: Source, device: Choice, decoder: Decoder = "auto", strict: bool = False
) -> Source:
    """The source, or one whose frames are decoded on a GPU and stay there, where that was chosen.

    Args:
        source: closed with what is returned, and where an error is raised.
        device: which was chosen.
        decoder: ``video.decoder``.
        strict: damage is to end the run: what may have been lost on the way is decoded where that
            is told best, on the CPU, unless a decoder is named.

    Raises:
        UsageError: a GPU was chosen, but its kernels cannot be compiled or run here; or a decoder
            was chosen by name that is missing or needs a GPU.
    """
    try:
        if device.name == "cpu":
            if decoder in ("nvdec", "dali"):
                raise UsageError(f"video.decoder '{decoder}' decodes on a GPU: --device cuda")
            return source
        kernels = cuda_kernels()
        for name in ("faces", "maps", "covers", "rgb"):
            kernels[name]
        if isinstance(source, FileSource):
            kind, why = LOSSY.get(source.info.format.partition(",")[0]), ""
            if strict and kind is not None and decoder == "auto":
                decoder, why = "cpu", f"damage is to end the run, and {kind} may have been damaged"
            source.make_decoder = device_decoders(kernels, decoder, why=why)
    except KernelError as error:
        source.close()
        raise UsageError(f"device 'cuda' cannot be used: {error}") from error
    except UsageError:
        source.close()
        raise
    return DeviceSource(source, kernels)
