"""Tracks files without a video, and forgeries of them: whole and well hashed, and yet a lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_anon.regions import FrameKey, Region, Regions
from stream_anon.tracks.lines import Header, Input, StreamLine
from stream_anon.tracks.writer import TracksWriter

POINTS = ((40.0, 40.0), (60.0, 40.0), (50.0, 50.0), (42.0, 60.0), (58.0, 60.0))


def header(streams: int = 1, **changes: Any) -> Header:
    lines = tuple(
        StreamLine(stream=str(n), width=320, height=240, rotation=0, time_base="1/25")
        for n in range(streams)
    )
    return Header(
        created="2026-11-21T12:00:00+00:00",
        input=Input(name="street.mp4", bytes=10, sha256="0" * 64),
        streams=lines,
        detector="centerface",
        settings={},
        **changes,
    )


def face(
    track: int = 1, x: float = 30.0, y: float = 30.0, side: float = 40.0, **rest: Any
) -> Region:
    box = (x, y, x + side, y + side)
    return Region(str(track), "face", box, POINTS, 0.9, "detected", **rest)


def regions(index: int, *items: Region, stream: str = "0", **rest: Any) -> Regions:
    return Regions(FrameKey(stream, index, index), items, **rest)


def write(path: Path, frames: list[Regions], streams: int = 1) -> Path:
    writer = TracksWriter(path, header(streams), overwrite=True)
    try:
        for one in frames:
            writer.write(one)
        writer.finish()
    finally:
        writer.abort()
    return path


def two_people(path: Path, count: int = 10) -> Path:
    """Track 1 in all frames, moving right; track 2 from the fourth on."""
    frames = []
    for n in range(count):
        items = [face(1, 30.0 + n)] + ([face(2, 200.0)] if n >= 4 else [])
        frames.append(regions(n, *items, ended=("1", "2") if n == count - 1 else ()))
    return write(path, frames)


def forge(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """Change lines and set every count and hash right again, as a careful forger would."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changed = change(lines)
    lines = lines if changed is None else changed
    digest, out = hashlib.sha256(), b""
    counts: dict[str, int] = {one["stream"]: 0 for one in lines[0]["streams"]}
    found, tracks = 0, set()
    for line in lines:
        if line["kind"] == "frame":
            counts[line["stream"]] = counts.get(line["stream"], 0) + 1
            found += len(line["items"])
            tracks |= {item["track"] for item in line["items"]}
        elif line["kind"] == "end":
            line |= {"frames": counts, "regions": found, "tracks": len(tracks)}
            line["sha256"] = digest.hexdigest()
        elif line["kind"] == "edit":
            line["previous"] = digest.hexdigest()
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        digest.update(raw)
        out += raw
    path.write_bytes(out)
    return path
