"""``stream-anon tracks``: look into a Tracks file, and edit it by appending."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream_anon.cli.boundary import fail_usage
from stream_anon.cli.times import Time
from stream_anon.cli.track_edits import VERBS
from stream_anon.cli.track_options import (
    SETTINGS,
    file_argument,
    json_option,
    stream_of,
    stream_option,
    table,
)

if TYPE_CHECKING:
    from stream_anon.tracks.reader import TracksFile


@click.group(context_settings=SETTINGS)
def tracks() -> None:
    """Look into a Tracks file, and edit it: it is personal data, keep it apart.

    Edits are appended with author and time, never made in place. Boxes are in
    pixels of the stored frame, as `show` prints them. Times: 1.2s, 250ms, 1:02.5.
    """


@tracks.command("list", context_settings=SETTINGS)
@file_argument
@json_option
def list_(path: Path, as_json: bool) -> None:
    """List the tracks: times, sizes, what becomes of them."""
    from dataclasses import asdict

    from stream_anon.tracks.reader import TracksFile
    from stream_anon.tracks.summary import summaries

    with TracksFile(path) as file:
        found = summaries(file)
        if as_json:
            click.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
            return
        frames = sum(file.end.frames.values())
        click.echo(
            f"{file.header.input.name}: {frames} frames, {len(found)} tracks, "
            f"{len(file.active)} of {len(file.edits)} edits count"
        )
        rows = [("track", "label", "stream", "from", "to", "frames", "pixels", "becomes")]
        for one in found:
            becomes = " then ".join(one.methods) or "run's method"
            if one.kept:
                part = "" if one.kept == one.frames else f" in {one.kept} frames"
                becomes = f"VISIBLE{part}: {'; '.join(one.reasons)}"
            times = f"{one.first:.3f}s", f"{one.last:.3f}s"
            sizes = f"{one.smallest:.0f}-{one.largest:.0f}"
            rows.append(
                (one.track, one.label, one.stream, *times, str(one.frames), sizes, becomes)
            )
        table(rows)


@tracks.command(context_settings=SETTINGS)
@file_argument
@click.option("--at", type=Time(), metavar="TIME", help="The frame shown at that time.")
@click.option("--frame", type=click.IntRange(min=0), metavar="N", help="The frame's index, from 0.")
@stream_option
@json_option
def show(
    path: Path, at: float | None, frame: int | None, stream: str | None, as_json: bool
) -> None:
    """Show what one frame holds, edits included."""
    from dataclasses import asdict

    from stream_anon.tracks.reader import TracksFile

    if (at is None) == (frame is None):
        fail_usage("give the frame by --at or by --frame")
    with TracksFile(path) as file:
        name = stream_of(file, stream)
        index = frame if frame is not None else _index_at(file, name, at or 0.0)
        regions = file.frame(name, index)
        line = file.stream(name)
        if regions is None or line is None:
            fail_usage(f"stream {name} has {file.frames(name)} frames, there is no frame {index}")
        if as_json:
            click.echo(json.dumps(asdict(regions), indent=2, ensure_ascii=False))
            return
        seconds = line.seconds(regions.key.pts)
        click.echo(f"stream {name}, frame {index} at {seconds:.3f}s, {line.width}x{line.height}")
        if regions.unknown is not None:
            click.echo(f"not known what is in it, covered whole: {regions.unknown}")
        rows = [("track", "label", "box", "score", "known by", "becomes")]
        for item in regions.items:
            box = ",".join(f"{value:.1f}" for value in item.box)
            becomes = item.method or "run's method"
            if item.kept is not None:
                becomes = f"VISIBLE: {item.kept}"
            rows.append((item.track, item.label, box, f"{item.score:.2f}", item.origin, becomes))
        table(rows)


@tracks.command(context_settings=SETTINGS)
@file_argument
@json_option
def log(path: Path, as_json: bool) -> None:
    """List the edits: who, when, what, which of them count."""
    from stream_anon.tracks.reader import TracksFile

    with TracksFile(path) as file:
        if as_json:
            click.echo(json.dumps([edit.model_dump(mode="json") for edit in file.edits], indent=2))
            return
        counted = {edit.number for edit in file.active}
        rows = [("edit", "time", "author", "counts", "what")]
        for edit in file.edits:
            said = edit.change.model_dump(mode="json", exclude={"verb", "keyframes", "polygon"})
            words = " ".join(f"{key}={value}" for key, value in said.items() if value is not None)
            counts = "yes" if edit.number in counted else "no"
            if edit.change.verb == "undo":
                counts = "-"
            rows.append(
                (str(edit.number), edit.time, edit.author, counts, f"{edit.change.verb} {words}")
            )
        table(rows)


def _index_at(file: TracksFile, stream: str, seconds: float) -> int:
    """The last frame that began by then."""
    line = file.stream(stream)
    low, high = 0, file.frames(stream) - 1
    while low < high:
        middle = (low + high + 1) // 2
        regions = file.raw(stream, middle)
        if regions is not None and line is not None and line.seconds(regions.key.pts) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


for verb in VERBS:
    tracks.add_command(verb)
