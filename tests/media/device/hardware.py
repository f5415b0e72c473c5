"""What stands for NVDEC where there is none: frames in NV12 or P010, by DLPack, from the CPU."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from stream_anon.media.device.decoder import DeviceDecoder
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.nvdec import FORMATS, NvdecContext
from stream_anon.media.input.decoder import COPY_OPAQUE
from stream_anon.media.input.info import StreamInfo
from stream_anon.media.input.source import FileSource
from stream_anon.media.pixel_formats import LAYOUTS, plane_view


class Surfaces:
    """A decoder like ``open_nvdec``'s, whose surfaces lie in host memory.

    Args:
        stream: ``av.VideoStream``.
        fails: numbers of packets, from 1, at which it raises ``error``.
        error: what it raises.
        planar: hand out frames in the format of the CPU, as FFmpeg does where NVDEC does not
            know a profile.
        delay: frames that it holds back beyond what the stream's order needs, as hardware does.
    """

    def __init__(
        self, stream: Any, *, fails: Collection[int] = (), error: Exception | None = None,
        planar: bool = False, delay: int = 0,
    ) -> None:  # fmt: skip
        own = stream.codec_context
        self._context = av.CodecContext.create(own.codec.name, "r")
        self._context.extradata = own.extradata
        self._context.flags |= COPY_OPAQUE
        self._context.thread_count = 1
        self.codec, self.name, self.extradata = own.codec, self._context.name, own.extradata
        self._fails, self._error = fails, error or av.ExternalError(1, "CUDA_ERROR_UNKNOWN")
        self._planar, self._delay = planar, delay
        self._held: list[Any] = []
        self._count = 0

    def decode(self, packet: Any) -> list[Any]:
        self._count += 1
        if self._count in self._fails:
            raise self._error
        self._held += [self._moved(frame) for frame in self._context.decode(packet)]
        keep = 0 if packet is None else self._delay
        ready = self._held[: len(self._held) - keep]
        del self._held[: len(ready)]
        return ready

    def flush_buffers(self) -> None:
        self._context.flush_buffers()

    def _moved(self, frame: Any) -> Any:
        if self._planar or frame.format.name not in FORMATS:
            return frame
        layout = LAYOUTS[frame.format.name]
        luma, *chroma = (plane_view(frame, layout, n) << (16 - layout.depth) % 8 for n in range(3))
        # Rows wider than the frame, as surfaces have them.
        wide = [np.zeros((len(rows), 256), luma.dtype) for rows in (luma, chroma[0])]
        wide[0][:, : frame.width] = luma
        for n, plane in enumerate(chroma):
            wide[1][:, n : frame.width : 2] = plane
        out = av.VideoFrame.from_dlpack(
            [rows[:, : frame.width] for rows in wide],
            format="nv12" if layout.depth == 8 else "p010le",
        )
        for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(out, tag, getattr(frame, tag))
        return Shown(out, frame)


class Shown:
    """A converted frame, with what the conversion leaves out."""

    def __init__(self, converted: Any, decoded: Any) -> None:
        self._converted, self._decoded = converted, decoded

    def __getattr__(self, name: str) -> Any:
        kept = ("opaque", "pts", "duration", "key_frame", "is_corrupt", "pict_type", "side_data")
        return getattr(self._decoded if name in kept else self._converted, name)


def nvdec_source(
    path: str | Path, kernels: DeviceKernels,
    open_: Callable[[Any], Any] = Surfaces, **options: Any,
) -> FileSource:  # fmt: skip
    """A file decoded by what stands for NVDEC."""
    source = FileSource(path, **options)

    def make(stream: Any, info: StreamInfo, name: str, **given: Any) -> DeviceDecoder:
        assert info.video is not None
        context = NvdecContext(stream, info.video, open_)
        return DeviceDecoder(stream, info, name, context=context, kernels=kernels, **given)

    source.make_decoder = make
    return source


failing = partial(Surfaces, fails=(8,))
