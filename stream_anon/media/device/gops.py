"""Closed groups of pictures, cut out of a stream: what can be decoded by itself, wherever.

A group begins with a keyframe that nothing behind it reaches across, and ends before the next. It
is written into a small file in memory, with times that count its frames; the real ones are kept
here and given back in the order of presentation.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av

from stream_anon.media.input.h264 import nal_units

CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")
MOST_PACKETS = 1000
MOST_BYTES = 64 << 20
"""What a group may hold; a stream whose keyframes are farther apart is decoded in one piece."""

_IDR: dict[str, tuple[tuple[int, ...], Callable[[int], int]]] = {
    "h264": ((5,), lambda head: head & 31),
    "hevc": ((19, 20), lambda head: head >> 1 & 63),
}
"""Kinds of NAL units that no frame behind them reaches across (ITU-T H.264 and H.265, 7.4)."""
_STEP = Fraction(1, 1000)
_APART = 40


@dataclass(slots=True)
class Gop:
    """One group.

    Attributes:
        packets: ``av.Packet``s in the order of storage, the keyframe first.
        closed: it can be decoded by itself, and the order of its frames is known.
        doubted: something is known to be wrong with one of its packets.
    """

    packets: list[Any] = field(default_factory=list)
    closed: bool = True
    doubted: bool = False
    bytes: int = 0

    def __len__(self) -> int:
        return len(self.packets)

    def shown(self) -> list[Any]:
        """The packets in the order of presentation of what they show."""
        return sorted(self.packets, key=lambda packet: packet.pts)


class GopCutter:
    """Collects packets of one stream into groups.

    Args:
        stream: ``av.VideoStream``.
    """

    def __init__(self, stream: Any) -> None:
        context = stream.codec_context
        self._codec = context.codec.canonical_name
        self._extradata = context.extradata
        self._gop = Gop()

    def push(self, packet: Any, doubted: bool = False) -> Iterator[Gop]:
        """A packet, in the order of storage; the group before it, if it begins another."""
        if packet.is_keyframe and self._gop.packets and self._begins(packet):
            yield from self.flush()
        gop = self._gop
        if not gop.packets:
            gop.closed = packet.is_keyframe and self._begins(packet)
        gop.packets.append(packet)
        gop.bytes += packet.size
        gop.doubted |= doubted
        first = gop.packets[0]
        known = packet.pts is not None and first.pts is not None
        # What is shown before the keyframe that it follows needs what was before that.
        gop.closed &= known and packet.pts >= first.pts
        gop.closed &= gop.bytes <= MOST_BYTES and len(gop) <= MOST_PACKETS
        if not gop.closed:
            # There is nothing to wait for: it is decoded in one piece with the rest.
            yield from self.flush()

    def flush(self) -> Iterator[Gop]:
        """What was collected so far."""
        gop, self._gop = self._gop, Gop()
        if gop.packets:
            gop.closed &= len({packet.pts for packet in gop.packets}) == len(gop)
            yield gop

    def _begins(self, packet: Any) -> bool:
        """Whether nothing that comes needs what was before this keyframe."""
        known = _IDR.get(self._codec)
        if known is None:
            return True
        kinds, kind_of = known
        units = nal_units(bytes(packet), self._extradata, self._codec)
        return any(unit and kind_of(unit[0]) in kinds for unit in units)


def as_file(gop: Gop, stream: Any) -> bytes:
    """A closed group as Matroska.

    Args:
        gop: from a cutter.
        stream: ``av.VideoStream`` that it comes from, or what stands for one and has its
            ``codec_context``; H.264 and HEVC are in Annex B then.

    Raises:
        av.FFmpegError, ValueError: it cannot be written.
    """
    ranks = {packet.pts: rank for rank, packet in enumerate(gop.shown())}
    # Decoding times that count up, and never run ahead of presentation.
    late = max(n - ranks[packet.pts] for n, packet in enumerate(gop.packets))
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        out = _out(container, gop, stream)
        for number, packet in enumerate(gop.packets):
            one = av.Packet(bytes(packet))
            one.stream, one.time_base = out, _STEP
            one.pts = _APART * (ranks[packet.pts] + late)
            one.dts, one.duration = _APART * number, _APART
            one.is_keyframe = packet.is_keyframe
            container.mux_one(one)
    return file.getvalue()


def _out(container: Any, gop: Gop, stream: Any) -> Any:
    """A stream to write the group to."""
    if isinstance(stream, av.stream.Stream):
        return container.add_stream_from_template(stream)
    context = stream.codec_context
    codec = context.codec.canonical_name
    if codec not in _IDR:
        return container.add_mux_stream(codec, width=context.width, height=context.height)
    # Packets alone are no stream to copy from: the raw ones, read as a file, are.
    raw = io.BytesIO(bytes(context.extradata or b"") + bytes(gop.packets[0]))
    with av.open(raw, format=codec) as described:
        return container.add_stream_from_template(described.streams.video[0])
