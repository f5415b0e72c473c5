"""``stream-anon render``: a video and its Tracks file in, the same video with faces covered out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stream_anon.cli import inputs
from stream_anon.cli.boundary import fail_usage
from stream_anon.cli.commands.redact import may_replace, redact, set_up_log, settings
from stream_anon.cli.rows import Command, Option, option

_NOT_HERE = ("output", "skip", "summary", "threshold", "latency", "start", "end")
"""Options of ``redact`` that say what is in the video, or belong to several inputs."""


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    options_metavar="[OPTIONS]",
)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, dir_okay=False))
@option("--tracks", group="Result", metavar="FILE", required=True,
        type=click.Path(path_type=Path, dir_okay=False), help="what `analyze` wrote")  # fmt: skip
@option("-o", "--output", "target", group="Result", metavar="FILE",
        type=click.Path(path_type=Path), help="[NAME_anonymized.EXT]")  # fmt: skip
@option("-y", "--overwrite", group="Result", is_flag=True, help="replace a file that exists")
def render(
    source: Path,
    tracks: Path,
    target: Path | None,
    overwrite: bool,
    report: str | None,
    dry_run: bool,
    pipeline: str,
    quiet: bool,
    verbose: int,
    **options: Any,
) -> None:
    """Cover in INPUT what its Tracks file says, edits included. A frame that the
    file does not know fails closed.
    """
    if quiet and verbose:
        fail_usage("-q and -v exclude each other")
    from stream_anon.config import OPTIONS

    config = settings({**dict.fromkeys(OPTIONS), **options})
    set_up_log(verbose, quiet)
    import stream_anon
    from stream_anon.cli.progress import bar
    from stream_anon.cli.signals import stoppable

    planned = stream_anon.plan(source, target, config, tracks)
    output = planned.request.output
    if dry_run:
        click.echo(str(planned))
        return
    given = inputs.Job(source, output, None if report is None else Path(report))
    todo, _ = inputs.settle([given], lambda path: may_replace(path, overwrite))
    if not todo:
        fail_usage(f"{output}: exists; -y replaces it")
    with stoppable() as stop, bar(source.name, wanted=not quiet) as progress:
        done = stream_anon.render(
            source,
            tracks,
            output,
            config=config,
            report=report,
            # What comes meanwhile is not replaced.
            overwrite=todo[0].overwrite,
            progress=progress,
            cancel=stop,
            pipeline=pipeline,
        )
    if not quiet:
        click.echo(f"{output}: {done.summary()}")


_OWN = [parameter.name for parameter in render.params]
render.params += [
    parameter
    for parameter in redact.params
    if isinstance(parameter, Option) and parameter.name not in (*_OWN, *_NOT_HERE)
]
