"""How well the second pair of eyes sees: a painter that paints nothing, and clips done properly.

    python -m stream_anon.evaluation.verification CLIPS... [--methods pixelate identity]
        [--every 1] [--seconds S] [--detector auto] [--outputs FOLDER] [--out FILE.md]

For every clip two things are measured.

*Nothing painted*: the redaction runs with the painting switched off by a fault (pasting into a
frame does nothing), as a defect below every other safeguard would. ``certain`` counts the faces
that would be reported if the output were the original itself, bit for bit; ``found`` those that are
reported in the output as it was encoded. Where ``CLIP.faces.json`` lies beside the clip, the true
faces are counted as well. A run with the default, sampled check must be refused.

*Painted*: the same clip, redacted by each method. What is reported there is a false alarm, or a
face that the redaction really left open: the frames are named, so that somebody can look.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.errors import StreamAnonError, VerificationError
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.input.probe import probe
from stream_anon.media.output.formats import default_suffix
from stream_anon.pipeline.report import Report
from stream_anon.verification.pairs import Pairs
from stream_anon.verification.verifier import Verifier, reported

Boxes = NDArray[np.float64]

SAME_PLACE = 0.25
"""Intersection over union from which a report is one of a true face."""


@dataclass(slots=True)
class Compared:
    """What was seen in the frames of one clip and one output.

    Attributes:
        frames: compared.
        faces: found in the original.
        certain: of these, those that would be reported in the original itself.
        found: reported in the output.
        true: faces of the truth beside the clip, of the smallest wanted size and larger.
        true_found: of these, those with a report at their place.
        alarmed: index of every frame with one, by stream.
        seconds: spent, without the look at the original itself.
    """

    frames: int = 0
    faces: int = 0
    certain: int = 0
    found: int = 0
    true: int = 0
    true_found: int = 0
    alarmed: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class Row:
    """One clip.

    Attributes:
        clip: its name.
        minutes: of footage, over all streams.
        nothing: with the painting switched off.
        refused: whether the sampled check refused that output; None where no face is certain.
        share: what the sampled check took there, as a share of the run.
        painted: by method.
        shares: likewise, of the sampled check of the run that made it.
    """

    clip: str
    minutes: float
    nothing: Compared
    refused: bool | None
    share: float
    painted: dict[str, Compared]
    shares: list[float]


@contextlib.contextmanager
def unpainted() -> Iterator[None]:
    """Within it, pasting into a frame does nothing: a fault below the gate."""
    real = CpuFrame.paste

    def paste(self: CpuFrame, *arguments: Any, **named: Any) -> None:
        """Do nothing."""

    CpuFrame.paste = paste  # type: ignore[method-assign]
    try:
        yield
    finally:
        CpuFrame.paste = real  # type: ignore[method-assign]


def compare(
    clip: Path,
    output: Path,
    verifier: Verifier,
    every: int = 1,
    certain: bool = False,
    seconds: float | None = None,
) -> Compared:
    """Compare every ``every``-th frame of all streams.

    Args:
        clip, output: the files.
        verifier: the second pair of eyes.
        every: 1 compares all.
        certain: count also what would be reported in the original itself, and the true faces.
        seconds: of the clip that the output holds; None for all.

    Raises:
        StreamAnonError: a file cannot be read, or the frames do not pair.
    """
    done = Compared()
    truth = _truth(clip) if certain else {}
    pairs = Pairs(clip, output, [stream.index for stream in probe(clip).video], end=seconds)
    for stream in pairs.streams:
        for number, pair in enumerate(pairs.all(stream)):
            if number % every:
                continue
            began = time.process_time()
            look = verifier.check(pair.original, pair.output, pair.quarter_turns)
            done.seconds += time.process_time() - began
            done.frames += 1
            done.faces += look.faces
            done.found += look.unchanged
            if look.unchanged:
                done.alarmed.append((stream, number))
            if certain and look.faces:
                done.certain += verifier.check(
                    pair.original, pair.original, pair.quarter_turns
                ).unchanged
            if number in truth:
                boxes, open_ = verifier.places(pair.original, pair.output, pair.quarter_turns)
                done.true += len(truth[number])
                done.true_found += reported(truth[number], boxes[open_], SAME_PLACE)
    return done


def _truth(clip: Path) -> dict[int, Boxes]:
    """(n, 4) x0 y0 x1 y1 by frame, from the file beside a clip; nothing where there is none."""
    path = clip.with_suffix(".faces.json")
    if not path.exists():
        return {}
    smallest = DetectorConfig().smallest_face
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    wide = [[one["box"] for one in faces] for faces in frames]
    found: dict[int, Boxes] = {}
    for number, boxes in enumerate(wide):
        array = np.array(boxes, np.float64).reshape(-1, 4)
        array = array[array[:, 2:].prod(axis=1) >= smallest**2]
        found[number] = np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)
    return found


def measure(
    clip: Path,
    methods: Sequence[str],
    folder: Path,
    every: int,
    config: VerifyConfig,
    seconds: float | None = None,
) -> Row:
    """Redact one clip with and without painting, and compare.

    Args:
        clip: the file.
        methods: to redact by.
        folder: for the outputs; what lies there is used again.
        every: see ``compare``.
        config: the second detector and its threshold.
        seconds: of the clip that are redacted; None for all.

    Raises:
        StreamAnonError: as from ``redact``; a failed verification is none here.
    """
    info = probe(clip)
    suffix = default_suffix(info)[0]
    verifier = Verifier(config, "centerface", DetectorConfig())
    painted: dict[str, Compared] = {}
    shares: list[float] = []
    for method in methods:
        target = folder / f"{clip.stem}.{method}{suffix}"
        if not target.exists():
            _, share = _redacted(clip, target, method, config, seconds)
            shares.append(share)
        painted[method] = compare(clip, target, verifier, every, seconds=seconds)
    target = folder / f"{clip.stem}.nothing{suffix}"
    with unpainted():
        refused, share = _redacted(clip, target, "fill", config, seconds)
    nothing = compare(clip, target, verifier, every, certain=True, seconds=seconds)
    lengths = [stream.duration or info.duration or 0.0 for stream in info.video]
    minutes = sum(min(length, seconds or length) for length in lengths) / 60
    verdict = refused if nothing.certain else None
    return Row(clip.name, minutes, nothing, verdict, share, painted, shares)


def _redacted(
    clip: Path, target: Path, method: str, config: VerifyConfig, seconds: float | None
) -> tuple[bool, float]:
    """Redact to ``target``, whatever the check says: whether it refused, and its share of time."""
    import stream_anon

    refused, report = False, None
    whole = stream_anon.Config(verify=config)
    try:
        report = stream_anon.redact(
            clip, target, config=whole, method=method, end=seconds, overwrite=True
        )
    except VerificationError as error:
        refused = True
        report = error.report if isinstance(error.report, Report) else None
        kept = report.output.name if report is not None and report.output else None
        if kept is not None:
            (target.parent / kept).replace(target)
    if report is None or report.verification is None:
        return refused, 0.0
    took = report.verification.seconds
    return refused, took / max(report.time.total - took, 1e-9)


def page(rows: Sequence[Row], methods: Sequence[str], how: str, every: int, detector: str) -> str:
    """The result as Markdown."""
    date = datetime.now(UTC).date().isoformat()
    certain, found = (sum(getattr(r.nothing, n) for r in rows) for n in ("certain", "found"))
    true, true_found = (sum(getattr(r.nothing, n) for r in rows) for n in ("true", "true_found"))
    known, refused = sum(r.refused is not None for r in rows), sum(bool(r.refused) for r in rows)
    timed = any(row.shares for row in rows)
    minutes = sum(row.minutes for row in rows)
    lines = [
        "# The second pair of eyes",
        "",
        f"`{how}`",
        "",
        f"{date}, {platform.machine()}, second detector {detector}; every {every}. frame compared."
        if every > 1
        else f"{date}, {platform.machine()}, second detector {detector}; every frame compared.",
        "",
        f"With nothing painted, {found} of {certain} certain faces are reported"
        + (f", and {true_found} of {true} true ones" if true else "")
        + f"; the sampled check refuses {refused} of {known} outputs. In {minutes:.1f} "
        "minutes of footage, redacted properly, frames with a report: "
        + ", ".join(f"{m} {sum(len(r.painted[m].alarmed) for r in rows)}" for m in methods)
        + ".",
        "",
        "| clip | frames | faces | nothing painted: found of certain | sampled check of it | "
        + " | ".join(methods)
        + (" | sampled check of them" if timed else "")
        + " | ms a frame |",
        "|---" * (6 + timed + len(methods)) + "|",
    ]
    for row in rows:
        seen = row.nothing
        verdict = {True: "refused", False: "passed", None: "no face"}[row.refused]
        alarms = [_alarms(row.painted[method]) for method in methods]
        cost = 1000 * seen.seconds / max(1, seen.frames)
        cells = [row.clip, str(seen.frames), str(seen.faces), f"{seen.found} of {seen.certain}"]
        cells += [f"{verdict}, {100 * row.share:.0f} %", *alarms]
        if timed:
            cells.append(", ".join(f"{100 * share:.0f} %" for share in row.shares) or "-")
        cells.append(f"{cost:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "faces: seen by the two detectors in the originals. certain: of these, reported if the "
        "output were the original itself. found: reported in the output, which was encoded again. "
        "sampled check: what the default did with the output in which nothing is painted, and its "
        "time by the run's (of them: of the painted ones); at least three frames are looked at, "
        "however short the clip is. Under a method's name: frames reported "
        "(stream/frame). ms a frame: processor time of a comparison, decoding not counted.",
    ]
    return "\n".join(lines) + "\n"


def _alarms(compared: Compared) -> str:
    named = ", ".join(f"{stream}/{frame}" for stream, frame in compared.alarmed[:8])
    more = " ..." if len(compared.alarmed) > 8 else ""
    return f"{len(compared.alarmed)} ({named}{more})" if named else "0"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0 where every certain face is found, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m stream_anon.evaluation.verification",
        description="Measure the check of finished files.",
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--methods", nargs="+", default=["pixelate", "identity"])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="compare each Nth frame")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each clip; default: all")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--outputs", type=Path, help="keep outputs there, and use them again")
    parser.add_argument("--out", type=Path, help="write the page there as well")
    options = parser.parse_args(arguments)
    if options.every < 1:
        parser.error("--every is at least 1")
    rows: list[Row] = []
    given = " ".join(arguments if arguments is not None else sys.argv[1:])
    how = f"python -m stream_anon.evaluation.verification {given}"
    text = ""
    try:
        config = VerifyConfig(detector=options.detector)
        name = Verifier(config, "centerface").detector
        with contextlib.ExitStack() as stack:
            folder = options.outputs
            if folder is None:
                made = stack.enter_context(tempfile.TemporaryDirectory(prefix="stream-anon-"))
                folder = Path(made)
            folder.mkdir(parents=True, exist_ok=True)
            for clip in options.clips:
                row = measure(
                    clip, options.methods, folder, options.every, config, options.seconds
                )
                rows.append(row)
                print(
                    f"{row.clip}: {row.nothing.found} of {row.nothing.certain}, sampled refused: "
                    f"{row.refused}, alarms {[_alarms(row.painted[m]) for m in options.methods]}",
                    file=sys.stderr,
                )
                text = page(rows, options.methods, how, options.every, name)
                if options.out is not None:
                    # After every clip: a long measurement that is stopped has said what it knows.
                    options.out.parent.mkdir(parents=True, exist_ok=True)
                    options.out.write_text(text, encoding="utf-8")
    except StreamAnonError as error:
        print(error, file=sys.stderr)
        return 1
    print(text, end="")
    return 0 if all(row.nothing.found == row.nothing.certain for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
