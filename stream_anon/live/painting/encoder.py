"""Cleared frames in, packets out: one encode for all outputs of a camera.

This is the sink of the live pipeline. It takes ``Cleared`` and nothing else, and what leaves it is
no frame any more, so that no other process ever holds one that has passed the gate, or has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import simplejpeg

from stream_anon.errors import GateError, OutputError
from stream_anon.live.clock import TICKS, TIME_BASE
from stream_anon.live.config import EncoderConfig
from stream_anon.media.cleared import Cleared
from stream_anon.media.input.probe import reason
from stream_anon.media.pixel_formats import plane_bytes

INTRA = 1
PREVIEW_QUALITY = 70


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One frame as H.264 in Annex B, parameter sets before every keyframe.

    Attributes:
        data: the bytes.
        pts: ticks on the camera's time line; decoding times are the same.
        duration: ticks.
        key: players can begin here.
    """

    data: bytes
    pts: int
    duration: int
    key: bool


class Encoder:
    """Encodes one camera.

    Args:
        width, height: even, in pixels.
        rate: frames a second, nominal.
        options: quality and speed.

    Attributes:
        preview: the last picture that was asked for, as JPEG; None where none was.

    Raises:
        OutputError: the encoder is missing or refuses.
    """

    def __init__(self, width: int, height: int, rate: float, options: EncoderConfig) -> None:
        self._duration = max(1, round(TICKS / rate))
        self._spacing = round(options.keyframe * TICKS)
        self._last: int | None = None
        self._key: int | None = None
        self._key_wanted = True
        self._preview_wanted = False
        self.preview: bytes | None = None
        try:
            context = av.CodecContext.create("libx264", "w")
            context.width, context.height, context.pix_fmt = width, height, "yuv420p"
            context.time_base = TIME_BASE
            context.framerate = Fraction(rate).limit_denominator(1001)
            context.max_b_frames = 0
            context.gop_size = max(2, round(options.keyframe * rate * 4))
            context.thread_count = options.threads
            context.color_range = 1
            context.options = {
                "crf": f"{options.crf:g}", "preset": options.preset, "tune": "zerolatency",
                "forced-idr": "1", "a53cc": "0", "udu_sei": "0",
            }  # fmt: skip
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(f"the encoder cannot be opened ({reason(error)})") from error
        self._context = context

    def want_key(self) -> None:
        """Make the next frame a keyframe: somebody waits for one."""
        self._key_wanted = True

    def want_preview(self) -> None:
        """Keep the next frame as JPEG, too."""
        self._preview_wanted = True

    def write(self, cleared: Cleared) -> list[EncodedPacket]:
        """Encode a frame.

        Raises:
            GateError: it is not a ``Cleared``, was written before, or its time does not grow.
            OutputError: it cannot be encoded.
        """
        if type(cleared) is not Cleared:
            raise GateError(f"a {type(cleared).__name__} is not a cleared frame")
        frame = cleared.take()
        if self._last is not None and frame.pts <= self._last:
            raise GateError(f"the frame at {frame.pts} came late")
        self._last = frame.pts
        av_frame = frame.to_av()
        if self._preview_wanted:
            self._preview_wanted = False
            self.preview = _jpeg(av_frame)
        av_frame.pts, av_frame.time_base, av_frame.duration = frame.pts, TIME_BASE, self._duration
        av_frame.pict_type = 0
        if self._key_wanted or self._key is None or frame.pts - self._key >= self._spacing:
            av_frame.pict_type = INTRA
            self._key, self._key_wanted = frame.pts, False
        return self._encode(av_frame)

    def finish(self) -> list[EncodedPacket]:
        """What is left."""
        return self._encode(None)

    def _encode(self, av_frame: Any) -> list[EncodedPacket]:
        try:
            packets = self._context.encode(av_frame)
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(f"a frame cannot be encoded ({reason(error)})") from error
        return [
            EncodedPacket(bytes(packet), int(packet.pts or 0), self._duration, packet.is_keyframe)
            for packet in packets
        ]


def _jpeg(av_frame: Any) -> bytes:
    """An ``av.VideoFrame`` in yuv420p as JPEG."""
    shapes = [(av_frame.height, av_frame.width)] + [(av_frame.height // 2, av_frame.width // 2)] * 2
    planes = [
        plane_bytes(plane)[:rows, :columns].copy()
        for plane, (rows, columns) in zip(av_frame.planes, shapes, strict=True)
    ]
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=PREVIEW_QUALITY))
