"""Packets of a live stream in, frames on our time line and of one size out."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream_anon.errors import FrameFault
from stream_anon.live.clock import TIME_BASE
from stream_anon.media.frame import Frame
from stream_anon.media.input.decoder import StreamDecoder
from stream_anon.media.input.info import Colour, StreamInfo, VideoInfo
from stream_anon.media.input.probe import frame_rate
from stream_anon.media.pixel_formats import LAYOUTS, nearest_layout, plane_bytes

Plane = NDArray[np.uint8]

LOW_DELAY = 1 << 19
MOST_HELD = 400
"""Packets that may pass before the first frame is there."""


class LiveDecoder:
    """Decodes as a file is decoded (``media.input.decoder``), damage included, and begins anew
    where the stream changes.

    Attributes:
        changes: how often size or pixel format changed.

    Args:
        stream: ``av.VideoStream``.
        name: for messages.
        low_delay: every frame at once; frames that were stored out of order then come late.
    """

    def __init__(self, stream: Any, name: str, low_delay: bool) -> None:
        self._stream, self._name, self._low_delay = stream, name, low_delay
        self.rate = frame_rate(stream)
        self.changes = 0
        self._held: list[Any] = []
        self._peek: Any = None
        self._decoder: StreamDecoder | None = None
        self._lost = 0
        self._fresh = True

    @property
    def lost(self) -> int:
        """Packets that gave no frame because they could not be decoded."""
        return self._lost + (self._decoder.lost if self._decoder is not None else 0)

    def feed(self, packet: Any) -> Iterator[Frame]:
        """Frames that are ready with this packet, whose times are ticks of our time line.

        Raises:
            FrameFault: no frame has come in very many packets.
        """
        if self._decoder is None:
            yield from self._first(packet)
            return
        try:
            yield from self._decoder.feed(packet)
        except FrameFault:
            # Another size or format: what the packet holds is looked at afresh.
            self._lost += self._decoder.lost
            self._decoder.close()
            self._decoder = None
            self._fresh = False
            self.changes += 1
            yield from self._first(packet)

    def close(self) -> None:
        """Let go of the decoder."""
        if self._decoder is not None:
            self._decoder.close()

    def _context(self, first: bool) -> Any:
        own = self._stream.codec_context
        context = av.CodecContext.create(own.codec.name, "r")
        if first and own.extradata:
            context.extradata = own.extradata
        for name in ("width", "height", "pix_fmt"):
            # Raw pictures of webcams say it nowhere else.
            if own.codec.name == "rawvideo" and getattr(own, name):
                setattr(context, name, getattr(own, name))
        if self._low_delay:
            context.flags |= LOW_DELAY
        return context

    def _first(self, packet: Any) -> Iterator[Frame]:
        """Hold packets until a frame says what the stream is."""
        if self._peek is None:
            self._peek = self._context(self._fresh)
            self._peek.thread_count = 1
            self._held = []
        self._held.append(packet)
        try:
            av_frames = self._peek.decode(packet)
        except av.FFmpegError:
            av_frames = []
        if not av_frames:
            if len(self._held) > MOST_HELD:
                raise FrameFault(f"{self._name}: no frame in {MOST_HELD} packets")
            return
        held, self._held, self._peek = self._held, [], None
        self._decoder = self._decoder_for(av_frames[0])
        for one in held:
            yield from self._decoder.feed(one)

    def _decoder_for(self, av_frame: Any) -> StreamDecoder:
        video = VideoInfo(
            width=av_frame.width,
            height=av_frame.height,
            pix_fmt=nearest_layout(av_frame.format),
            coded_pix_fmt=av_frame.format.name,
            rate=self.rate,
            sample_aspect=None,
            rotation=0,
            matrix=None,
            colour=Colour(),
            interlaced=av_frame.interlaced_frame,
            field_order=0,
            first_pts=None,
        )
        info = StreamInfo(
            index=0,
            kind="video",
            codec=self._stream.codec_context.codec.canonical_name,
            time_base=TIME_BASE,
            start=None,
            duration=None,
            frames=0,
            language=None,
            dispositions=(),
            disposition=0,
            video=video,
        )
        like = SimpleNamespace(
            codec_context=self._context(self._fresh),
            container=SimpleNamespace(format=SimpleNamespace(name="live")),
        )
        return StreamDecoder(like, info, self._name, counted=False, motion=False)


class Fit:
    """Brings frames into one size, 8-bit 4:2:0, limited range; borders are black.

    Args:
        width, height: even, in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._scaler = VideoReformatter()

    def planes(self, av_frame: Any) -> list[Plane]:
        """The three planes of an ``av.VideoFrame``, (h, w) uint8 each; views where they fit."""
        width, height = self._inner(av_frame.width, av_frame.height)
        full = av_frame.color_range == int(ColorRange.JPEG) or (
            av_frame.format.name in LAYOUTS and LAYOUTS[av_frame.format.name].full
        )
        same = (av_frame.width, av_frame.height) == (width, height)
        if not same or full or av_frame.format.name != "yuv420p":
            av_frame = self._scaler.reformat(
                av_frame,
                width=width,
                height=height,
                format="yuv420p",
                src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BILINEAR if same else Interpolation.BICUBIC,
                threads=1,
            )
        shapes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
        planes = [
            plane_bytes(plane)[:rows, :columns]
            for plane, (columns, rows) in zip(av_frame.planes, shapes, strict=True)
        ]
        if (width, height) == (self.width, self.height):
            return planes
        return [self._bordered(plane, index) for index, plane in enumerate(planes)]

    def _inner(self, width: int, height: int) -> tuple[int, int]:
        """The largest even size of this shape that fits."""
        scale = min(self.width / width, self.height / height)
        wide, high = round(width * scale / 2) * 2, round(height * scale / 2) * 2
        return min(self.width, max(2, wide)), min(self.height, max(2, high))

    def _bordered(self, plane: Plane, index: int) -> Plane:
        part = 1 if index == 0 else 2
        out = np.full((self.height // part, self.width // part), 128 if index else 16, np.uint8)
        top = (self.height // part - plane.shape[0]) // 2
        left = (self.width // part - plane.shape[1]) // 2
        out[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
        return out
