"""``stream_anon.redact``: one file in, one file out; ``analyze`` and ``render``: its two halves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stream_anon import recipes
from stream_anon.config import Config, options_to_config
from stream_anon.errors import ConfigError, OutputError, UsageError, VerificationError
from stream_anon.media.part_file import PartFile
from stream_anon.pipeline.analyze import Analysis, analyze_file
from stream_anon.pipeline.plan import Plan, as_path, make_plan
from stream_anon.pipeline.report import Report
from stream_anon.pipeline.run import Progress


def redact(
    input: str | Path,
    output: str | Path | None = None,
    *,
    config: Config | None = None,
    report: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    pipeline: str | Path = "redact",
    tracks: str | Path | None = None,
    **options: Any,
) -> Report:
    """Anonymize the faces of a video file.

    Args:
        input: any file that PyAV opens and that holds video.
        output: None takes ``NAME_anonymized.EXT`` beside the input.
        config: None takes the defaults.
        report: where to write the run manifest as JSON, or None.
        overwrite: replace an output and a report that exist.
        progress: called now and then from the calling thread.
        cancel: set it from another thread to stop; nothing is left behind.
        pipeline: name of a pipeline, or path to a file of the same shape.
        tracks: a Tracks file of this input (``analyze``), which then says what is in the frames;
            None analyses them.
        **options: single options by their command-line names, with underscores:
            ``redact("a.mp4", method="blur", crf=20)``.

    Returns:
        The manifest of the run.

    Raises:
        UsageError: the request makes no sense.
        InputError: the input cannot be read.
        OutputError: the output cannot be written.
        ModelError: weights are missing.
        Fault: a part failed and the fault policy is to stop.
        VerificationError: the result shows a face as it was, or could not be checked; it did not
            get its name, and the report is written nevertheless.
        Cancelled: ``cancel`` was set.
        KeyboardInterrupt: Ctrl-C, after everything was stopped and removed.
    """
    started = time.monotonic()
    planned = make_plan(input, output, _settings(config, options), overwrite, tracks)
    # Made before the work, so that a place that cannot be written to costs no work.
    part = _report_file(as_path(report), planned) if report is not None else None
    try:
        running = recipes.pipeline(pipeline).build(planned)
        try:
            made: Report = running.run(progress, cancel)
        except VerificationError as error:
            # What was found stands in the report, whatever became of the file.
            if isinstance(error.report, Report):
                _write(error.report, part, started, overwrite)
            raise
        _write(made, part, started, overwrite)
    finally:
        if part is not None:
            part.discard()
    return made


def analyze(
    input: str | Path,
    tracks: str | Path,
    *,
    config: Config | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    **options: Any,
) -> Analysis:
    """Find who is where in a video, and write it to a Tracks file.

    The file tells where every person was in every frame: it is personal data. It is made so that
    only its owner can read it.

    Args:
        input: any file that PyAV opens and that holds video.
        tracks: the file to write.
        config: None takes the defaults; only detector, tracker, faults and the part of the video
            matter here.
        overwrite: replace a file that exists.
        progress: called now and then from the calling thread.
        cancel: set it from another thread to stop; nothing is left behind.
        **options: as for ``redact``.

    Returns:
        How much was found.

    Raises:
        StreamAnonError: as from ``redact``.
    """
    chosen = _settings(config, options)
    return analyze_file(as_path(input), as_path(tracks), chosen, overwrite, progress, cancel)


def render(
    input: str | Path,
    tracks: str | Path,
    output: str | Path | None = None,
    **rest: Any,
) -> Report:
    """Anonymize a video by its Tracks file, edits included: ``redact(..., tracks=tracks)``.

    Raises:
        TracksError: something is wrong with the Tracks file, or it is of another input.
        StreamAnonError: as from ``redact``.
    """
    return redact(input, output, tracks=tracks, **rest)


def plan(
    input: str | Path,
    output: str | Path | None = None,
    config: Config | None = None,
    tracks: str | Path | None = None,
    **options: Any,
) -> Plan:
    """What ``redact`` would do, without doing it.

    Raises:
        UsageError, InputError, OutputError: as from ``redact``.
    """
    return make_plan(input, output, _settings(config, options), tracks=tracks)


def _settings(config: Config | None, options: Mapping[str, Any]) -> Config:
    if config is None:
        config = Config()
    if not isinstance(config, Config):
        kind = type(config).__name__
        raise ConfigError(
            f"config is a {kind}, not a Config; stream_anon.config.parse reads a mapping"
        )
    return options_to_config(config, options)


def _write(made: Report, part: PartFile | None, started: float, overwrite: bool) -> None:
    made.time.total = time.monotonic() - started
    if part is None:
        return
    try:
        part.path.write_text(made.to_json(), encoding="utf-8")
        part.commit(overwrite)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"{part.target}: cannot be written ({why.lower()})") from error


def _report_file(report: Path, planned: Plan) -> PartFile:
    """A file for it, made before the work is done.

    Raises:
        UsageError: it would replace something.
        OutputError: there is no such folder, or it may not be written to.
    """
    tracks = planned.request.tracks
    if tracks is not None and os.path.realpath(report) == os.path.realpath(tracks):
        raise UsageError(f"{report}: the report would replace the Tracks file")
    for video in (planned.request.input, planned.request.output):
        if os.path.realpath(report) == os.path.realpath(video) or _same(report, video):
            raise UsageError(f"{report}: the report would replace a video")
    if os.path.isdir(report):
        raise UsageError(f"{report}: is a folder, the report needs a file name")
    if os.path.lexists(report) and not planned.request.overwrite:
        raise UsageError(f"{report}: exists")
    if not os.path.isdir(report.parent):
        raise OutputError(f"{report}: there is no folder {report.parent}")
    try:
        report.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{report}: {(error.strerror or str(error)).lower()}") from error
    return PartFile(Path(os.path.realpath(report)), like=planned.request.input)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
