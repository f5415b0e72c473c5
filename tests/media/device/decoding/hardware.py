"""What stands for NVDEC and for DALI where there is none.

``Surfaces`` gives frames in NV12 or P010, by DLPack, from the CPU; ``StandIn`` takes files in
memory and gives sequences of RGB, colours drawn out as DALI does it.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from stream_anon.media.device.dali import SEQUENCE, DaliContext
from stream_anon.media.device.decoder import DeviceDecoder, GopDecoder
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.nvdec import FORMATS, NvdecContext
from stream_anon.media.input.decoder import COPY_OPAQUE
from stream_anon.media.input.info import StreamInfo
from stream_anon.media.input.source import FileSource
from stream_anon.media.pixel_formats import LAYOUTS, plane_view
from tests.kernels.test_rgb import drawn
from tests.media.device.lazy import POISON


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

    @property
    def flags(self) -> int:
        return int(self._context.flags)

    @flags.setter
    def flags(self, flags: int) -> None:
        self._context.flags = flags

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
        pitch = -(-frame.width // 256) * 256
        wide = [np.zeros((len(rows), pitch), luma.dtype) for rows in (luma, chroma[0])]
        wide[0][:, : frame.width] = luma
        for n, plane in enumerate(chroma):
            wide[1][:, n : frame.width : 2] = plane
        out = av.VideoFrame.from_dlpack(
            [rows[:, : frame.width] for rows in wide],
            format="nv12" if layout.depth == 8 else "p010le",
        )
        for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(out, tag, getattr(frame, tag))
        shown = Shown(out, frame)
        # A surface goes back to the decoder with its frame, who decodes into it at once.
        weakref.finalize(shown, _reuse, wide)
        return shown


def _reuse(memory: list[np.ndarray]) -> None:
    for plane in memory:
        plane.view(np.uint8)[...] = POISON


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


class Sequence:
    """RGB (n, h, w, 3) as a DALI tensor."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def __dlpack__(self, **given: Any) -> Any:
        return self._array.__dlpack__(**given)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class StandIn:
    """For ``media.device.dali.Pipeline``: FFmpeg decodes, and makes RGB as DALI does."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def run(self, data: bytes, count: int) -> Iterator[Sequence]:
        frames = []
        with av.open(io.BytesIO(data)) as container:
            assert container.format.name.startswith("matroska")
            for frame in container.decode(video=0):
                layout = LAYOUTS[frame.format.name]
                frames.append(drawn([plane_view(frame, layout, n) for n in range(3)]))
        if len(frames) != count:
            raise RuntimeError(f"{len(frames)} frames came of {count} packets")
        # One memory for all sequences, as DALI has it.
        memory = np.empty((SEQUENCE, *frames[0].shape), np.uint8)
        for at in range(0, count, SEQUENCE):
            part = frames[at : at + SEQUENCE]
            memory[: len(part)] = part
            yield Sequence(memory[: len(part)])


def dali_source(
    path: str | Path, kernels: DeviceKernels, make: Callable[..., Any] = DaliContext,
    **options: Any,
) -> FileSource:  # fmt: skip
    """A file decoded by DALI, or by what stands for it."""
    source = FileSource(path, **options)

    def decoder(stream: Any, info: StreamInfo, name: str, **given: Any) -> GopDecoder:
        context = make(stream, info.video, kernels, "cpu")
        return GopDecoder(stream, info, name, context=context, kernels=kernels, **given)

    source.make_decoder = decoder
    return source


def planes(frame: Any) -> list[np.ndarray]:
    """Samples of a frame, as it goes to an encoder."""
    shown = frame.to_av()
    layout = LAYOUTS[shown.format.name]
    return [plane_view(shown, layout, n).copy() for n in range(layout.planes)]
