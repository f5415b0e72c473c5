"""Who is it? Clear gallery against anonymised probes, on pairs that no training saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.loading import Attacker, recognisers
from stream_anon.evaluation.attackers.recogniser import Embeddings
from stream_anon.evaluation.data.cache import EmbeddingCache, content_key
from stream_anon.evaluation.data.condition import CLEAR, Condition
from stream_anon.evaluation.data.face_set import FaceSet, Pairs
from stream_anon.evaluation.data.stills import anonymise, in_batches
from stream_anon.evaluation.scores import Estimate

Index = NDArray[np.int64]

FAR = (1e-2, 1e-3)
"""False accept rates at which true accepts are counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one attacker makes of one condition.

    Attributes:
        equal_error: 0.5 is chance.
        accepted: true accepts at each of ``FAR``, thresholds fixed on clear impostors.
        rank_one: closed-set identification against the whole clear gallery.
        similarity: mean cosine of a new face with the very image it was made of.
    """

    equal_error: Estimate
    accepted: tuple[Estimate, ...]
    rank_one: Estimate
    similarity: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """A condition as the attackers see it.

    Attributes:
        index: (n,) sorted rows of the set.
        embeddings: of each attacker, (n, d).
        filled: share of the faces that got the solid cover instead.
        milliseconds: of rendering one face, NaN where everything was cached.
    """

    index: Index
    embeddings: Mapping[str, Embeddings]
    filled: float
    milliseconds: float

    def rows(self, wanted: Index) -> Index:
        """Positions of some rows of the set in ``index``."""
        return np.searchsorted(self.index, wanted)


class VerificationBench:
    """A set, its landmarks and the attackers, with everything clear computed once.

    Args:
        faces: the set.
        landmarks: (n, 5, 2) aligned units.
        attackers: at least one; ``recognisers`` are those of them that name people.
        cache: folder for embeddings, or None.
    """

    def __init__(
        self,
        faces: FaceSet,
        landmarks: NDArray[np.float64],
        attackers: Sequence[Attacker],
        cache: Path | None = None,
    ) -> None:
        self.faces = faces
        self.landmarks = landmarks
        self.attackers = list(attackers)
        self.recognisers = recognisers(attackers)
        self.people = faces.people()
        self._folder = cache
        self._caches = {
            a.name: EmbeddingCache(cache, a.fingerprint, a.spec.dimension) for a in attackers
        }
        everything = np.arange(len(faces), dtype=np.int64)
        self.clear = self.embed(Condition(CLEAR), everything)
        self.impostor = {
            a.name: impostor_scores(self.clear.embeddings[a.name], self.people) for a in attackers
        }
        self.thresholds = {
            name: tuple(scores.threshold_at(values, far) for far in FAR)
            for name, values in self.impostor.items()
        }

    def embed(
        self,
        condition: Condition,
        index: Index,
        tell: Callable[[int], None] | None = None,
    ) -> Probes:
        """Anonymise some images of the set and show them to every attacker.

        Every image is a track of its own. What an earlier, interrupted run computed for the
        same images under the same options and weights is taken from the cache.

        Args:
            condition: what is done to the images; ``clear`` does nothing.
            index: rows of the set; sorted and made unique.
            tell: called with the number of images done.
        """
        index = np.unique(index)
        made_by = CLEAR if condition.method == CLEAR else condition.fingerprint()
        covers = EmbeddingCache(
            None if condition.method == CLEAR else self._folder, f"covered-{made_by}", 1
        )
        found: dict[str, list[NDArray[np.float32]]] = {a.name: [] for a in self.attackers}
        method = None
        filled, seconds, rendered = 0.0, 0.0, 0
        try:
            for part in in_batches(len(index), 64):
                rows = index[part]
                images = self.faces.images(rows)
                keys = [content_key(p, made_by) for p in images]
                missing = [
                    i
                    for i, key in enumerate(keys)
                    if any(cache.get(key) is None for cache in self._caches.values())
                    or (condition.method != CLEAR and covers.get(key) is None)
                ]
                if missing:
                    new = images[missing]
                    if condition.method != CLEAR:
                        method = method or condition.build()
                        began = time.perf_counter()
                        stills = anonymise(
                            method, new, self.landmarks[rows[missing]], int(rows[0]) + 1
                        )
                        seconds += time.perf_counter() - began
                        rendered += len(missing)
                        new = stills.images
                        for i, hidden in zip(missing, stills.filled, strict=True):
                            covers.put(keys[i], np.array([hidden], np.float32))
                    for attacker in self.attackers:
                        for i, e in zip(missing, attacker.embed(new), strict=True):
                            self._caches[attacker.name].put(keys[i], e)
                for attacker in self.attackers:
                    known = (self._caches[attacker.name].get(key) for key in keys)
                    found[attacker.name] += [e for e in known if e is not None]
                filled += sum(float(c[0]) for c in map(covers.get, keys) if c is not None)
                if tell is not None:
                    tell(part.stop)
        finally:
            if method is not None:
                method.close()
            for cache in (*self._caches.values(), covers):
                cache.save()
        stacked = {name: np.stack(vectors) for name, vectors in found.items()}
        pace = 1e3 * seconds / rendered if rendered else float("nan")
        return Probes(index, stacked, filled / len(index), pace)

    def verdict(self, attacker: str, probes: Probes, pairs: Pairs) -> Verdict:
        """Hold the probes of ``pairs.b`` against the clear gallery ``pairs.a``."""
        clear, new = self.clear.embeddings[attacker], probes.embeddings[attacker]
        rows = probes.rows(pairs.b)
        alike = np.einsum("nd,nd->n", clear[pairs.a], new[rows])
        genuine, impostor = alike[pairs.same], alike[~pairs.same]
        named = np.unique(pairs.b[pairs.same])
        return Verdict(
            scores.equal_error_interval(genuine, impostor),
            tuple(scores.accepted(genuine, t) for t in self.thresholds[attacker]),
            scores.rank_one(
                new[probes.rows(named)], self.people[named], clear, self.people, named
            ),
            scores.mean(np.einsum("nd,nd->n", clear[probes.index], new)),
        )

    def linked(self, attacker: str, gallery: Probes, probes: Probes, pairs: Pairs) -> Estimate:
        """Equal error rate where the gallery is anonymised as well (other draws)."""
        a = gallery.embeddings[attacker][gallery.rows(pairs.a)]
        b = probes.embeddings[attacker][probes.rows(pairs.b)]
        alike = np.einsum("nd,nd->n", a, b)
        return scores.equal_error_interval(alike[pairs.same], alike[~pairs.same])


def impostor_scores(
    embeddings: Embeddings, people: NDArray[np.int64], most: int = 8_000_000
) -> NDArray[np.float32]:
    """Cosines of clear images of different people: all pairs, or every k-th beyond ``most``."""
    count = len(embeddings)
    step = max(1, -(-(count * (count - 1) // 2) // most))
    parts = []
    for i in range(count - 1):
        others = slice(i + 1 + (i % step), None, step)
        different = people[others] != people[i]
        parts.append((embeddings[others] @ embeddings[i])[different])
    return np.concatenate(parts)
