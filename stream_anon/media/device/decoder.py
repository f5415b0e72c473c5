"""One video stream's packets in, its frames on a device out: as on the CPU, but for who decodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream_anon.errors import FrameFault
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.frame import FORMATS as CARRIED
from stream_anon.media.device.frame import DeviceFrame, from_av
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.surface import Surface, from_semi_planar
from stream_anon.media.frame import Frame
from stream_anon.media.input.decoder import StreamDecoder
from stream_anon.media.input.info import StreamInfo
from stream_anon.media.pixel_formats import LAYOUTS, colour_matrix, is_full

_TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")
_UNKNOWN = (2, 0, 2, 2)
_DEPTHS = {"nv12": 8, "p010le": 10}


@dataclass(slots=True)
class Decoded:
    """A frame that somebody else than FFmpeg decoded; what ``StreamDecoder`` asks of one.

    Attributes:
        surface: its planes.
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

    @property
    def decoded_by(self) -> str:
        """What decoded, in words."""
        return str(self._context.described)

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
        tags = (colour.matrix, colour.range, colour.primaries, colour.transfer)
        if isinstance(av_frame, Decoded):
            return DeviceFrame(av_frame.surface, self._kernels, layout, tags, **place)
        if _stored(av_frame) not in _DEPTHS:
            frame = super()._made(av_frame, place)
            if not isinstance(frame, CpuFrame) or frame.layout.name not in CARRIED:
                return frame
            return from_av(frame.to_av(), self._kernels, **place)
        # What the frame does not tell, the container may have told.
        found = [int(getattr(av_frame, tag)) for tag in _TAGS]
        tags = tuple(
            own if own != unknown else known
            for own, unknown, known in zip(found, _UNKNOWN, tags, strict=True)
        )
        surface = from_semi_planar(
            self._kernels["maps"],
            av_frame.planes,
            av_frame.width,
            av_frame.height,
            layout.depth,
            colour_matrix(tags[0], av_frame.height),
            is_full(layout, tags[1]),
            colour_matrix(tags[0], 0),
        )
        return DeviceFrame(surface, self._kernels, layout, tags, **place)


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
