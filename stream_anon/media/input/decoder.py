"""One video stream's packets in, its frames out: time, damage and changes of form."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream_anon.errors import FrameFault
from stream_anon.media.cpu_frame import CpuFrame, Scaler
from stream_anon.media.frame import Frame
from stream_anon.media.input import logs, mjpeg
from stream_anon.media.input.h264 import FrameNumbers
from stream_anon.media.input.info import StreamInfo, VideoInfo
from stream_anon.media.pixel_formats import LAYOUTS, colour_matrix

log = logging.getLogger(__name__)

_EXPORT_MVS = 1 << 28
_B_FRAME = 3
_LARGE = 2600 * 1500
_OWN_THREADS = ("libdav1d",)
COPY_OPAQUE = 1 << 7
_OPTIONS = {
    # Checksums that a stream carries are compared.
    "hevc": {"err_detect": "crccheck"},
    # Data that end before or after their tile are an error then, as is most damage.
    "libdav1d": {"strict": "strict"},
}
_STRICTER = {"vp9": "libvpx-vp9"}
"""Decoders that notice damage where FFmpeg's own goes on without a word."""
_DOUBTED = 3
"""Packets that are held from one on that an MPEG-TS calls corrupt. It counts its packets, and the
count breaks where something is lost as well as where recordings were joined; which of them it is,
and whether the mark belongs to this packet or the next, is told by those that follow."""
_BT709 = 1
_SMPTE170M = 6


class Timeline:
    """Gives every frame of a stream a time that grows.

    Args:
        time_base: seconds per unit.
        rate: frames a second, for streams and frames without times of their own.
        counted: the stream has no times at all: they are counted from the rate.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, counted: bool) -> None:
        self._step = 1 / (rate * time_base)
        self._counted = counted
        self._last: int | None = None
        self._count = 0
        self.repaired = 0

    def next(self, pts: int | None, duration: int) -> int:
        """The time of the next frame.

        Args:
            pts: as decoded, or None.
            duration: of the frame before it, 0 when not known; in the same unit.
        """
        if self._counted:
            pts = round(self._count * self._step)
        elif pts is None:
            self.repaired += 1
            pts = 0 if self._last is None else self._last + (duration or max(1, round(self._step)))
        elif self._last is not None and pts <= self._last:
            self.repaired += 1
            pts = self._last + 1
        self._count += 1
        self._last = pts
        return pts


class _Slots:
    """Times of frames that a container numbers in the order of storage only, as an AVI does.

    What FFmpeg guesses is wrong where frames are, or might be, reordered: it shows everything
    late, repeats times and leaves some out. The first frame shown takes the first slot, and so on.
    """

    def __init__(self) -> None:
        self._slots: deque[int] = deque()

    def add(self, packet: Any) -> None:
        """A packet, in the order of storage."""
        if packet.dts is not None:
            self._slots.append(packet.dts)

    def next(self, pts: int | None) -> int | None:
        """The time of the next frame that is shown, of which FFmpeg says ``pts``."""
        return self._slots.popleft() if self._slots else pts


class _Damage:
    """Which frames damage reaches: all from it on, up to a keyframe behind it.

    A keyframe is behind it in the order of packets, or in the order of presentation: what is
    decoded after a keyframe and shown before it is predicted from no later frame.
    """

    def __init__(self) -> None:
        self._number = -1
        self._pts: int | None = None
        self.goes_on = False

    def begin(self, number: int, pts: int | None) -> None:
        """A packet, by its number and time, is damaged or gave a damaged frame."""
        self.goes_on = True
        self._number = max(self._number, number)
        if pts is not None:
            self._pts = pts if self._pts is None else max(self._pts, pts)

    def keyframe(self, number: int | None, pts: int | None) -> None:
        """A keyframe came, out of packet ``number``."""
        later = pts is not None and self._pts is not None and pts > self._pts
        if later or (number is not None and number > self._number):
            self.goes_on = False
            self._number, self._pts = -1, None


class StreamDecoder:
    """Decodes one stream of an open container.

    Args:
        stream: ``av.VideoStream``.
        info: what was found when the file was probed; frames must stay like it.
        name: of the file, for messages.
        counted: see ``Timeline``.
        motion: export motion vectors.
        context: decodes in the place of FFmpeg's own decoder, and is called like it; None for that.
    """

    def __init__(
        self,
        stream: Any,
        info: StreamInfo,
        name: str,
        *,
        counted: bool,
        motion: bool,
        context: Any = None,
    ) -> None:
        if info.video is None:
            raise ValueError(f"stream {info.index} is no video")
        self._info = info
        self._video: VideoInfo = info.video
        self._context = software(stream, self._video, motion) if context is None else context
        self._motion = motion
        self._name = name
        self._timeline = Timeline(info.time_base, self._video.rate, counted)
        self._slots = _Slots() if stream.container.format.name == "avi" else None
        self._scaler = Scaler()
        self._converter = VideoReformatter()
        self._index = 0
        self._duration = 0
        self._since_reference = 1
        self._damage = _Damage()
        self._pending = False
        self._count = 0
        self._held: list[tuple[Any, bool, bool]] = []
        self._overheard = logs.overheard(self._context.name)
        codec = self._context.codec.canonical_name
        self._mjpeg = codec == "mjpeg"
        self._numbers = FrameNumbers(self._context.extradata) if codec == "h264" else None
        self.lost = 0
        """Packets that gave no frame because they could not be decoded."""
        self._missed = 0

    @property
    def repaired(self) -> int:
        """Frames whose time was missing or did not grow."""
        return self._timeline.repaired

    @property
    def decoded_by(self) -> str:
        """What decoded, in words."""
        return f"{self._context.codec.name} on the CPU"

    @property
    def conceals(self) -> bool:
        """Whether damage inside a slice may have been shown without a mark by what decoded."""
        return False

    @property
    def broken(self) -> bool:
        """A packet could not be decoded, and no frame has come since to carry the mark."""
        return self._pending

    def feed(self, packet: Any, damaged: bool = False, begins: bool = False) -> Iterator[Frame]:
        """Decode a packet; None drains the decoder.

        Args:
            packet: ``av.Packet``, or None.
            damaged: it is known that the packet is not as it was written.
            begins: another recording begins with the packet.

        Raises:
            FrameFault: the size or pixel format changed.
        """
        if packet is not None and (self._held or (packet.is_corrupt and not damaged)):
            self._held.append((packet, damaged, begins and packet.is_keyframe))
            if len(self._held) < _DOUBTED:
                return
        held, self._held = self._held, []
        spliced = any(new for _, _, new in held)
        for one, known, _ in held:
            yield from self._decode(one, known or (one.is_corrupt and not spliced))
        if packet is None or not held:
            yield from self._decode(packet, damaged)

    def close(self) -> None:
        """Wait for the decoder's threads, which may be about to report something."""
        self._context.flush_buffers()

    def _decode(self, packet: Any, suspect: bool = False) -> Iterator[Frame]:
        pts = None
        if packet is not None:
            self._count += 1
            packet.opaque = (self._count, self._is_key(packet))
            pts = packet.pts
            if self._slots is not None:
                self._slots.add(packet)
            suspect |= self._is_damaged(packet)
        av_frames: list[Any] = []
        with logs.captured() as lines:
            try:
                av_frames = self._context.decode(packet)
            except av.FFmpegError as error:
                log.debug("%s: stream %d: %s", self._name, self._info.index, error)
                self.lost += 1
                self._pending = suspect = True
                if self._slots is not None:
                    self._slots.next(None)
        suspect |= self._count_missed()
        heard = logs.overheard(self._context.name)
        if heard != self._overheard or any(logs.tells_damage(line) for _, _, line in lines):
            suspect = True
        self._overheard = heard
        if suspect:
            self._damage.begin(self._count, pts)
        for av_frame in av_frames:
            yield self._frame(av_frame)

    def _count_missed(self) -> bool:
        """Who stands in for FFmpeg may have lost packets and still have frames to give."""
        missed: int = getattr(self._context, "missed", 0)
        grown, self._missed = missed - self._missed, missed
        self.lost += grown
        self._pending |= grown > 0
        return grown > 0

    def _is_key(self, packet: Any) -> bool:
        """Whether a packet is a keyframe, where the decoder does not say so of its frames."""
        return self._context.codec.name == "libvpx-vp9" and _is_vp9_key(bytes(packet))

    def _is_damaged(self, packet: Any) -> bool:
        """Whether a packet shows damage that the decoder does not speak of."""
        if self._mjpeg:
            return mjpeg.is_damaged(bytes(packet))
        return self._numbers is not None and self._numbers.misses(bytes(packet))

    def _frame(self, av_frame: Any) -> Frame:
        self._check(av_frame)
        shown = av_frame.pts if self._slots is None else self._slots.next(av_frame.pts)
        pts = self._timeline.next(shown, self._duration)
        self._duration = av_frame.duration or 0
        number, key = av_frame.opaque or (None, False)
        if av_frame.is_corrupt:
            self._damage.begin(self._count if number is None else number, av_frame.pts)
        elif av_frame.key_frame or key:
            self._damage.keyframe(number, av_frame.pts)
        # Where a packet gave nothing, the next frame tells, even a keyframe.
        corrupt = self._damage.goes_on or self._pending
        self._pending = False
        vectors = self._vectors(av_frame) if self._motion else None
        place = {
            "stream": self._info.index,
            "index": self._index,
            "pts": pts,
            "time_base": self._info.time_base,
            "rate": self._video.rate,
            "rotation": self._video.rotation,
            "vectors": vectors,
            "corrupt": corrupt,
        }
        self._index += 1
        return self._made(av_frame, place)

    def _made(self, av_frame: Any, place: dict[str, Any]) -> Frame:
        """The frame; ``place`` is what it is told of itself."""
        return CpuFrame(self._convert(av_frame), scaler=self._scaler, **place)

    def _check(self, av_frame: Any) -> None:
        video = self._video
        if (av_frame.width, av_frame.height) != (video.width, video.height):
            raise FrameFault(
                f"{self._name}: frame {self._index} of stream {self._info.index} is "
                f"{av_frame.width}x{av_frame.height}, the first was {video.width}x{video.height}"
            )
        if av_frame.format.name != video.coded_pix_fmt:
            raise FrameFault(
                f"{self._name}: frame {self._index} of stream {self._info.index} is in "
                f"{av_frame.format.name}, the first was in {video.coded_pix_fmt}"
            )

    def _convert(self, av_frame: Any) -> Any:
        target = self._video.pix_fmt
        if av_frame.format.name == target and target in LAYOUTS:
            return av_frame
        if not av_frame.format.is_rgb and not av_frame.format.has_palette:
            return self._converter.reformat(
                av_frame, format=target, interpolation=Interpolation.BICUBIC, threads=1
            )
        matrix = colour_matrix(-1, av_frame.height)
        out = self._converter.reformat(
            av_frame,
            format=target,
            dst_colorspace=Colorspace.ITU709 if matrix == _BT709 else Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            threads=1,
        )
        out.colorspace = matrix
        out.color_range = int(ColorRange.MPEG)
        return out

    def _vectors(self, av_frame: Any) -> NDArray[np.float32] | None:
        distance = self._since_reference
        between = av_frame.pict_type == _B_FRAME
        self._since_reference = distance + 1 if between else 1
        # Which frame a vector points to is not exported. For a P-frame it is the last one
        # that is no B-frame; for a B-frame it may be almost any, even one to come, and
        # MPEG-4 exports zeros for blocks in direct mode.
        if between:
            return None
        data = next((d for d in av_frame.side_data if d.type.name == "MOTION_VECTORS"), None)
        if data is None:
            return None
        raw = data.to_ndarray()
        raw = raw[(raw["source"] < 0) & (raw["motion_scale"] > 0)]
        scale = -1.0 / (raw["motion_scale"].astype(np.float32) * distance)
        out = np.empty((len(raw), 5), np.float32)
        out[:, 0], out[:, 1] = raw["dst_x"], raw["dst_y"]
        out[:, 2], out[:, 3] = raw["motion_x"] * scale, raw["motion_y"] * scale
        out[:, 4] = raw["w"].astype(np.float32) * raw["h"]
        return out


def software(stream: Any, video: VideoInfo, motion: bool = False) -> Any:
    """FFmpeg's decoder of a stream on the CPU, ready for use.

    Args:
        stream: ``av.VideoStream``.
        video: what was found of it.
        motion: export motion vectors.
    """
    context = _context(stream)
    context.thread_type = "AUTO"
    context.flags |= COPY_OPAQUE
    large = video.width * video.height > _LARGE
    if not large and context.codec.name not in _OWN_THREADS:
        # With a thread for each frame, PyAV loses errors that arrive together with an
        # earlier frame; with a thread for each slice, FFmpeg's h264 decoder does not mark
        # damage. Only very large frames need either.
        context.thread_count = 1
    if motion:
        context.flags2 |= _EXPORT_MVS
    return context


def _context(stream: Any) -> Any:
    """The decoder of a stream: the one that notices most."""
    context = own = stream.codec_context
    name = _STRICTER.get(own.codec.canonical_name, own.codec.name)
    if name != own.codec.name or own.is_open:
        # What has decoded already cannot be set up anew.
        context = av.CodecContext.create(name, "r")
        context.extradata = own.extradata
    context.options = {**context.options, **_OPTIONS.get(name, {})}
    return context


def _is_vp9_key(packet: bytes) -> bool:
    """By the uncompressed header (VP9 bitstream specification, 6.2)."""
    bits = packet[0] if packet else 0
    if bits & 0x30 == 0x30:
        # The highest profile has a reserved bit more.
        bits = bits << 1
    return bits & 0x0C == 0 and packet[1:2] != b""
