"""Faces of a track as networks see them: embeddings, what a critic looks at, five landmarks.

A mark's pictures are large; they are read once, as soon as a clip was looked at, and only what
networks say of them is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation.attackers.critic import Features, Pyramid
from stream_anon.evaluation.attackers.loading import Attacker
from stream_anon.evaluation.attackers.recogniser import Embeddings
from stream_anon.evaluation.data.finder import FACE_SIDE, Finder
from stream_anon.evaluation.data.stills import scaled
from stream_anon.evaluation.looks.marks import WIDE, Mark
from stream_anon.evaluation.measures import face_shape
from stream_anon.evaluation.measures.motion import SMALLER, UTILITY_SIDE
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]

SIDES = (48, 96, 192)
"""Pixels of the whole aligned face space (128 units, 1.4 face boxes) that a critic is shown."""

TAKEN = 24
"""Frames of each track that are shown to networks, evenly spaced."""

SOFT = 1.0 / 48.0
"""Blur of the control, as a share of the side: a face that is only soft."""


@dataclass(slots=True, eq=False)
class Views:
    """What a critic sees at one side, (n, d) each; row by row the same faces.

    Attributes:
        real: clear, through the output's encoder.
        new: anonymised.
        source: clear, as in the source; empty where that is the same.
        soft: clear, blurred; empty where it was not asked.
    """

    real: Features
    new: Features
    source: Features
    soft: Features


@dataclass(slots=True, eq=False)
class Faces:
    """One track, or one person's stills.

    Attributes:
        clip: its name.
        group: the clip, or the person where that is known: what is held out together.
        embeddings: by attacker, clear and new, (n, d).
        views: by side in pixels; a side that its faces do not have is missing.
        five: errors of five landmarks in interocular distances, new against clear.
        own: of the detector itself: the clear face at another size against the clear face.
    """

    clip: str
    group: str
    embeddings: dict[str, tuple[Embeddings, Embeddings]] = field(default_factory=dict)
    views: dict[int, Views] = field(default_factory=dict)
    five: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """Who looks.

    Attributes:
        attackers: recognisers and whoever else embeds faces; may be empty.
        pyramid: what the critic is built on, or None.
        finder: for five landmarks.
    """

    attackers: Sequence[Attacker]
    pyramid: Pyramid | None
    finder: Finder

    def track(self, clip: str, group: str, marks: Sequence[Mark], controls: bool) -> Faces:
        """Read a track's marks.

        Args:
            clip: its name.
            group: what is held out together.
            marks: with their pictures.
            controls: whether what the critic is tried on itself is wanted.
        """
        rows = np.linspace(0, len(marks) - 1, min(TAKEN, len(marks))).round().astype(int)
        chosen = [marks[k] for k in rows]
        faces = Faces(clip, group)
        encoded = [m.crops[0] if m.again is None else m.again for m in chosen]
        clear = np.stack([plain(crop, ALIGNED_SIDE) for crop in encoded])
        new = np.stack([plain(m.crops[1], ALIGNED_SIDE) for m in chosen])
        self._embed(faces, clear, new)
        for mark, old, fresh in zip(chosen, clear, new, strict=True):
            if mark.size >= UTILITY_SIDE:
                side = float(np.clip(mark.size, UTILITY_SIDE, FACE_SIDE))
                self._landmarks(faces, old, fresh, side)
        for side in SIDES:
            large = [k for k, m in enumerate(chosen) if shows(m.crops[0], side)]
            if self.pyramid is None or not large:
                continue
            before, after = ([m.crops[k] for m in chosen] for k in (0, 1))
            real, drawn, source = (
                np.stack([plain(pictures[k], side) for k in large])
                for pictures in (encoded, after, before)
            )
            faces.views[side] = views(self.pyramid, real, drawn, source, controls=controls)
        return faces

    def stills(
        self, clip: str, group: str, clear: Pixels, new: Pixels, controls: bool
    ) -> Faces:
        """Read stills of one person, (n, 128, 128, 3) each; nothing was encoded."""
        faces = Faces(clip, group)
        self._embed(faces, clear, new)
        for side in SIDES:
            if self.pyramid is not None and side <= ALIGNED_SIDE:
                real, drawn = (np.stack([scaled(p, side) for p in part]) for part in (clear, new))
                none = np.zeros((0, side, side, 3), np.uint8)
                faces.views[side] = views(self.pyramid, real, drawn, none, controls=controls)
        return faces

    def _embed(self, faces: Faces, clear: Pixels, new: Pixels) -> None:
        for attacker in self.attackers:
            faces.embeddings[attacker.name] = attacker.embed(clear), attacker.embed(new)

    def _landmarks(self, faces: Faces, old: Pixels, new: Pixels, side: float) -> None:
        before = self.finder.aligned(old, side)
        if before is None or before.landmarks is None:
            return
        for found, errors in (
            (self.finder.aligned(new, side), faces.five),
            (self.finder.aligned(old, SMALLER * side), faces.own),
        ):
            if found is not None and found.landmarks is not None:
                error = face_shape.landmark_error(before.landmarks[None], found.landmarks[None])
                errors.append(float(error[0]))


def views(
    pyramid: Pyramid, real: Pixels, new: Pixels, source: Pixels, *, controls: bool
) -> Views:
    """What a critic sees of (n, s, s, 3) pictures; ``source`` and a soft face as controls only."""
    none = np.zeros((0, 0), np.float32)
    if not controls:
        return Views(pyramid(real), pyramid(new), none, none)
    soft = np.stack([blurred(p) for p in real])
    return Views(pyramid(real), pyramid(new), pyramid(source), pyramid(soft))


def shows(crop: Pixels, side: int) -> bool:
    """Whether a mark's crop has the pixels for ``side`` of them; a twentieth may be missing."""
    return len(crop) >= 0.95 * side * (1.0 + 2.0 * WIDE)


def plain(crop: Pixels, side: int) -> Pixels:
    """The aligned face space (side, side, 3) of a mark's crop, which shows ``WIDE`` more."""
    whole = round(side * (1.0 + 2.0 * WIDE))
    how = cv2.INTER_AREA if whole < len(crop) else cv2.INTER_LINEAR
    scaled_crop = cv2.resize(crop, (whole, whole), interpolation=how)
    edge = (whole - side) // 2
    return np.asarray(scaled_crop[edge : edge + side, edge : edge + side], np.uint8)


def blurred(picture: Pixels) -> Pixels:
    """The control: a face that is soft."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), len(picture) * SOFT), np.uint8)
