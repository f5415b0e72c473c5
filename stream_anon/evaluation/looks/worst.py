"""The worst frames of every track on one sheet, the worst track first, clear above new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import OutputError
from stream_anon.evaluation.looks.marks import Mark
from stream_anon.evaluation.reporting.report import Sheet

Pixels = NDArray[np.uint8]

WORST = 6
"""Frames of each track."""

SIDE = 144
"""Pixels of a picture on the sheet."""

TEXT, GAP = 22, 6
"""Pixels of a line above a row, and between rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Worst:
    """The worst frames of one track.

    Attributes:
        name: clip, face, and how many frames there are.
        badness: mean of these frames' badness.
        frames: their numbers, the worst first.
        clear: (s, s, 3) pictures of them.
        new: likewise.
    """

    name: str
    badness: float
    frames: list[int]
    clear: list[Pixels]
    new: list[Pixels]


def worst_of(clip: str, number: int, marks: Sequence[Mark]) -> Worst:
    """The worst frames of a track."""
    chosen = sorted(marks, key=lambda m: (-m.badness, m.frame))[:WORST]
    clear, new = ([_small(m.crops[k]) for m in chosen] for k in (0, 1))
    return Worst(
        f"{clip}, face {number} of {len(marks)} frames",
        float(np.mean([m.badness for m in chosen])),
        [m.frame for m in chosen],
        clear,
        new,
    )


def sheet(tracks: Sequence[Worst], title: str) -> Sheet:
    """All of them, the worst first."""
    made = Sheet(f"Worst frames first, {title}", [], [])
    for track in sorted(tracks, key=lambda t: (-t.badness, t.name)):
        frames = ", ".join(map(str, track.frames))
        made.labels.append(f"{track.name}: clear, frames {frames}")
        made.labels.append(f"new, badness {track.badness:.1f}")
        made.rows += [track.clear, track.new]
    return made


def write(sheets: Sequence[Sheet], path: Path) -> None:
    """Write sheets as one picture, a line of text above each row.

    Raises:
        OutputError: it cannot be written.
    """
    widest = max((len(row) for made in sheets for row in made.rows), default=1)
    width = max(widest, 4) * (SIDE + GAP) + GAP
    parts: list[Pixels] = []
    for made in sheets:
        parts.append(_line(made.title, width))
        for label, row in zip(made.labels, made.rows, strict=True):
            line = np.full((SIDE + GAP, width, 3), 255, np.uint8)
            for k, picture in enumerate(row):
                left = GAP + k * (SIDE + GAP)
                line[:SIDE, left : left + SIDE] = picture
            parts += [_line(label, width), line]
    picture = np.vstack(parts or [_line("nothing was measured", width)])[..., ::-1]
    good, data = cv2.imencode(path.suffix, np.ascontiguousarray(picture))
    try:
        if not good:
            raise OutputError(f"{path}: cannot be encoded")
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error


def _line(text: str, width: int) -> Pixels:
    line = np.full((TEXT, width, 3), 255, np.uint8)
    font, ink = cv2.FONT_HERSHEY_SIMPLEX, (40, 40, 40)
    cv2.putText(line, text, (GAP, TEXT - 7), font, 0.42, ink, 1, cv2.LINE_AA)
    return line


def _small(crop: Pixels) -> Pixels:
    how = cv2.INTER_AREA if len(crop) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=how), np.uint8)
