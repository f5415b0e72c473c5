"""What a stranger would notice: new faces beside the old ones, with a dense mesh as the judge.

``stream-anon evaluate --only looks CLIPS -o PAGE``: clips go through the pipeline as a user would
run it, encoded nearly without loss so that no codec is measured, and are compared frame by frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.alignment.mesh import PRESENT, FaceMesh
from stream_anon.api import redact
from stream_anon.config import Config, override
from stream_anon.evaluation.data.clips import OVERLAP, SHORTEST, cut, end_of, frames_of, overlap
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.looks import marks
from stream_anon.evaluation.looks.marks import Mark
from stream_anon.evaluation.measures.motion import compensated
from stream_anon.evaluation.reporting.report import Column, Section, Sheet, Table

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

WORST = 4
"""Frames of each track on the sheet."""

CRF = 10
"""Of the output, where the encoder knows it."""


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
    clear: Path, new: Path, finder: Finder, mesh: FaceMesh, most: int, step: int = 1
) -> Seen:
    """Compare two videos of the same frames.

    Args:
        clear: as it was.
        new: anonymised.
        finder: finds the clear faces.
        mesh: the judge.
        most: frames.
        step: every so manieth frame is measured.
    """
    truth = _truth(clear)
    seen = Seen(clear.stem, [], [])
    pairs = zip(frames_of(clear), frames_of(new), strict=False)
    last: tuple[Pixels, Pixels] | None = None
    for number, (old, fresh) in enumerate(pairs):
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
            best = max(live, key=lambda t: overlap(t.box, face.box), default=None)
            if best is None or overlap(best.box, face.box) < OVERLAP:
                best = Track(seen.clip, face.box)
                seen.tracks.append(best)
            else:
                live.remove(best)
            best.box = face.box
            best.marks.append(found)
    return seen


def looks(
    clips: Sequence[Path],
    conditions: Sequence[Condition],
    finder: Finder,
    mesh: FaceMesh,
    base: Config,
    most: int,
    step: int,
    tell: Callable[[str], None],
) -> Section:
    """Anonymise clips and measure what of it is noticed.

    Args:
        clips: files.
        conditions: how they are anonymised.
        finder: finds the clear faces.
        mesh: the judge.
        base: the rest of the configuration.
        most: frames of each clip.
        step: every so manieth is measured.
        tell: hears what is being done.
    """
    section = Section(
        "looks",
        "What a stranger notices",
        f"{len(clips)} clips, at most {most} frames of each, every {step}. measured. A face counts "
        f"where a mesh of at least {PRESENT} presence lies on the clear face. Mouth, eyes: "
        "correlation of their opening, new with old, along a track, weighted by its length. Drawn: "
        f"a mesh is present on the new face, of those of {SMALLEST:.0f} px turned less than "
        f"{WIDEST:.0f} degrees. Changed: by more than {marks.CHANGED:.0f} levels, outside every "
        "face's box grown twofold. Detail: finest octave inside the face, new over old; close-ups "
        f"are of {CLOSE:.0f} px. Seam: gradient along the edge of what was changed, new over old. "
        "Flicker: motion-compensated change since the frame before, new over old, mean of tracks.",
    )
    for condition in conditions:
        table = _table(str(condition))
        config = override(condition.config(base), **{"video.crf": CRF})
        everything: list[Seen] = []
        with TemporaryDirectory(prefix="stream-anon-") as folder:
            for path in clips:
                tell(f"clip {path.name}: {condition}")
                target = Path(folder) / f"{path.stem}.mp4"
                redact(path, target, config=config, overwrite=True, end=end_of(path, most))
                seen = look(path, target, finder, mesh, most, step)
                target.unlink()
                everything.append(seen)
                table.add(seen.clip, *row([seen]))
                section.sheets += _sheets(seen, condition)
        table.rows.insert(0, ["all", *row(everything)])
        section.tables.append(table)
    return section


def _table(title: str) -> Table:
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


def _sheets(seen: Seen, condition: Condition, side: int = 144) -> list[Sheet]:
    """The worst frames of each track, clear above new."""
    sheets = []
    for number, track in enumerate(seen.tracks):
        if len(track.marks) < SHORTEST:
            continue
        worst = sorted(track.marks, key=lambda m: -m.badness)[:WORST]
        rows = [
            [np.asarray(cv2.resize(m.crops[k], (side, side)), np.uint8) for m in worst]
            for k in (0, 1)
        ]
        title = f"{seen.clip}, face {number}, worst of {len(track.marks)}, {condition}"
        sheets.append(Sheet(title, ["clear", "new"], rows))
    return sheets


def _truth(clip: Path) -> list[Array] | None:
    """Boxes of each frame from a ``.faces.json`` beside the clip, or None."""
    file = clip.with_suffix(".faces.json")
    if not file.exists():
        return None
    frames = json.loads(file.read_text(encoding="utf-8"))["frames"]
    boxes = [np.array([f["box"] for f in frame], np.float64).reshape(-1, 4) for frame in frames]
    return [np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]) for b in boxes]
