"""One track's way through time: where its face was seen, and where it must have been between.

Between two looks of the detector the face is followed by template. When the next look
arrives, the followed way is bent onto it; where the two do not agree the way is followed
back from the new look as well, and what remains of disagreement is *doubt*: pixels by which
the box grows. All boxes here may be too large, none may be too small.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.faces import motion
from stream_anon.faces.face import Face, Origin

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

REACH = 0.5
"""How far a face may move from where it was expected, in sizes, and still be found."""

GROWTH = (0.15, 0.9)
"""Doubt per second away from a look, in sizes: while it is followed well, and while it is not."""

COASTING = 0.6
"""Seconds in which a face that is out of sight loses its speed but for 37 %."""

Span = tuple[float, int]
"""Seconds and pictures: whichever covers more counts."""

MOST_DOUBT = 1.0
"""Doubt is at most this, in sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One picture of those that wait: what following needs of it."""

    index: int
    seconds: float
    luma: Luma
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A face that the detector saw. Lengths in pixels; points relative to centre and half sides."""

    index: int
    seconds: float
    centre: Array
    half: Array
    points: Array | None
    score: float

    @property
    def size(self) -> float:
        """Geometric mean of the box's sides."""
        return 2.0 * math.sqrt(self.half[0] * self.half[1])


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """Where a face is in a picture in which it was not detected.

    Attributes:
        seconds: of the picture.
        centre: (2,) pixels.
        score: how well it was followed there, 0 to 1.
        doubt: pixels by which the box must grow on every side.
        origin: how the place is known.
    """

    seconds: float
    centre: Array
    score: float
    doubt: float
    origin: Origin


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where to paint: a box without margin, its landmarks, its doubt in pixels."""

    centre: Array
    half: Array
    points: Array | None
    doubt: float
    origin: Origin
    score: float


def sight_of(face: Face, index: int, seconds: float) -> Sight:
    """A detection as part of a track."""
    centre, half = (face.box[:2] + face.box[2:]) / 2, (face.box[2:] - face.box[:2]) / 2
    points = None if face.landmarks is None else (face.landmarks - centre) / half
    return Sight(index, seconds, centre, half, points, face.score)


class Trajectory:
    """Sights, and spots between, before and after them."""

    def __init__(self, number: int, first: Sight, picture: Seen) -> None:
        """Begin with a first sight in ``picture``."""
        self.number = number
        self.sights = [first]
        self.looks = 1
        self.best = first.score
        self.followed = True
        self.looked = (first.index, first.seconds)
        self.missed = 0
        self.centre = first.centre
        self.velocity: Array = np.zeros(2)
        self._seconds = first.seconds
        self._spots: dict[int, Spot] = {}
        self._ahead: dict[int, Spot] = {}
        self._shapes: dict[int, tuple[tuple[int, int], Array, Array | None]] = {}
        self._template = _template(first, picture)

    @property
    def last(self) -> Sight:
        """The latest sight."""
        return self.sights[-1]

    @property
    def box(self) -> Array:
        """Where the face should be now, (4,) pixels."""
        return np.concatenate([self.centre - self.last.half, self.centre + self.last.half])

    @property
    def gate(self) -> float:
        """How far from ``box`` its next detection may lie, in sizes."""
        age = self._seconds - self.last.seconds
        if self.looks == 1 and age > 0:
            # Its speed is not known yet, and what was followed may have been the background.
            return 2.0
        return 0.7 if self.followed else min(1.5, 0.9 + 0.6 * age)

    def follow(self, picture: Seen) -> None:
        """Move on to the next picture by template, else by the last speed, slowing down."""
        elapsed = max(0.0, picture.seconds - self._seconds)
        spot = _step(
            self._template, picture, self.last, self.centre, self.velocity, elapsed, "held"
        )
        if spot.score >= motion.GOOD and elapsed > 0:
            self.velocity = 0.5 * self.velocity + 0.5 * (spot.centre - self.centre) / elapsed
        else:
            self.velocity = self.velocity * math.exp(-elapsed / COASTING)
        self.followed = self.followed and spot.score >= motion.GOOD
        self.centre, self._seconds = spot.centre, picture.seconds
        self._ahead[picture.index] = spot

    def see(self, sight: Sight, picture: Seen, between: Iterable[Seen]) -> None:
        """The detector saw it again: settle all pictures since the last sight.

        Args:
            sight: the detection, in ``picture``, to which ``follow`` has just moved.
            picture: that picture.
            between: the pictures since the last sight that are still known, latest first.
        """
        before, drift = self.last, sight.centre - self.centre
        size = (before.size + sight.size) / 2
        template = _template(sight, picture)
        span = max(1e-9, sight.seconds - before.seconds)
        back: dict[int, Spot] = {}
        astray = not self.followed or _length(drift) > 0.35 * size
        if astray:
            velocity = -(sight.centre - before.centre) / span
            back = _followed(template, sight, between, velocity, "interpolated")
        for index, spot in self._ahead.items():
            if index < sight.index:
                share = (spot.seconds - before.seconds) / span
                self._spots[index] = _settle(
                    spot, back.get(index), before, sight, drift, share, size
                )
        self._ahead.clear()
        if (elapsed := sight.seconds - before.seconds) > 0:
            measured = (sight.centre - before.centre) / elapsed
            self.velocity = measured if astray else (self.velocity + measured) / 2
        self.sights.append(sight)
        self.looks += 1
        self.missed = 0
        self.best = max(self.best, sight.score)
        self.followed, self.centre, self._template = True, sight.centre, template

    def look_back(self, pictures: Iterable[Seen]) -> None:
        """Follow the face back from its first sight.

        Args:
            pictures: those before the first sight and in the same shot, latest first.
        """
        first = self.sights[0]
        self._spots.update(
            _followed(self._template, first, pictures, np.zeros(2), "look-back")
        )

    def place(self, index: int, back: Span, hold: Span, most: Span) -> Place | None:
        """Where the face is in one picture, or None where it is not to be painted.

        Args:
            index: of the picture.
            back: how long before the first sight is painted.
            hold: how long after the last one.
            most: both at least, for as long as the face is followed without a break.
        """
        at = bisect_left(self.sights, index, key=lambda sight: sight.index)
        if at < len(self.sights) and self.sights[at].index == index:
            sight = self.sights[at]
            half, points = self._shape(at)
            return Place(sight.centre, half, points, 0.0, "detected", sight.score)
        spot = self._spots.get(index) or self._ahead.get(index)
        if spot is None:
            return None
        if at == 0:
            limits = (back, most) if spot.score >= motion.GOOD else (back,)
            if not _reached(self.sights[0], index, spot.seconds, limits):
                return None
        elif at == len(self.sights):
            limits = (hold, most) if self.followed else (hold,)
            if not _reached(self.last, index, spot.seconds, limits):
                return None
        first, second = max(0, at - 1), min(at, len(self.sights) - 1)
        a, b = self.sights[first], self.sights[second]
        half, points = self._shape(first)
        if b is not a:
            other, other_points = self._shape(second)
            share = (spot.seconds - a.seconds) / max(1e-9, b.seconds - a.seconds)
            share = min(1.0, max(0.0, share))
            blend = (1 - share) * half + share * other
            if points is not None and other_points is not None:
                points = (1 - share) * points + share * other_points
            half = np.maximum(blend, 0.85 * np.maximum(half, other))
        score = min(a.score, b.score)
        return Place(spot.centre, half, points, spot.doubt, spot.origin, score)

    def forget(self, before: int) -> None:
        """Drop what only pictures before this index needed; three sights stay for smoothing."""
        for index in [index for index in self._spots if index < before]:
            del self._spots[index]
        stale = bisect_left(self.sights, before, key=lambda sight: sight.index) - 3
        if stale > 0:
            for sight in self.sights[:stale]:
                self._shapes.pop(sight.index, None)
            del self.sights[:stale]

    def _shape(self, at: int) -> tuple[Array, Array | None]:
        """Half sides and points of a sight, steadied by its neighbours; never smaller than seen."""
        near = self.sights[max(0, at - 1) : at + 2]
        here = self.sights[at]
        # A sight's shape is asked for in many pictures; it changes when a neighbour comes or goes.
        key = (near[0].index, near[-1].index)
        kept = self._shapes.get(here.index)
        if kept is None or kept[0] != key:
            kept = self._shapes[here.index] = (key, *_steadied(here, near))
        return kept[1], kept[2]


def _reached(sight: Sight, index: int, seconds: float, limits: Iterable[Span]) -> bool:
    """Whether a picture lies within one of the spans from a sight."""
    away, pictures = abs(seconds - sight.seconds), abs(index - sight.index)
    return any(away <= span + 1e-6 or pictures <= count for span, count in limits)


def _steadied(here: Sight, near: Sequence[Sight]) -> tuple[Array, Array | None]:
    mean = sum((sight.half for sight in near), np.zeros(2)) / len(near)
    half = np.maximum(here.half, mean)
    if here.points is None:
        return half, None
    total, points = 0.0, np.zeros((5, 2))
    for sight in near:
        if sight.points is not None:
            weight = sight.score + 1e-3 + (sight is here)
            points += weight * (sight.points * sight.half)
            total += weight
    return half, points / (total * half)


def _template(sight: Sight, picture: Seen) -> motion.Template | None:
    box = np.concatenate([sight.centre - sight.half, sight.centre + sight.half])
    return motion.cut(picture.luma, picture.step, box)


def _step(
    template: motion.Template | None,
    picture: Seen,
    sight: Sight,
    centre: Array,
    velocity: Array,
    elapsed: float,
    origin: Origin,
) -> Spot:
    """One picture on from ``centre``."""
    guess = centre + velocity * elapsed
    score = 0.0
    if template is not None:
        reach = REACH * sight.size
        found, score = motion.find(template, picture.luma, picture.step, guess, reach)
        if score >= motion.GOOD:
            guess = found
    away = abs(picture.seconds - sight.seconds)
    growth = GROWTH[0] if score >= motion.GOOD else GROWTH[1]
    doubt = sight.size * min(MOST_DOUBT, growth * away)
    return Spot(picture.seconds, guess, max(0.0, score), doubt, origin)


def _followed(
    template: motion.Template | None,
    sight: Sight,
    pictures: Iterable[Seen],
    velocity: Array,
    origin: Origin,
) -> dict[int, Spot]:
    """Follow a face from a sight through earlier pictures, latest first."""
    spots: dict[int, Spot] = {}
    centre, seconds = sight.centre, sight.seconds
    for picture in pictures:
        elapsed = max(0.0, seconds - picture.seconds)
        spot = _step(template, picture, sight, centre, velocity, elapsed, origin)
        if spot.score >= motion.GOOD and elapsed > 0:
            velocity = 0.5 * velocity + 0.5 * (spot.centre - centre) / elapsed
        else:
            velocity = velocity * math.exp(-elapsed / COASTING)
        centre, seconds = spot.centre, picture.seconds
        spots[picture.index] = spot
    return spots


def _settle(
    ahead: Spot,
    back: Spot | None,
    before: Sight,
    after: Sight,
    drift: Array,
    share: float,
    size: float,
) -> Spot:
    """The spot between two sights, from the ways followed forward and back."""
    straight = (1 - share) * before.centre + share * after.centre
    arc = 4 * share * (1 - share)
    if back is None:
        centre = ahead.centre + share * drift
        doubt = 0.04 * size + 0.35 * arc * _length(drift)
        return Spot(ahead.seconds, centre, ahead.score, doubt, "interpolated")
    known = [
        (spot.centre, weight)
        for spot, weight in ((ahead, 1 - share), (back, share))
        if spot.score >= motion.GOOD
    ] or [(straight, 1.0)]
    total = sum(weight + 1e-6 for _, weight in known)
    centre = sum(((weight + 1e-6) / total * c for c, weight in known), np.zeros(2))
    others = [c for c, _ in known] + ([straight] if len(known) < 2 else [])
    apart = max(_length(other - centre) for other in others)
    doubt = min(MOST_DOUBT * size, 0.05 * size + 0.6 * apart + 0.1 * arc * size)
    score = max(ahead.score, back.score)
    return Spot(ahead.seconds, centre, score, doubt, "interpolated")


def _length(way: Array) -> float:
    return math.hypot(*way.tolist())
