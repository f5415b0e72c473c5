"""Frames in, a finished file out: the muxer, times and tags.

Nothing here asks whether a frame may be shown; ``sink`` does, and is the only caller in the
package.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

from stream_anon.config import VideoConfig
from stream_anon.media.extradata import scrubbed
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.lead_in import LeadIn
from stream_anon.media.output._encode import StreamEncoder
from stream_anon.media.output.formats import drops_lead_in
from stream_anon.media.output.headers import chapters, container_options, kept_metadata
from stream_anon.media.output.streams import MediaPlan

_UNORDERED = ("matroska", "webm")
_EMPTY_TEXT = 2
_KEPT_SIDE_DATA = ("skip_samples", "webvtt_identifier", "webvtt_settings")


class Muxer:
    """A file being written.

    Args:
        file: path as text, or a writable file object.
        info: of the input.
        plan: what is done to each stream.
        options: quality, speed, metadata.
        format: FFmpeg's muxer, None for the plan's own.
        seekable: what is written can be written again.
    """

    def __init__(
        self,
        file: Any,
        info: MediaInfo,
        plan: MediaPlan,
        options: VideoConfig,
        format: str | None = None,
        seekable: bool = True,
    ) -> None:
        self._muxer = format or plan.container.muxer
        header = container_options(self._muxer, info, seekable)
        self._output = av.open(file, "w", format=self._muxer, container_options=header)
        self.encoders: dict[int, StreamEncoder] = {}
        self._copies: dict[int, Any] = {}
        self._last_dts: dict[int, int] = {}
        self._lead_ins: dict[int, LeadIn] = {}
        self._everything = options.keep_metadata
        # Silence between subtitles, which the muxer writes anew.
        self._fillers: set[int] = set()
        self._drops_lead_in = drops_lead_in(info, plan.container)
        for stream, planned in zip(info.streams, plan.streams, strict=True):
            if planned.action == "redact":
                encoder = StreamEncoder(self._output, stream, planned, plan.container, options)
                self.encoders[stream.index] = encoder
                out = encoder.stream
            elif planned.action == "copy":
                if stream.template is None:
                    raise ValueError(f"nothing is known of the codec of stream {stream.index}")
                private = stream.template.private_data
                if not self._everything:
                    private = scrubbed(stream.codec, private)
                out = stream.template.add_to(self._output, private)
                self._copies[stream.index] = out
                begin = round(presented_from(info) / stream.time_base)
                self._lead_ins[stream.index] = LeadIn(stream.kind, stream.codec, begin)
                if stream.codec == "mov_text":
                    self._fillers.add(stream.index)
            else:
                continue
            out.disposition = stream.disposition
            out.metadata.update(kept_metadata(stream, options.keep_metadata))
        if options.keep_metadata:
            self._output.metadata.update(info.metadata)
        if plan.container.copies:
            self._output.set_chapters(chapters(info, options.keep_metadata))
        self._waiting: list[Any] = []
        self.bytes = 0
        """Bytes of encoded and copied packets."""

    def encode(self, stream: int, av_frame: Any, pts: int) -> None:
        """Encode and write one frame; see ``StreamEncoder.encode``.

        Raises:
            KeyError: the stream is not redacted.
        """
        self._write(self.encoders[stream].encode(av_frame, pts))

    def copy(self, stream: int, packet: Any) -> None:
        """Write a packet of a copied stream as it is.

        Raises:
            KeyError: the stream is not copied.
        """
        for one in self._lead_ins[stream].pass_on(packet):
            self._copy(stream, one if self._everything else _bare(one))

    def _copy(self, stream: int, packet: Any) -> None:
        out = self._copies[stream]
        if stream in self._fillers and packet.size == _EMPTY_TEXT:
            return
        if self._drops_lead_in and _ends_before_zero(packet):
            return
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.dts is not None:
            # Broken recordings repeat or turn back time; muxers refuse that.
            last = self._last_dts.get(stream)
            least = None if last is None else last + (self._muxer not in _UNORDERED)
            if least is not None and packet.dts < least:
                packet.dts = least
                packet.pts = max(packet.pts, least)
            self._last_dts[stream] = packet.dts
        packet.stream = out
        self._write([packet])

    @property
    def left_out(self) -> dict[int, int]:
        """Packets of copied streams from outside of what is presented, by stream, where any."""
        return {n: one.dropped for n, one in self._lead_ins.items() if one.dropped}

    def drain(self) -> None:
        """Write what the encoders still hold; safe to call twice."""
        for encoder in self.encoders.values():
            self._write(encoder.flush())

    def finish(self) -> None:
        """Drain the encoders and write the trailer."""
        self.drain()
        self._write([], last=True)
        self._output.close()

    def abandon(self) -> None:
        """Let go of the file; what was written stays unfinished."""
        self._output.close()

    def _write(self, packets: list[Any], last: bool = False) -> None:
        self._waiting += packets
        if not last and any(encoder.waits for encoder in self.encoders.values()):
            # The header would open it.
            return
        packets, self._waiting = self._waiting, []
        for packet in packets:
            self.bytes += packet.size
            self._output.mux_one(packet)


def presented_from(info: MediaInfo) -> Fraction:
    """Seconds on the time line from which on something is shown; nothing before it is heard."""
    firsts = [
        s.video.first_pts * s.time_base
        for s in info.video
        if s.video is not None and s.video.first_pts is not None
    ]
    # A cut begins at zero, whatever its file began with.
    return min([Fraction(0), *firsts]) if info.begin is None else Fraction(0)


def _bare(packet: Any) -> Any:
    """A packet without what is said beside its data."""
    out = av.Packet(bytes(packet))
    out.pts, out.dts, out.duration = packet.pts, packet.dts, packet.duration
    out.time_base, out.is_keyframe = packet.time_base, packet.is_keyframe
    for name in _KEPT_SIDE_DATA:
        if packet.has_sidedata(name):
            out.set_sidedata(packet.get_sidedata(name))
    return out


def _ends_before_zero(packet: Any) -> bool:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return stamp is not None and stamp + (packet.duration or 0) <= 0
