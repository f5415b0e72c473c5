"""Checksums of a Matroska file, which FFmpeg writes and does not read (RFC 8794, 11.3.1)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_CRC = b"\xbf\x84"
_MOST = 1 << 30
"""Bytes of a cluster above which it is not held in memory to be checked."""


def damaged_clusters(path: Path) -> list[range]:
    """Bytes of the clusters that do not match the checksum that they carry; those without pass.

    Raises:
        OSError: the file cannot be read.
    """
    damaged = []
    with path.open("rb") as file:
        while (head := _element(file)) is not None:
            kind, size = head
            if kind == _SEGMENT:
                continue
            if size is None:
                break
            if kind == _CLUSTER and 6 <= size <= _MOST:
                start = file.tell()
                if _is_damaged(file.read(size), size):
                    damaged.append(range(start, start + size))
            else:
                file.seek(size, 1)
    return damaged


def _is_damaged(body: bytes, size: int) -> bool:
    if len(body) < size or body[:2] != _CRC:
        # One that breaks off is told elsewhere.
        return False
    return zlib.crc32(memoryview(body)[6:]) != int.from_bytes(body[2:6], "little")


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Identifier and size (None where it is not told) of the element that begins here."""
    kind = _number(file, keep_marker=True)
    if kind is None:
        return None
    size = _number(file, keep_marker=False)
    return None if size is None else (kind[0], None if size[1] else size[0])


def _number(file: BinaryIO, keep_marker: bool) -> tuple[int, bool] | None:
    """A number of variable length, and whether all its bits are set."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    value = int.from_bytes(first + rest)
    plain = value & ((1 << 7 * length) - 1)
    return (value if keep_marker else plain), plain == (1 << 7 * length) - 1
