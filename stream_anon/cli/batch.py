"""Several inputs one after the other: what became of each, and how long the rest will take."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stream_anon._version import __version__
from stream_anon.cli.boundary import STOPPED, attempt, describe
from stream_anon.cli.inputs import Found, Job
from stream_anon.errors import OutputError, UsageError
from stream_anon.media.part_file import PartFile

if TYPE_CHECKING:
    from stream_anon.pipeline.report import Report

Status = Literal["done", "failed", "kept", "refused", "not reached"]


@dataclass(slots=True)
class Outcome:
    """What became of one input.

    Attributes:
        source: as it was named or found.
        target: where its result is, or would be; None where it was refused.
        report: likewise.
        status: ``kept`` where the result was there before, ``refused`` where the input cannot be
            done at all, ``not reached`` where the run was stopped before.
        error: why it failed or was refused.
        made: the manifest of the run.
        seconds: it took.
    """

    source: Path
    target: Path | None
    report: Path | None
    status: Status = "not reached"
    error: Exception | None = None
    made: Report | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """One entry of the summary."""
        entry: dict[str, Any] = {
            "input": str(self.source),
            "output": None if self.target is None else str(self.target),
            "report": None if self.report is None else str(self.report),
            "status": self.status,
            "error": None if self.error is None else describe(self.error),
            "seconds": round(self.seconds, 3),
        }
        if self.made is not None:
            frames, output = self.made.frames, self.made.output
            entry |= {
                "input_sha256": self.made.input.sha256,
                "output_sha256": None if output is None else output.sha256,
                "frames": frames.output,
                "frames_with_faces": frames.with_faces,
                "frames_stepped_down": sum(frames.stepped_down.values()),
                "faces_stepped_down": frames.faces_stepped_down,
                "tracks": self.made.tracks_seen,
            }
        return entry


@dataclass(slots=True)
class Batch:
    """All inputs of one command line.

    Args:
        found: what was asked for.
        skipped: of these, whose result is kept.
    """

    found: Found
    skipped: Sequence[Job] = ()
    outcomes: list[Outcome] = field(init=False)
    started: str = field(
        init=False, default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    _began: float = field(init=False, default_factory=time.monotonic)
    _sizes: dict[Path, int] = field(init=False, default_factory=dict)
    _finished: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        kept = {job.source for job in self.skipped}
        self.outcomes = [
            Outcome(
                job.source, job.target, job.report, "kept" if job.source in kept else "not reached"
            )
            for job in self.found.jobs
        ]
        self.outcomes += [
            Outcome(refused.source, None, None, "refused", refused.error)
            for refused in self.found.refused
        ]
        self._sizes = {job.source: _size(job.source) for job in self.todo}

    @property
    def todo(self) -> list[Job]:
        """What is to be done."""
        kept = {job.source for job in self.skipped}
        return [job for job in self.found.jobs if job.source not in kept]

    def run(self, one: Callable[[int, Job], Report], told: Callable[[Outcome], None]) -> None:
        """Do one after the other; a failure of one is kept and the next is done.

        Args:
            one: does one, given its number from 1 on.
            told: is called with what became of it.

        Raises:
            Cancelled: the whole run was stopped.
        """
        by_source = {outcome.source: outcome for outcome in self.outcomes}
        self._began = time.monotonic()
        for number, job in enumerate(self.todo, 1):
            outcome = by_source[job.source]
            began = time.monotonic()

            def act(number: int = number, job: Job = job, outcome: Outcome = outcome) -> None:
                outcome.made = one(number, job)

            outcome.error = attempt(act)
            outcome.seconds = time.monotonic() - began
            outcome.status = "done" if outcome.error is None else "failed"
            self._finished += self._sizes[job.source]
            told(outcome)

    def left(self, job: Job, share: float) -> float | None:
        """Seconds that the whole batch still takes, by the bytes of its inputs.

        Args:
            job: that is under way.
            share: of it that is done, 0 to 1.
        """
        total = sum(self._sizes.values())
        done = self._finished + share * self._sizes[job.source]
        if done <= 0 or total <= 0:
            return None
        return (time.monotonic() - self._began) * max(0.0, total - done) / done

    @property
    def failures(self) -> list[Outcome]:
        """What was not done though it was wanted."""
        return [one for one in self.outcomes if one.status in ("failed", "refused")]

    def to_json(self, exit_code: int) -> dict[str, Any]:
        """The summary of the batch."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            counts[outcome.status] = counts.get(outcome.status, 0) + 1
        return {
            "schema_version": 1,
            "tool": {"name": "stream-anon", "version": __version__},
            "started": self.started,
            "seconds": round(time.monotonic() - self._began, 3),
            "exit_code": exit_code,
            "stopped": exit_code == STOPPED,
            "counts": counts,
            "results_of_earlier_runs": [str(path) for path in self.found.earlier],
            "inputs": [outcome.to_json() for outcome in self.outcomes],
        }


def check_summary(path: Path, found: Found, replace: bool) -> None:
    """Whether the summary can be written, before anything is done.

    Raises:
        UsageError: it would replace something.
        OutputError: there is no such folder, or it may not be written to.
    """
    for job in found.jobs:
        for other in (job.source, job.target, job.report):
            if other is not None and os.path.realpath(other) == os.path.realpath(path):
                raise UsageError(f"{path}: the summary would replace {other}")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, the summary needs a file name")
    if os.path.lexists(path) and not replace:
        raise UsageError(f"{path}: exists; -y replaces it")
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: there is no folder {folder} that can be written to")


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write it whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    part = PartFile(Path(os.path.realpath(path)))
    try:
        part.path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
        part.commit()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.discard()


def _size(path: Path) -> int:
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1
