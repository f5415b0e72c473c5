"""What the verbs of ``stream-anon tracks`` share: arguments, options, who edits, tables."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream_anon.cli.boundary import fail_usage, say
from stream_anon.cli.times import Time

if TYPE_CHECKING:
    from stream_anon.tracks.reader import TracksFile
    from stream_anon.tracks.writer import AnyChange

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
FILE = click.Path(path_type=Path, dir_okay=False)
AUTHOR = "STREAM_ANON_AUTHOR"
"""Environment variable with the name under which edits are made."""


def file_argument(function: Decorated) -> Decorated:
    """The Tracks file."""
    return click.argument("path", metavar="FILE", type=FILE)(function)


def author_option(function: Decorated) -> Decorated:
    """``--author``."""
    return click.option("--author", metavar="NAME", help=f"Who edits. [${AUTHOR}, or the user]")(
        function
    )


def span_options(function: Decorated) -> Decorated:
    """``--from`` and ``--to``."""
    function = click.option("--to", "end", type=Time(), metavar="TIME", help="Last moment.")(
        function
    )
    return click.option("--from", "start", type=Time(), metavar="TIME", help="First moment.")(
        function
    )


def stream_option(function: Decorated) -> Decorated:
    """``--stream``."""
    return click.option("--stream", metavar="N", help="Video stream. [the first]")(function)


def json_option(function: Decorated) -> Decorated:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(function)


def append_edits(
    path: Path, author: str | None, changes: Sequence[dict[str, Any]], done: str
) -> None:
    """Append edits to a Tracks file and say so."""
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


def stream_of(file: TracksFile, stream: str | None) -> str:
    """The stream that was asked for, or the first."""
    known = [line.stream for line in file.header.streams]
    if stream is None:
        return known[0]
    if stream not in known:
        fail_usage(f"{file.path}: has no video stream {stream}; it has {', '.join(known)}")
    return stream


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of cells, aligned."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _whoever() -> str:
    if name := os.environ.get(AUTHOR):
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        fail_usage(f"nobody knows who edits: give --author, or set {AUTHOR}")
