"""The verbs of ``stream-anon tracks`` that append edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream_anon.cli.boundary import fail_usage
from stream_anon.cli.numbers import BOX, KEYFRAME, POLYGON
from stream_anon.cli.times import Time
from stream_anon.cli.track_options import (
    FILE,
    SETTINGS,
    append_edits,
    author_option,
    file_argument,
    span_options,
    stream_of,
    stream_option,
)

if TYPE_CHECKING:
    from stream_anon.regions import Box, Point
    from stream_anon.tracks.reader import TracksFile


@click.command(context_settings=SETTINGS)
@file_argument
@click.option("--box", type=BOX, metavar="X0,Y0,X1,Y1", help="Where it is at --from.")
@click.option("--keyframe", "keyframes", type=KEYFRAME, multiple=True, metavar="TIME:X0,Y0,X1,Y1",
              help="Where it is at a time; straight in between. Repeat.")  # fmt: skip
@span_options
@click.option("--follow", "video", type=FILE, metavar="VIDEO",
              help="Follow what lies in --box through the video.")  # fmt: skip
@click.option("--method", default="fill", show_default=True, help="fill, pixelate or blur.")
@stream_option
@author_option
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
        name = stream_of(file, stream)
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
    append_edits(path, author, [change], f"track {number} is painted")


@click.command(context_settings=SETTINGS)
@file_argument
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="WORDS", help="Goes into the report.")
@span_options
@author_option
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
    append_edits(path, author, changes, f"{_all(numbers)} visible")


@click.command(context_settings=SETTINGS)
@file_argument
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@click.option("--to", "name", required=True, metavar="METHOD", help="As of `redact --method`.")
@author_option
def method(path: Path, numbers: tuple[str, ...], name: str, author: str | None) -> None:
    """Paint tracks by another method than the run's."""
    from stream_anon.methods import known_methods

    if name not in known_methods():
        fail_usage(f"there is no method '{name}'; there are {', '.join(known_methods())}")
    changes = [{"verb": "method", "track": number, "method": name} for number in numbers]
    append_edits(path, author, changes, f"{_all(numbers)} painted by {name}")


@click.command(context_settings=SETTINGS)
@file_argument
@click.argument("into", metavar="INTO")
@click.argument("numbers", metavar="TRACK...", nargs=-1, required=True)
@author_option
def merge(path: Path, into: str, numbers: tuple[str, ...], author: str | None) -> None:
    """Say that tracks are the same as track INTO."""
    from stream_anon.tracks.reader import TracksFile
    from stream_anon.tracks.summary import together

    with TracksFile(path) as file:
        at = together(file, {into, *numbers})
    if at is not None:
        fail_usage(f"{path}: these tracks are in one frame, at {at:.3f}s: they are not the same")
    change = {"verb": "merge", "tracks": numbers, "into": into}
    append_edits(path, author, [change], f"{_all(numbers)} part of track {into}")


@click.command(context_settings=SETTINGS)
@file_argument
@click.argument("number", metavar="TRACK")
@click.option("--at", type=Time(), required=True, metavar="TIME", help="Where the second begins.")
@author_option
def split(path: Path, number: str, at: float, author: str | None) -> None:
    """Give a track a new number from a time on."""
    from stream_anon.tracks.edits import next_track
    from stream_anon.tracks.reader import TracksFile

    with TracksFile(path) as file:
        into = str(next_track(file.tracks, file.edits))
    change = {"verb": "split", "track": number, "at": at, "into": into}
    append_edits(path, author, [change], f"track {number} is track {into} from {at:.3f}s on")


@click.command(context_settings=SETTINGS)
@file_argument
@click.option("--polygon", type=POLYGON, metavar="'X,Y X,Y X,Y'", help="Three corners or more.")
@click.option("--box", type=BOX, metavar="X0,Y0,X1,Y1", help="A rectangle instead.")
@click.option("--always/--never", "always", default=None, required=True,
              help="Paint it, or leave visible what was found wholly inside.")  # fmt: skip
@span_options
@click.option("--method", default="fill", show_default=True, help="fill, pixelate or blur.")
@click.option("--reason", metavar="WORDS", help="Needed for --never; goes into the report.")
@stream_option
@author_option
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
        name = stream_of(file, stream)
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
    often = "always" if always else "never"
    append_edits(path, author, [change], f"zone {number} is {often} painted")


@click.command(context_settings=SETTINGS)
@file_argument
@click.argument("number", metavar="EDIT", type=click.IntRange(min=1))
@author_option
def undo(path: Path, number: int, author: str | None) -> None:
    """Undo an edit by its number; an undo can be undone."""
    append_edits(path, author, [{"verb": "undo", "edit": number}], f"edit {number} does not count")


def _followed(
    file: TracksFile, video: Path, stream: str, box: Box, start: float, end: float
) -> tuple[tuple[float, Box], ...]:
    from stream_anon.errors import TracksError
    from stream_anon.pipeline.follow import follow
    from stream_anon.tracks.origin import Fingerprint

    if Fingerprint.of(video).sha256 != file.header.input.sha256:
        raise TracksError(f"{file.path}: was made from another file than {video}")
    return follow(video, file, stream, box, start, end)


def _all(numbers: Sequence[str]) -> str:
    return f"track {numbers[0]} is" if len(numbers) == 1 else f"tracks {', '.join(numbers)} are"


VERBS = (add, keep, method, merge, split, zone, undo)
