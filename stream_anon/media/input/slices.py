"""Damage that the outside of H.264's and HEVC's NAL units shows, for decoders that tell of none.

Nothing is decoded: what is looked at is whether a packet is made of NAL units at all (ITU-T H.264
and H.265, 7.3.1 and 7.4.1), whether bytes stand in them that an encoder must not write, and
whether a picture begins with its first slice. A flipped bit that breaks none of it is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CODECS = ("h264", "hevc")
_FORBIDDEN = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03[^\x00-\x03])")
"""No NAL unit holds these: a byte 3 stands between, and only where it must (7.4.1)."""
_END = b"\x00\x00\x00\x01\x0a"
_SLICE, _IDR = 1, 5
_MOST_KIND = 23
_LAST_VCL = 31


class SliceCheck:
    """Looks at the packets of one stream.

    Args:
        codec: one of ``CODECS``.
        extradata: of the stream: avcC, hvcC, Annex B or nothing.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        if codec not in CODECS:
            raise ValueError(f"{codec} has no NAL units that are looked at")
        self._hevc = codec == "hevc"
        at = 21 if self._hevc else 4
        self._length = 0
        if extradata and extradata[0] == 1 and len(extradata) > at:
            self._length = (extradata[at] & 3) + 1

    def is_damaged(self, packet: bytes) -> bool:
        """Whether a packet is not what an encoder wrote."""
        begun = False
        for unit in self._prefixed(packet) if self._length else self._annex_b(packet):
            if unit is None or not self._is_sound(unit):
                return True
            if self._is_slice(unit):
                if not begun and not self._is_first(unit):
                    return True
                begun = True
        return False

    def _prefixed(self, packet: bytes) -> Iterator[bytes | None]:
        at, size = 0, len(packet)
        while at < size:
            begin = at + self._length
            at = begin + int.from_bytes(packet[at:begin])
            if at > size or at == begin:
                yield None
                return
            unit = packet[begin:at]
            if at == size:
                # Some muxers leave an encoder's end of sequence where it stood.
                unit = unit.removesuffix(_END)
            yield unit

    def _annex_b(self, packet: bytes) -> Iterator[bytes | None]:
        at = packet.find(b"\x00\x00\x01")
        if at < 0 or packet[:at].strip(b"\x00"):
            yield None
            return
        while at >= 0:
            end = packet.find(b"\x00\x00\x01", at + 3)
            # Zeros may stand between units.
            yield packet[at + 3 : end if end >= 0 else len(packet)].rstrip(b"\x00")
            at = end

    def _is_sound(self, unit: bytes) -> bool:
        if len(unit) < 2 or unit[0] & 0x80 or unit[-1] == 0:
            return False
        if self._hevc and not unit[1] & 7:
            return False
        if not self._hevc and not 1 <= unit[0] & 31 <= _MOST_KIND:
            return False
        return _FORBIDDEN.search(unit) is None

    def _is_slice(self, unit: bytes) -> bool:
        if self._hevc:
            return (unit[0] >> 1 & 63) <= _LAST_VCL and len(unit) > 2
        return unit[0] & 31 in (_SLICE, _IDR)

    def _is_first(self, unit: bytes) -> bool:
        """first_slice_segment_in_pic_flag; first_mb_in_slice of 0, which is one bit that is set."""
        return bool((unit[2] if self._hevc else unit[1]) & 0x80)
