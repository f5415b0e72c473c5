"""``stream-anon analyze``: a video in, a Tracks file out: who is where, to be looked through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stream_anon.cli.boundary import fail_usage
from stream_anon.cli.commands.redact import redact, set_up_log, settings
from stream_anon.cli.rows import Command, Option, option

_SHARED = {
    *("target", "threshold", "latency", "on_fault", "start", "end", "preset", "config_file"),
    *("device", "models_dir", "quiet", "verbose"),
}
"""Options that mean the same as for ``redact``."""


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    options_metavar="[OPTIONS]",
)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, dir_okay=False))
@option("-o", "--output", "target", group="Result", metavar="FILE", required=True,
        type=click.Path(path_type=Path, dir_okay=False), help="the Tracks file")  # fmt: skip
@option("-y", "--overwrite", group="Result", is_flag=True, help="replace a file that exists")
def analyze(
    source: Path, target: Path, overwrite: bool, quiet: bool, verbose: int, **options: Any
) -> None:
    """Find who is where in INPUT and write it to a Tracks file (JSON Lines), to be
    looked through and edited by `tracks` and painted by `render`.

    The file tells where every person was in every frame: it is personal data.
    Only its owner may read it; keep it apart from the report and the result.
    """
    if quiet and verbose:
        fail_usage("-q and -v exclude each other")
    from stream_anon.config import OPTIONS

    config = settings({**dict.fromkeys(OPTIONS), **options})
    set_up_log(verbose, quiet)
    import stream_anon
    from stream_anon.cli.progress import bar
    from stream_anon.cli.signals import stoppable

    with stoppable() as stop, bar(source.name, wanted=not quiet) as progress:
        found = stream_anon.analyze(
            source, target, config=config, overwrite=overwrite, progress=progress, cancel=stop
        )
    if not quiet:
        click.echo(f"{target}: {found.summary()}")


_OWN = [parameter.name for parameter in analyze.params]
analyze.params += [
    parameter
    for parameter in redact.params
    if isinstance(parameter, Option) and parameter.name in _SHARED and parameter.name not in _OWN
]
