"""NVDEC by PyAV in the place of a decoder on the CPU.

What it decodes stays on the GPU. Where it gives up, for want of memory or of a driver, what it was
given since the last keyframe that counts is decoded on the CPU, and no frame is lost.

NVDEC does not tell damage inside of a slice: it shows what it made of it. What packets themselves
tell (gaps in the frames' numbers, checksums, marks of the container) is marked as ever.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

import av
from av.codec.hwaccel import HWAccel

from stream_anon.media.input.decoder import COPY_OPAQUE, software
from stream_anon.media.input.info import StreamInfo, VideoInfo
from stream_anon.media.input.probe import reason

CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg2video")
"""FFmpeg's own decoders that hand slices to NVDEC."""
FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le")
"""What the CPU decodes to where NVDEC gives NV12 or P010."""
MOST_KEPT = 64 << 20
"""Bytes of packets that are kept to be decoded once more."""


def missing(codec: str = "h264") -> str | None:
    """What is missing to decode a codec by NVDEC, or None."""
    try:
        ctypes.CDLL("libnvcuvid.so.1")
    except OSError:
        return "the driver's NVDEC library (libnvcuvid.so.1) is missing"
    try:
        av.CodecContext.create(codec, "r", _acceleration())
    except (av.FFmpegError, OSError, RuntimeError, ValueError) as error:
        return f"NVDEC does not start ({reason(error)})"
    return None


def unfit(stream: StreamInfo) -> str | None:
    """Why a stream is not for NVDEC, as far as that can be known before it is tried, or None."""
    video = stream.video
    if video is None or stream.codec not in CODECS:
        return f"NVDEC has no {stream.codec}"
    if video.coded_pix_fmt not in FORMATS:
        return f"frames of {video.coded_pix_fmt} are decoded on the CPU"
    if video.width % 2 or video.height % 2:
        return "frames of odd sizes are decoded on the CPU"
    return None


def open_nvdec(stream: Any) -> Any:
    """A decoder (``av.CodecContext``) whose frames stay on the first GPU.

    A profile that the chip does not know is decoded on the CPU, by FFmpeg's own choice.

    Raises:
        av.FFmpegError: NVDEC cannot be opened.
    """
    own = stream.codec_context
    context = av.CodecContext.create(own.codec.canonical_name, "r", _acceleration())
    context.extradata = own.extradata
    context.flags |= COPY_OPAQUE
    context.thread_count = 1
    if context.codec.canonical_name == "hevc":
        context.options = {"err_detect": "crccheck"}
    return context


def _acceleration() -> Any:
    # The primary context is CuPy's and torch's, so memory can be shared with both.
    return HWAccel("cuda", device="0", allow_software_fallback=True, is_hw_owned=True)


class NvdecContext:
    """A hardware decoder that is replaced by one on the CPU where it fails; called like either.

    Args:
        stream: ``av.VideoStream``.
        video: what was found of it.
        open_: makes the hardware decoder of a stream.

    Attributes:
        missed: packets that could not be decoded, beside those that an error was raised for.
    """

    def __init__(
        self, stream: Any, video: VideoInfo, open_: Callable[[Any], Any] = open_nvdec
    ) -> None:
        self._stream, self._video = stream, video
        self._hardware: Any = None
        self._software: Any = None
        self._kept: deque[Any] | None = deque()
        self._bytes = 0
        self._given: set[Any] = set()
        self._hosted = self._frames = 0
        self._why = ""
        self.missed = 0
        try:
            self._hardware = open_(stream)
        except (av.FFmpegError, OSError, RuntimeError, ValueError) as error:
            self._give_up(error)

    @property
    def codec(self) -> Any:
        """``av.Codec`` of whoever decodes now."""
        return self._now.codec

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._now.name)

    @property
    def extradata(self) -> Any:
        """Of the stream."""
        return self._stream.codec_context.extradata

    @property
    def on_cpu(self) -> bool:
        """The hardware decodes nothing, or no more."""
        return self._software is not None or self._hosted > 0

    @property
    def conceals(self) -> bool:
        """Frames came from NVDEC, which tells of no damage inside a slice."""
        return self._frames > self._hosted

    @property
    def described(self) -> str:
        """What decoded, in words."""
        cpu = f"{self._now.codec.name} on the CPU"
        if self._software is None and not self._hosted:
            return f"NVDEC ({self._now.codec.name})"
        if self._software is None:
            return f"{cpu}: NVDEC does not take this stream"
        if not self._frames:
            return f"{cpu}: {self._why}"
        return f"NVDEC, after {self._frames} frames {cpu}: {self._why}"

    @property
    def _now(self) -> Any:
        return self._hardware if self._software is None else self._software

    def decode(self, packet: Any) -> list[Any]:
        """Frames (``av.VideoFrame``) that are ready; None drains. See ``av.CodecContext.decode``.

        Raises:
            av.FFmpegError: the packet cannot be decoded.
        """
        if self._software is not None:
            return self._fresh(self._software.decode(packet))
        if packet is not None:
            self._keep(packet)
        try:
            frames: list[Any] = self._hardware.decode(packet)
        except av.InvalidDataError:
            # So says the stream's parser, which runs on the CPU: damage, not the device.
            raise
        except (av.FFmpegError, OSError, RuntimeError, MemoryError) as error:
            self._give_up(error)
            return self._replayed(packet, error)
        for frame in frames:
            self._hosted += frame.format.name in FORMATS
            self._gave(frame)
        return frames

    def flush_buffers(self) -> None:
        """See ``av.CodecContext``."""
        self._now.flush_buffers()

    def _give_up(self, error: BaseException) -> None:
        self._why = f"NVDEC gave up ({reason(error)})"
        self._hardware = None
        self._software = software(self._stream, self._video)

    def _keep(self, packet: Any) -> None:
        """Keep what would have to be decoded again."""
        if self._kept is None:
            if not packet.is_keyframe:
                return
            self._kept, self._bytes = deque(), 0
        self._kept.append(packet)
        self._bytes += packet.size
        if self._bytes > MOST_KEPT:
            # A camera that sends one keyframe a day: its memory is bounded, not its luck.
            self._kept = None

    def _gave(self, frame: Any) -> None:
        self._frames += 1
        number = _name_of(frame)
        self._given.add(number)
        if not self._kept or not frame.key_frame:
            return
        # What is shown before a keyframe is out when that is out: nothing older is needed again.
        if not any(_number(packet) == number and packet.is_keyframe for packet in self._kept):
            return
        while _number(self._kept[0]) != number:
            gone = self._kept.popleft()
            self._bytes -= gone.size
            self._given.discard(_number(gone))

    def _replayed(self, packet: Any, error: BaseException) -> list[Any]:
        """What the hardware still owed, from the CPU."""
        kept, self._kept = self._kept, None
        if kept is None:
            if isinstance(error, av.FFmpegError):
                raise error
            raise av.ExternalError(1, str(error)) from error
        frames: list[Any] = []
        for one in [*kept, *([None] if packet is None else [])]:
            try:
                frames += self._software.decode(one)
            except av.FFmpegError:
                self.missed += 1
        return self._fresh(frames)

    def _fresh(self, frames: list[Any]) -> list[Any]:
        """Frames that nobody has been given yet."""
        if not self._given:
            return frames
        out = []
        for frame in frames:
            number = _name_of(frame)
            if number in self._given:
                self._given.discard(number)
            else:
                out.append(frame)
        return out


def _name_of(frame: Any) -> Any:
    """Which packet a frame came of: its number, or its time where a decoder does not say."""
    return frame.opaque[0] if frame.opaque else ("pts", frame.pts)


def _number(packet: Any) -> Any:
    return packet.opaque[0] if packet.opaque else ("pts", packet.pts)
