"""Reading a Tracks file: all of it is checked before the first frame is painted.

Whatever is wrong with it is a ``TracksError`` of one line, and nothing is rendered: lines that are
missing, doubled or changed, a frame out of its order, a place outside of the frame, an edit that
does not fit, a file that breaks off.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pydantic import ValidationError

from stream_anon.errors import TracksError
from stream_anon.regions import Regions, meets
from stream_anon.tracks import edits
from stream_anon.tracks.edits import Known
from stream_anon.tracks.lines import (
    MOST_BYTES,
    EditLine,
    EndLine,
    FrameLine,
    Header,
    StreamLine,
    parse_line,
)


@dataclass(slots=True)
class _Stream:
    """A stream as it is read: where its frames' lines begin, their (keyed) hashes, the last time
    stamp."""

    line: StreamLine
    offsets: array[int] = field(default_factory=lambda: array("q"))
    hashes: array[int] = field(default_factory=lambda: array("q"))
    pts: int | None = None


class TracksFile:
    """A Tracks file that was read whole and found good; frames are read again one by one.

    Memory grows by 16 bytes a frame and by the number of tracks and edits. Used by one thread.

    Args:
        path: of the file.

    Attributes:
        header: what was analysed, and by what.
        end: the trailer.
        edits: all edits, undone ones included.
        active: those that count.
        tracks: every track, those included that edits make.
        sha256: of the whole file.

    Raises:
        TracksError: the file cannot be read, or something is wrong with it.
    """

    header: Header
    end: EndLine

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._streams: dict[str, _Stream] = {}
        self._analysed: dict[str, Known] = {}
        self._last: dict[str, tuple[str, int]] | None = None
        self.edits: tuple[EditLine, ...] = ()
        try:
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise TracksError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            self._scan()
            self.active = edits.active(self.edits)
            self.tracks = self._named(self._analysed)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._file.close()

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def analysed(self) -> dict[str, Known]:
        """The tracks that analysis found."""
        return dict(self._analysed)

    def stream(self, name: str) -> StreamLine | None:
        """A stream's line in the header, or None."""
        found = self._streams.get(name)
        return None if found is None else found.line

    def frames(self, stream: str) -> int:
        """How many frames of a stream were analysed."""
        found = self._streams.get(stream)
        return 0 if found is None else len(found.offsets)

    def raw(self, stream: str, index: int) -> Regions | None:
        """A frame as it was analysed, or None where it was not.

        Raises:
            TracksError: the file was changed since it was opened.
        """
        found = self._streams.get(stream)
        if found is None or not 0 <= index < len(found.offsets):
            return None
        try:
            self._file.seek(found.offsets[index])
            raw = self._file.readline(MOST_BYTES + 1)
        except OSError as error:
            raise TracksError(f"{self.path}: cannot be read ({error.strerror})") from error
        line = parse_line(raw) if hash(raw) == found.hashes[index] else None
        if not isinstance(line, FrameLine):
            raise TracksError(f"{self.path}: was changed while it was read")
        return line.regions()

    def frame(self, stream: str, index: int) -> Regions | None:
        """A frame as it is to be painted: analysed and edited; None where it was not analysed.

        Raises:
            TracksError: the file was changed since it was opened.
        """
        regions = self.raw(stream, index)
        if regions is None or not self.active:
            return regions
        edited = self._edited(regions)
        ends = self._ends()
        ended = tuple(
            item.track for item in edited.items if ends[item.track] == (stream, index)
        )
        return replace(edited, ended=ended)

    def each(self) -> Iterator[tuple[float, Regions]]:
        """Seconds and regions of every frame as it is to be painted, stream by stream."""
        for name, stream in self._streams.items():
            for index in range(len(stream.offsets)):
                regions = self.frame(name, index)
                if regions is not None:
                    yield stream.line.seconds(regions.key.pts), regions

    def prepare(self) -> None:
        """Resolve the edits of every frame once, so that what is wrong with them shows before the
        first frame is painted, and no frame waits for it.

        Raises:
            TracksError: the edits of a frame contradict each other.
        """
        if self.active:
            self._ends()

    def methods(self) -> tuple[str, ...]:
        """Names of the methods that edits ask for."""
        named = (getattr(edit.change, "method", None) for edit in self.active)
        return tuple(sorted({name for name in named if name is not None}))

    def _edited(self, regions: Regions) -> Regions:
        line = self._streams[regions.key.stream].line
        try:
            return edits.resolve(regions, line.seconds(regions.key.pts), self.active)
        except ValueError as error:
            key = regions.key
            raise TracksError(
                f"{self.path}: the edits of frame {key.index} of stream {key.stream}: {error}"
            ) from error

    def _ends(self) -> dict[str, tuple[str, int]]:
        """The last frame of every track, edits included; found by going through the file once."""
        if self._last is None:
            last: dict[str, tuple[str, int]] = {}
            for name, stream in self._streams.items():
                for index in range(len(stream.offsets)):
                    regions = self.raw(name, index)
                    if regions is not None:
                        for item in self._edited(regions).items:
                            last[item.track] = (name, index)
            self._last = last
        return self._last

    def _named(self, tracks: dict[str, Known]) -> dict[str, Known]:
        try:
            return edits.check(self.edits, tracks, self.header)
        except TracksError as error:
            raise TracksError(f"{self.path}: {error}") from error

    def _scan(self) -> None:
        digest, number, offset = hashlib.sha256(), 0, 0
        state = _State(self._streams, self._analysed)
        while raw := self._read_line(number + 1):
            number += 1
            try:
                state.take(parse_line(raw), (offset, hash(raw)), digest.hexdigest)
            except ValidationError as error:
                words = first_complaint(error)
                raise TracksError(f"{self.path}: line {number}: {words}") from error
            except (ValueError, TracksError) as error:
                raise TracksError(f"{self.path}: line {number}: {error}") from error
            digest.update(raw)
            offset += len(raw)
        if state.header is None:
            raise TracksError(f"{self.path}: is empty, no Tracks file")
        if state.end is None:
            raise TracksError(f"{self.path}: breaks off after line {number}: there is no trailer")
        self.header, self.end, self.edits = state.header, state.end, tuple(state.edits)
        self.sha256, self.size = digest.hexdigest(), offset

    def _read_line(self, number: int) -> bytes:
        try:
            raw = self._file.readline(MOST_BYTES + 1)
        except OSError as error:
            raise TracksError(f"{self.path}: cannot be read ({error.strerror})") from error
        if len(raw) > MOST_BYTES:
            raise TracksError(f"{self.path}: line {number} is longer than {MOST_BYTES} bytes")
        if raw and not raw.endswith(b"\n"):
            raise TracksError(f"{self.path}: breaks off in line {number}")
        return raw


class _State:
    """What may come next in a file, and what came."""

    def __init__(self, streams: dict[str, _Stream], tracks: dict[str, Known]) -> None:
        self.header: Header | None = None
        self.end: EndLine | None = None
        self.edits: list[EditLine] = []
        self._streams, self._tracks = streams, tracks
        self._ended: set[str] = set()
        self._regions = 0

    def take(self, line: object, place: tuple[int, int], before: Callable[[], str]) -> None:
        """The next line.

        Args:
            line: as it was parsed.
            place: where it begins, and its hash.
            before: gives the SHA-256 of all before it.

        Raises:
            ValueError: it may not stand here, or what it says cannot be.
        """
        if isinstance(line, Header) != (self.header is None):
            raise ValueError("a Tracks file begins with its one header")
        match line:
            case Header():
                self.header = line
                self._streams.update((one.stream, _Stream(one)) for one in line.streams)
            case FrameLine():
                self._frame(line, place)
            case EndLine():
                self._close(line, before())
            case EditLine():
                self._edit(line, before())

    def _frame(self, line: FrameLine, place: tuple[int, int]) -> None:
        if self.end is not None:
            raise ValueError("a frame after the trailer")
        stream = self._streams.get(line.stream)
        if stream is None:
            raise ValueError(f"a frame of stream {line.stream}, which the header does not name")
        if line.index != len(stream.offsets):
            expected = len(stream.offsets)
            raise ValueError(f"frame {line.index} of stream {line.stream}; {expected} is missing")
        if stream.pts is not None and line.pts <= stream.pts:
            raise ValueError(f"frame {line.index} of stream {line.stream} is not after its last")
        for item in line.regions().items:
            if not meets(item.box, stream.line.width, stream.line.height):
                raise ValueError(f"track {item.track} lies outside of the frame")
            known = self._tracks.setdefault(item.track, Known(line.stream, item.label))
            if known != Known(line.stream, item.label):
                raise ValueError(f"track {item.track} changed its stream or label")
            if item.track in self._ended:
                raise ValueError(f"track {item.track} had ended")
        self._ended.update(line.ended)
        self._regions += len(line.items)
        stream.pts = line.pts
        stream.offsets.append(place[0])
        stream.hashes.append(place[1])

    def _close(self, line: EndLine, before: str) -> None:
        if self.end is not None:
            raise ValueError("a second trailer")
        frames = {name: len(stream.offsets) for name, stream in self._streams.items()}
        if line.frames != frames:
            raise ValueError(f"the trailer counts {line.frames} frames, there are {frames}")
        if (line.regions, line.tracks) != (self._regions, len(self._tracks)):
            raise ValueError("the trailer counts other regions or tracks than there are")
        if line.sha256 != before:
            raise ValueError("the analysis was changed after it was written; edits are appended")
        self.end = line

    def _edit(self, line: EditLine, before: str) -> None:
        if self.end is None:
            raise ValueError("an edit before the trailer")
        if line.number != len(self.edits) + 1:
            raise ValueError(f"edit {line.number}; {len(self.edits) + 1} is missing")
        if line.previous != before:
            raise ValueError("something before this edit was changed after it was made")
        self.edits.append(line)


def first_complaint(error: ValidationError) -> str:
    """The first of pydantic's complaints, without the value: it may be somebody's place."""
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in one["loc"])
    words = one["msg"].removeprefix("Value error, ")
    return f"{where}: {words[:1].lower()}{words[1:]}" if where else words
