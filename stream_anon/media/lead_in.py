"""What a copied stream holds from before the beginning of what is presented.

A container can hide the beginning of a stream (an edit list, times below zero) without taking it
away; whoever ignores the list hears it. What lies wholly before the beginning goes, but for the
last packets, which a decoder needs to get going.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_LOSSLESS = frozenset(["flac", "alac", "wavpack", "tta", "truehd", "mlp"])
_PACKETS = {"aac": 2, "mp3": 2, "opus": 4}
"""Up to 2,112 samples of encoder delay, a bit reservoir, 80 ms (RFC 7845, 4.6). Any other codec
with overlapping blocks needs one."""


class LeadIn:
    """Lets the packets of one stream through from its beginning on.

    Args:
        kind, codec: as of ``StreamInfo``.
        begin: where presentation begins, in the unit of the stream's times.
    """

    def __init__(self, kind: str, codec: str, begin: int) -> None:
        self._begin = begin
        self._early: deque[Any] = deque(maxlen=needed(kind, codec))
        self.dropped = 0

    def pass_on(self, packet: Any) -> list[Any]:
        """Packets that are to be written now: this one, those it needs before it, or none."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and stamp + (packet.duration or 0) <= self._begin:
            self.dropped += len(self._early) == self._early.maxlen
            self._early.append(packet)
            return []
        if packet.is_discard:
            # Between two parts that are presented.
            self.dropped += 1
            return []
        out = [*self._early, packet]
        self._early.clear()
        return out


def needed(kind: str, codec: str) -> int:
    """Packets before the first that is heard, which its decoder needs."""
    if kind != "audio" or codec in _LOSSLESS or codec.startswith(("pcm_", "adpcm_")):
        return 0
    return _PACKETS.get(codec, 1)
