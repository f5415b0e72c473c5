"""Which file was read: its hash, and that it was the same from the beginning to the end."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from pathlib import Path

from stream_anon.errors import InputError

_BLOCK = 1 << 20


class Identity:
    """A file as it is now, held open.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._closed = weakref.finalize(self, os.close, self._handle)
        self._known = _stamp(os.fstat(self._handle))
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._sha256: str | None = None
        self._error: OSError | None = None

    def check(self) -> None:
        """See whether the file is still the same, by inode, size and time.

        Raises:
            InputError: it is not.
        """
        try:
            same = _stamp(self._path.stat()) == _stamp(os.fstat(self._handle)) == self._known
        except OSError as error:
            raise InputError(f"{self._path}: went away while it was read") from error
        if not same:
            raise InputError(f"{self._path}: changed while it was read")

    def start(self) -> None:
        """Begin to hash, beside whatever else is done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._hash, name="stream-anon-hash", daemon=True)
            self._thread.start()

    def digest(self) -> tuple[int, str]:
        """Bytes and SHA-256, after waiting for them.

        Raises:
            InputError: the file has changed, or could not be read.
        """
        self.start()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None or self._sha256 is None:
            why = self._error.strerror if self._error is not None else "closed"
            raise InputError(f"{self._path}: {why}") from self._error
        self.check()
        return self._known[2], self._sha256

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._closed()

    def _hash(self) -> None:
        made, at = hashlib.sha256(), 0
        try:
            while not self._stop.is_set():
                block = os.pread(self._handle, _BLOCK, at)
                if not block:
                    self._sha256 = made.hexdigest()
                    return
                made.update(block)
                at += len(block)
        except OSError as error:
            self._error = error


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
