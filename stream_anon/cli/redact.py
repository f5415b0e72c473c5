"""``stream-anon redact``: videos in, the same videos with every face covered out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_anon._version import __version__
from stream_anon.cli import inputs
from stream_anon.cli.boundary import (
    FAILED,
    USAGE,
    Exit,
    attempt,
    describe,
    explain,
    fail_usage,
    say,
)
from stream_anon.cli.rows import Command, option
from stream_anon.cli.times import Time
from stream_anon.device import choose
from stream_anon.errors import StreamAnonError, UsageError

if TYPE_CHECKING:
    from stream_anon.config import Config

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


def _presets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from stream_anon import recipes

    return [name for name in recipes.presets() if name.startswith(incomplete)]


def _methods(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from stream_anon.methods import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    options_metavar="[OPTIONS]",
)
@click.argument("inputs_", metavar="INPUT...", nargs=-1, required=True, type=_PATH)
@option("-o", "--output", group="Result", metavar="PATH",
        help="file or folder [NAME_anonymized.EXT]")
@option("-y", "--overwrite", group="Result", row="existing", is_flag=True,
        help="what exists: replace | keep")
@option("-n", "--skip", group="Result", row="existing", is_flag=True)
@option("--report", group="Result", metavar="FILE",
        help="write what was done, as JSON")
@option("--dry-run", group="Result", is_flag=True, help="only say what would be done")
@option("--method", group="Faces", metavar="NAME", help="what a face becomes",
        shell_complete=_methods)
@option("--mechanism", group="Faces", row="noise", metavar="NAME",
        help="identity, dp-image: noise, budget")
@option("--epsilon", group="Faces", row="noise", metavar="E", type=float)
@option("--on-fault", group="Faces", row="safe", metavar="POLICY",
        type=click.Choice(["stop", "step-down"]), help="stop, step-down | off, sampled, full")
@option("--verify", group="Faces", row="safe", metavar="MODE",
        type=click.Choice(["off", "sampled", "full"]))
@option("--latency", group="Faces", row="track", metavar="S", type=float,
        help="seconds of wait | show tracks")
@option("--draw-boxes", group="Faces", row="track", is_flag=True)
@option("--codec", group="Video", metavar="NAME",
        type=click.Choice(["auto", "h264", "hevc", "av1", "vp9", "gif"]),
        help="auto, h264, hevc, av1, vp9, gif")
@option("--crf", group="Video", row="quality", metavar="N", type=float,
        help="quality, speed of the encoder")
@option("--encoder-preset", group="Video", row="quality", metavar="NAME")
@option("--start", group="Video", row="span", metavar="TIME", type=Time(),
        help="this part only: 12.5 or h:mm:ss")
@option("--end", group="Video", row="span", metavar="TIME", type=Time())
@option("--audio", group="Video", metavar="copy|drop", type=click.Choice(["copy", "drop"]),
        help="sound: bit for bit, or none")
@option("--keep-metadata", group="Video", is_flag=True, help="keep place, time and device")
@option("--preset", group="Options", row="file", metavar="NAME", shell_complete=_presets,
        help="options from a preset | a YAML file")
@option("--config", "config_file", group="Options", row="file", metavar="FILE", type=_FILE)
@option("--pipeline", group="Options", metavar="FILE", default="redact",
        help="your own pipeline, a .py file")
@option("--device", group="Machine", metavar="auto|cpu|cuda",
        type=click.Choice(["auto", "cpu", "cuda"]), help="where it runs; see: doctor")
@option("--models-dir", group="Machine", metavar="DIR", type=_FOLDER,
        help="folder with network weights")
@option("-q", "--quiet", group="Words", row="words", is_flag=True, help="silent | more, -vv all")
@option("-v", "--verbose", group="Words", row="words", count=True)
@click.version_option(__version__, "--version", message="stream-anon %(version)s")
def redact(
    inputs_: tuple[Path, ...],
    output: str | None,
    overwrite: bool,
    skip: bool,
    report: str | None,
    dry_run: bool,
    quiet: bool,
    verbose: int,
    pipeline: str,
    **options: Any,
) -> None:
    """Cover every face in INPUT, files or folders of videos, by a method: identity
    (default), dp-image, visual-mixer, pixelate, blur or fill. Exit code: 0 all
    done, 1 some not, 2 bad usage, 130 stopped.
    """
    if overwrite and skip:
        fail_usage("-y and -n exclude each other")
    if quiet and verbose:
        fail_usage("-q and -v exclude each other")
    planned = inputs.jobs(inputs_, output, report, _suffix)
    config = settings(options)
    _log(verbose, quiet)
    device = choose(config.device)
    if verbose:
        say(f"device {device.name}: {device.why}")
    if dry_run:
        _show_plans(planned, config)
        return
    todo, skipped = inputs.settle(planned, _asker(overwrite, skip))
    failures = _do(todo, config, pipeline, quiet, verbose)
    for job in skipped:
        if not quiet:
            say(f"not done: {job.source} ({job.target} exists)")
    if failures and len(planned) > 1:
        say(f"{len(failures)} of {len(planned)} inputs failed:")
        for job, error in failures:
            say(f"  {job.source}: {_without(job.source, describe(error))}")
    if failures or skipped:
        wrong = not skipped and len(failures) == len(planned) and all(
            isinstance(error, UsageError) for _, error in failures
        )
        raise Exit(USAGE if wrong else FAILED)


def settings(options: dict[str, Any]) -> Config:
    """Defaults, then the preset or file, then what stands on the command line.

    Raises:
        UsageError: an option is wrong, or both a preset and a file are named.
    """
    from stream_anon import recipes
    from stream_anon.config import OPTIONS, Config, load, options_to_config

    if options["preset"] and options["config_file"]:
        fail_usage("--preset and --config exclude each other")
    config = Config()
    if options["preset"]:
        config = load(recipes.preset(options["preset"]))
    elif options["config_file"]:
        config = load(options["config_file"])
    changed = {name: options[name] or None for name in ("draw_boxes", "keep_metadata")}
    values = {name: options[name] for name in OPTIONS if name not in changed}
    return options_to_config(config, {**values, **changed})


def _do(
    todo: Sequence[inputs.Job], config: Config, pipeline: str, quiet: bool, verbose: int
) -> list[tuple[inputs.Job, Exception]]:
    """Redact one input after the other; a failure of one is kept and the next is done."""
    from stream_anon.cli.signals import stoppable

    failures: list[tuple[inputs.Job, Exception]] = []
    with stoppable() as stop:
        for job in todo:
            error = attempt(lambda job=job: _one(job, config, pipeline, quiet, stop))  # type: ignore[misc]
            if error is not None:
                prefix = f"{job.source}: " if str(job.source) not in describe(error) else ""
                explain(error, verbose, prefix=f"error: {prefix}")
                failures.append((job, error))
    return failures


def _one(
    job: inputs.Job, config: Config, pipeline: str, quiet: bool, stop: threading.Event
) -> None:
    import stream_anon
    from stream_anon.cli.progress import bar

    for written in (job.target, job.report):
        if written is not None:
            written.parent.mkdir(parents=True, exist_ok=True)
    with bar(job.source.name, wanted=not quiet) as progress:
        done = stream_anon.redact(
            job.source,
            job.target,
            config=config,
            report=job.report,
            # Whether an existing file may go was settled before anything began.
            overwrite=True,
            progress=progress,
            cancel=stop,
            pipeline=pipeline,
        )
    if not quiet:
        click.echo(f"{job.target}: {done.summary()}")


def _suffix(source: Path) -> str:
    """What the result's name ends in: as the input's, unless that could not hold it."""
    from stream_anon.video.formats import default_suffix
    from stream_anon.video.probe import probe

    try:
        return default_suffix(probe(source))[0]
    except StreamAnonError:
        # What cannot be read is reported when its turn comes, beside the others.
        return source.suffix


def _show_plans(planned: Sequence[inputs.Job], config: Config) -> None:
    import stream_anon

    failed = False
    for job in planned:

        def show(job: inputs.Job = job) -> None:
            click.echo(str(stream_anon.plan(job.source, job.target, config)))
            if job.target.exists():
                click.echo(f"  {job.target} exists")

        if (error := attempt(show)) is not None:
            explain(error)
            failed = True
    if failed:
        raise Exit(FAILED)


def _asker(overwrite: bool, skip: bool) -> Callable[[Path], bool]:
    """What decides whether an existing output is replaced."""

    def may_replace(target: Path) -> bool:
        if target.is_dir():
            raise UsageError(f"{target}: is a folder")
        if overwrite or skip:
            return overwrite
        if not sys.stdin.isatty():
            raise UsageError(f"{target}: exists; -y replaces it, -n keeps it")
        return click.confirm(f"{target} exists. Replace it?", default=False, err=True)

    return may_replace


def _log(verbose: int, quiet: bool) -> None:
    """Show what the package logs: warnings, choices under ``-v``, everything under ``-vv``."""
    import logging

    class Say(logging.Handler):
        """Finds stderr anew for each line: the progress bar takes its place while it is shown.

        Not by click, which would write past what took its place.
        """

        def emit(self, record: logging.LogRecord) -> None:
            print(self.format(record), file=sys.stderr)

    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    log = logging.getLogger("stream_anon")
    log.setLevel(logging.CRITICAL if quiet else levels[min(verbose, 2)])
    log.handlers[:] = [Say()]


def _without(source: Path, words: str) -> str:
    """The message without the file name that already stands before it."""
    return words.removeprefix(f"{source}: ")
