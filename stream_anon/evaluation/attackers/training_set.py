"""What an attacker may learn from: images of *other* people, clear and as we anonymise them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation.attackers.loading import Attacker
from stream_anon.evaluation.attackers.recogniser import Embeddings
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.face_set import FaceSet
from stream_anon.evaluation.data.finder import Finder, landmarks_of
from stream_anon.evaluation.data.stills import anonymise, in_batches, scaled

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

SMALL = 64
"""Side in pixels of the images that networks are trained on from scratch."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Images of other people under one condition.

    Attributes:
        people: (n,) person of each image, from 0, without gaps.
        clear: (n, 64, 64, 3) uint8 RGB.
        new: likewise, anonymised.
        clear_embeddings: of each attacker, (n, d).
        new_embeddings: likewise, of the anonymised images.
    """

    people: Labels
    clear: Pixels
    new: Pixels
    clear_embeddings: Mapping[str, Embeddings]
    new_embeddings: Mapping[str, Embeddings]


class AttackTrainingSet:
    """Reads and aligns the other people once, and anonymises them for each condition.

    Args:
        faces: the set.
        finder: finds landmarks; images without a face are left out.
        attackers: recognisers.
        most: images; of people with few images fewer are taken than of others.
        tell: hears what is being done.
    """

    def __init__(
        self,
        faces: FaceSet,
        finder: Finder,
        attackers: Sequence[Attacker],
        most: int,
        tell: Callable[[str], None],
    ) -> None:
        tell("other people: landmarks")
        rows = chosen(faces.people(), most)
        images = faces.images(rows)
        points, found = landmarks_of(finder, images)
        self._images, self._points = images[found], points[found]
        _, self._people = np.unique(faces.people()[rows][found], return_inverse=True)
        self._attackers = attackers
        self._tell = tell
        self._clear = {a.name: a.embed(self._images) for a in attackers}
        self._known: dict[str, Lessons] = {}

    def lessons(self, condition: Condition) -> Lessons:
        """Everything under one condition; computed once."""
        if str(condition) not in self._known:
            self._tell(f"other people: {condition}")
            method = condition.build()
            try:
                new = anonymise(method, self._images, self._points).images
            finally:
                method.close()
            self._known[str(condition)] = Lessons(
                self._people,
                shrunk(self._images),
                shrunk(new),
                self._clear,
                {a.name: a.embed(new) for a in self._attackers},
            )
        return self._known[str(condition)]


def chosen(people: Labels, most: int) -> Labels:
    """At most ``most`` rows, as many people as possible with at least 4 images each."""
    order = np.random.default_rng(3).permutation(np.unique(people))
    rows: list[int] = []
    for person in order:
        own = np.flatnonzero(people == person)
        if len(own) >= 4 and len(rows) + len(own) <= most:
            rows += own.tolist()
    return np.array(sorted(rows) if rows else np.arange(min(most, len(people))), np.int64)


def shrunk(images: Pixels) -> Pixels:
    """(n, 128, 128, 3) to (n, 64, 64, 3)."""
    out = np.empty((len(images), SMALL, SMALL, 3), np.uint8)
    for part in in_batches(len(images), 256):
        out[part] = np.stack([scaled(p, SMALL) for p in images[part]])
    return out
