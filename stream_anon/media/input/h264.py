"""Reference frames of an H.264 stream that are not there.

FFmpeg puts a copy of the frame before in the place of one that was lost, and says nothing. The
stream counts its reference frames (ITU-T H.264, 7.4.3, frame_num), so a gap can be told.
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICES = (1, 5)
_IDR = 5
_SPS = 7
_HIGH_PROFILES = frozenset([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])
_HEAD = 64
"""Bytes of a NAL unit in which everything that is read here stands."""


class FrameNumbers:
    """Follows the numbers of one stream.

    Args:
        extradata: of the stream: avcC, Annex B or nothing.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._length = 0
        self._bits: int | None = None
        self._gaps = True
        self._last: int | None = None
        if extradata and extradata[0] == 1 and len(extradata) > 6:
            self._length = (extradata[4] & 3) + 1
            for unit in _listed(extradata[5:]):
                self._parameters(unit)
        elif extradata:
            for unit in _annex_b(extradata):
                self._parameters(unit)

    def misses(self, packet: bytes) -> bool:
        """Whether reference frames are missing before this packet; packets come in order."""
        gap = False
        units = _prefixed(packet, self._length) if self._length else _annex_b(packet)
        for unit in units:
            if not unit:
                continue
            kind = unit[0] & 31
            if kind == _SPS:
                self._parameters(unit)
            elif kind in _SLICES and self._bits is not None:
                gap |= self._slice(unit, kind)
        return gap

    def _slice(self, unit: bytes, kind: int) -> bool:
        bits = _Bits(unit[1:_HEAD])
        try:
            bits.ue()
            bits.ue()
            bits.ue()
            number = bits.u(self._bits or 0)
        except IndexError:
            return False
        last, most = self._last, 1 << (self._bits or 0)
        if unit[0] & 0x60:
            self._last = number
        if kind == _IDR or last is None or self._gaps:
            return False
        # A frame that marks all others as unused begins the count again, unseen by this.
        return number not in (last, (last + 1) % most, 0, 1)

    def _parameters(self, unit: bytes) -> None:
        if not unit or unit[0] & 31 != _SPS:
            return
        try:
            bits, gaps = _sequence(unit)
        except IndexError:
            return
        if self._bits is not None and (bits, gaps) != (self._bits, self._gaps):
            # Several sets at once: which one counts would need the frame parameters too.
            gaps = True
        self._bits, self._gaps = bits, gaps


def nal_units(packet: bytes, extradata: bytes | None, codec: str = "h264") -> Iterator[bytes]:
    """The beginnings of a packet's NAL units, of H.264 or HEVC.

    Args:
        packet: with lengths before them, or Annex B.
        extradata: of the stream; it tells which of them.
        codec: "h264" or "hevc".
    """
    at = 4 if codec == "h264" else 21
    if extradata and extradata[0] == 1 and len(extradata) > at:
        return _prefixed(packet, (extradata[at] & 3) + 1)
    return _annex_b(packet)


def _sequence(unit: bytes) -> tuple[int, bool]:
    """Bits of a frame number, and whether gaps are allowed (7.3.2.1.1)."""
    bits = _Bits(unit[1:])
    profile = bits.u(8)
    bits.u(16)
    bits.ue()
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == 3 and bits.u(1):
            # Planes coded apart have one more field in each slice.
            return 4, True
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for n in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _scaling_list(bits, 16 if n < 6 else 64)
    length = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.ue()
        bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue()
    return length, bool(bits.u(1))


def _scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            coded = bits.ue()
            delta = (coded + 1) // 2 if coded & 1 else -(coded // 2)
            following = (last + delta + 256) % 256
        last = following or last


class _Bits:
    """Reads a NAL unit's payload, without its emulation prevention bytes.

    Raises:
        IndexError: from its methods, at the end.
    """

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        """An unsigned number of ``count`` bits."""
        if count > self._left:
            raise IndexError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned number in Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)


def _prefixed(data: bytes, length: int) -> Iterator[bytes]:
    at = 0
    while at + length <= len(data):
        size = int.from_bytes(data[at : at + length])
        at += length
        yield data[at : at + min(size, 4096)]
        at += size


def _annex_b(data: bytes) -> Iterator[bytes]:
    at = data.find(b"\x00\x00\x01")
    while at >= 0:
        end = data.find(b"\x00\x00\x01", at + 3)
        yield data[at + 3 : end if end >= 0 else len(data)]
        at = end


def _listed(data: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an avcC box."""
    at = 1
    for _ in range(data[0] & 31):
        size = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + size]
        at += 2 + size
