"""New faces beside the old ones, frame by frame, with a dense mesh as the judge."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.alignment.mesh import PRESENT, FaceMesh
from stream_anon.evaluation.data.clips import OVERLAP, SHORTEST, cut, frames_of, overlap
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.looks import marks
from stream_anon.evaluation.looks.marks import Mark
from stream_anon.evaluation.measures.motion import compensated
from stream_anon.evaluation.reporting.report import Column, Table

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SMALLEST = 32.0
"""Side in pixels of the smallest face that is asked for."""

WIDEST = 50.0
"""Turn in degrees of the furthest turned one."""

CLOSE = 300.0
"""Side in pixels from which a face is a close-up."""

MOVING = 0.012
"""Least deviation of an opening along a track for its correlation to say anything."""


@dataclass(slots=True, eq=False)
class Track:
    """A face along a clip.

    Attributes:
        clip: its name.
        box: where it was last.
        marks: one for each frame.
    """

    clip: str
    box: Array
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """What one clip showed.

    Attributes:
        clip: its name.
        tracks: its faces.
        changed: share of changed pixels away from every face, a frame each.
    """

    clip: str
    tracks: list[Track]
    changed: list[float]


def look(
    clear: Path,
    new: Path,
    finder: Finder,
    mesh: FaceMesh,
    most: int,
    step: int = 1,
    again: Path | None = None,
) -> Seen:
    """Compare two videos of the same frames.

    Args:
        clear: as it was.
        new: anonymised.
        finder: finds the clear faces.
        mesh: the judge.
        most: frames.
        step: every so manieth frame is measured.
        again: the clear clip as the output's encoder makes it, for what compares pictures.
    """
    truth = _truth(clear)
    seen = Seen(clear.stem, [], [])
    third = frames_of(again) if again is not None else itertools.repeat(None)
    frames = zip(frames_of(clear), frames_of(new), third, strict=False)
    last: tuple[Pixels, Pixels] | None = None
    for number, (old, fresh, encoded) in enumerate(frames):
        if number >= most:
            break
        before, last = last, (old, fresh)
        if number % step:
            continue
        faces = finder.all(old)
        boxes = [face.box for face in faces]
        if truth is not None and number < len(truth):
            boxes += list(truth[number])
        where = marks.away_from_faces(old.shape, np.array(boxes).reshape(-1, 4))
        seen.changed.append(marks.changed_share(old, fresh, where))
        live = [t for t in seen.tracks if t.marks[-1].frame >= number - 3 * step]
        for face in faces:
            if face.landmarks is None or face.size < SMALLEST:
                continue
            try:
                transform = geometry.similarity(face.landmarks)
            except ValueError:
                continue
            side = marks.side_of(geometry.scale_of(transform))
            crops = [marks.cut(f, transform, side) for f in (old, fresh)]
            found = marks.mark(mesh, number, face.size, *crops)
            if found.present[0] < PRESENT:
                continue
            if before is not None:
                four = [cut(f, transform) for f in (old, before[0], fresh, before[1])]
                found = replace(found, change=compensated(four[0], four[1], four[2], four[3]))
            if encoded is not None:
                found = replace(found, again=marks.cut(encoded, transform, side))
            best = max(live, key=lambda t: overlap(t.box, face.box), default=None)
            if best is None or overlap(best.box, face.box) < OVERLAP:
                best = Track(seen.clip, face.box)
                seen.tracks.append(best)
            else:
                live.remove(best)
            best.box = face.box
            best.marks.append(found)
    return seen


def table(title: str) -> Table:
    """The table whose rows ``row`` makes, without rows."""
    return Table(
        title,
        [
            Column("clip"),
            Column("faces", "number"),
            Column("mouth r", "number"),
            Column("eyes r", "number"),
            Column("direction, median degrees", "number"),
            Column("drawn %", "percent"),
            Column("changed elsewhere %", "percent"),
            Column("detail", "number"),
            Column("detail, close-ups", "number"),
            Column("seam", "number"),
            Column("flicker", "number"),
        ],
    )


def row(seen: Sequence[Seen]) -> list[float | int | None]:
    """The figures of some clips together, in the order of the table."""
    tracks = [track for one in seen for track in one.tracks]
    every = [m for track in tracks for m in track.marks]
    asked = [m for m in every if m.turn < WIDEST]
    drawn = [m for m in every if m.drawn]
    apart = [m.apart for m in drawn if np.isfinite(m.apart)]
    changed = [c for one in seen for c in one.changed if np.isfinite(c)]
    close = [m.detail for m in drawn if m.size >= CLOSE]
    seams = [m.seam for m in every if np.isfinite(m.seam)]
    return [
        len(every),
        together([[m.mouth for m in t.marks] for t in tracks]),
        together([[m.eyes for m in t.marks] for t in tracks]),
        float(np.median(apart)) if apart else None,
        float(np.mean([m.drawn for m in asked])) if asked else None,
        float(np.mean(changed)) if changed else None,
        float(np.median([m.detail for m in drawn])) if drawn else None,
        float(np.median(close)) if close else None,
        float(np.median(seams)) if seams else None,
        flicker(tracks),
    ]


def flicker(tracks: Sequence[Track]) -> float | None:
    """Change of the new faces over that of the old, the mean over tracks."""
    ratios = []
    for track in tracks:
        old, new = (sum(m.change[k] for m in track.marks) for k in (0, 1))
        if old > 0.0 and len(track.marks) >= SHORTEST:
            ratios.append(new / old)
    return float(np.mean(ratios)) if ratios else None


def together(tracks: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """Mean over tracks, weighted by length, of the correlation of pairs that move at all."""
    found, weights = [], []
    for pairs in tracks:
        good = [p for p in pairs if np.isfinite(p).all()]
        old, new = (np.array([p[k] for p in good], np.float64) for k in (0, 1))
        if len(good) < SHORTEST or float(np.std(old)) < MOVING:
            continue
        still = float(np.std(new)) < 1e-9
        found.append(0.0 if still else float(np.corrcoef(old, new)[0, 1]))
        weights.append(len(good))
    return float(np.average(found, weights=weights)) if found else None


def _truth(clip: Path) -> list[Array] | None:
    """Boxes of each frame from a ``.faces.json`` beside the clip, or None."""
    file = clip.with_suffix(".faces.json")
    if not file.exists():
        return None
    frames = json.loads(file.read_text(encoding="utf-8"))["frames"]
    boxes = [np.array([f["box"] for f in frame], np.float64).reshape(-1, 4) for frame in frames]
    return [np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]) for b in boxes]
