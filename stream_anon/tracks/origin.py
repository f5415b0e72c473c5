"""That a Tracks file and a video belong together: the hash of the video, and that it stayed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stream_anon.errors import InputError, TracksError
from stream_anon.tracks.lines import MOST_BYTES, Header, parse_line


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file's content, and what tells cheaply that it is still the same.

    Attributes:
        path: of the file.
        sha256: of its content.
        bytes: its size.
        status: device, inode, size and time of the last change.
    """

    path: Path
    sha256: str
    bytes: int
    status: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the whole file.

        Raises:
            InputError: it cannot be read, or changes meanwhile.
        """
        try:
            with path.open("rb") as file:
                before = _status(os.fstat(file.fileno()))
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = _status(os.fstat(file.fileno()))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        if before != after:
            raise InputError(f"{path}: changes while it is read")
        return cls(path, digest, after[2], after)

    def check(self) -> None:
        """Whether the file is still the one that was read.

        Raises:
            InputError: it is not.
        """
        try:
            same = _status(self.path.stat()) == self.status
        except OSError:
            same = False
        if not same:
            raise InputError(f"{self.path}: was changed or replaced during the run")


def read_header(path: str | Path) -> Header:
    """The first line alone; nothing else of the file is checked.

    Raises:
        TracksError: there is no such file, or it does not begin with a header.
    """
    try:
        with Path(path).open("rb") as file:
            line = parse_line(file.readline(MOST_BYTES + 1))
    except OSError as error:
        raise TracksError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TracksError(f"{path}: is no Tracks file, or one of another version") from error
    if not isinstance(line, Header):
        raise TracksError(f"{path}: is no Tracks file: it does not begin with a header")
    return line


def _status(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
