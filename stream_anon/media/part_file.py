"""A file that appears under its name when it is whole, or not at all.

Until then it is a hidden file beside the target, locked by the process that writes it. What a
process that was killed has left behind is nobody's: the next run that writes into the folder
takes it away.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import BinaryIO

from stream_anon.errors import OutputError

log = logging.getLogger(__name__)

_NAME = re.compile(r"\..{1,80}\.[0-9a-f]{8}\.part(\.\w{1,8})?")
_SETTLED = 60.0
"""Seconds without a change after which a file that nobody has locked is stale."""
_LONGEST = 80
_READABLE = 0o666
_OWNER = 0o600


class PartFile:
    """Made with the constructor; then ``commit`` or ``discard``.

    Args:
        target: where it goes.
        like: a file whose permission bits it takes, or None; never wider ones than the user's
            umask allows, and its owner may always write.
        private: nobody but its owner may read it, whatever ``like`` says.

    Raises:
        OutputError: it cannot be made there.
    """

    def __init__(self, target: Path, like: Path | None = None, private: bool = False) -> None:
        self.target = target
        clear_stale(target.parent)
        # The same suffix, so that the muxer is the same; hidden, so that nobody takes it.
        name = f".{target.stem[:_LONGEST]}.{secrets.token_hex(4)}.part{target.suffix}"
        self.path = target.with_name(name)
        try:
            # Made here, so that no other file can be meant.
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            mode = _OWNER if private else _mode(like)
            self._handle = os.open(self.path, flags, mode)
        except OSError as error:
            raise OutputError(f"{target}: {(error.strerror or str(error)).lower()}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Not every file system can; there, what is left behind is not cleared either.
            log.debug("%s: cannot be locked: %s", self.path, error)
        self.sha256: str | None = None
        self.bytes = 0
        self._done = False

    def open(self) -> BinaryIO:
        """It, open for writing; to be closed before ``commit``."""
        return os.fdopen(os.dup(self._handle), "wb")

    def commit(self, replace: bool = True, target: Path | None = None) -> None:
        """Have it written to the disk, and put it in its place.

        Args:
            replace: a file of that name may go.
            target: another place in the same folder; None is the one it was made for.

        Raises:
            OSError: it cannot be done.
        """
        with open(self.path, "rb") as file:
            # What was written by name must be what was made here.
            if not os.path.sameopenfile(file.fileno(), self._handle):
                raise FileNotFoundError(2, "the file was replaced while it was written")
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self.bytes = os.fstat(file.fileno()).st_size
        os.fsync(self._handle)
        target = self.target if target is None else target
        if replace:
            os.replace(self.path, target)
        else:
            _move_to_free(self.path, target)
        self._close()
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Take it away; safe to call twice, and after ``commit``."""
        if not self._done:
            self.path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        self._done = True
        os.close(self._handle)


def clear_stale(folder: Path) -> list[Path]:
    """Take away what killed processes have left in a folder.

    Only files of ``PartFile``'s own naming, that have not changed for a while and that no
    process holds.

    Returns:
        What was taken away.
    """
    gone = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            path = Path(entry.path)
            try:
                if time.time() - entry.stat().st_mtime > _SETTLED and _is_free(path):
                    path.unlink()
                    gone.append(path)
                    log.info("%s: left behind by a run that was killed, removed", path)
            except OSError as error:
                log.debug("%s: %s", path, error)
    return gone


def _move_to_free(path: Path, target: Path) -> None:
    """Rename, unless somebody has put a file there meanwhile."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        if target.exists():
            raise FileExistsError(17, "file exists", str(target)) from None
        os.replace(path, target)
    else:
        os.unlink(path)


def _is_free(path: Path) -> bool:
    """Whether no process has locked a file."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _mode(like: Path | None) -> int:
    if like is None:
        return _READABLE
    try:
        return like.stat().st_mode & _READABLE | _OWNER
    except OSError:
        return _OWNER
