"""``stream_anon.redact``: one file in, one file out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_anon import recipes
from stream_anon.config import Config, options_to_config
from stream_anon.errors import OutputError, UsageError, VerificationError
from stream_anon.pipeline.plan import Plan, make_plan
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
    **options: Any,
) -> Report:
    """Anonymize the faces of a video file.

    Args:
        input: any file that PyAV opens and that holds video.
        output: None takes ``NAME_anonymized.EXT`` beside the input.
        config: None takes the defaults.
        report: where to write the run manifest as JSON, or None.
        overwrite: replace an output that exists.
        progress: called now and then from the calling thread.
        cancel: set it from another thread to stop; nothing is left behind.
        pipeline: name of a pipeline, or path to a file of the same shape.
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
    planned = make_plan(input, output, options_to_config(config or Config(), options), overwrite)
    target = Path(report) if report is not None else None
    if target is not None:
        _check_report(target, planned)
    running = recipes.pipeline(pipeline).build(planned)
    try:
        made: Report = running.run(progress, cancel)
    except VerificationError as error:
        # What was found stands in the report, whatever became of the file.
        if isinstance(error.report, Report):
            _write(error.report, target, started)
        raise
    _write(made, target, started)
    return made


def plan(
    input: str | Path,
    output: str | Path | None = None,
    config: Config | None = None,
    **options: Any,
) -> Plan:
    """What ``redact`` would do, without doing it.

    Raises:
        UsageError, InputError, OutputError: as from ``redact``.
    """
    return make_plan(input, output, options_to_config(config or Config(), options))


def _write(made: Report, target: Path | None, started: float) -> None:
    made.time.total = time.monotonic() - started
    if target is None:
        return
    try:
        target.write_text(made.to_json(), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error


def _check_report(report: Path, planned: Plan) -> None:
    for video in (planned.request.input, planned.request.output):
        if report.resolve() == video.resolve():
            raise UsageError(f"{report}: the report would replace a video")
    if not report.parent.is_dir():
        raise OutputError(f"{report}: there is no folder {report.parent}")
