"""The lines of a Tracks file, as they are written and checked; the JSON schema is made from them.

    {"kind": "header", ...}     once: what was analysed, and by what
    {"kind": "frame", ...}      once for every frame
    {"kind": "end", ...}        once: how many there must have been, and the hash of all before
    {"kind": "edit", ...}       any number, each with author, time and the hash of all before
"""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from stream_anon._version import __version__
from stream_anon.regions import (
    LABEL,
    MOST_ITEMS,
    MOST_POINTS,
    TRACK,
    FrameKey,
    Region,
    Regions,
    check_box,
    check_polygon,
)

SCHEMA_VERSION = 1

MOST_BYTES = 1 << 22
"""A line is at most this long."""

Real = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Stamp = Annotated[int, Field(ge=-(1 << 62), le=1 << 62)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Track = Annotated[str, Field(pattern=f"^{TRACK.pattern}$")]
Label = Annotated[str, Field(pattern=f"^{LABEL.pattern}$")]
Stream = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Words = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]
Seconds = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Box = tuple[Real, Real, Real, Real]
Point = tuple[Real, Real]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MOST_POINTS)]


class Line(BaseModel):
    """One line: frozen, and without keys that are not known."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    def to_json(self) -> bytes:
        """The line with its end. Floats are written so that reading gives the same float."""
        data = self.model_dump(mode="json")
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode() + b"\n"


class Tool(Line):
    """What wrote the file."""

    name: Literal["stream-anon"] = "stream-anon"
    version: str = __version__


class Input(Line):
    """The file that was analysed."""

    name: str
    """File name without its folder."""
    bytes: Count
    sha256: Sha256


class StreamLine(Line):
    """A video stream that was analysed."""

    stream: Stream
    width: Annotated[int, Field(ge=1, le=65536)]
    """Of the decoded frame, before rotation."""
    height: Annotated[int, Field(ge=1, le=65536)]
    rotation: Literal[0, 90, 180, 270]
    """Degrees counter-clockwise at which players show it."""
    time_base: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}/[1-9][0-9]{0,9}$")]
    """Seconds per unit of ``pts``."""

    def seconds(self, pts: int) -> float:
        """Presentation time, as frames themselves compute it."""
        base = Fraction(self.time_base)
        return pts * base.numerator / base.denominator


class Header(Line):
    """What was analysed, and by what."""

    kind: Literal["header"] = "header"
    schema_version: Literal[1] = 1
    tool: Tool = Tool()
    created: str
    """UTC, ISO 8601."""
    input: Input
    start: Seconds | None = None
    """Seconds into the input at which the analysis began; rendering begins there, too."""
    end: Seconds | None = None
    streams: Annotated[tuple[StreamLine, ...], Field(min_length=1, max_length=64)]
    detector: Name
    detector_sha256: Sha256 | None = None
    settings: dict[str, Any]
    """The options of detector and tracker."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [line.stream for line in self.streams]
        if len(set(names)) < len(names):
            raise ValueError("a stream stands there twice")
        return self


class RegionLine(Line):
    """One region of a frame line."""

    track: Track
    label: Label
    box: Box
    keypoints: tuple[Point, Point, Point, Point, Point] | None
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    origin: Literal["detected", "interpolated", "held", "look-back", "edited"]


class FrameLine(Line):
    """What is in one frame."""

    kind: Literal["frame"] = "frame"
    stream: Stream
    index: Count
    pts: Stamp
    items: Annotated[tuple[RegionLine, ...], Field(max_length=MOST_ITEMS)]
    ended: Annotated[tuple[Track, ...], Field(max_length=MOST_ITEMS)] = ()
    unknown: Annotated[str, Field(min_length=1, max_length=2000)] | None = None

    @classmethod
    def of(cls, regions: Regions) -> Self:
        """The line of a frame as analysis gave it.

        Raises:
            ValueError: a region carries what only edits can say.
        """
        for item in regions.items:
            if item.polygon is not None or item.method is not None or item.kept is not None:
                raise ValueError(f"track {item.track} was edited: edits have lines of their own")
        return cls(
            stream=regions.key.stream,
            index=regions.key.index,
            pts=regions.key.pts,
            items=tuple(
                RegionLine.model_construct(
                    track=item.track,
                    label=item.label,
                    box=item.box,
                    keypoints=item.keypoints,
                    score=item.score,
                    origin=item.origin,
                )
                for item in regions.items
            ),
            ended=regions.ended,
            unknown=regions.unknown,
        )

    def regions(self) -> Regions:
        """What it says.

        Raises:
            ValueError: a region or a track cannot be what it is.
        """
        return Regions(
            FrameKey(self.stream, self.index, self.pts),
            tuple(
                Region(r.track, r.label, r.box, r.keypoints, r.score, r.origin) for r in self.items
            ),
            self.ended,
            self.unknown,
        )


class EndLine(Line):
    """The trailer: with it the analysis is whole."""

    kind: Literal["end"] = "end"
    frames: dict[str, Count]
    """Frames by stream."""
    regions: Count
    tracks: Count
    sha256: Sha256
    """Of all bytes before this line."""


class _Verb(Line):
    pass


class Add(_Verb):
    """A region drawn by hand, that moves in straight lines between its keyframes."""

    verb: Literal["add"] = "add"
    track: Track
    stream: Stream
    start: Seconds
    end: Seconds
    keyframes: Annotated[tuple[tuple[Seconds, Box], ...], Field(min_length=1, max_length=1 << 20)]
    """Times in seconds, which grow, and boxes."""
    method: Name = "fill"
    followed: bool = False
    """Whether the keyframes were found by following the region through the video."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _span(self.start, self.end)
        times = [time for time, _ in self.keyframes]
        if any(a >= b for a, b in itertools.pairwise(times)):
            raise ValueError("the times of keyframes must grow")
        for _, box in self.keyframes:
            check_box(box)
        return self


class Keep(_Verb):
    """A track that is left visible."""

    verb: Literal["keep"] = "keep"
    track: Track
    reason: Words
    """Goes into the report of every run that renders this file."""
    start: Seconds | None = None
    end: Seconds | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _span(self.start, self.end)
        return self


class SetMethod(_Verb):
    """A track that is painted by another method than the run's."""

    verb: Literal["method"] = "method"
    track: Track
    method: Name


class Merge(_Verb):
    """Tracks that are one and the same."""

    verb: Literal["merge"] = "merge"
    tracks: Annotated[tuple[Track, ...], Field(min_length=1, max_length=1000)]
    """These become ``into``."""
    into: Track

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.into in self.tracks or len(set(self.tracks)) < len(self.tracks):
            raise ValueError("tracks to be merged must differ")
        return self


class Split(_Verb):
    """A track that is two: from a time on it has another number."""

    verb: Literal["split"] = "split"
    track: Track
    at: Seconds
    into: Track


class Zone(_Verb):
    """A polygon that is always painted, or in which nothing that was detected is painted."""

    verb: Literal["zone"] = "zone"
    track: Track
    """The number of the zone among the tracks."""
    stream: Stream
    polygon: Polygon
    mode: Literal["always", "never"]
    start: Seconds | None = None
    end: Seconds | None = None
    method: Name = "fill"
    reason: Words | None = None
    """Needed for ``never``; goes into the report."""

    @field_validator("polygon")
    @classmethod
    def _simple(cls, polygon: tuple[Point, ...]) -> tuple[Point, ...]:
        check_polygon(polygon)
        return polygon

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _span(self.start, self.end)
        if self.mode == "never" and self.reason is None:
            raise ValueError("a zone that is never painted needs a reason")
        return self


class Undo(_Verb):
    """An earlier edit does not count; undone, it counts again."""

    verb: Literal["undo"] = "undo"
    edit: Annotated[int, Field(ge=1, le=1 << 31)]


Change = Annotated[
    Add | Keep | SetMethod | Merge | Split | Zone | Undo, Field(discriminator="verb")
]


class EditLine(Line):
    """One edit: who, when, what."""

    kind: Literal["edit"] = "edit"
    number: Annotated[int, Field(ge=1, le=1 << 31)]
    """1, 2, 3 ..."""
    author: Words
    time: str
    """UTC, ISO 8601."""
    change: Change
    previous: Sha256
    """Of all bytes of the file before this line."""

    @field_validator("time")
    @classmethod
    def _utc(cls, time: str) -> str:
        if datetime.fromisoformat(time).utcoffset() != timedelta(0):
            raise ValueError("a time must be ISO 8601 in UTC")
        return time


AnyLine = Annotated[Header | FrameLine | EndLine | EditLine, Field(discriminator="kind")]

_ANY: TypeAdapter[Header | FrameLine | EndLine | EditLine] = TypeAdapter(AnyLine)


def parse_line(raw: bytes) -> Header | FrameLine | EndLine | EditLine:
    """Check one line.

    Raises:
        ValueError: it is no line of a Tracks file (pydantic's error, of several lines).
    """
    return _ANY.validate_json(raw)


def schema() -> dict[str, Any]:
    """The JSON schema of a line."""
    made = _ANY.json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "A line of a Tracks file"
    return made


def _span(start: float | None, end: float | None) -> None:
    if start is not None and end is not None and not start <= end:
        raise ValueError(f"the end ({end:g} s) lies before the start ({start:g} s)")


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
