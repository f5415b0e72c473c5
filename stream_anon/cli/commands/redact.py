"""``stream-anon redact``: videos and photos in, the same with every face covered out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_anon._version import __version__
from stream_anon.cli import inputs
from stream_anon.cli.batch import Batch, Outcome, check_summary, write_summary
from stream_anon.cli.boundary import (
    FAILED,
    OK,
    STOPPED,
    USAGE,
    Exit,
    attempt,
    describe,
    explain,
    fail_usage,
    say,
    tell,
)
from stream_anon.cli.numbers import Colour
from stream_anon.cli.rows import Command, option
from stream_anon.cli.targets import read_regions, read_targets
from stream_anon.cli.times import Shot, Time, clock
from stream_anon.device import choose
from stream_anon.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from stream_anon.config import Config
    from stream_anon.pipeline.report import Report

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


def _presets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from stream_anon import recipes

    return [name for name in recipes.presets() if name.startswith(incomplete)]


def _methods(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from stream_anon.methods import known_methods

    return [name for name in known_methods() if name.startswith(incomplete)]


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
@option("--report", group="Result", row="evidence", metavar="FILE",
        help="what was done, as JSON: each, all")
@option("--summary", group="Result", row="evidence", metavar="FILE", type=_FILE)
@option("--dry-run", group="Result", row="look", is_flag=True,
        help="only say; one frame, png")
@option("--preview", group="Result", row="look", metavar="TIME[,after]", type=Shot())
@option("--method", group="Faces", row="method", metavar="NAME",
        help="what a face becomes; fill's colour", shell_complete=_methods)
@option("--colour", group="Faces", row="method", metavar="R,G,B", type=Colour())
@option("--target", group="Faces", row="target", metavar="L[=NAME]", multiple=True,
        help="face, head | X,Y,X,Y always: 10%")
@option("--region", group="Faces", row="target", metavar="BOX", multiple=True)
@option("--mechanism", group="Faces", row="noise", metavar="NAME",
        help="identity, dp-image: noise, budget")
@option("--epsilon", group="Faces", row="noise", metavar="E", type=float)
@option("--threshold", group="Faces", row="strength", metavar="S", type=float,
        help="least score; cells of pixelate")
@option("--cells", group="Faces", row="strength", metavar="N", type=int)
@option("--latency", group="Faces", row="seen", metavar="SPAN",
        help="time to decide; show tracks")
@option("--draw-boxes", group="Faces", row="seen", is_flag=True)
@option("--on-fault", group="Faces", row="safe", metavar="POLICY",
        type=click.Choice(["stop", "step-down"]), help="stop, step-down | off, sampled, full")
@option("--verify", group="Faces", row="safe", metavar="MODE",
        type=click.Choice(["off", "sampled", "full"]))
@option("--codec", group="Video", row="kept", metavar="NAME",
        type=click.Choice(["auto", "h264", "hevc", "av1", "vp9", "gif"]),
        help="h264, av1...; keep place, device")
@option("--keep-metadata", group="Video", row="kept", is_flag=True)
@option("--crf", group="Video", row="quality", metavar="N", type=float,
        help="quality, speed of the encoder")
@option("--encoder-preset", group="Video", row="quality", metavar="NAME")
@option("--start", group="Video", row="span", metavar="TIME", type=Time(),
        help="this part only: 12.5 or h:mm:ss")
@option("--end", group="Video", row="span", metavar="TIME", type=Time())
@option("--audio", group="Video", row="others", metavar="copy|drop",
        type=click.Choice(["copy", "drop"]))
@option("--subtitles", group="Video", row="others", metavar="copy|drop",
        type=click.Choice(["copy", "drop"]), help="as they are, or not")
@option("--preset", group="Options", row="file", metavar="NAME", shell_complete=_presets,
        help="options from a preset | a YAML file")
@option("--config", "config_file", group="Options", row="file", metavar="FILE", type=_FILE)
@option("--pipeline", group="Options", metavar="FILE", default="redact",
        help="your own pipeline, a .py file")
@option("--device", group="Machine", row="machine", metavar="auto|cpu|cuda",
        type=click.Choice(["auto", "cpu", "cuda"]), help="see doctor; networks")
@option("--models-dir", group="Machine", row="machine", metavar="DIR", type=_FOLDER)
@option("-q", "--quiet", group="Words", row="words", is_flag=True, help="silent | more, -vv all")
@option("-v", "--verbose", group="Words", row="words", count=True)
@click.version_option(__version__, "--version", message="stream-anon %(version)s")
def redact(
    inputs_: tuple[Path, ...],
    output: str | None,
    overwrite: bool,
    skip: bool,
    report: str | None,
    summary: Path | None,
    dry_run: bool,
    preview: tuple[float, bool] | None,
    quiet: bool,
    verbose: int,
    pipeline: str,
    **options: Any,
) -> None:
    """Cover faces in INPUT (videos, photos, folders; - is a pipe) by a method:
    identity (default), dp-image, visual-mixer, pixelate, blur or fill. Exit code:
    0 all done, 1 some not (a pipe got a part), 2 bad usage, 130 stopped.
    """
    if overwrite and skip:
        fail_usage("-y and -n exclude each other")
    if quiet and verbose:
        fail_usage("-q and -v exclude each other")
    config = settings(options)
    if preview is not None:
        set_up_log(verbose, quiet)
        _preview(inputs_, output, preview, config, overwrite, quiet)
        return
    found = inputs.jobs(inputs_, output, report, _suffix)
    if summary is not None:
        check_summary(summary, found, overwrite or skip)
    set_up_log(verbose, quiet)
    device = choose(config.device)
    if verbose:
        say(f"device {device.name}: {device.why}")
    if dry_run:
        _show_plans(found, config)
        return
    todo, kept = inputs.settle(found.jobs, _asker(overwrite, skip))
    settled = {job.source: job for job in todo}
    found = replace(found, jobs=tuple(settled.get(job.source, job) for job in found.jobs))
    batch = Batch(found, kept)
    code = STOPPED
    try:
        _do(batch, config, pipeline, quiet, verbose)
        code = _conclude(batch, skip, quiet)
    finally:
        if summary is not None:
            write_summary(summary, batch.to_json(code))
    if code:
        raise Exit(code)


def _preview(
    given: tuple[Path, ...],
    output: str | None,
    wanted: tuple[float, bool],
    config: Config,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write one frame as PNG."""
    from stream_anon.cli.signals import stoppable
    from stream_anon.pipeline.painting.preview import preview

    if len(given) != 1 or given[0].is_dir() or str(given[0]) == "-":
        fail_usage("--preview takes one file")
    if output is not None and output.startswith("-"):
        fail_usage("--preview writes to a file, never to a pipe")
    moment, before = wanted
    with stoppable() as stop:
        made = preview(
            given[0], moment, config, output, before=before, overwrite=overwrite, cancel=stop
        )
    if made.shows_people:
        # Also under -q: whoever passes it on unseen would pass on a face.
        say(f"warning: the left half of {made.path} shows people as they are; keep it to yourself")
    if not quiet:
        tell(f"{made.path}: the frame at {made.seconds:.3f} s, {made.faces} faces covered")


def _conclude(batch: Batch, skip: bool, quiet: bool) -> int:
    """Say what was not done, and why; the exit code."""
    found, failures = batch.found, batch.failures
    if not quiet:
        for job in batch.skipped:
            say(f"{'already there' if skip else 'not done'}: {job.source} ({job.target} exists)")
        if found.earlier:
            names = ", ".join(str(path) for path in found.earlier)
            say(f"left out, results of an earlier run: {names}")
    if failures and len(batch.outcomes) > 1:
        say(f"{len(failures)} of {len(batch.outcomes)} inputs failed:")
        for outcome in failures:
            words = describe(outcome.error) if outcome.error else "failed"
            say(f"  {outcome.source}: {_without(outcome.source, words)}")
    if not failures:
        # With -n what is there was wanted to stay; who was asked and said no, has it undone.
        return OK if skip or not batch.skipped else FAILED
    wrong = len(failures) == len(batch.outcomes) and all(
        isinstance(outcome.error, UsageError) for outcome in failures
    )
    return USAGE if wrong else FAILED


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
    targets = read_targets(options["target"] or ())
    regions = read_regions(options["region"] or ())
    for name, method in (("cells", "pixelate"), ("colour", "fill")):
        chosen = options["method"] or config.method.name
        used = {chosen, *(targets or config.targets).values(), *(one["method"] for one in regions)}
        # Ignored, it would leave somebody believing that it was done.
        if options[name] is not None and method not in used:
            fail_usage(f"--{name} belongs to the method {method}, not to {chosen}")
    options = {**options, "target": targets or None, "region": regions or None}
    changed = {name: options[name] or None for name in ("draw_boxes", "keep_metadata")}
    values = {name: options[name] for name in OPTIONS if name not in changed}
    return options_to_config(config, {**values, **changed})


def _do(batch: Batch, config: Config, pipeline: str, quiet: bool, verbose: int) -> None:
    """Redact one input after the other."""
    from stream_anon.cli.signals import stoppable

    count = len(batch.todo)

    def told(outcome: Outcome) -> None:
        if outcome.error is not None:
            named = str(outcome.source) in describe(outcome.error)
            prefix = "" if named else f"{outcome.source}: "
            explain(outcome.error, verbose, prefix=f"error: {prefix}")
        elif outcome.made is not None and not quiet:
            # Of a pipe standard output belongs to the video.
            out = say if str(outcome.target).startswith("-") else tell
            out(f"{outcome.target}: {outcome.made.summary()}")

    with stoppable() as stop:

        def one(number: int, job: inputs.Job) -> Report:
            if stop.is_set():
                raise Cancelled("stopped before it was whole")
            name = f"{number} of {count}: {job.source.name}" if count > 1 else job.source.name
            if count > 1 and not quiet and not sys.stderr.isatty():
                say(f"{name}{_rest(batch, job)}")
            left = (lambda share: batch.left(job, share)) if count > 1 else None
            return _one(job, name, left, config, pipeline, quiet, stop)

        batch.run(one, told)


def _rest(batch: Batch, job: inputs.Job) -> str:
    left = batch.left(job, 0.0)
    return "" if left is None else f" (all done in about {clock(left)})"


def _one(
    job: inputs.Job,
    name: str,
    left: Callable[[float], float | None] | None,
    config: Config,
    pipeline: str,
    quiet: bool,
    stop: threading.Event,
) -> Report:
    import stream_anon
    from stream_anon.cli.progress import bar

    for written in (job.target, job.report):
        if written is not None:
            written.parent.mkdir(parents=True, exist_ok=True)
    with bar(name, wanted=not quiet, left=left) as progress:
        return stream_anon.redact(
            job.source,
            job.target,
            config=config,
            report=job.report,
            # Settled before anything began; what comes meanwhile is not replaced.
            overwrite=job.overwrite,
            progress=progress,
            cancel=stop,
            pipeline=pipeline,
        )


def _suffix(source: Path) -> str:
    """What the result's name ends in: as the input's, unless that could not hold it.

    Raises:
        InputError: it holds neither a photo nor video.
    """
    from stream_anon.media.input.files import describe_file
    from stream_anon.media.output.formats import default_suffix

    return default_suffix(describe_file(source))[0]


def _show_plans(found: inputs.Found, config: Config) -> None:
    import stream_anon

    failed = bool(found.refused)
    for refused in found.refused:
        explain(refused.error)
    for job in found.jobs:

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
    return lambda target: may_replace(target, overwrite, skip)


def may_replace(target: Path, overwrite: bool, skip: bool = False) -> bool:
    """Whether an existing output is replaced; asked where there is somebody to ask.

    Raises:
        UsageError: it is a folder, or there is nobody.
    """
    if target.is_dir():
        raise UsageError(f"{target}: is a folder")
    if overwrite or skip:
        return overwrite
    if not sys.stdin.isatty():
        raise UsageError(f"{target}: exists; -y replaces it, -n keeps it")
    return click.confirm(f"{target} exists. Replace it?", default=False, err=True)


def set_up_log(verbose: int, quiet: bool) -> None:
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
