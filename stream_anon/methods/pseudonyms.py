"""Recognising a person who comes back within one run, so that the new face is the same again.

Whoever is recognised is linked: that two tracks are one person is decided on clear codes and
everybody sees the decision. So it happens only when asked for, warns, and claims no epsilon.
The clear codes stay in memory until the run ends and are written nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.privacy import Release

WARNING = (
    "pseudonyms: tracks of one person are linked by their new face, and no epsilon is claimed; "
    "what is made is a pseudonym"
)

ALIKE = 0.45
"""Cosine of two identity codes from which they are taken for one person."""

STEP = 0.1
"""Weight of a new look in the mean code of a person."""


@dataclass(slots=True)
class _Person:
    code: NDArray[np.float64]
    release: Release
    track: int


class Pseudonyms:
    """People seen in a run, by their clear codes."""

    def __init__(self) -> None:
        self._people: list[_Person] = []
        self._present: dict[int, _Person] = {}

    def find(self, code: NDArray[np.float64]) -> tuple[Release, int] | None:
        """The release and first track of a person who is known and not in the picture now.

        Args:
            code: (d,) of unit norm.
        """
        here = {id(person) for person in self._present.values()}
        away = [person for person in self._people if id(person) not in here]
        if not away:
            return None
        likeness = np.array([person.code @ code for person in away])
        best = int(likeness.argmax())
        return (away[best].release, away[best].track) if likeness[best] >= ALIKE else None

    def remember(self, track: int, code: NDArray[np.float64], release: Release) -> None:
        """``track`` shows ``release``; a known person's mean code moves a little."""
        for person in self._people:
            if person.release is release:
                # In place: the one array that is there is the one that is wiped.
                person.code *= 1.0 - STEP
                person.code += STEP * code
                person.code /= np.linalg.norm(person.code)
                self._present[track] = person
                return
        person = _Person(code.copy(), release, track)
        self._people.append(person)
        self._present[track] = person

    def left(self, track: int) -> None:
        """The track has ended; the person may come back."""
        self._present.pop(track, None)

    def clear(self) -> None:
        """The run has ended: drop every code."""
        for person in self._people:
            person.code.fill(0.0)
        self._people.clear()
        self._present.clear()
