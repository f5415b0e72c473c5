"""Which true faces of a clip are shown by what ``stream_anon.redact`` made of it.

A face is judged in cells of about 8 pixels within the inner ellipse of its box, those of them that
can be seen in the original. A cell is covered

- by ``fill`` in a colour that no face has (magenta): where the output is that colour. Nothing
  else counts, so a cover that lies beside the face covers nothing;
- by another method: where the cell's mean or its detail has changed by more than encoding does.

and a face is covered where most of its cells are (``SHARE``), and most of each of its four halves
(left, right, upper, lower): a cover that leaves half a face open is no cover. In a frame that was
pixelated or blackened as a whole, nothing is shown.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import stream_anon
from stream_anon.config import Config, DetectorConfig, override
from stream_anon.errors import StreamAnonError
from tests.torture.film import Clip, decoded
from tests.torture.images import Pixels
from tests.torture.scene import TrueFace, cell_means

MAGENTA = (255, 0, 255)
"""Far from skin, hair and the backgrounds: green is at most 20 where it was painted."""

WIPED = (4.0, 0.35)
"""Mean absolute Laplacian in levels that a cell must have had, and the share of it that it may
keep, to be under a solid cover."""

NEAR = 60.0
"""Euclidean distance in RGB from ``MAGENTA`` up to which a cell's mean is painted. Measured: cells
that are painted whole stay below 8, skin, hair and backgrounds lie beyond 150."""

CHANGE = 6.0
"""Levels. Measured: a bare transcode at the default quality changes a cell's mean by at most 5.8
and its detail, the mean absolute change of luma from pixel to pixel, by at most 5.3 (a noisy
night); in a face that is covered the two are below 6 in less than one cell in a hundred, for
every method."""

SHARE = (0.9, 0.8)
"""Share of a face's visible cells that must be covered, in the whole and in each half: a cell at
the edge may lie half in the cover's soft rim, or keep its value by chance."""

STRUCTURE = 8.0
"""Standard deviation in levels from which 8x8 pixels hold something that pixelating changes."""

WHOLE = 0.5
"""Share of a frame's cells with structure that changed, beside painted ones, from which the whole
frame was obscured."""

BUDGETS: dict[str, dict[str, float]] = {
    "0.25": {"tracker.interval": 0.12, "tracker.backfill": 0.25, "tracker.max_gap": 0.13},
    "0.6": {"tracker.interval": 0.2, "tracker.backfill": 0.6, "tracker.max_gap": 0.4},
    "1.7": {},
}
"""Options of the tracker for a live stream that may wait so many seconds; the last is the
default."""


@dataclass(frozen=True)
class Shown:
    """One true face that was left open."""

    frame: int
    face: TrueFace
    covered: float
    """Share of its cells that are covered."""


@dataclass
class Verdict:
    """What became of one clip.

    Attributes:
        clip: that was redacted.
        shown: faces left open.
        obscured: frames that were pixelated or blackened whole.
        refused: the error that ended the run, or "".
        broken: what makes the output no counterpart of the input, or "".
        faces: true faces that were judged.
        seconds: that the redaction took.
        spill: mean share of a frame that was painted farther from every true face's centre than
            its box is large; ``fill`` only.
    """

    clip: Clip
    shown: list[Shown] = field(default_factory=list)
    obscured: int = 0
    refused: str = ""
    broken: str = ""
    faces: int = 0
    seconds: float = 0.0
    spill: float = 0.0

    def __str__(self) -> str:
        frames = sorted({one.frame for one in self.shown})
        words = [f"{self.clip.kind} seed {self.clip.seed}: {len(self.shown)} of {self.faces} shown"]
        if frames:
            words.append("in frames " + _spans(frames))
        if self.obscured:
            words.append(f"{self.obscured} frames obscured whole")
        words += [f"{k}: {v}" for k in ("refused", "broken") if (v := getattr(self, k))]
        return ", ".join(words)


def configuration(method: str = "fill", config: Config | None = None, **dotted: Any) -> Config:
    """A configuration for judging; ``fill`` in magenta.

    Args:
        method: name.
        config: to start from; None is the default.
        dotted: options by their place in the tree, with dots: ``**{"tracker.hold": 0.3}``.
    """
    # The judge knows the truth: a check that refuses the file would leave it nothing to count.
    changes: dict[str, Any] = {"method.name": method, "verify.mode": "off", **dotted}
    if method == "fill":
        changes["method.colour"] = MAGENTA
    return override(config or Config(), **changes)


def smallest(config: DetectorConfig) -> float:
    """The size from which faces are judged: a little above the one that must be found."""
    return 1.1 * config.smallest_face


def judge(
    clip: Clip, config: Config, folder: Path, redact: Callable[..., Any] = stream_anon.redact
) -> Verdict:
    """Redact a clip and look which true faces are left open.

    Args:
        clip: with its truth.
        config: as made by ``configuration``.
        folder: for the output, which is removed again.
        redact: called as ``stream_anon.redact``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{clip.path.stem}-out{clip.path.suffix}"
    started = time.monotonic()
    try:
        redact(clip.path, target, config=config, overwrite=True, **clip.options)
    except StreamAnonError as error:
        verdict = Verdict(clip, refused=f"{type(error).__name__}: {error}")
        if target.exists():
            verdict.broken = "there is an output beside an error"
        return verdict
    seconds = time.monotonic() - started
    try:
        verdict = compare(clip, target, config.method.name, smallest(config.detector))
    finally:
        target.unlink()
    verdict.seconds = seconds
    return verdict


def compare(clip: Clip, output: Path, method: str, least: float = 0.0) -> Verdict:
    """Judge an output that is there; its frames are paired with the clip's by their order.

    Args:
        clip: with its truth.
        output: made of it.
        method: that it was made with; "fill" means ``MAGENTA``.
        least: size of the smallest face that counts, in pixels.
    """
    verdict = Verdict(clip)
    known = clip.truth[: clip.kept]
    pairs = itertools.zip_longest(decoded(clip.path), decoded(output))
    count = 0
    spills = []
    for frame, (before, after) in enumerate(pairs):
        if after is None:
            break
        count = frame + 1
        if before is None or count > len(known):
            continue
        if before.shape != after.shape:
            verdict.broken = f"frame {frame} is {after.shape[:2]}, was {before.shape[:2]}"
            return verdict
        faces = [face for face in known[frame] if face.size >= least]
        open_ = [
            Shown(frame, face, share)
            for face in faces
            for share in [covered_share(before, after, face, method)]
            if share < 1.0
        ]
        verdict.faces += len(faces)
        if method == "fill" and frame % 3 == 0:
            spills.append(_spill(after, known[frame]))
        if open_ and obscured(before, after):
            verdict.obscured += 1
        else:
            verdict.shown += open_
    if count != len(known):
        verdict.broken = f"{count} frames came out, {len(known)} went in"
    verdict.spill = float(np.mean(spills)) if spills else 0.0
    return verdict


def covered_share(before: Pixels, after: Pixels, face: TrueFace, method: str) -> float:
    """1 where a face counts as covered, else the share of its cells that are, at most 0.999."""
    painted = painted_cells(before, after, face, method)[face.cells]
    whole, half = SHARE
    share = float(painted.mean())
    n = len(face.cells)
    row, column = np.nonzero(face.cells)
    halves = (row < n / 2, row >= n / 2, column < n / 2, column >= n / 2)
    fits = all(painted[part].mean() >= half for part in halves if part.sum() >= 3)
    return 1.0 if share >= whole and fits else min(share, 0.999)


def painted_cells(
    before: Pixels, after: Pixels, face: TrueFace, method: str
) -> NDArray[np.bool_]:
    """(n, n) bool: which cells of a face's box are covered."""
    n = len(face.cells)
    a, b, box = _near(before, after, face)
    if method == "fill":
        means = cell_means(b.astype(np.float32), box, n)
        near = np.linalg.norm(means - MAGENTA, axis=-1) <= NEAR
        return np.asarray(near | _wiped(a, b, box, n))
    mean = np.abs(
        cell_means(a.astype(np.float32), box, n) - cell_means(b.astype(np.float32), box, n)
    ).max(-1)
    grey = [p.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) for p in (a, b)]
    detail = cell_means(np.abs(grey[0] - grey[1]), box, n)
    return np.asarray((mean > CHANGE) | (detail > CHANGE))


def _wiped(
    before: Pixels, after: Pixels, box: tuple[float, float, float, float], n: int
) -> NDArray[np.bool_]:
    """Cells under a solid cover of another colour: what detail they had is gone, and their colour
    is another. A neighbour's cover may lie over a face that was painted."""
    had, has = (
        cell_means(np.abs(cv2.Laplacian(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.CV_32F)), box, n)
        for p in (before, after)
    )
    moved = np.abs(cell_means(before.astype(np.float32), box, n) - cell_means(
        after.astype(np.float32), box, n
    )).max(axis=-1)
    return np.asarray((had > WIPED[0]) & (has < WIPED[1] * had) & (moved > CHANGE))


def _near(
    before: Pixels, after: Pixels, face: TrueFace
) -> tuple[Pixels, Pixels, tuple[float, float, float, float]]:
    x0, y0, x1, y1 = face.box
    left, top = max(0, int(x0) - 2), max(0, int(y0) - 2)
    part = (slice(top, int(y1) + 3), slice(left, int(x1) + 3))
    return before[part], after[part], (x0 - left, y0 - top, x1 - left, y1 - top)


def _spill(after: Pixels, faces: Sequence[TrueFace]) -> float:
    """Share of a frame that is painted away from its true faces."""
    size = (after.shape[1] // 4, after.shape[0] // 4)
    small = cv2.resize(after, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    painted = (np.linalg.norm(small - MAGENTA, axis=-1) <= NEAR).astype(np.uint8)
    for face in faces:
        x0, y0, x1, y1 = (value / 4 for value in face.box)
        centre, axes = ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)
        cv2.ellipse(painted, (centre, (2 * axes[0], 2 * axes[1]), 0), 0, -1)
    return float(painted.mean())


def obscured(before: Pixels, after: Pixels) -> bool:
    """Whether a frame was pixelated or blackened as a whole: most of what had structure, and was
    not painted, is something else."""
    size = (before.shape[1] // 8, before.shape[0] // 8)
    grey = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean, square = (_shrunk(plane, size) for plane in (grey, grey * grey))
    structure = np.sqrt(np.maximum(square - mean * mean, 0)) > STRUCTURE
    painted = np.linalg.norm(_shrunk(after.astype(np.float32), size) - MAGENTA, axis=-1) <= NEAR
    new = cv2.cvtColor(after, cv2.COLOR_RGB2GRAY).astype(np.float32)
    changed = _shrunk(np.abs(grey - new), size)[structure & ~painted] > CHANGE
    return bool(changed.size and changed.mean() > WHOLE)


def _shrunk(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _spans(numbers: list[int]) -> str:
    """1, 2, 3, 7 as 1-3, 7."""
    groups = itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    parts = [[number for _, number in group] for _, group in groups]
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
