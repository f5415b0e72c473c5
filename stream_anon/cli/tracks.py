"""``stream-anon tracks``: look into a Tracks file, and edit it by appending."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream_anon.cli.boundary import fail_usage, say
from stream_anon.cli.numbers import BOX, KEYFRAME, POLYGON
from stream_anon.cli.times import Time

if TYPE_CHECKING:
    from stream_anon.regions import Box, Point
    from stream_anon.tracks.reader import TracksFile
    from stream_anon.tracks.writer import AnyChange

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
AUTHOR = "STREAM_ANON_AUTHOR"


@click.group(context_settings=_SETTINGS)
def tracks() -> None:
    """Look into a Tracks file, and edit it: it is personal data, keep it apart.

    Edits are appended with author and time, never made in place. Boxes are in
    pixels of the stored frame, as `show` prints them. Times: 1.2s, 250ms, 1:02.5.
    """


def _argument(function: Decorated) -> Decorated:
    return click.argument("path", metavar="FILE", type=_FILE)(function)


def _author(function: Decorated) -> Decorated:
    return click.option("--author", metavar="NAME", help=f"Who edits. [${AUTHOR}, or the user]")(
        function
    )


def _span(function: Decorated) -> Decorated:
    function = click.option("--to", "end", type=Time(), metavar="TIME", help="Last moment.")(
        function
    )
    return click.option("--from", "start", type=Time(), metavar="TIME", help="First moment.")(
        function
    )


def _stream(function: Decorated) -> Decorated:
    return click.option("--stream", metavar="N", help="Video stream. [the first]")(function)


def _json(function: Decorated) -> Decorated:
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(function)


@tracks.command("list", context_settings=_SETTINGS)
@_argument
@_json
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
        _table(rows)


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.option("--at", type=Time(), metavar="TIME", help="The frame shown at that time.")
@click.option("--frame", type=click.IntRange(min=0), metavar="N", help="The frame's index, from 0.")
@_stream
@_json
def show(
    path: Path, at: float | None, frame: int | None, stream: str | None, as_json: bool
) -> None:
    """Show what one frame holds, edits included."""
    from dataclasses import asdict

    from stream_anon.tracks.reader import TracksFile

    if (at is None) == (frame is None):
        fail_usage("give the frame by --at or by --frame")
    with TracksFile(path) as file:
        name = _stream_of(file, stream)
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
        _table(rows)


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.option("--box", type=BOX, metavar="X0,Y0,X1,Y1", help="Where it is at --from.")
@click.option("--keyframe", "keyframes", type=KEYFRAME, multiple=True, metavar="TIME:X0,Y0,X1,Y1",
              help="Where it is at a time; straight in between. Repeat.")  # fmt: skip
@_span
@click.option("--follow", "video", type=_FILE, metavar="VIDEO",
              help="Follow what lies in --box through the video.")  # fmt: skip
@click.option("--method", default="fill", show_default=True, help="fill, pixelate or blur.")
@_stream
@_author
def add(
    path: Path,
    box: Box | None,
    keyframes: tuple[tuple[float, Box], ...],
    start: float | None,
    end: float | None,
    video: Path | None,
    method: str,
    stream: str | None,
    author: str | None,
) -> None:
    """Draw a region by hand: a rectangle, over a span of time."""
    from stream_anon.tracks.edits import next_track
    from stream_anon.tracks.reader import TracksFile

    if (box is None) == (not keyframes):
        fail_usage("give one --box, or --keyframe for every place")
    if keyframes:
        if video is not None:
            fail_usage("--follow begins with a --box")
        keyframes = tuple(sorted(keyframes))
        start = keyframes[0][0] if start is None else start
        end = keyframes[-1][0] if end is None else end
    if start is None or end is None:
        fail_usage("give the span by --from and --to")
    with TracksFile(path) as file:
        name = _stream_of(file, stream)
        number = str(next_track(file.tracks, file.edits))
        if box is not None:
            keyframes = ((start, box),)
            if video is not None:
                keyframes = _followed(file, video, name, box, start, end)
    change = {
        "verb": "add",
        "track": number,
        "stream": name,
        "start": start,
        "end": end,
        "keyframes": keyframes,
        "method": method,
        "followed": video is not None,
    }
    _append(path, author, [change], f"track {number} is painted")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="WORDS", help="Goes into the report.")
@_span
@_author
def keep(
    path: Path,
    numbers: tuple[str, ...],
    reason: str,
    start: float | None,
    end: float | None,
    author: str | None,
) -> None:
    """Leave tracks visible, for a reason that the report tells."""
    changes = [
        {"verb": "keep", "track": number, "reason": reason, "start": start, "end": end}
        for number in numbers
    ]
    _append(path, author, changes, f"{_all(numbers)} visible")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@click.option("--to", "name", required=True, metavar="METHOD", help="As of `redact --method`.")
@_author
def method(path: Path, numbers: tuple[str, ...], name: str, author: str | None) -> None:
    """Paint tracks by another method than the run's."""
    from stream_anon.methods import METHODS

    if name not in METHODS:
        fail_usage(f"there is no method '{name}'; there are {', '.join(METHODS)}")
    changes = [{"verb": "method", "track": number, "method": name} for number in numbers]
    _append(path, author, changes, f"{_all(numbers)} painted by {name}")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.argument("into", metavar="INTO")
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@_author
def merge(path: Path, into: str, numbers: tuple[str, ...], author: str | None) -> None:
    """Say that tracks are the same as track INTO."""
    from stream_anon.tracks.reader import TracksFile
    from stream_anon.tracks.summary import together

    with TracksFile(path) as file:
        at = together(file, {into, *numbers})
    if at is not None:
        fail_usage(f"{path}: these tracks are in one frame, at {at:.3f}s: they are not the same")
    change = {"verb": "merge", "tracks": numbers, "into": into}
    _append(path, author, [change], f"{_all(numbers)} part of track {into}")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.argument("number", metavar="TRACK")
@click.option("--at", type=Time(), required=True, metavar="TIME", help="Where the second begins.")
@_author
def split(path: Path, number: str, at: float, author: str | None) -> None:
    """Give a track a new number from a time on."""
    from stream_anon.tracks.edits import next_track
    from stream_anon.tracks.reader import TracksFile

    with TracksFile(path) as file:
        into = str(next_track(file.tracks, file.edits))
    change = {"verb": "split", "track": number, "at": at, "into": into}
    _append(path, author, [change], f"track {number} is track {into} from {at:.3f}s on")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.option("--polygon", type=POLYGON, metavar="'X,Y X,Y X,Y'", help="Three corners or more.")
@click.option("--box", type=BOX, metavar="X0,Y0,X1,Y1", help="A rectangle instead.")
@click.option("--always/--never", "always", default=None, required=True,
              help="Paint it, or leave visible what was found wholly inside.")  # fmt: skip
@_span
@click.option("--method", default="fill", show_default=True, help="fill, pixelate or blur.")
@click.option("--reason", metavar="WORDS", help="Needed for --never; goes into the report.")
@_stream
@_author
def zone(
    path: Path,
    polygon: tuple[Point, ...] | None,
    box: Box | None,
    always: bool,
    start: float | None,
    end: float | None,
    method: str,
    reason: str | None,
    stream: str | None,
    author: str | None,
) -> None:
    """Draw a polygon that is always, or never, painted."""
    from stream_anon.tracks.edits import next_track
    from stream_anon.tracks.reader import TracksFile

    if (polygon is None) == (box is None):
        fail_usage("give the zone by --polygon or by --box")
    if box is not None:
        x0, y0, x1, y1 = box
        polygon = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    if not always and not reason:
        fail_usage("--never needs a --reason, which goes into the report")
    with TracksFile(path) as file:
        name = _stream_of(file, stream)
        number = str(next_track(file.tracks, file.edits))
    change = {
        "verb": "zone",
        "track": number,
        "stream": name,
        "polygon": polygon,
        "mode": "always" if always else "never",
        "start": start,
        "end": end,
        "method": method,
        "reason": reason,
    }
    _append(path, author, [change], f"zone {number} is {'always' if always else 'never'} painted")


@tracks.command(context_settings=_SETTINGS)
@_argument
@click.argument("number", metavar="EDIT", type=click.IntRange(min=1))
@_author
def undo(path: Path, number: int, author: str | None) -> None:
    """Undo an edit by its number; an undo can be undone."""
    _append(path, author, [{"verb": "undo", "edit": number}], f"edit {number} does not count")


@tracks.command(context_settings=_SETTINGS)
@_argument
@_json
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
        _table(rows)


def _append(path: Path, author: str | None, changes: Sequence[dict[str, Any]], done: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from stream_anon.tracks.lines import Change
    from stream_anon.tracks.reader import first_complaint
    from stream_anon.tracks.writer import append

    adapter: TypeAdapter[AnyChange] = TypeAdapter(Change)
    try:
        checked = [adapter.validate_python(change) for change in changes]
    except ValidationError as error:
        fail_usage(f"{path}: {first_complaint(error)}")
    for edit in append(path, author or _whoever(), checked):
        say(f"edit {edit.number} by {edit.author}: {done}; undo: tracks undo {path} {edit.number}")


def _whoever() -> str:
    if name := os.environ.get(AUTHOR):
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        fail_usage(f"nobody knows who edits: give --author, or set {AUTHOR}")


def _followed(
    file: TracksFile, video: Path, stream: str, box: Box, start: float, end: float
) -> tuple[tuple[float, Box], ...]:
    from stream_anon.errors import TracksError
    from stream_anon.pipeline.follow import follow
    from stream_anon.tracks.origin import Fingerprint

    if Fingerprint.of(video).sha256 != file.header.input.sha256:
        raise TracksError(f"{file.path}: was made from another file than {video}")
    return follow(video, file, stream, box, start, end)


def _stream_of(file: TracksFile, stream: str | None) -> str:
    known = [line.stream for line in file.header.streams]
    if stream is None:
        return known[0]
    if stream not in known:
        fail_usage(f"{file.path}: has no video stream {stream}; it has {', '.join(known)}")
    return stream


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


def _all(numbers: Sequence[str]) -> str:
    return f"track {numbers[0]} is" if len(numbers) == 1 else f"tracks {', '.join(numbers)} are"


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
