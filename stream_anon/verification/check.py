"""The check of a whole file: which frames are looked at, for how long, and what is said."""

from __future__ import annotations

import heapq
import itertools
import math
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from stream_anon.config import VerifyConfig
from stream_anon.errors import Cancelled, StreamAnonError
from stream_anon.verification.pairs import Pair, Pairs
from stream_anon.verification.verifier import Verifier

Box = tuple[float, float, float, float]

LEAST = 3
"""Frames that a sampled check looks at whatever it costs."""

SHORT = 450
"""Frames up to which a file is read from the beginning rather than in three places."""

NAMED = 1000
"""Frames that are named one by one, at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A frame of the output with faces that are as they were. No place, no frame.

    Attributes:
        stream: of the original.
        index: of the frame in presentation order, None where it has no time to count by.
        seconds: presentation time in the output.
        faces: how many.
    """

    stream: int
    index: int | None
    seconds: float
    faces: int


@dataclass(slots=True)
class Verdict:
    """What a check came to.

    Attributes:
        mode: ``sampled`` or ``full``.
        detector: name of the second detector, None if there was none.
        frames: compared.
        faces: found by the second detector in the originals of those frames.
        unchanged: of these, open in the output.
        failed_frames: frames that show one.
        findings: the first ``NAMED`` of them.
        seconds: spent.
        problem: why the check could not be made or ended, in words.
        done: whether it was made at all.
    """

    mode: str
    detector: str | None = None
    frames: int = 0
    faces: int = 0
    unchanged: int = 0
    failed_frames: int = 0
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    problem: str | None = None
    done: bool = True

    @property
    def passed(self) -> bool:
        """Whether the output may have its name: nothing was found, and nothing went wrong."""
        return self.unchanged == 0 and (self.problem is None or not self.done)


@dataclass(frozen=True, slots=True)
class Files:
    """What is compared.

    Attributes:
        original, output: the files.
        frames: written, by stream of the original.
        start, end: of the original, seconds.
        tolerant: see ``Pairs``.
        sound: the input's times and packets were all right, so it can be read from the middle.
        visible: boxes (x0, y0, x1, y1), pixels, of whom a person has decided to leave visible, by
            stream of the original and frame in the order of presentation: no failure.
    """

    original: Path
    output: Path
    frames: Mapping[int, int]
    start: float | None = None
    end: float | None = None
    tolerant: bool = False
    sound: bool = True
    visible: Mapping[tuple[int, int], Sequence[Box]] = field(default_factory=dict)


def check(
    verifier: Verifier,
    files: Files,
    config: VerifyConfig,
    run_seconds: float,
    cancel: threading.Event | None = None,
) -> Verdict:
    """Compare two files. Whatever goes wrong is a failed check, not an error.

    Args:
        verifier: the second pair of eyes.
        files: what is compared.
        config: mode and cost.
        run_seconds: what the run took, of which the check may take a share.
        cancel: set from another thread to stop.

    Raises:
        Cancelled: ``cancel`` was set.
    """
    verdict = Verdict(config.mode, verifier.detector)
    began = time.monotonic()
    budget = config.share * run_seconds
    try:
        pairs = Pairs(
            files.original,
            files.output,
            files.frames,
            start=files.start,
            end=files.end,
            tolerant=files.tolerant,
        )
        for stream in pairs.streams:
            if config.mode == "full":
                chosen: Iterator[Pair] = pairs.all(stream)
            else:
                # Every stream has a share of the time that is left.
                left = (budget - (time.monotonic() - began)) / len(pairs.streams)
                chosen = _sampled(pairs, stream, files, config.every, time.monotonic() + left)
            for pair in chosen:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("stopped while the output was checked")
                _look(verifier, pairs, pair, files, verdict)
    except Cancelled:
        raise
    except (StreamAnonError, ValueError, OSError, MemoryError, cv2.error) as error:
        verdict.problem = " ".join(str(error).split()) or type(error).__name__
    if verdict.frames == 0 and verdict.problem is None:
        verdict.problem = "no frame could be compared"
    verdict.seconds = time.monotonic() - began
    return verdict


def _look(verifier: Verifier, pairs: Pairs, pair: Pair, files: Files, verdict: Verdict) -> None:
    visible: Sequence[Box] = ()
    if files.visible and pair.index is not None:
        visible = files.visible.get((pair.stream, pair.index), ())
    look = verifier.check(pair.original, pair.output, pair.quarter_turns, visible)
    verdict.frames += 1
    verdict.faces += look.faces
    if not look.unchanged:
        return
    verdict.unchanged += look.unchanged
    verdict.failed_frames += 1
    if len(verdict.findings) < NAMED:
        where = pair.index if pair.index is not None else pairs.index(pair)
        finding = Finding(pair.stream, where, round(pair.seconds, 3), look.unchanged)
        verdict.findings.append(finding)


def _sampled(
    pairs: Pairs, stream: int, files: Files, every: float, deadline: float
) -> Iterator[Pair]:
    """Pairs at random moments, one in each stretch of ``every`` seconds.

    Until the deadline, and ``LEAST`` of them in any case. Random by the system's randomness:
    whoever knew the moments could hide between them.
    """
    chance = secrets.SystemRandom()
    count, length = files.frames[stream], pairs.length(stream)
    if count == 0:
        return
    parts = max(LEAST, math.ceil(length / every) if length else LEAST)
    # Who may be seen is known by the frame's number, which takes reading from the beginning.
    if files.sound and not files.visible and pairs.indexed and count > SHORT and length:
        moments = [(part + chance.random()) * length / parts for part in range(parts)]
        chance.shuffle(moments)
        seen = 0
        for tried, moment in enumerate(moments):
            if seen >= LEAST and time.monotonic() > deadline:
                return
            pair = pairs.at(stream, moment)
            if pair is not None:
                seen += 1
                yield pair
            elif tried >= 2 * LEAST and not seen:
                break
        if seen >= LEAST:
            return
    yield from _in_order(pairs, stream, count, min(parts, count), deadline, chance)


def _in_order(
    pairs: Pairs,
    stream: int,
    count: int,
    parts: int,
    deadline: float,
    chance: secrets.SystemRandom,
) -> Iterator[Pair]:
    """One frame drawn from each of ``parts`` equal parts, read from the beginning."""
    edges = [count * part // parts for part in range(parts + 1)]
    wanted = [chance.randrange(low, max(high, low + 1)) for low, high in itertools.pairwise(edges)]
    kept = set(chance.sample(wanted, min(LEAST, len(wanted))))
    heapq.heapify(wanted)
    last = max(kept)
    for pair in pairs.all(stream):
        late = time.monotonic() > deadline
        if pair.index is None or not wanted or (late and pair.index > last):
            return
        if pair.index < wanted[0]:
            continue
        heapq.heappop(wanted)
        if not late or pair.index in kept:
            yield pair
