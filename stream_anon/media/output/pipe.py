"""A pipe as a sink: what was written is gone, so nothing can be whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from stream_anon.config import VideoConfig
from stream_anon.errors import GateError, OutputError, UsageError
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.probe import reason
from stream_anon.media.output.sink import _MuxerSink
from stream_anon.media.output.streams import MediaPlan

PIPES = {"-": ".mkv", "-.mkv": ".mkv", "-.webm": ".webm", "-.ts": ".ts", "-.mp4": ".mp4"}
"""How standard output is named, and as what it is written."""


class Writable(Protocol):
    """Open for writing, in binary and unbuffered."""

    def write(self, data: memoryview, /) -> int:
        """Write some of it, and say how much."""


def pipe_suffix(target: Path) -> str | None:
    """The format in which a name means standard output; None for a file.

    Raises:
        UsageError: it means standard output in a format that cannot be written to a pipe.
    """
    name = str(target)
    if name in PIPES:
        return PIPES[name]
    if name.startswith("-.") and "/" not in name:
        raise UsageError(f"{name}: cannot be written to a pipe; use one of {' '.join(PIPES)}")
    return None


class PipeSink(_MuxerSink):
    """Writes what a pipe's reader can use at once: Matroska, WebM, MPEG-TS, fragmented MP4.

    A run that fails has written a part, which ends without its last words (cues, index); whoever
    reads it must look at the exit code.

    Args:
        stream: open for writing.
        plan, info, options: as of ``FileSink``.

    Raises:
        OutputError: the encoder is missing or refuses.
    """

    def __init__(
        self, stream: Writable, plan: MediaPlan, info: MediaInfo, options: VideoConfig
    ) -> None:
        super().__init__(info, plan, "standard output")
        self._pipe = _Pipe(stream)
        with self._errors():
            self._muxer = self._piped(self._pipe, info, plan, options)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with super()._errors():
                yield
        except OutputError as error:
            # FFmpeg does not always hand on what the pipe said.
            why = self._pipe.error
            if why is None:
                raise
            raise OutputError(f"{self._name}: cannot be written ({reason(why)})") from error

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of what was written."""
        return self._pipe.bytes, self._pipe.sha256.hexdigest()

    def finish(self) -> None:
        """Write what is left; see ``Sink.finish``."""
        if self._done:
            raise GateError("the pipe was already finished or given up")
        self._done = True
        with self._errors():
            self._muxer.finish()

    def abort(self, hard: bool = False) -> None:
        """Write nothing more; see ``Sink.abort``."""
        if self._done:
            return
        self._done = True
        # Else the muxer would end the part as if it were the whole.
        self._pipe.shut = True
        if not hard:
            with self._errors():
                self._muxer.abandon()


class _Pipe:
    """Writes on, and remembers what it was."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.sha256, self.bytes, self.shut = hashlib.sha256(), 0, False
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it; nothing once the pipe is shut."""
        if not self.shut:
            rest = memoryview(bytes(data))
            self.sha256.update(rest)
            self.bytes += len(rest)
            try:
                while rest:
                    rest = rest[self._stream.write(rest) :]
            except OSError as error:
                self.error = error
                raise
        return len(data)


@lru_cache(maxsize=1)
def standard_output() -> Writable:
    """This process's own, for a video alone: whatever else is printed goes to standard error.

    To be asked for before anything is printed.

    Raises:
        UsageError: it is a terminal.
        OutputError: it cannot be written to.
    """
    if os.isatty(1):
        raise UsageError("-: standard output is a terminal; redirect it")
    try:
        sys.stdout.flush()
        # Not buffered: what cannot be written must be told by the write, not at the end.
        stream = os.fdopen(os.dup(1), "wb", buffering=0)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise OutputError(f"standard output: cannot be written ({words})") from error
    os.dup2(2, 1)
    return stream
