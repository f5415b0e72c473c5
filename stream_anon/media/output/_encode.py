"""One stream's encoder: which one, its time line, its formats.

Nothing here asks whether a frame may be shown; ``sink`` does.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from stream_anon.config import VideoConfig
from stream_anon.media.input.info import StreamInfo, VideoInfo
from stream_anon.media.output.encoders import named, pixel_formats, settings
from stream_anon.media.output.formats import Container
from stream_anon.media.output.streams import StreamPlan
from stream_anon.media.pixel_formats import LAYOUTS

_FLAG_INTERLACED_DCT = 1 << 18
_FLAG_INTERLACED_ME = 1 << 29
_TOP_FIELD_FIRST = 2
# An AVI stores no presentation times. Without the decoder's buffer model in the stream, readers
# assume reordering and show everything one frame late; the limits are too wide to matter.
_TIMED_BY_THE_STREAM = "nal-hrd=vbr:vbv-maxrate=240000:vbv-bufsize=240000"
_SEMI_PLANAR = {
    "yuv420p": "nv12", "yuvj420p": "nv12", "nv12": "nv12",
    "yuv420p10le": "p010le", "p010le": "p010le", "cuda": "cuda",
}  # fmt: skip
_DELAY = 4
"""Frames by which decoding times may run ahead of presentation when frames are reordered."""


class StreamEncoder:
    """One redacted stream: its encoder and its time line.

    Args:
        output: ``av.container.OutputContainer`` that gets the stream.
        stream: of the input.
        plan: of the stream.
        container: format of the output.
        options: quality and speed.
    """

    def __init__(
        self,
        output: Any,
        stream: StreamInfo,
        plan: StreamPlan,
        container: Container,
        options: VideoConfig,
    ) -> None:
        if stream.video is None or plan.output_codec is None or plan.pix_fmt is None:
            raise ValueError(f"stream {stream.index} is not planned for encoding")
        video = stream.video
        encoder = named(plan.encoder)
        self._encoder = encoder
        self._video: VideoInfo = video
        self._pix_fmt = plan.pix_fmt
        self._converter = VideoReformatter()
        self._palette: Palette | None = None
        self.time_base = encoder_time_base(stream, container)
        self._own_base = stream.time_base
        self._last: int | None = None
        # MP4 tells the length of a track by adding up durations in decoding order, where the
        # last frame is not the one that is shown last.
        self._sums_durations = container.muxer in ("mp4", "mov")
        self._first: tuple[int, int] | None = None
        self._held: Any = None
        self._end = 0
        self.frames = self._given = 0
        self._flushed = False
        values = settings(encoder, options.crf, options.encoder_preset)
        if container.muxer == "avi" and plan.output_codec == "h264":
            values["x264-params"] = _TIMED_BY_THE_STREAM
        out = output.add_stream(
            encoder.name,
            rate=video.rate,
            options=values,
            width=video.width,
            height=video.height,
            time_base=self.time_base,
        )
        self.stream = out
        context = out.codec_context
        even = not (video.width % 2 or video.height % 2)
        if plan.on_gpu and even and not encoder.hardware:
            # Sound that comes first has the header written, and every encoder opened with it.
            self._pix_fmt = next(iter(self.formats & {"nv12", "p010le"}), self._pix_fmt)
        context.pix_fmt = self._pix_fmt
        # Slices would cost libx264 a fifth of its speed and some quality.
        context.thread_type = "AUTO"
        if video.sample_aspect is not None:
            context.sample_aspect_ratio = video.sample_aspect
        if plan.output_codec == "gif":
            self._palette = Palette(video, self.time_base)
            return
        colour = video.colour
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.colorspace, context.color_range = colour.matrix, colour.range
        if LAYOUTS[video.pix_fmt].full:
            context.color_range = int(ColorRange.JPEG)
        if encoder.reorders and not may_reorder(stream, container):
            context.max_b_frames = 0
        if video.interlaced:
            context.flags |= _FLAG_INTERLACED_DCT | _FLAG_INTERLACED_ME
            context.field_order = video.field_order if video.field_order > 1 else _TOP_FIELD_FIRST
        if video.matrix is not None and container.rotates:
            out.set_display_matrix(video.matrix)

    def encode(self, av_frame: Any, pts: int) -> list[Any]:
        """Encode a frame.

        Args:
            av_frame: ``av.VideoFrame``.
            pts: its time, in the input stream's time base; must grow.

        Returns:
            ``av.Packet``s that are ready.

        Raises:
            ValueError: the time does not grow.
        """
        if self.time_base != self._own_base:
            pts = round(pts * self._own_base / self.time_base)
            if self._last is not None:
                pts = max(pts, self._last + 1)
        if self._last is not None and pts <= self._last:
            raise ValueError(f"a frame at {pts} follows one at {self._last}")
        self._last = pts
        self.frames += 1
        duration = round(av_frame.duration * self._own_base / self.time_base)
        if self._palette is not None:
            av_frame = self._palette.apply(av_frame)
        elif av_frame.format.name != self._pix_fmt:
            if not self.stream.codec_context.is_open and av_frame.format.name in self.formats:
                # Whatever the first frame comes in, so do the others.
                self._pix_fmt = self.stream.codec_context.pix_fmt = av_frame.format.name
            else:
                av_frame = self._convert(av_frame)
        if not duration:
            duration = max(1, round(1 / self._video.rate / self.time_base))
        av_frame.pts, av_frame.time_base, av_frame.duration = pts, self.time_base, duration
        self._end = pts + duration
        # Left as decoded, it would force the encoder's choice of frame types.
        av_frame.pict_type = 0
        return self._held_back(self.stream.encode(av_frame))

    @property
    def formats(self) -> frozenset[str]:
        """What it takes beside its planar format, without loss: semi-planar, or on the card."""
        if self._pix_fmt not in _SEMI_PLANAR:
            return frozenset()
        if self.stream.codec_context.is_open:
            return frozenset({self._pix_fmt} - {"yuv420p", "yuvj420p", "yuv420p10le"})
        taken = {_SEMI_PLANAR[self._pix_fmt], "cuda"}
        return frozenset(taken & set(pixel_formats(self._encoder.name)))

    @property
    def described(self) -> str:
        """What encodes, in words."""
        where = "on the GPU" if self._encoder.hardware else "on the CPU"
        given = {"cuda": "frames on the card", "yuvj420p": "yuv420p"}.get(self._pix_fmt)
        return f"{self._encoder.name} {where}, from {given or self._pix_fmt}"

    @property
    def waits(self) -> bool:
        """Its frames lie on a card, which it is told by the first of them: it cannot be opened."""
        return self._encoder.hardware and not self.frames

    @property
    def held(self) -> int:
        """Frames that have not come back as packets yet."""
        return self.frames - self._given

    def flush(self) -> list[Any]:
        """The packets that the encoder still holds, once."""
        if not self.frames or self._flushed:
            return []
        self._flushed = True
        packets = self._held_back(self.stream.encode(None))
        last = self._held
        if last is None:
            return packets
        if self._sums_durations and last.dts is not None and self._first is not None:
            first_pts, first_dts = self._first
            last.duration = max(1, self._end - first_pts - (last.dts - first_dts))
        return [*packets, last]

    def _held_back(self, packets: Any) -> list[Any]:
        """All packets so far but the last one."""
        out = [] if self._held is None else [self._held]
        self._given += len(packets)
        out += packets
        if not out:
            return []
        if self._first is None:
            self._first = (out[0].pts, out[0].dts)
        self._held = out.pop()
        return out

    def _convert(self, av_frame: Any) -> Any:
        full = LAYOUTS[self._video.pix_fmt].full or av_frame.color_range == int(ColorRange.JPEG)
        value = ColorRange.JPEG if full else ColorRange.MPEG
        out = self._converter.reformat(
            av_frame,
            format=self._pix_fmt,
            src_color_range=value,
            dst_color_range=value,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            threads=1,
        )
        out.color_range, out.colorspace = av_frame.color_range, av_frame.colorspace
        return out


class Palette:
    """Reduces frames to 256 colours each, for gif."""

    def __init__(self, video: VideoInfo, time_base: Fraction) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=video.width,
            height=video.height,
            format=av.VideoFormat(video.pix_fmt),
            time_base=time_base,
        )
        split = graph.add("split")
        choose = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(choose, 1, 0)
        choose.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._graph = graph

    def apply(self, av_frame: Any) -> Any:
        """The ``pal8`` twin of an ``av.VideoFrame``."""
        self._graph.vpush(av_frame)
        return self._graph.vpull()


def encoder_time_base(stream: StreamInfo, container: Container) -> Fraction:
    """The unit in which a stream's frames are timed in the output."""
    if stream.video is None:
        raise ValueError(f"stream {stream.index} is no video")
    frame = 1 / stream.video.rate
    if container.muxer == "gif":
        return Fraction(1, 100)
    if not container.timed:
        return frame
    # An AVI stores nothing but the number of a frame.
    if container.muxer == "avi" and not 0.75 < stream.time_base / frame < 1.5:
        return frame
    return stream.time_base


def may_reorder(stream: StreamInfo, container: Container) -> bool:
    """Whether decoding times may run ahead of presentation without moving the time line."""
    if not container.reorders:
        return False
    if container.rotates or not container.timed or stream.video is None:
        return True
    # Decoding times below zero would move everything in an MPEG-TS or FLV.
    first = (stream.video.first_pts or 0) * stream.time_base
    return first > _DELAY / stream.video.rate
