"""Whether the entropy-coded data of a Motion JPEG frame end where its frame ends.

A decoder of JPEG that has lost its place goes on to the last block, whatever it reads, and
FFmpeg's reports damage only where a code does not exist or the data run out. libjpeg also tells
where data are left over at the end of a restart interval or of the frame, and where restart
markers are out of step. Damage that leaves the count of blocks as it was can be told by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import simplejpeg

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DAMAGE = ("corrupt jpeg data", "premature end of jpeg")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def is_damaged(packet: bytes) -> bool:
    """Whether the data of a packet break off, go on or are out of step.

    What libjpeg does not decode (lossless JPEG, an odd colour space) passes.
    """
    return any(map(_is_damaged, _images(packet)))


def _is_damaged(image: bytes) -> bool:
    try:
        # An eighth of the size: all codes are read, next to nothing is computed.
        simplejpeg.decode_jpeg(
            image, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=8
        )
    except ValueError as error:
        return str(error).lower().startswith(_DAMAGE)
    return False


def _images(packet: bytes) -> Iterator[bytes]:
    """The images of a packet, two where it holds two fields, each without fill at its end."""
    start = packet.find(_SOI)
    while start >= 0:
        scan = _scan(packet, start)
        if scan is None:
            return
        end = _END_OF_SCAN.search(packet, scan)
        while end is not None and packet[end.start() + 1] not in (_EOI[1], _SOI[1]):
            # Further scans, of progressive JPEG.
            end = _END_OF_SCAN.search(packet, end.end())
        stop = len(packet) if end is None else end.start()
        yield packet[start:scan] + _unfilled(packet[scan:stop]) + (b"" if end is None else _EOI)
        start = packet.find(_SOI, stop)


def _scan(packet: bytes, start: int) -> int | None:
    """Where the data of an image's first scan begin; None where its header breaks off."""
    at = start + 2
    while at + 4 <= len(packet):
        if packet[at] != 0xFF:
            return None
        if packet[at + 1] == 0xFF:
            at += 1
            continue
        kind, length = packet[at + 1], int.from_bytes(packet[at + 2 : at + 4])
        at += 2 + length
        if kind == 0xDA:
            return at
    return None


def _unfilled(data: bytes) -> bytes:
    """Without the zeros up to a whole word that some cameras write."""
    kept = data.rstrip(b"\x00")
    # A zero behind 255 is stuffing and belongs to the data.
    return data[: len(kept) + 1] if kept.endswith(b"\xff") and len(kept) < len(data) else kept
