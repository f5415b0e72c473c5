"""Clocks that run back: recordings that were joined, recorders that restart, single wrong times.

No output format holds times that run back. Here what comes after such a place is moved behind
what was before it, all streams by the same amount, so that sound stays with its frames; a single
packet that leaps ahead of those around it is put between them. All else is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_BACK = Fraction(1, 4)
"""Seconds by which decoding times must run back; less is repaired packet by packet."""
_AHEAD = 5
"""Seconds by which a packet must leap ahead to be looked at together with the next."""
_APART = 1
"""Seconds without a packet of a stream of frames, after which a new recording may begin."""


@dataclass(slots=True)
class _Stream:
    """What is known of one stream: the last time as it was stored, and the part it is in."""

    last: Fraction
    part: int
    held: Any = None


class Splices:
    """Follows the packets of one container in the order of storage.

    Attributes:
        moved: single packets whose time was wrong.
    """

    def __init__(self) -> None:
        self.moved = 0
        # What is added to the times of each part. A stream comes into the next part when its own
        # clock runs back: of the streams of a part, one may be behind by some packets.
        self._offsets = [Fraction(0)]
        self._end = self._longest = Fraction(0)
        self._streams: dict[int, _Stream] = {}

    @property
    def count(self) -> int:
        """Places at which the clock ran back."""
        return len(self._offsets) - 1

    def pass_on(self, packet: Any, sparse: bool) -> Iterator[tuple[Any, bool]]:
        """Packets with times that go on, and whether another recording begins with them.

        Args:
            packet: ``av.Packet``; its times are changed in place.
            sparse: packets of this stream come now and then, and tell nothing about the clock.
        """
        if packet.dts is None or sparse:
            self._move(packet, self._offsets[-1])
            yield packet, False
            return
        time = _seconds(packet)
        known = self._streams.get(packet.stream_index)
        if known is None:
            known = self._streams[packet.stream_index] = _Stream(time, self.count)
        if known.held is not None:
            held, known.held = known.held, None
            if known.last < time < _seconds(held):
                self.moved += 1
                _put_between(held, known.last, time)
            yield self._step(held, known)
        elif time > known.last + _AHEAD:
            known.held = packet
            return
        yield self._step(packet, known)

    def rest(self) -> Iterator[tuple[Any, bool]]:
        """Packets that are still held at the end."""
        for known in self._streams.values():
            if known.held is not None:
                held, known.held = known.held, None
                yield self._step(held, known)

    def _step(self, packet: Any, known: _Stream) -> tuple[Any, bool]:
        time = _seconds(packet)
        begins = time > known.last + _APART
        if begins:
            known.part = self.count
        elif time < known.last - _BACK:
            begins = True
            known.part += 1
            if known.part == len(self._offsets):
                # Some frames of the part before may still be on their way through a parser.
                self._offsets.append(self._end + self._longest - time)
        known.last = time
        offset = self._offsets[known.part]
        length = (packet.duration or 0) * Fraction(packet.time_base)
        self._end = max(self._end, time + offset + length)
        self._longest = max(self._longest, min(length, _BACK))
        self._move(packet, offset)
        return packet, begins

    @staticmethod
    def _move(packet: Any, offset: Fraction) -> None:
        if offset:
            units = round(offset / Fraction(packet.time_base))
            if packet.pts is not None:
                packet.pts += units
            if packet.dts is not None:
                packet.dts += units


def _seconds(packet: Any) -> Fraction:
    return Fraction(packet.dts * Fraction(packet.time_base))


def _put_between(packet: Any, before: Fraction, after: Fraction) -> None:
    dts = round((before + after) / 2 / Fraction(packet.time_base))
    if packet.pts is not None:
        packet.pts += dts - packet.dts
    packet.dts = dts
