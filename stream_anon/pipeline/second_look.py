"""Between a file that is whole and its name: the second pair of eyes, and what follows from it."""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stream_anon.config import DetectorConfig
from stream_anon.errors import ModelError, UsageError, VerificationError
from stream_anon.media.output.pipe import pipe_suffix
from stream_anon.media.output.sink import Sink
from stream_anon.models import registry
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import UnchangedPart, VerificationPart
from stream_anon.verification.check import Box, Files, Verdict, check
from stream_anon.verification.verifier import Verifier, choose

log = logging.getLogger(__name__)

ASIDE = ".unverified"


@dataclass(slots=True)
class Written:
    """What a run has written.

    Attributes:
        path: the file that waits for its name; None where none is made.
        frames: written, by stream.
        visible: boxes (x0, y0, x1, y1), pixels, of whom an edit has left visible on purpose, by
            stream and frame in the order of presentation.
        sound: the input could be read without repairs.
        seconds: that the run took.
    """

    path: Path | None = None
    frames: dict[int, int] = field(default_factory=dict)
    visible: dict[tuple[int, int], list[Box]] = field(default_factory=dict)
    sound: bool = True
    seconds: float = 0.0

    def count(self, stream: int, visible: list[Box]) -> None:
        """A frame was written."""
        index = self.frames.get(stream, 0)
        self.frames[stream] = index + 1
        if visible:
            self.visible[stream, index] = visible


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a file.

    Attributes:
        part: for the report, None where no check was wanted.
        output: name of the file as it lies now, None if it was removed.
        error: to be raised when the report is made; None where all is well.
    """

    part: VerificationPart | None
    output: str | None
    error: VerificationError | None


class SecondLook:
    """The check of one run.

    Args:
        plan: of the run.
        analysed: name of the detector that analyses.

    Raises:
        ModelError: mode ``full``, and there is no second detector.
        UsageError: mode ``full``, and the input cannot be read a second time.
    """

    def __init__(self, plan: Plan, analysed: str) -> None:
        self._plan = plan
        self._verifier: Verifier | None = None
        config = plan.request.config
        self._missing: str | None = None
        if config.verify.mode == "off":
            return
        full = config.verify.mode == "full"
        lost = None
        if plan.info.path is None:
            lost = "the input is no file and cannot be read a second time"
        elif pipe_suffix(plan.request.output):
            lost = "the output is a pipe and cannot be read again"
        if lost is not None:
            self._missing = lost
            if full:
                raise UsageError(f"{plan.request.input}: cannot be verified; {self._missing}")
            return
        detector = config.detector
        if not isinstance(detector, DetectorConfig):
            # A plug-in's own options mean nothing to the detector that looks again.
            detector = DetectorConfig(smallest_face=detector.smallest_face)
        name: str = config.verify.detector
        try:
            at_hand = registry.path if full else registry.path_if_due
            for one in choose(config.verify.detector, analysed, config.models_dir):
                name = one
                at_hand(one, config.models_dir)
            self._verifier = Verifier(config.verify, analysed, detector, config.models_dir)
        except ModelError as error:
            # Asked for, it is a condition of the run. By default it is an extra, and a machine
            # without network and without the second network still redacts; the report says so.
            if full:
                raise
            # Without the folders of this machine, which the words of the error name.
            self._missing = f"the network {name} that looks again is not on this machine"
            log.warning("the result will not be verified: %s", error)

    def judge(
        self,
        sink: Sink,
        written: Written,
        cancel: threading.Event | None = None,
    ) -> Looked:
        """Check the closed file and give it its name, or not.

        Args:
            sink: that closed it.
            written: the file and what is in it.
            cancel: set from another thread to stop.

        Raises:
            Cancelled: ``cancel`` was set.
            OutputError: the file cannot be renamed.
        """
        request, closed = self._plan.request, written.path
        if closed is None:
            part = None
            if self._missing is not None:
                verdict = Verdict(request.config.verify.mode, problem=self._missing, done=False)
                part = _part(verdict, "published")
            return Looked(part, request.output.name, None)
        if self._missing is not None:
            sink.publish()
            verdict = Verdict(request.config.verify.mode, problem=self._missing, done=False)
            return Looked(_part(verdict, "published"), request.output.name, None)
        if self._verifier is None:
            sink.publish()
            return Looked(None, request.output.name, None)
        video = request.config.video
        files = Files(
            request.input,
            closed,
            written.frames,
            start=video.start,
            end=video.end,
            tolerant=request.config.fault.policy == "step-down",
            sound=written.sound,
            visible=written.visible,
        )
        verdict = check(self._verifier, files, request.config.verify, written.seconds, cancel)
        if verdict.problem is not None:
            verdict.problem = _named(verdict.problem, {closed: request.output.name})
        words = _words(verdict)
        if verdict.problem is not None:
            # The report names files and folders only where it may.
            places = {request.output: "the output", request.input: "the input"}
            verdict.problem = _named(verdict.problem, places)
        if verdict.passed:
            sink.publish()
            return Looked(_part(verdict, "published"), request.output.name, None)
        if request.config.verify.on_failure == "remove":
            sink.abort()
            part, kept, fate = _part(verdict, "removed"), None, "the file was removed"
        else:
            # Beside the file that a link names, where the hidden one lies too.
            place = aside(Path(os.path.realpath(request.output)))
            sink.publish(place)
            kept = place.name
            part, fate = _part(verdict, "kept aside"), f"kept as {kept}"
        return Looked(part, kept, VerificationError(f"{request.output}: {words}; {fate}"))


def aside(target: Path) -> Path:
    """``NAME.unverified.EXT`` beside a target, numbered where that exists."""
    for number in itertools.count(1):
        mark = ASIDE if number == 1 else f"-{number}{ASIDE}"
        path = target.with_name(f"{target.stem}{mark}{target.suffix}")
        if not path.exists():
            return path
    raise AssertionError


def _named(words: str, places: Mapping[Path, str]) -> str:
    """Words with other names in the place of paths and of file names."""
    for place, name in places.items():
        word = name.replace("\\", "\\\\")
        for old in (os.path.realpath(place), str(place), place.name):
            words = re.sub(rf"(?<![\w./-]){re.escape(old)}(?![\w/-])", word, words)
    return words


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
