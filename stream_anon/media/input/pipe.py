"""A pipe as a source: read once, from the beginning to the end, and never written down."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Collection, Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from stream_anon.errors import InputError, StreamAnonError, UsageError
from stream_anon.media.frame import Frame
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.probe import describe, open_container
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet

PIPE = Path("-")
"""What standard input and output are called on a command line."""

_FIRST, _MOST = 1 << 18, 1 << 26
"""Bytes that are looked into before reading begins: at first, and at most."""


class PipeSource(FileSource):
    """A video that comes through a pipe: Matroska, MPEG-TS, fragmented MP4 and whatever else can
    be read without going back.

    What a pipe delivers is hashed while it is read; whether it is whole nobody can tell but by
    what its format says. It can be read once.

    Args:
        stream: open for reading, in binary.
        name: for messages.

    Raises:
        InputError: it holds no video, or one that cannot be read without going back.
    """

    def __init__(self, stream: BinaryIO, name: str = "standard input") -> None:
        self.path = Path(name)
        self._pipe = _Pipe(stream)
        self.info = _look(self._pipe, name)
        self._motion = self._tolerant = False
        self._copied = frozenset(
            s.index for s in self.info.streams if s.kind in ("audio", "subtitle")
        )
        self._open: Any = None
        self._damaged: list[range] | None = []
        self._begun = False

    def prepare(
        self,
        start: float | None,
        end: float | None,
        copied: Collection[int],
        tolerant: bool,
    ) -> None:
        """Say what is wanted of it, before it is read; as of ``FileSource``."""
        self.info = replace(self.info, begin=start, end=end)
        self._copied, self._tolerant = frozenset(copied), tolerant

    def start_digest(self) -> None:
        """It is hashed anyway."""

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of what was read."""
        return self._pipe.bytes, self._pipe.sha256.hexdigest()

    def close(self) -> None:
        """Let go of it."""
        self._release()

    def __iter__(self) -> Iterator[Frame | Packet]:
        """Read it; see ``Source.__iter__``."""
        if self._begun:
            raise InputError(f"{self.path}: can be read only once")
        self._begun = True
        self.lost = self.repaired = self.spliced = 0
        cut = self.info.begin is not None or self.info.end is not None
        yield from self._cut() if cut else self._read()
        # What is left belongs to the hash, and whoever writes it must not be cut off.
        self._pipe.drain()

    def _container(self) -> Any:
        container = open_container(self._pipe, str(self.path))
        for stream in self.info.streams:
            there = stream.index < len(container.streams)
            if not there or container.streams[stream.index].type != stream.kind:
                container.close()
                raise InputError(f"{self.path}: its streams are not those that it began with")
        return container

    def _from_keyframe(self, begin: Fraction) -> Generator[Frame | Packet]:
        yield from self._read()


class _Pipe:
    """Reads on, and remembers what it was."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read1 = getattr(stream, "read1", stream.read)
        self._ahead = bytearray()
        self.sha256, self.bytes = hashlib.sha256(), 0

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay to be read; less where the pipe ends."""
        while len(self._ahead) < count:
            block = self._read1(count - len(self._ahead))
            if not block:
                break
            self._ahead += block
        return bytes(self._ahead[:count])

    def read(self, count: int) -> bytes:
        """Some of the next bytes; none at the end."""
        if self._ahead:
            block = bytes(self._ahead[:count])
            del self._ahead[:count]
        else:
            block = self._read1(count)
        self.sha256.update(block)
        self.bytes += len(block)
        return block

    def drain(self) -> None:
        """Read to the end."""
        while self.read(1 << 16):
            pass


class _Ahead:
    """Bytes that can be read once and in one direction, as those of a pipe."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def _look(pipe: _Pipe, name: str) -> MediaInfo:
    """What a pipe holds, from as much of its beginning as that takes."""
    size = _FIRST
    while True:
        head = pipe.peek(size)
        if not head:
            raise InputError(f"{name}: is empty")
        over = len(head) < size or size >= _MOST
        try:
            container = open_container(_Ahead(head), name)
            with container:
                info = describe(container, name)
            kinds = [s for s in info.streams if s.kind == "video" and not s.attached_picture]
            if over or all(s.video is not None for s in kinds):
                # What the head tells of its own length is not that of the whole.
                return replace(info, duration=None)
        except StreamAnonError as error:
            if over and head[4:8] == b"ftyp":
                raise InputError(
                    f"{name}: this MP4 cannot be read from a pipe: its index is not at its "
                    "beginning; pipe Matroska, MPEG-TS or fragmented MP4"
                ) from error
            if over:
                raise
        size *= 4


@lru_cache(maxsize=1)
def standard_input() -> PipeSource:
    """This process's own: it is there once, and whoever asks again gets the same.

    Raises:
        UsageError: nothing is piped into it.
        InputError: as from ``PipeSource``.
    """
    if sys.stdin is None or os.isatty(sys.stdin.fileno()):
        raise UsageError("-: nothing is piped in; name a file, or pipe a video in")
    return PipeSource(sys.stdin.buffer)
