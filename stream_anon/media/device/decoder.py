"""One video stream's packets in, its frames on a device out: as on the CPU, but for who decodes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

from stream_anon.errors import FrameFault
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.decoded import Decoded, Redone, from_semi_planar
from stream_anon.media.device.frame import FORMATS as CARRIED
from stream_anon.media.device.frame import DeviceFrame, from_av
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.leaving import TAGS
from stream_anon.media.device.surface import Surface
from stream_anon.media.frame import Frame
from stream_anon.media.input.decoder import StreamDecoder
from stream_anon.media.input.info import StreamInfo
from stream_anon.media.input.slices import CODECS, SliceCheck
from stream_anon.media.pixel_formats import LAYOUTS, Layout, colour_matrix, is_full

log = logging.getLogger(__name__)

_UNKNOWN = (2, 0, 2, 2)
_DEPTHS = {"nv12": 8, "p010le": 10}


class DeviceDecoder(StreamDecoder):
    """Decodes one stream to frames on a device.

    Time stamps, damage, splices and changes of form are those of ``StreamDecoder``. What comes
    in host memory after all is copied to the device, if its format goes there.

    Args:
        stream, info, name, counted, motion: as of ``StreamDecoder``.
        context: decodes; called like ``av.CodecContext``.
        kernels: of the device.
    """

    def __init__(
        self,
        stream: Any,
        info: StreamInfo,
        name: str,
        *,
        counted: bool,
        motion: bool,
        context: Any,
        kernels: DeviceKernels,
    ) -> None:
        super().__init__(stream, info, name, counted=counted, motion=motion, context=context)
        self._kernels = kernels
        self._slices: SliceCheck | None = None
        if info.codec in CODECS:
            self._slices = SliceCheck(info.codec, context.extradata)

    @property
    def decoded_by(self) -> str:
        """What decoded, in words."""
        return str(self._context.described)

    @property
    def on_cpu(self) -> bool:
        """The card decodes nothing, or no more."""
        return bool(self._context.on_cpu)

    @property
    def conceals(self) -> bool:
        """Frames were decoded by what shows damage inside a slice and does not tell of it."""
        return bool(self._context.conceals)

    def _is_damaged(self, packet: Any) -> bool:
        damaged = super()._is_damaged(packet)
        if self._slices is not None and not self.on_cpu:
            # The card says nothing of damage: what can be seen from outside is.
            damaged |= self._slices.is_damaged(bytes(packet))
        return damaged

    def _check(self, av_frame: Any) -> None:
        video = self._video
        av_frame = _bare(av_frame)
        decoded = isinstance(av_frame, Decoded)
        depth = None if decoded else _DEPTHS.get(_stored(av_frame))
        if not decoded and depth is None:
            super()._check(av_frame)
            return
        size = av_frame.width, av_frame.height
        if size != (video.width, video.height):
            raise FrameFault(
                f"{self._name}: frame {self._index} of stream {self._info.index} is "
                f"{size[0]}x{size[1]}, the first was {video.width}x{video.height}"
            )
        if depth is not None and depth != LAYOUTS[video.pix_fmt].depth:
            raise FrameFault(
                f"{self._name}: frame {self._index} of stream {self._info.index} has {depth} "
                f"bits, the first was in {video.coded_pix_fmt}"
            )

    def _made(self, av_frame: Any, place: dict[str, Any]) -> Frame:
        layout = LAYOUTS[self._video.pix_fmt]
        av_frame = _bare(av_frame)
        colour = self._video.colour
        tags: tuple[int, ...] = colour.matrix, colour.range, colour.primaries, colour.transfer
        if isinstance(av_frame, Decoded):
            return self._framed(av_frame.surface, layout, tags, place)
        if _stored(av_frame) not in _DEPTHS:
            return self._lifted(super()._made(av_frame, place), place)
        # What the frame does not tell, the container may have told.
        found = [int(getattr(av_frame, tag)) for tag in TAGS]
        tags = tuple(
            own if own != unknown else known
            for own, unknown, known in zip(found, _UNKNOWN, tags, strict=True)
        )
        try:
            surface = from_semi_planar(
                self._kernels,
                av_frame.planes,
                av_frame.width,
                av_frame.height,
                layout.depth,
                colour_matrix(tags[0], av_frame.height),
                is_full(layout, tags[1]),
                colour_matrix(tags[0], 0),
            )
        except MemoryError as error:
            self._warn(error)
            host = av_frame.reformat(format=layout.name)
            return CpuFrame(host, scaler=self._scaler, **place)
        return self._framed(surface, layout, tags, place)

    def _framed(
        self, surface: Surface, layout: Layout, tags: tuple[int, ...], place: dict[str, Any]
    ) -> Frame:
        kernels = self._kernels
        with kernels.streams.on("upload"):
            return DeviceFrame(surface, kernels, layout, tags, pooled=True, **place)

    def _lifted(self, frame: Frame, place: dict[str, Any]) -> Frame:
        """A frame in host memory on the device, or itself where it cannot be there."""
        if not isinstance(frame, CpuFrame) or frame.layout.name not in CARRIED:
            return frame
        try:
            return from_av(frame.to_av(), self._kernels, **place)
        except MemoryError as error:
            self._warn(error)
            return frame

    def _warn(self, error: MemoryError) -> None:
        # Slower, not less: the pipeline takes both.
        log.warning("no memory on the device, frame %d goes to the CPU: %s", self._index, error)


class GopDecoder(DeviceDecoder):
    """Decodes by what takes whole groups of pictures: frames come long after their packets."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._doubts: deque[tuple[int, int | None]] = deque()

    def _decode(self, packet: Any, suspect: bool = False) -> Iterator[Frame]:
        doubted = False
        if packet is not None:
            self._count += 1
            packet.opaque = (self._count, self._is_key(packet))
            if self._slots is not None:
                self._slots.add(packet)
            doubted = suspect | self._is_damaged(packet)
            if doubted:
                self._doubts.append((self._count, packet.pts))
        for av_frame in self._context.decode(packet, doubted):
            self._count_missed()
            number = av_frame.opaque[0] if av_frame.opaque else self._count
            while self._doubts and self._doubts[0][0] <= number:
                self._damage.begin(*self._doubts.popleft())
            yield self._frame(av_frame)
        self._count_missed()

    def _is_key(self, packet: Any) -> bool:
        # Of the others the decoder says so itself.
        return bool(packet.is_keyframe and self._context.codec.canonical_name in ("vp8", "vp9"))


def _bare(av_frame: Any) -> Any:
    return av_frame.frame if isinstance(av_frame, Redone) else av_frame


def _stored(av_frame: Any) -> str:
    """The format that a frame's samples have, wherever they lie."""
    if av_frame.format.name == "cuda":
        return str(av_frame.sw_format.name)
    return str(av_frame.format.name)
