"""Between a file that is whole and its name: the second pair of eyes, and what follows from it."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_anon.errors import ModelError, VerificationError
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import UnchangedPart, VerificationPart
from stream_anon.verification.check import Files, Verdict, check
from stream_anon.verification.verifier import Verifier
from stream_anon.video.sink import Sink

log = logging.getLogger(__name__)

ASIDE = ".unverified"


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a file.

    Attributes:
        part: for the report, None where no check was wanted.
        output: the file as it lies now, None if it was removed or never was one.
        error: to be raised when the report is made; None where all is well.
    """

    part: VerificationPart | None
    output: Path | None
    error: VerificationError | None


class SecondLook:
    """The check of one run.

    Args:
        plan: of the run.
        analysed: name of the detector that analyses.

    Raises:
        ModelError: mode ``full``, and there is no second detector.
    """

    def __init__(self, plan: Plan, analysed: str) -> None:
        self._plan = plan
        config = plan.request.config
        self._verifier: Verifier | None = None
        self._missing: str | None = None
        if config.verify.mode == "off":
            return
        try:
            self._verifier = Verifier(config.verify, analysed, config.detector, config.models_dir)
        except ModelError as error:
            # Asked for, it is a condition of the run. By default it is an extra, and a machine
            # without network and without the second network still redacts; the report says so.
            if config.verify.mode == "full":
                raise
            self._missing = str(error)
            log.warning("the result will not be verified: %s", error)

    def judge(
        self,
        sink: Sink,
        closed: Path | None,
        frames: Mapping[int, int],
        sound: bool,
        seconds: float,
        cancel: threading.Event | None = None,
    ) -> Looked:
        """Check the closed file and give it its name, or not.

        Args:
            sink: that closed it.
            closed: the file; None if the sink makes none.
            frames: written, by stream.
            sound: the input could be read without repairs.
            seconds: that the run took.
            cancel: set from another thread to stop.

        Raises:
            Cancelled: ``cancel`` was set.
            OutputError: the file cannot be renamed.
        """
        request = self._plan.request
        if closed is None:
            output = request.output if request.output.is_file() else None
            return Looked(None, output, None)
        if self._missing is not None:
            sink.publish()
            verdict = Verdict(request.config.verify.mode, problem=self._missing, done=False)
            return Looked(_part(verdict, "published"), request.output, None)
        if self._verifier is None:
            sink.publish()
            return Looked(None, request.output, None)
        video = request.config.video
        files = Files(
            request.input,
            closed,
            dict(frames),
            start=video.start,
            end=video.end,
            tolerant=request.config.fault.policy == "step-down",
            sound=sound,
        )
        verdict = check(self._verifier, files, request.config.verify, seconds, cancel)
        if verdict.problem is not None:
            verdict.problem = verdict.problem.replace(closed.name, request.output.name)
        if verdict.passed:
            sink.publish()
            return Looked(_part(verdict, "published"), request.output, None)
        if request.config.verify.on_failure == "remove":
            sink.abort()
            part, kept, fate = _part(verdict, "removed"), None, "the file was removed"
        else:
            kept = aside(request.output)
            sink.publish(kept)
            part, fate = _part(verdict, "kept aside"), f"kept as {kept.name}"
        return Looked(part, kept, VerificationError(f"{request.output}: {_words(verdict)}; {fate}"))


def aside(target: Path) -> Path:
    """``NAME.unverified.EXT`` beside a target, numbered where that exists."""
    for number in itertools.count(1):
        mark = ASIDE if number == 1 else f"-{number}{ASIDE}"
        path = target.with_name(f"{target.stem}{mark}{target.suffix}")
        if not path.exists():
            return path
    raise AssertionError


def _words(verdict: Verdict) -> str:
    words = []
    if verdict.unchanged:
        first = verdict.findings[0]
        place = f"at {first.seconds:.3f} s"
        if first.index is not None:
            place = f"frame {first.index}, {place}"
        words.append(
            f"not verified, {verdict.unchanged} faces are as they were, in "
            f"{verdict.failed_frames} of {verdict.frames} frames checked (first in {place})"
        )
    if verdict.problem is not None:
        words.append(f"could not be verified ({verdict.problem})")
    return "; ".join(words)


def _part(verdict: Verdict, outcome: str) -> VerificationPart:
    named = [
        UnchangedPart(stream=f.stream, index=f.index, seconds=f.seconds, faces=f.faces)
        for f in verdict.findings
    ]
    return VerificationPart.model_validate(
        {
            "mode": verdict.mode,
            "passed": verdict.passed if verdict.done else None,
            "detector": verdict.detector,
            "frames": verdict.frames,
            "faces": verdict.faces,
            "unchanged": verdict.unchanged,
            "unchanged_frames": verdict.failed_frames,
            "named": named,
            "problem": verdict.problem,
            "outcome": outcome,
            "seconds": round(verdict.seconds, 3),
        }
    )
