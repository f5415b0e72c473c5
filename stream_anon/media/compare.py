"""What a reader needs to see that nothing but faces has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stream_anon.media.input.info import Chapter, Colour
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet

_LIMITED = 1
_KEPT = ("video", "audio", "subtitle")


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream, as a player gets it.

    Attributes:
        index, kind, codec, language, dispositions: as of ``StreamInfo``.
        time_base: seconds per unit of the times.
        times: presentation times of all decoded frames or all packets, in seconds.
        digest: SHA-256 over the payloads of all packets of a stream that can be copied; None
            for video.
        size: (width, height) of the frames.
        pix_fmt: of the decoded frames.
        rate: average frames a second.
        sample_aspect, rotation, colour, interlaced: as of ``VideoInfo``.
        side_data: names of what the first frame carries.
    """

    index: int
    kind: str
    codec: str
    language: str | None
    dispositions: tuple[str, ...]
    time_base: Fraction
    times: tuple[Fraction | None, ...]
    digest: str | None = None
    size: tuple[int, int] | None = None
    pix_fmt: str | None = None
    rate: Fraction | None = None
    sample_aspect: Fraction | None = None
    rotation: int = 0
    colour: Colour | None = None
    interlaced: bool = False
    side_data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file: its streams, chapters and the keys of its metadata."""

    path: Path
    format: str
    streams: tuple[StreamFacts, ...]
    chapters: tuple[Chapter, ...]
    metadata: tuple[str, ...]

    def of(self, kind: str) -> tuple[StreamFacts, ...]:
        """The streams of a kind; attached pictures are none."""
        return tuple(
            s for s in self.streams if s.kind == kind and "attached_pic" not in s.dispositions
        )


def describe(path: str | Path) -> FileFacts:
    """Read a whole file.

    Raises:
        InputError, FrameFault: as from ``FileSource``.
    """
    with FileSource(path) as source:
        info = source.info
        times: dict[int, list[Fraction | None]] = {s.index: [] for s in info.streams}
        hashes = {s.index: hashlib.sha256() for s in info.streams}
        for item in source:
            if isinstance(item, Packet):
                packet = item.data
                pts = packet.pts
                times[item.stream].append(None if pts is None else pts * packet.time_base)
                hashes[item.stream].update(bytes(packet))
            else:
                times[item.stream].append(item.pts * item.time_base)
    streams = []
    for stream in info.streams:
        video = stream.video
        base = StreamFacts(
            index=stream.index,
            kind=stream.kind,
            codec=stream.codec,
            language=stream.language,
            dispositions=stream.dispositions,
            time_base=stream.time_base,
            times=tuple(times[stream.index]),
            digest=hashes[stream.index].hexdigest() if stream.kind != "video" else None,
            size=None if video is None else (video.width, video.height),
            pix_fmt=None if video is None else video.coded_pix_fmt,
            rate=None if video is None else video.rate,
            sample_aspect=None if video is None else video.sample_aspect,
            rotation=0 if video is None else video.rotation,
            colour=None if video is None else video.colour,
            interlaced=video is not None and video.interlaced,
            side_data=() if video is None else video.side_data,
        )
        streams.append(base)
    return FileFacts(
        path=Path(path),
        format=info.format,
        streams=tuple(streams),
        chapters=info.chapters,
        metadata=tuple(sorted(info.metadata)),
    )


def differences(before: FileFacts, after: FileFacts) -> list[str]:
    """What is not the same, one line each; empty when only pixels can have changed.

    Streams are paired by kind and order. Times are compared to within half a unit of the
    coarser of the two time bases, so exactly where the container did not change.
    """
    out: list[str] = []
    for kind in _KEPT:
        old, new = before.of(kind), after.of(kind)
        if len(old) != len(new):
            out.append(f"{len(old)} {kind} streams became {len(new)}")
        for a, b in zip(old, new, strict=False):
            out += _stream_differences(a, b)
    # Titles may be left out, as other metadata is, and numbers take their place.
    numbered = all(c.title == f"Chapter {n}" for n, c in enumerate(after.chapters, 1))
    old_chapters = [_chapter(c, numbered) for c in before.chapters]
    new_chapters = [_chapter(c, numbered) for c in after.chapters]
    if old_chapters != new_chapters:
        out.append(f"chapters {old_chapters} became {new_chapters}")
    return out


def _chapter(chapter: Chapter, numbered: bool) -> tuple[Fraction, Fraction, str]:
    return round(chapter.start, 3), round(chapter.end, 3), "" if numbered else chapter.title


def _stream_differences(a: StreamFacts, b: StreamFacts) -> list[str]:
    name = f"{a.kind} stream {a.index}"
    out = []
    if len(a.times) != len(b.times):
        what = "frames" if a.kind == "video" else "packets"
        out.append(f"{name}: {len(a.times)} {what} became {len(b.times)}")
    slack = max(a.time_base, b.time_base) / 2 if a.time_base != b.time_base else Fraction(0)
    moved = [
        (x, y)
        for x, y in zip(a.times, b.times, strict=False)
        if (x is None) != (y is None) or (x is not None and y is not None and abs(x - y) > slack)
    ]
    if moved:
        x, y = moved[0]
        out.append(f"{name}: {len(moved)} times moved, the first from {x} to {y} s")
    if a.digest != b.digest:
        out.append(f"{name}: its packets changed")
    for field in ("size", "sample_aspect", "rotation", "interlaced", "language", "dispositions"):
        old, new = _plain(field, getattr(a, field)), _plain(field, getattr(b, field))
        if old != new:
            out.append(f"{name}: {field.replace('_', ' ')} {old} became {new}")
    if a.colour is not None and b.colour is not None:
        out += _colour_differences(name, a.colour, b.colour)
    return out


def _plain(field: str, value: object) -> object:
    """A value without the ways to say nothing."""
    if field == "sample_aspect":
        return value or Fraction(1)
    if field == "language":
        return None if value == "und" else value
    if field == "dispositions" and isinstance(value, tuple):
        # Set and cleared by muxers as they like.
        return tuple(name for name in value if name != "default")
    return value


def _colour_differences(name: str, a: Colour, b: Colour) -> list[str]:
    out = []
    for field, unspecified in (("primaries", 2), ("transfer", 2), ("matrix", 2), ("range", 0)):
        x, y = getattr(a, field), getattr(b, field)
        # What is understood without a tag may be written down, or left to be understood.
        usual = field == "range" and {x, y} == {unspecified, _LIMITED}
        if x not in (y, unspecified) and not usual:
            out.append(f"{name}: colour {field} {x} became {y}")
    return out
