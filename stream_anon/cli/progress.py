"""The progress bar: frames, frames a second, faces, time left. Only on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_anon.cli.times import clock

if TYPE_CHECKING:
    from stream_anon import Progress as Reached

    Listener = Callable[[Reached], None]


@contextmanager
def bar(
    name: str, wanted: bool, left: Callable[[float], float | None] | None = None
) -> Iterator[Listener | None]:
    """A bar for one input.

    Args:
        name: what is being done, shown before the bar.
        wanted: False shows nothing.
        left: for one of several inputs: from the share of it that is done (0 to 1) to the
            seconds that all of them still take.

    Yields:
        What ``stream_anon.redact`` calls with its progress, or None where there is no terminal.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield None
        return
    columns = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.0f} fps"),
        TextColumn("{task.fields[faces]} faces"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[whole]}"),
    )
    began = time.monotonic()
    with Progress(*columns, console=console, transient=True, expand=True) as shown:
        task = shown.add_task(name, total=None, speed=0.0, faces=0, whole="")

        def listen(reached: Reached) -> None:
            elapsed = max(time.monotonic() - began, 1e-6)
            rest = None
            if left is not None and reached.total:
                rest = left(min(1.0, reached.frames / reached.total))
            shown.update(
                task,
                completed=reached.frames,
                total=reached.total,
                speed=reached.frames / elapsed,
                faces=reached.faces,
                whole="" if rest is None else f"all {clock(rest)}",
            )

        yield listen
