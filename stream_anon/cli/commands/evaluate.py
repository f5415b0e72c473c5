"""``stream-anon evaluate``: who is still recognised, and what the images are still good for."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_anon.cli.boundary import FAILED, Exit, fail_usage, say
from stream_anon.cli.rows import Command, Option

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_ANY = click.Path(path_type=Path, exists=True)


_F = TypeVar("_F", bound=Callable[..., Any])


def _option(*names: str, group: str, **rest: Any) -> Callable[[_F], _F]:
    return click.option(*names, cls=Option, group=group, **rest)


def _files(pattern: str) -> tuple[Path, ...]:
    """Files of a pattern, sorted."""
    found = tuple(sorted(Path(name) for name in glob.glob(pattern)))
    if not found:
        fail_usage(f"no file is called {pattern}")
    return found


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.argument("faces", metavar="FACES", type=_ANY)
@click.argument("pairs", metavar="[PAIRS]", type=_FILE, required=False)
@_option("-o", "--output", group="Result", metavar="PAGE", required=True,
         type=click.Path(path_type=Path, dir_okay=False), help="HTML page; a JSON beside it")
@_option("-a", "--attacker", "attackers", group="Attack", metavar="YAML", multiple=True,
         type=_FILE, help="attackers [the four that ship]")
@_option("--models", group="Attack", metavar="DIR", type=_FOLDER, help="their ONNX files")
@_option("--train-faces", group="Attack", metavar="TAR", type=_ANY,
         help="other people, to learn from")
@_option("-m", "--method", "methods", group="Tested", metavar="NAME:K=V,..", multiple=True,
         help="methods [identity, random code]")
@_option("-b", "--baseline", "baselines", group="Tested", metavar="NAME:K=V,..", multiple=True,
         help="compared with [fill, pixelate, blur]")
@_option("--mechanism", "mechanisms", group="Tested", metavar="NAME", multiple=True,
         help="of the dial; 'none' [all]")
@_option("--epsilon", "epsilons", group="Tested", metavar="E", multiple=True, type=float,
         help="of the dial [1 ... 1024]")
@_option("-d", "--detector", "detectors", group="Utility", metavar="NAME", multiple=True,
         help="detectors [yunet]")
@_option("--label-faces", group="Utility", metavar="TAR", multiple=True, type=_ANY,
         help="named age_gender_race_date")
@_option("--clips", group="Utility", metavar="GLOB", multiple=True,
         help="videos, in quotes: 'DIR/*.mp4'")
@_option("--linked", group="Utility", metavar="GLOB", multiple=True,
         help="videos of one person; once a person")
@_option("--only", group="Run", metavar="SECTION", multiple=True, help="these sections")
@_option("--mixer", group="Run", is_flag=True,
         help="VisualMixer; FACES a folder of sets")
@_option("--quick", group="Run", row="size", is_flag=True, help="few images | threads [1]")
@_option("--threads", group="Run", row="size", metavar="N", type=click.IntRange(1, 256), default=1)
@_option("--cache", group="Run", metavar="DIR", type=_FOLDER,
         help="embeddings, to resume (biometric)")
@_option("-q", "--quiet", group="Run", row="said", is_flag=True, help="less | more words")
@_option("-v", "--verbose", group="Run", row="said", count=True)
def evaluate(
    faces: Path,
    pairs: Path | None,
    output: Path,
    attackers: tuple[Path, ...],
    models: Path | None,
    train_faces: Path | None,
    methods: tuple[str, ...],
    baselines: tuple[str, ...],
    mechanisms: tuple[str, ...],
    epsilons: tuple[float, ...],
    detectors: tuple[str, ...],
    label_faces: tuple[Path, ...],
    clips: tuple[str, ...],
    linked: tuple[str, ...],
    only: tuple[str, ...],
    mixer: bool,
    quick: bool,
    threads: int,
    cache: Path | None,
    quiet: bool,
    verbose: int,
) -> None:
    """Measure who is still recognised, and what is still usable.

    FACES: tar or folder of 128 px images in the aligned face space. PAIRS: CSV of
    fold,a,b,same over them. Nothing of FACES is in the JSON; the page shows some.
    With --only looks FACES is a clip or a folder of clips, and there are no PAIRS.

    Exit code: 0 all measured, 1 something could not be, 2 wrong usage.
    """
    import os
    from dataclasses import replace

    # Before NumPy is loaded: its threads spin while they wait, on a shared machine for longer
    # than they compute (260 ms of processor time a face instead of 8, measured).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))

    from stream_anon.evaluation import run
    from stream_anon.evaluation.attackers.loading import read_spec
    from stream_anon.evaluation.plan import FULL, QUICK, Plan
    from stream_anon.evaluation.reporting.files import shipped_attackers, write

    if mixer:
        videos = [path for pattern in clips for path in _files(pattern)]
        _mixer(faces, models, output, cache, quiet, quick, videos)
        return
    if only == ("looks",):
        from stream_anon.evaluation.looks.run import clips_of

        found = [*clips_of(faces), *([pairs] if pairs else [])]
        found += [path for pattern in clips for path in _files(pattern)]
        people = tuple(_files(pattern) for pattern in linked)
        chosen = {"clips": found, "models": models, "methods": methods or ("identity",),
                  "detectors": detectors, "attackers": attackers, "train_faces": train_faces,
                  "linked": people, "quick": quick, "threads": threads}  # fmt: skip
        _looks(chosen, output, quiet)
        return
    if pairs is None:
        fail_usage("PAIRS is missing: a CSV of fold,a,b,same over FACES")
    if output.suffix.lower() not in (".html", ".htm"):
        fail_usage(f"--output must name an .html page, not {output.name}")
    if any(not 0 < epsilon < float("inf") for epsilon in epsilons):
        fail_usage("--epsilon must be finite and above 0 (the control at 0 is always measured)")
    profile = QUICK if quick else FULL
    if epsilons:
        profile = replace(profile, epsilons=tuple(sorted(set(epsilons))))
    specs = list(attackers) or shipped_attackers()
    for spec in specs:
        read_spec(spec)
    plan = Plan(
        faces=faces,
        pairs=pairs,
        attackers=specs,
        models=models,
        profile=profile,
        threads=threads,
        train_faces=train_faces,
        label_faces=label_faces,
        clips=tuple(path for pattern in clips for path in _files(pattern)),
        linked=tuple(_files(pattern) for pattern in linked),
        cache=cache,
        only=only,
    )
    if methods:
        plan = replace(plan, conditions=methods)
    if baselines:
        plan = replace(plan, baselines=() if baselines == ("none",) else baselines)
    if mechanisms:
        plan = replace(plan, mechanisms=() if mechanisms == ("none",) else mechanisms)
    if detectors:
        plan = replace(plan, detectors=detectors)
    run.check_conditions((*plan.conditions, *plan.baselines))
    tell = (lambda words: None) if quiet else say
    report = run.evaluate(plan, tell, lambda unfinished: write(unfinished, output))
    for path in write(report, output):
        click.echo(str(path))
    _say_missing(report)


def _say_missing(report: Any) -> None:
    """Name what could not be measured, and end with 1 if there is any."""
    missing = [f"{s.key}: {why}" for s in report.sections for why in s.not_run]
    for words in missing:
        say(f"not measured: {words}")
    if missing:
        raise Exit(FAILED)


def _mixer(
    faces: Path,
    models: Path | None,
    output: Path,
    cache: Path | None,
    quiet: bool,
    quick: bool,
    clips: list[Path],
) -> None:
    """What VisualMixer costs and hides, on a page of its own."""
    from stream_anon.evaluation.reporting.files import write
    from stream_anon.evaluation.reporting.report import Report, machine
    from stream_anon.visual_mixer.evaluation import run as mixer
    from stream_anon.visual_mixer.evaluation.plan import QUICK

    if models is None or not faces.is_dir():
        fail_usage("--mixer needs FACES as a folder of sets, and --models")
    tell = (lambda words: None) if quiet else say
    size = QUICK if quick else None
    section = mixer.run(faces, models, output.parent, cache, size, tell, clips)
    for path in write(Report({"machine": machine(), "method": "visual-mixer"}, [section]), output):
        click.echo(str(path))


def _looks(chosen: dict[str, Any], output: Path, quiet: bool) -> None:
    """What a stranger notices, on a page of its own, and the worst frames as a picture."""
    from dataclasses import replace

    from stream_anon.evaluation.looks import run as looks_run
    from stream_anon.evaluation.looks import worst
    from stream_anon.evaluation.reporting.files import shipped_attackers, write

    plan = looks_run.Plan(**chosen)
    if not plan.attackers:
        plan = replace(plan, attackers=tuple(shipped_attackers()))
    tell = (lambda words: None) if quiet else say
    report = looks_run.run(plan, tell)
    picture = output.with_suffix(".worst.png")
    written = write(report, output)
    worst.write([sheet for s in report.sections for sheet in s.sheets], picture)
    for path in (*written, picture):
        click.echo(str(path))
    _say_missing(report)
