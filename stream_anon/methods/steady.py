"""New faces that neither flicker nor cost more than they must.

In a frame that is locked to the landmarks a face hardly moves, while a generator answers small
changes of its input with small changes everywhere. So a face is drawn again only when its
landmarks have moved against each other or a few pictures have passed, and the new drawing is
averaged with the old one: the less the face moves, the more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.methods.base import Pixels, Subject

CALM = 0.3
"""Share of the new drawing while nothing moves."""

STILL = 1.0
"""Movement of the landmarks in face-frame units up to which the last drawing still serves."""

UNSEEN = 0.7
"""Likewise in pixels of the picture: what nobody sees in a small face."""

STIR = 8.0
"""Movement from which nothing of the old drawing is left."""

STALE = 4
"""Pictures after which a face is drawn again in any case."""

LONGEST = 0.25
"""Seconds after which the face before no longer counts."""


@dataclass(slots=True, eq=False)
class _Last:
    """What is remembered of a track: drawn pixels, never the picture's own.

    Attributes:
        face: (s, s, 3) float32.
        landmarks: (5, 2) at the time of drawing.
        seconds: of the last picture it was used for.
        age: pictures since the drawing.
    """

    face: NDArray[np.float32]
    landmarks: NDArray[np.float64]
    seconds: float
    age: int = 0


class Steady:
    """Remembers the last face of each track."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def forget(self, track: int) -> None:
        """The track has ended."""
        self._last.pop(track, None)

    def clear(self) -> None:
        """The run has ended."""
        self._last.clear()

    def due(self, subjects: Sequence[Subject]) -> NDArray[np.bool_]:
        """Which of the faces must be drawn now: (n,) bool."""
        return np.array([self._due(subject) for subject in subjects], np.bool_)

    def _due(self, subject: Subject) -> bool:
        last = self._known(subject)
        if last is None or last.age + 1 >= STALE:
            return True
        # A face box is about 92 units wide.
        return _moved(last, subject) > max(STILL, UNSEEN * 92.0 / max(subject.size, 1.0))

    def _known(self, subject: Subject) -> _Last | None:
        last = self._last.get(subject.track)
        if last is None or subject.seconds is None or subject.landmarks is None:
            return None
        return last if 0.0 <= subject.seconds - last.seconds <= LONGEST else None

    def __call__(
        self,
        drawn: Pixels,
        sound: NDArray[np.bool_],
        due: NDArray[np.bool_],
        subjects: Sequence[Subject],
    ) -> Pixels:
        """The faces to show.

        Args:
            drawn: (m, s, s, 3) uint8, new drawings of those that were due.
            sound: (m,) bool; a drawing that is not is handed on as it is, and forgotten.
            due: (n,) bool with m True, from ``due``.
            subjects: n of them.

        Returns:
            (n, s, s, 3) uint8.
        """
        out = np.empty((len(subjects), *drawn.shape[1:]), np.uint8)
        fresh = zip(drawn, sound, strict=True)
        for i, (subject, new) in enumerate(zip(subjects, due, strict=True)):
            last = self._known(subject)
            if last is not None and not new:
                last.age += 1
                last.seconds = subject.seconds or 0.0
                out[i] = np.rint(last.face)
                continue
            picture, good = next(fresh)
            if not good:
                self.forget(subject.track)
                out[i] = picture
                continue
            face = picture.astype(np.float32)
            if last is not None:
                share = CALM + (1.0 - CALM) * min(1.0, _moved(last, subject) / STIR)
                face = last.face + np.float32(share) * (face - last.face)
            if subject.landmarks is not None and subject.seconds is not None:
                self._last[subject.track] = _Last(face, subject.landmarks, subject.seconds)
            out[i] = np.rint(face)
        return out


def _moved(last: _Last, subject: Subject) -> float:
    if subject.landmarks is None:
        return STIR
    return float(np.hypot(*(subject.landmarks - last.landmarks).T).max())
