"""Writing a Tracks file, and appending edits to one.

A file appears under its name when it is whole. It tells where people were, so only its owner may
read it (mode 0600).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from stream_anon.errors import GateError, OutputError, TracksError, UsageError
from stream_anon.media.part_file import PartFile
from stream_anon.regions import Regions
from stream_anon.tracks import edits as editing
from stream_anon.tracks.lines import (
    MOST_BYTES,
    Add,
    EditLine,
    EndLine,
    FrameLine,
    Header,
    Keep,
    Merge,
    SetMethod,
    Split,
    Undo,
    Zone,
    parse_line,
)
from stream_anon.tracks.reader import TracksFile

AnyChange = Add | Keep | SetMethod | Merge | Split | Zone | Undo


class TracksWriter:
    """Takes frames in the order of their streams; whole at ``finish``, gone at ``abort``.

    Args:
        path: of the file.
        header: its first line.
        overwrite: whether a file of that name may go.

    Raises:
        UsageError: the file exists and may not be replaced.
        OutputError: it cannot be written.
    """

    def __init__(self, path: str | Path, header: Header, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._check_target()
        self._digest = hashlib.sha256()
        self._frames = {line.stream: 0 for line in header.streams}
        self._regions = 0
        self._tracks: set[str] = set()
        self._part = PartFile(self.path, private=True)
        self._file = self._part.open()
        self._write(header.to_json())

    def write(self, regions: Regions) -> None:
        """The next frame of its stream.

        Raises:
            GateError: it is not the next one.
            OutputError: there is no room.
            TracksError: a region cannot be what it is.
        """
        key = regions.key
        if self._frames.get(key.stream) != key.index:
            raise GateError(f"frame {key.index} of stream {key.stream} was analysed out of turn")
        try:
            raw = FrameLine.of(regions).to_json()
            # Read back: what was made past the checks of its types would be refused later.
            parse_line(raw)
        except ValueError as error:
            where = f"frame {key.index} of stream {key.stream}"
            raise TracksError(f"{self.path}: {where} cannot be written: {_line(error)}") from error
        if len(raw) > MOST_BYTES:
            raise TracksError(f"{self.path}: frame {key.index} of stream {key.stream} is too full")
        self._write(raw)
        self._frames[key.stream] += 1
        self._regions += len(regions.items)
        self._tracks.update(item.track for item in regions.items)

    def finish(self) -> None:
        """Write the trailer and give the file its name.

        Raises:
            UsageError: a file of that name came up meanwhile.
            OutputError: there is no room.
        """
        end = EndLine(
            frames=self._frames,
            regions=self._regions,
            tracks=len(self._tracks),
            sha256=self._digest.hexdigest(),
        )
        self._write(end.to_json())
        try:
            self._file.close()
            self._check_target()
            self._part.commit(self._overwrite)
        except FileExistsError as error:
            raise UsageError(f"{self.path}: exists; -y replaces it") from error
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error

    def abort(self) -> None:
        """Leave nothing behind; safe after ``finish``."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.discard()

    def _check_target(self) -> None:
        if self.path.is_dir():
            raise UsageError(f"{self.path}: is a folder, not a file name")
        if self.path.exists() and not self._overwrite:
            raise UsageError(f"{self.path}: exists; -y replaces it")

    def _write(self, raw: bytes) -> None:
        try:
            self._file.write(raw)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._digest.update(raw)


def append(
    path: str | Path, author: str, changes: Sequence[AnyChange], now: datetime | None = None
) -> tuple[EditLine, ...]:
    """Append edits to a Tracks file; all of them or none.

    Args:
        path: of the file.
        author: who makes them.
        changes: what they change, each on what those before it left.
        now: the time they are given; None takes the clock's.

    Returns:
        Their lines.

    Raises:
        TracksError: something is wrong with the file, or an edit does not fit.
        OutputError: it cannot be written to.
    """
    target = Path(path)
    try:
        file = target.open("r+b")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    with file:
        # Two people who edit at once: the second one's edits are checked on the first one's.
        fcntl.flock(file, fcntl.LOCK_EX)
        with TracksFile(target) as tracks:
            edits, raw = _lines(tracks, file, author, changes, now)
            try:
                editing.check((*tracks.edits, *edits), tracks.analysed, tracks.header)
            except TracksError as error:
                raise TracksError(f"{path}: {error}") from error
        try:
            file.seek(0, os.SEEK_END)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return edits


def _lines(
    tracks: TracksFile,
    file: BinaryIO,
    author: str,
    changes: Sequence[AnyChange],
    now: datetime | None,
) -> tuple[tuple[EditLine, ...], bytes]:
    """The edits and their bytes; each holds the hash of everything before it."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    time = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    edits, raw = [], b""
    for number, change in enumerate(changes, len(tracks.edits) + 1):
        try:
            edit = EditLine(
                number=number,
                author=author,
                time=time,
                change=change,
                previous=digest.hexdigest(),
            )
        except ValueError as error:
            raise UsageError(f"{tracks.path}: {_line(error)}") from error
        line = edit.to_json()
        if len(line) > MOST_BYTES:
            raise UsageError(f"{tracks.path}: edit {number} has too many keyframes")
        digest.update(line)
        edits.append(edit)
        raw += line
    return tuple(edits), raw


def _line(error: ValueError) -> str:
    return " ".join(str(error).split())[:300]
