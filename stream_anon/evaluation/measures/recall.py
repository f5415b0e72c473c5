"""Which faces of a clip with known boxes were left open by a redaction.

    python -m stream_anon.evaluation.measures.recall CLIP TRUTH.json [--method pixelate] [--phases
    8]
                                            [--every 8] [--latency 0.25]
                                            [--option detector.threshold=0.4] [--out FILE.md]

A box counts as covered when the frame has changed inside it: the mean absolute change of
luma within the box's inscribed ellipse, both frames averaged over 5x5 pixels first, is
above 6 levels. Encoding alone changes less (`--transcode` measures that). The figure tells
whether a face was painted, not whether it can still be recognised.

The detector looks at every few frames only, and which ones depends on where the clip begins.
`--phases` redacts the clip again, begun one, two and more frames later, so that a figure does
not rest on the looks that happened to be taken. `--every` redacts it at lower frame rates as
well: every second, third, ... frame of it, at the times that they had.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from stream_anon.config import Config, override
from stream_anon.errors import InputError, StreamAnonError, UsageError

Luma = NDArray[np.uint8]

CHANGE = 6.0
"""Levels of luma, 0-255."""

SIZES = (0, 30, 40, 60, 80, 120)
"""Lower edges of the table's size classes: geometric mean of a box's sides, in pixels."""


@dataclass(frozen=True, slots=True)
class Box:
    """One true face in one frame: x, y, w, h in pixels, and whether a detector measured it."""

    frame: int
    track: int
    box: tuple[float, float, float, float]
    measured: bool

    @property
    def size(self) -> float:
        """Geometric mean of the sides in pixels."""
        return float(np.sqrt(self.box[2] * self.box[3]))


@dataclass(frozen=True, slots=True)
class Recall:
    """What was measured: every true box and its change in levels, in the same order."""

    boxes: tuple[Box, ...]
    changes: tuple[float, ...]

    @property
    def leaks(self) -> list[tuple[Box, float]]:
        """Boxes that were left open, the largest first."""
        pairs = zip(self.boxes, self.changes, strict=True)
        return sorted((p for p in pairs if not p[1] > CHANGE), key=lambda pair: -pair[0].size)

    @property
    def covered(self) -> float:
        """Share of boxes that are covered; 1 where there are none."""
        return 1.0 - len(self.leaks) / max(1, len(self.boxes))

    def by_size(self) -> list[tuple[str, int, int]]:
        """Rows of (size class, boxes, covered boxes)."""
        rows = []
        for low, high in itertools.pairwise((*SIZES, np.inf)):
            inside = [
                change
                for box, change in zip(self.boxes, self.changes, strict=True)
                if low <= box.size < high
            ]
            name = f"{low:g} px and more" if high == np.inf else f"{low:g}-{high:g} px"
            rows.append((name, len(inside), sum(change > CHANGE for change in inside)))
        return rows


def read_truth(path: str | Path) -> list[Box]:
    """Read true boxes: JSON with ``frames``, a list of lists of {track, box, measured}.

    Raises:
        InputError: the file is no such JSON.
    """
    try:
        frames = json.loads(Path(path).read_text(encoding="utf-8"))["frames"]
        return [
            Box(frame, int(one["track"]), _four(one["box"]), bool(one.get("measured", True)))
            for frame, boxes in enumerate(frames)
            for one in boxes
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no true boxes ({error})") from error


def measure(
    original: str | Path, redacted: str | Path, truth: Sequence[Box], skipped: int = 0
) -> Recall:
    """Compare two files frame by frame inside the true boxes.

    Args:
        original: as it was.
        redacted: what was made of it.
        truth: boxes, by the frames of the original.
        skipped: frames at the original's beginning that the redacted file does not have.

    Raises:
        InputError: a file cannot be read, or the frames differ in number or size.
    """
    by_frame: dict[int, list[Box]] = {}
    for box in truth:
        by_frame.setdefault(box.frame, []).append(box)
    boxes: list[Box] = []
    changes: list[float] = []
    pairs = itertools.zip_longest(itertools.islice(lumas(original), skipped, None), lumas(redacted))
    count = 0
    for frame, (before, after) in enumerate(pairs, skipped):
        count = frame + 1
        if before is None or after is None or before.shape != after.shape:
            raise InputError(f"{redacted}: frame {frame} has no counterpart in {original}")
        here = by_frame.get(frame, [])
        if here:
            averaged = (cv2.blur(p.astype(np.float32), (5, 5)) for p in (before, after))
            difference = np.abs(np.subtract(*averaged))
            boxes += here
            changes += [change_inside(difference, box) for box in here]
    if by_frame and max(by_frame) >= count:
        raise InputError(f"{original}: has {count} frames, the true boxes go on to more")
    return Recall(tuple(boxes), tuple(changes))


def change_inside(difference: NDArray[np.float32], box: Box) -> float:
    """Mean of an (h, w) plane inside a box's inscribed ellipse; NaN where that is empty."""
    x, y, w, h = box.box
    rows, columns = np.ogrid[: difference.shape[0], : difference.shape[1]]
    inside = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1
    return float(difference[inside].mean()) if inside.any() else float("nan")


def lumas(path: str | Path) -> Iterator[Luma]:
    """The luma planes of a file's first video stream, (h, w) uint8.

    Raises:
        InputError: the file cannot be read or holds no video.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video")
            for frame in container.decode(container.streams.video[0]):
                yield np.asarray(frame.to_ndarray(format="gray"), np.uint8)
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def transcode(source: str | Path, target: str | Path) -> None:
    """Encode a file's video again and paint nothing: what encoding alone changes."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        out: Any = made.add_stream("libx264", rate=stream.average_rate)
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        out.options = {"preset": "veryfast", "crf": "18"}
        for frame in given.decode(stream):
            frame.pict_type = av.video.frame.PictureType.NONE
            made.mux(out.encode(frame))
        made.mux(out.encode(None))


def thin(source: str | Path, target: str | Path, every: int) -> None:
    """Encode every so manieth frame of a file, at its own time, hardly compressed."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        out: Any = made.add_stream("libx264", rate=stream.average_rate)
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        out.options = {"preset": "veryfast", "crf": "10"}
        out.codec_context.time_base = stream.time_base
        for frame in itertools.islice(given.decode(stream), 0, None, every):
            frame.pict_type = av.video.frame.PictureType.NONE
            made.mux(out.encode(frame))
        made.mux(out.encode(None))


def starts(path: str | Path, count: int) -> list[float]:
    """Times in seconds, half a frame early, at which the first frames of a file begin.

    Raises:
        InputError: the file cannot be read, or has not so many frames with times.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            early = 0.5 / float(stream.average_rate or 25)
            times = [
                frame.time for frame in itertools.islice(container.decode(stream), count)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    known = [time for time in times if time is not None]
    if len(known) < count:
        raise InputError(f"{path}: has fewer than {count} frames with times")
    return [max(0.0, time - early) for time in known]


def page(
    recall: Recall,
    title: str,
    how: str,
    phases: Sequence[Recall] = (),
    thinned: Sequence[Recall] = (),
) -> str:
    """A result as Markdown.

    ``phases`` are those of the clip begun 1, 2, ... frames later, ``thinned`` those of every
    second, third, ... of its frames.
    """
    leaks = recall.leaks
    lines = [f"# {title}", "", f"`{how}`", ""]
    lines += [
        f"{len(recall.boxes) - len(leaks)} of {len(recall.boxes)} true faces are covered: "
        f"{100 * recall.covered:.2f} %. Covered: the mean absolute change of luma inside the "
        f"box's inscribed ellipse, on 5x5 means, is above {CHANGE:g} levels.",
        "",
        "| size of the face | boxes | covered |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {n} | {100 * c / n:.1f} % |" for name, n, c in recall.by_size() if n]
    if leaks:
        largest = leaks[0][0]
        lines += ["", f"Largest face left open: {largest.size:.0f} px.", ""]
        lines += ["| frame | track | size | change in levels |", "|---|---|---|---|"]
        lines += [
            f"| {box.frame} | {box.track} | {box.size:.0f} px | {change:.1f} |"
            for box, change in leaks
        ]
    else:
        lines += ["", f"None is left open; the least changed one changed by "
                  f"{min(recall.changes, default=float('nan')):.1f} levels."]
    if phases:
        lines += ["", "The clip begun some frames later, so that the detector looks at others:"]
        lines += ["", "| frames later | boxes | covered | left open (frame/track) |"]
        lines += ["|---|---|---|---|", *itertools.starmap(_row, enumerate(phases, 1))]
    if thinned:
        lines += ["", "Every so manieth frame of the clip, at its own time:"]
        lines += ["", "| every | boxes | covered | left open (frame/track) |"]
        lines += ["|---|---|---|---|", *itertools.starmap(_row, enumerate(thinned, 2))]
    return "\n".join(lines) + "\n"


def _row(number: int, one: Recall) -> str:
    left = ", ".join(f"{box.frame}/{box.track}" for box, _ in one.leaks) or "none"
    count = len(one.boxes)
    return f"| {number} | {count} | {count - len(one.leaks)} | {left} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0 where at least ``--least`` of the boxes are covered, in each phase,
    else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m stream_anon.evaluation.measures.recall",
        description="Measure which known faces a redaction left open.",
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--method", default="pixelate")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the configuration, by its place in the tree; may be repeated",
    )
    parser.add_argument("--redacted", type=Path, help="measure this file, redact nothing")
    parser.add_argument("--transcode", action="store_true", help="measure a bare transcode")
    parser.add_argument(
        "--phases",
        type=int,
        default=1,
        metavar="N",
        help="also begin the clip 1 to N-1 frames later",
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N",
        help="also redact every 2nd to Nth frame of the clip",
    )
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="as of `redact`")
    parser.add_argument("--least", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--out", type=Path, help="write the page there as well")
    options = parser.parse_args(arguments)
    given = options.redacted is not None or options.transcode
    if max(options.phases, options.every) > 1 and given:
        parser.error("--phases and --every go with neither --redacted nor --transcode")
    try:
        named = {"method.name": options.method, "tracker.latency": options.latency}
        config = override(Config(), **{**named, **_options(options.option)})
        with contextlib.ExitStack() as stack:
            redacted = options.redacted
            if redacted is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="stream-anon-"))
                redacted = Path(folder) / options.clip.name
                if options.transcode:
                    transcode(options.clip, redacted)
                else:
                    _redact(options.clip, redacted, config)
            truth = read_truth(options.truth)
            recall = measure(options.clip, redacted, truth)
            phases = []
            begins = starts(options.clip, options.phases) if options.phases > 1 else []
            for late, start in enumerate(begins[1:], 1):
                _redact(options.clip, redacted, config, start)
                later = [box for box in truth if box.frame >= late]
                phases.append(measure(options.clip, redacted, later, late))
            thinned = []
            for every in range(2, options.every + 1):
                rare = redacted.with_name(f"every_{every}.mp4")
                thin(options.clip, rare, every)
                _redact(rare, redacted, config)
                kept = [
                    dataclasses.replace(box, frame=box.frame // every)
                    for box in truth
                    if box.frame % every == 0
                ]
                thinned.append(measure(rare, redacted, kept))
    except StreamAnonError as error:
        print(error, file=sys.stderr)
        return 1
    what = "transcode" if options.transcode else f"method {options.method}"
    words = " ".join(arguments if arguments is not None else sys.argv[1:])
    how = f"python -m stream_anon.evaluation.measures.recall {words}"
    text = page(recall, f"Recall on {options.clip.name}, {what}", how, phases, thinned)
    print(text, end="")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(one.covered >= options.least for one in (recall, *phases, *thinned)) else 1


def _options(given: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` as a mapping; values are read as YAML.

    Raises:
        UsageError: one is not written so.
    """
    made: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"'{text}' is not NAME=VALUE")
        made[name] = yaml.safe_load(value)
    return made


def _redact(clip: Path, target: Path, config: Config, start: float | None = None) -> None:
    import stream_anon

    # Judged here by the true boxes: a check that refuses the file would leave nothing to measure.
    config = override(config, **{"verify.mode": "off"})
    stream_anon.redact(clip, target, config=config, start=start, overwrite=True)


def _four(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value) for value in box)
    if not (w > 0 and h > 0):
        raise ValueError(f"a box has no area: {list(box)}")
    return x, y, w, h


if __name__ == "__main__":
    sys.exit(main())
