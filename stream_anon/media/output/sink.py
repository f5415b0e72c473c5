"""Where frames go: cleared ones only, into a file that appears whole or not at all."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from stream_anon.config import VideoConfig
from stream_anon.errors import GateError, OutputError, UsageError
from stream_anon.media.cleared import Cleared
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.probe import reason
from stream_anon.media.output._mux import Muxer
from stream_anon.media.output.streams import MediaPlan
from stream_anon.media.packets import Gap, Packet
from stream_anon.media.part_file import PartFile

log = logging.getLogger(__name__)


class Sink(ABC):
    """Takes cleared frames and copied packets."""

    @abstractmethod
    def write(self, cleared: Cleared) -> None:
        """Encode a frame.

        Raises:
            GateError: it is not a ``Cleared``, was written before, or its time does not grow.
            OutputError: it cannot be written.
        """

    @abstractmethod
    def copy(self, item: Packet) -> None:
        """Write a packet of sound or subtitles as it is.

        Raises:
            GateError: its stream is not one that the plan copies.
            OutputError: it cannot be written.
        """

    def gap(self, gap: Gap) -> None:  # noqa: B027 - a file goes on as if nothing were
        """What comes next of a stream does not follow what was before."""

    @abstractmethod
    def finish(self) -> None:
        """Make the result whole.

        Raises:
            OutputError: it cannot be written.
        """

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the finished file; None for what is no file."""
        return None

    @property
    def held(self) -> int:
        """Frames that the encoders have taken and not given back yet."""
        return 0

    def drain(self) -> None:  # noqa: B027 - what holds nothing has nothing to give back
        """Have the encoders give back what they hold; nothing is written afterwards.

        Raises:
            OutputError: it cannot be written.
        """

    @property
    def encoded_by(self) -> Mapping[int, str]:
        """What encodes each stream of frames, in words."""
        return {}

    @property
    def notes(self) -> list[str]:
        """What was left out of what was copied, in words."""
        return []

    def close(self) -> Path | None:
        """Write what is left, without giving the result its name yet.

        Returns:
            The file that is whole and waits for ``publish``; None where nothing is left to do.

        Raises:
            OutputError: it cannot be written.
        """
        self.finish()
        return None

    def publish(self, path: Path | None = None) -> None:  # noqa: B027 - only files have names
        """Give a closed result its name, or ``path`` instead of it.

        Raises:
            GateError: it is not closed, or was published or given up before.
            OutputError: it cannot be renamed.
        """

    @abstractmethod
    def abort(self, hard: bool = False) -> None:
        """Leave nothing behind; safe to call at any time, also twice.

        Args:
            hard: another thread may still be inside the encoder, so it must not be touched.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()


class _MuxerSink(Sink):
    """What the sinks share: the check at the door, and errors in one line.

    Args:
        info, plan, options: as of ``FileSink``.
    """

    _muxer: Muxer

    def __init__(self, info: MediaInfo, plan: MediaPlan, name: str) -> None:
        self._copied = plan.copied
        self._redacted = plan.redacted
        self._name = name
        self._last: dict[int, int] = {}
        self._done = False

    @staticmethod
    def _piped(pipe: Any, info: MediaInfo, plan: MediaPlan, options: VideoConfig) -> Muxer:
        """A muxer that never goes back."""
        return Muxer(pipe, info, plan, options, seekable=False)

    def write(self, cleared: Cleared) -> None:
        """Encode a frame; see ``Sink.write``."""
        if type(cleared) is not Cleared:
            raise GateError(f"a {type(cleared).__name__} is not a cleared frame")
        if self._done:
            raise GateError("a frame came after the end")
        frame = cleared.take()
        if frame.stream not in self._redacted:
            raise GateError(f"a frame of stream {frame.stream}, which is not redacted")
        last = self._last.get(frame.stream)
        if last is not None and frame.pts <= last:
            raise GateError(f"the frame at {frame.pts} of stream {frame.stream} came late")
        self._last[frame.stream] = frame.pts
        with self._errors():
            formats = self._muxer.encoders[frame.stream].formats
            self._muxer.encode(frame.stream, frame.encodable(formats), frame.pts)

    def copy(self, item: Packet) -> None:
        """Write a packet as it is; see ``Sink.copy``."""
        if item.stream not in self._copied:
            raise GateError(f"a packet of stream {item.stream}, which is not copied")
        with self._errors():
            self._muxer.copy(item.stream, item.data)

    @property
    def held(self) -> int:
        """Frames that the encoders have taken and not given back yet."""
        return sum(encoder.held for encoder in self._muxer.encoders.values())

    def drain(self) -> None:
        """Have the encoders give back what they hold; see ``Sink.drain``."""
        with self._errors():
            self._muxer.drain()

    @property
    def frames(self) -> dict[int, int]:
        """Frames encoded, by stream."""
        return {index: encoder.frames for index, encoder in self._muxer.encoders.items()}

    @property
    def encoded_by(self) -> Mapping[int, str]:
        """What encodes each stream of frames, in words."""
        return {index: encoder.described for index, encoder in self._muxer.encoders.items()}

    @property
    def notes(self) -> list[str]:
        """What was left out of what was copied, in words."""
        return [
            f"stream {stream}: {count} packets from outside of what is presented are left out"
            for stream, count in self._muxer.left_out.items()
        ]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self._name}: cannot be written ({reason(error)})") from error


class FileSink(_MuxerSink):
    """Writes a hidden file beside the target and renames it when it is whole.

    Args:
        path: the target; replaced if it exists.
        plan: from ``plan_streams``.
        info: of the input.
        options: codec, quality, speed, metadata.
        replace: a file of that name may go; else one that comes meanwhile is a fault.

    Raises:
        UsageError: the target is the input.
        OutputError: the target cannot be written, or the encoder is missing or refuses.
    """

    def __init__(
        self,
        path: str | Path,
        plan: MediaPlan,
        info: MediaInfo,
        options: VideoConfig,
        replace: bool = True,
    ) -> None:
        super().__init__(info, plan, str(path))
        self._replace = replace
        self._closed = False
        self.path = Path(path)
        self._target = Path(os.path.realpath(self.path))
        check_target(self._target, self.path, info.path)
        self._part = PartFile(self._target, like=info.path)
        self.temporary = self._part.path
        try:
            with self._errors():
                self._muxer = Muxer(str(self.temporary), info, plan, options)
        except BaseException:
            # Raised again: the unfinished file goes first.
            self._part.discard()
            raise

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the finished file."""
        return None if self._part.sha256 is None else (self._part.bytes, self._part.sha256)

    def close(self) -> Path:
        """Write what is left; the file keeps its hidden name. See ``Sink.close``."""
        if self._done or self._closed:
            raise GateError("the file was already finished or given up")
        try:
            with self._errors():
                self._muxer.finish()
        except BaseException:
            # Raised again, as above.
            self.abort()
            raise
        self._closed = True
        return self.temporary

    def publish(self, path: Path | None = None) -> None:
        """Put the closed file in its place; see ``Sink.publish``."""
        if self._done or not self._closed:
            raise GateError("the file is not closed, or was finished or given up")
        try:
            with self._errors():
                if path is None:
                    self._part.commit(self._replace)
                else:
                    self._part.commit(replace=False, target=path)
        except BaseException:
            # Raised again, as above.
            self.abort()
            raise
        self._done = True

    def finish(self) -> None:
        """Write what is left, and put the file in its place; see ``Sink.finish``."""
        self.close()
        self.publish()

    def abort(self, hard: bool = False) -> None:
        """Remove what was written; see ``Sink.abort``."""
        if self._done:
            return
        self._done = True
        # Before the muxer is closed: its last pass over the file then has nothing to do.
        self.temporary.unlink(missing_ok=True)
        if hard:
            return
        if not self._closed:
            try:
                self._muxer.abandon()
            except (av.FFmpegError, OSError, ValueError) as error:
                log.debug("%s: closing what was given up: %s", self._name, error)
        self._part.discard()


class NullSink(_MuxerSink):
    """Encodes and throws the bytes away, for benchmarks.

    Args:
        plan, info, options: as of ``FileSink``.
    """

    def __init__(self, plan: MediaPlan, info: MediaInfo, options: VideoConfig) -> None:
        super().__init__(info, plan, os.devnull)
        with self._errors():
            self._muxer = Muxer(os.devnull, info, plan, options, format="null")

    @property
    def bytes(self) -> int:
        """Bytes that a file would have got, without its container."""
        return self._muxer.bytes

    def finish(self) -> None:
        """Drain the encoders."""
        self._done = True
        with self._errors():
            self._muxer.finish()

    def abort(self, hard: bool = False) -> None:
        """Let go of the encoders."""
        if self._done or hard:
            return
        self._done = True
        with self._errors():
            self._muxer.abandon()


def check_target(target: Path, named: Path, source: Path | None) -> None:
    """Refuse what cannot be replaced by a finished file.

    Args:
        target: where it would lie, links followed.
        named: as it was asked for, for messages.
        source: the input, if it is a file.

    Raises:
        UsageError: the target is the input.
        OutputError: it is a folder or no regular file.
    """
    if target.is_dir():
        raise OutputError(f"{named}: is a folder")
    if target.exists():
        if source is not None and source.exists() and os.path.samefile(source, target):
            raise UsageError(f"{named}: is the input itself; choose another name")
        if not target.is_file():
            raise OutputError(f"{named}: is no regular file")
