"""``stream_anon.redact``: one file in, one file out."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stream_anon import recipes
from stream_anon.config import Config, options_to_config
from stream_anon.errors import ConfigError, OutputError, UsageError
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
        Cancelled: ``cancel`` was set.
        KeyboardInterrupt: Ctrl-C, after everything was stopped and removed.
    """
    started = time.monotonic()
    planned = make_plan(input, output, _settings(config, options), overwrite)
    target = as_path(report) if report is not None else None
    if target is not None:
        _check_report(target, planned, overwrite)
    running = recipes.pipeline(pipeline).build(planned)
    made: Report = running.run(progress, cancel)
    made.time.total = time.monotonic() - started
    if target is not None:
        _write_report(target, made)
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
    return make_plan(input, output, _settings(config, options))


def _settings(config: Config | None, options: Mapping[str, Any]) -> Config:
    if config is None:
        config = Config()
    if not isinstance(config, Config):
        kind = type(config).__name__
        raise ConfigError(
            f"config is a {kind}, not a Config; stream_anon.config.parse reads a mapping"
        )
    return options_to_config(config, options)


def _check_report(report: Path, planned: Plan, overwrite: bool) -> None:
    """Whether it can be written there, before the work is done.

    Raises:
        UsageError: it would replace something.
        OutputError: there is no such folder, or it may not be written to.
    """
    for video in (planned.request.input, planned.request.output):
        if os.path.realpath(report) == os.path.realpath(video) or _same(report, video):
            raise UsageError(f"{report}: the report would replace a video")
    if os.path.isdir(report):
        raise UsageError(f"{report}: is a folder, the report needs a file name")
    if os.path.lexists(report) and not overwrite:
        raise UsageError(f"{report}: exists")
    if not os.path.isdir(report.parent):
        raise OutputError(f"{report}: there is no folder {report.parent}")
    try:
        report.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{report}: {(error.strerror or str(error)).lower()}") from error
    if not os.access(report.parent, os.W_OK):
        raise OutputError(f"{report}: the folder {report.parent} cannot be written to")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _write_report(target: Path, report: Report) -> None:
    """Whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        temporary.write_text(report.to_json(), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
