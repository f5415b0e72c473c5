"""How well the second pair of eyes sees: a painter that paints nothing, and clips done properly.

    python -m stream_anon.evaluation.verification CLIPS... [--methods pixelate identity]
        [--every 1] [--detector auto] [--outputs FOLDER] [--out FILE.md]

For every clip two things are measured.

*Nothing painted*: the redaction runs with the painting switched off by a fault (pasting into a
frame does nothing), as a defect below every other safeguard would. ``certain`` counts the faces
that would be reported if the output were the original itself, bit for bit; ``found`` those that are
reported in the output as it was encoded. A run with the default, sampled check must be refused.

*Painted*: the same clip, redacted by each method. What is reported there is a false alarm, or a
face that the redaction really left open: the frames are named, so that somebody can look.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.errors import StreamAnonError, VerificationError
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.input.probe import probe
from stream_anon.media.output.formats import default_suffix
from stream_anon.pipeline.report import Report
from stream_anon.verification.pairs import Pairs
from stream_anon.verification.verifier import Verifier

NOTHING = "nothing painted"


@dataclass(slots=True)
class Compared:
    """What was seen in the frames of one clip and one output.

    Attributes:
        frames: compared.
        faces: found in the original.
        certain: of these, those that would be reported in the original itself.
        found: reported in the output.
        alarmed: index of every frame with one, by stream.
        seconds: spent, without the look at the original itself.
    """

    frames: int = 0
    faces: int = 0
    certain: int = 0
    found: int = 0
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
        share: what the sampled check took, as a share of the run.
        painted: by method.
    """

    clip: str
    minutes: float
    nothing: Compared
    refused: bool | None
    share: float
    painted: dict[str, Compared]


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
    clip: Path, output: Path, verifier: Verifier, every: int = 1, certain: bool = False
) -> Compared:
    """Compare every ``every``-th frame of all streams.

    Args:
        clip, output: the files.
        verifier: the second pair of eyes.
        every: 1 compares all.
        certain: count also what would be reported in the original itself.

    Raises:
        StreamAnonError: a file cannot be read, or the frames do not pair.
    """
    done = Compared()
    pairs = Pairs(clip, output, [stream.index for stream in probe(clip).video])
    for stream in pairs.streams:
        for number, pair in enumerate(pairs.all(stream)):
            if number % every:
                continue
            began = time.monotonic()
            look = verifier.check(pair.original, pair.output, pair.quarter_turns)
            done.seconds += time.monotonic() - began
            done.frames += 1
            done.faces += look.faces
            done.found += look.unchanged
            if look.unchanged:
                done.alarmed.append((stream, number))
            if certain and look.faces:
                done.certain += verifier.check(
                    pair.original, pair.original, pair.quarter_turns
                ).unchanged
    return done


def measure(
    clip: Path, methods: Sequence[str], folder: Path, every: int, config: VerifyConfig
) -> Row:
    """Redact one clip with and without painting, and compare.

    Args:
        clip: the file.
        methods: to redact by.
        folder: for the outputs; what lies there is used again.
        every: see ``compare``.
        config: the second detector and its threshold.

    Raises:
        StreamAnonError: as from ``redact``; a failed verification is none here.
    """
    import stream_anon

    info = probe(clip)
    suffix = default_suffix(info)[0]
    verifier = Verifier(config, "centerface", DetectorConfig())
    painted = {}
    for method in methods:
        target = folder / f"{clip.stem}.{method}{suffix}"
        if not target.exists():
            stream_anon.redact(clip, target, method=method, verify="off")
        painted[method] = compare(clip, target, verifier, every)
    target = folder / f"{clip.stem}.nothing{suffix}"
    refused, report = False, None
    with unpainted():
        whole = stream_anon.Config(verify=config)
        try:
            report = stream_anon.redact(clip, target, config=whole, method="fill", overwrite=True)
        except VerificationError as error:
            refused = True
            report = error.report if isinstance(error.report, Report) else None
            kept = report.output.name if report is not None and report.output else None
            if kept is not None:
                (folder / kept).replace(target)
    share = 0.0
    if report is not None and report.verification is not None:
        took = report.verification.seconds
        share = took / max(report.time.total - took, 1e-9)
    nothing = compare(clip, target, verifier, every, certain=True)
    seconds = sum((s.duration or info.duration or 0.0) for s in info.video)
    verdict = refused if nothing.certain else None
    return Row(clip.name, seconds / 60, nothing, verdict, share, painted)


def page(rows: Sequence[Row], methods: Sequence[str], how: str, every: int, detector: str) -> str:
    """The result as Markdown."""
    date = datetime.now(UTC).date().isoformat()
    certain, found = (sum(getattr(r.nothing, n) for r in rows) for n in ("certain", "found"))
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
        f"With nothing painted, {found} of {certain} certain faces are reported. In {minutes:.1f} "
        "minutes of footage, redacted properly, frames with a report: "
        + ", ".join(f"{m} {sum(len(r.painted[m].alarmed) for r in rows)}" for m in methods)
        + ".",
        "",
        "| clip | frames | faces | nothing painted: found of certain | sampled check | "
        + " | ".join(methods)
        + " | ms a frame |",
        "|---" * (6 + len(methods)) + "|",
    ]
    for row in rows:
        seen = row.nothing
        verdict = {True: "refused", False: "passed", None: "no face"}[row.refused]
        alarms = [_alarms(row.painted[method]) for method in methods]
        cost = 1000 * seen.seconds / max(1, seen.frames)
        cells = [row.clip, str(seen.frames), str(seen.faces), f"{seen.found} of {seen.certain}"]
        cells += [f"{verdict}, {100 * row.share:.0f} % of the run", *alarms, f"{cost:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "faces: seen by the second detector in the originals. certain: of these, reported if the "
        "output were the original itself. found: reported in the output, which was encoded again. "
        "sampled check: what the default did with the output in which nothing is painted, and its "
        "time by the run's; at least three frames are looked at, however short the clip is. Under "
        "a method's name: frames reported (stream/frame).",
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
                rows.append(measure(clip, options.methods, folder, options.every, config))
                row = rows[-1]
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
