"""Whether a file is as long as it says: of containers whose demuxers take what is there for all.

AVI and ASF tell their size in their header, MXF where its footer is; FLV and GIF are walked from
block to block, which must end where the file does. What does not tell is taken for whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

import av

_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MXF_HEADER = bytes.fromhex("060e2b34020501010d0102010102")
_MXF_RUN_IN = 1 << 16
_COMPLETENESS_SLACK = 0.25
_GIF_TABLE, _GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x80, 0x21, 0x2C, 0x3B


class CompletenessCheck:
    """What a container says it holds, against what was read.

    Args:
        container: open input.
        streams: indices of the video streams.
    """

    def __init__(self, container: Any, streams: Collection[int]) -> None:
        self._packets: dict[int, int] = {}
        self._ends: dict[int, float] = {}
        self._seen = dict.fromkeys(streams, 0)
        self._reached = dict.fromkeys(streams, 0.0)
        names = container.format.name.split(",")
        mov, flv = "mov" in names, "flv" in names
        for index in streams:
            stream = container.streams[index]
            if mov:
                # The whole index is read when the file is opened; of a fragmented file, a part.
                self._packets[index] = len(stream.index_entries)
            end = _clock(stream.metadata.get("DURATION", ""))
            if flv and container.duration:
                # Of the header, or else of the last tag that is there.
                end = container.duration / av.time_base
            if end is not None:
                self._ends[index] = end

    def saw(self, packet: Any) -> None:
        """A packet was read."""
        index = packet.stream_index
        if index in self._seen:
            self._seen[index] += 1
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._reached[index] = max(self._reached[index], end)

    def missing(self) -> str | None:
        """What is not there, in words; None if all is."""
        for index, packets in self._packets.items():
            if self._seen[index] < packets:
                return f"{self._seen[index]} of {packets} frames of stream {index} are there"
        for index, end in self._ends.items():
            reached = self._reached[index]
            # Written by some tools from the longest stream, so only a clear lack counts.
            if reached < end - _COMPLETENESS_SLACK and reached < 0.98 * end:
                return f"{reached:.1f} of {end:.1f} s of stream {index} are there"
        return None


def _clock(text: str) -> float | None:
    """Seconds of hours:minutes:seconds, None for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def cut_off(path: Path, formats: str) -> str | None:
    """What is missing of a file, in words; None if all is there or nobody can tell.

    Args:
        path: of the file.
        formats: FFmpeg's name of its demuxer.

    Raises:
        OSError: it cannot be read.
    """
    check = next((_CHECKS[f] for f in formats.split(",") if f in _CHECKS), None)
    if check is None:
        return None
    with path.open("rb") as file:
        return check(file, path.stat().st_size)


def _of(there: int, promised: int) -> str | None:
    return f"{there} of {promised} bytes are there" if promised > there else None


def _avi(file: BinaryIO, size: int) -> str | None:
    at = 0
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            return None
        length = int.from_bytes(head[4:], "little")
        if at + 8 + length > size:
            return _of(size, at + 8 + length)
        if not length:
            return None
        at += 8 + length + length % 2


def _asf(file: BinaryIO, size: int) -> str | None:
    head = file.read(1 << 16)
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    broadcast = head[at + 88] & 1
    promised = int.from_bytes(head[at + 40 : at + 48], "little")
    return None if broadcast else _of(size, promised)


def _mxf(file: BinaryIO, size: int) -> str | None:
    head = file.read(_MXF_RUN_IN)
    start = head.find(_MXF_HEADER)
    if start < 0 or len(head) < start + 64:
        return None
    length = head[start + 16]
    body = start + 17 + (length & 0x7F if length & 0x80 else 0)
    # Behind version, alignment grid, and the places of this partition and the one before.
    footer = int.from_bytes(head[body + 24 : body + 32])
    return _of(size, start + footer + 17) if footer else None


def _flv(file: BinaryIO, size: int) -> str | None:
    file.seek(5)
    at = int.from_bytes(file.read(4)) + 4
    while at < size:
        file.seek(at)
        head = file.read(11)
        end = at + 15 + int.from_bytes(head[1:4])
        # The last tag's size behind it is left out by some.
        if len(head) < 11 or end - 4 > size:
            return f"its last tag ends behind byte {size}"
        at = end
    return None


def _gif(file: BinaryIO, size: int) -> str | None:
    head = file.read(13)
    if len(head) < 13 or not head.startswith(b"GIF"):
        return None
    _skip_table(file, head[10])
    while True:
        kind = file.read(1)
        if kind == bytes([_GIF_END]):
            return None
        if not kind or kind[0] not in (_GIF_EXTENSION, _GIF_IMAGE):
            return "its end is missing" if not kind else None
        if kind[0] == _GIF_EXTENSION:
            file.read(1)
        else:
            image = file.read(9)
            if len(image) < 9:
                return "its end is missing"
            _skip_table(file, image[8])
            file.read(1)
        while (length := file.read(1)) and length[0]:
            if len(file.read(length[0])) < length[0]:
                return "its end is missing"


def _skip_table(file: BinaryIO, packed: int) -> None:
    if packed & _GIF_TABLE:
        file.read(3 << (packed & 7) + 1)


_CHECKS: dict[str, Callable[[BinaryIO, int], str | None]] = {
    "avi": _avi,
    "asf": _asf,
    "mxf": _mxf,
    "flv": _flv,
    "gif": _gif,
}
