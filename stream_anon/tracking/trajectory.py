"""One track's way through time: where its face was seen, and where it must have been between.

Between two runs of the detector the face is followed by template. When the next detection
arrives, the followed way is bent onto it; where the two do not agree the way is followed
back from the new detection as well, and what remains of disagreement is *uncertainty*: pixels by
which the box grows. All boxes here may be too large, none may be too small.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.types import Face, Origin
from stream_anon.tracking import template_matching

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

SEARCH_RADIUS = 0.5
"""How far a face may move from where it was expected, in sizes, and still be found."""

GROWTH = (0.15, 0.9)
"""Uncertainty per second away from a detection, in sizes: while it is followed well, and while it
is not."""

COASTING = 0.6
"""Seconds in which a face that is out of sight loses its speed but for 37 %."""

Span = tuple[float, int]
"""Seconds and frames: whichever covers more counts."""

MAX_UNCERTAINTY = 1.0
"""Uncertainty is at most this, in sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class BufferedFrame:
    """One frame of those that wait: what following needs of it."""

    index: int
    seconds: float
    luma: Luma
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
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
class PredictedPosition:
    """Where a face is in a frame in which it was not detected.

    Attributes:
        seconds: of the frame.
        centre: (2,) pixels.
        score: how well it was followed there, 0 to 1.
        uncertainty: pixels by which the box must grow on every side.
        origin: how the place is known.
    """

    seconds: float
    centre: Array
    score: float
    uncertainty: float
    origin: Origin


@dataclass(frozen=True, slots=True, eq=False)
class BoxEstimate:
    """Where to paint: a box without margin, its landmarks, its uncertainty in pixels."""

    centre: Array
    half: Array
    points: Array | None
    uncertainty: float
    origin: Origin
    score: float


def observation_of(face: Face, index: int, seconds: float, growth: float = 1.0) -> Observation:
    """A detection as part of a track, its box grown by a factor about its centre."""
    centre, half = (face.box[:2] + face.box[2:]) / 2, growth * (face.box[2:] - face.box[:2]) / 2
    points = None if face.landmarks is None else (face.landmarks - centre) / half
    return Observation(index, seconds, centre, half, points, face.score)


class Trajectory:
    """Observations, and predicted positions between, before and after them."""

    def __init__(self, number: int, first: Observation, frame: BufferedFrame) -> None:
        """Begin with a first observation in ``frame``."""
        self.number = number
        self.observations = [first]
        self.detections_run = 1
        self.best = first.score
        self.followed = True
        self.looked = (first.index, first.seconds)
        self.missed = 0
        self.centre = first.centre
        self.velocity: Array = np.zeros(2)
        self._seconds = first.seconds
        self._predictions: dict[int, PredictedPosition] = {}
        self._ahead: dict[int, PredictedPosition] = {}
        self._shapes: dict[int, tuple[tuple[int, int], Array, Array | None]] = {}
        self._template = _template(first, frame)

    @property
    def last(self) -> Observation:
        """The latest observation."""
        return self.observations[-1]

    @property
    def box(self) -> Array:
        """Where the face should be now, (4,) pixels."""
        return np.concatenate([self.centre - self.last.half, self.centre + self.last.half])

    @property
    def gating_radius(self) -> float:
        """How far from ``box`` its next detection may lie, in sizes."""
        age = self._seconds - self.last.seconds
        if self.detections_run == 1 and age > 0:
            # Its speed is not known yet, and what was followed may have been the background.
            return 2.0
        return 0.7 if self.followed else min(1.5, 0.9 + 0.6 * age)

    def follow(self, frame: BufferedFrame) -> None:
        """Move on to the next frame by template, else by the last speed, slowing down."""
        elapsed = max(0.0, frame.seconds - self._seconds)
        prediction = _step(
            self._template, frame, self.last, self.centre, self.velocity, elapsed, "held"
        )
        if prediction.score >= template_matching.GOOD and elapsed > 0:
            self.velocity = 0.5 * self.velocity + 0.5 * (prediction.centre - self.centre) / elapsed
        else:
            self.velocity = self.velocity * math.exp(-elapsed / COASTING)
        self.followed = self.followed and prediction.score >= template_matching.GOOD
        self.centre, self._seconds = prediction.centre, frame.seconds
        self._ahead[frame.index] = prediction

    def update(
        self, observation: Observation, frame: BufferedFrame, between: Iterable[BufferedFrame]
    ) -> None:
        """The detector saw it again: settle all frames since the last observation.

        Args:
            observation: the detection, in ``frame``, to which ``follow`` has just moved.
            frame: that frame.
            between: the frames since the last observation that are still known, latest first.
        """
        before, drift = self.last, observation.centre - self.centre
        size = (before.size + observation.size) / 2
        template = _template(observation, frame)
        span = max(1e-9, observation.seconds - before.seconds)
        back: dict[int, PredictedPosition] = {}
        astray = not self.followed or _length(drift) > 0.35 * size
        if astray:
            velocity = -(observation.centre - before.centre) / span
            back = _followed(template, observation, between, velocity, "interpolated")
        for index, prediction in self._ahead.items():
            if index < observation.index:
                share = (prediction.seconds - before.seconds) / span
                self._predictions[index] = _settle(
                    prediction, back.get(index), before, observation, drift, share, size
                )
        self._ahead.clear()
        if (elapsed := observation.seconds - before.seconds) > 0:
            measured = (observation.centre - before.centre) / elapsed
            self.velocity = measured if astray else (self.velocity + measured) / 2
        self.observations.append(observation)
        self.detections_run += 1
        self.missed = 0
        self.best = max(self.best, observation.score)
        self.followed, self.centre, self._template = True, observation.centre, template

    def backfill(self, frames: Iterable[BufferedFrame]) -> None:
        """Follow the face back from its first observation.

        Args:
            frames: those before the first observation and in the same shot, latest first.
        """
        first = self.observations[0]
        self._predictions.update(_followed(self._template, first, frames, np.zeros(2), "look-back"))

    def estimate(self, index: int, back: Span, max_age: Span, most: Span) -> BoxEstimate | None:
        """Where the face is in one frame, or None where it is not to be painted.

        Args:
            index: of the frame.
            back: how long before the first observation is painted.
            max_age: how long after the last one.
            most: both at least, for as long as the face is followed without a break.
        """
        at = bisect_left(self.observations, index, key=lambda observation: observation.index)
        if at < len(self.observations) and self.observations[at].index == index:
            observation = self.observations[at]
            half, points = self._shape(at)
            return BoxEstimate(observation.centre, half, points, 0.0, "detected", observation.score)
        prediction = self._predictions.get(index) or self._ahead.get(index)
        if prediction is None:
            return None
        if at == 0:
            limits = (back, most) if prediction.score >= template_matching.GOOD else (back,)
            if not _reached(self.observations[0], index, prediction.seconds, limits):
                return None
        elif at == len(self.observations):
            limits = (max_age, most) if self.followed else (max_age,)
            if not _reached(self.last, index, prediction.seconds, limits):
                return None
        first, second = max(0, at - 1), min(at, len(self.observations) - 1)
        a, b = self.observations[first], self.observations[second]
        half, points = self._shape(first)
        if b is not a:
            other, other_points = self._shape(second)
            share = (prediction.seconds - a.seconds) / max(1e-9, b.seconds - a.seconds)
            share = min(1.0, max(0.0, share))
            blend = (1 - share) * half + share * other
            if points is not None and other_points is not None:
                points = (1 - share) * points + share * other_points
            half = np.maximum(blend, 0.85 * np.maximum(half, other))
        score = min(a.score, b.score)
        return BoxEstimate(
            prediction.centre, half, points, prediction.uncertainty, prediction.origin, score
        )

    def forget(self, before: int) -> None:
        """Drop what only frames before this index needed; three observations stay for smoothing."""
        for index in [index for index in self._predictions if index < before]:
            del self._predictions[index]
        stale = (
            bisect_left(self.observations, before, key=lambda observation: observation.index) - 3
        )
        if stale > 0:
            for observation in self.observations[:stale]:
                self._shapes.pop(observation.index, None)
            del self.observations[:stale]

    def _shape(self, at: int) -> tuple[Array, Array | None]:
        """Half sides and points of an observation, steadied by its neighbours; never smaller than
        seen."""
        near = self.observations[max(0, at - 1) : at + 2]
        here = self.observations[at]
        # An observation's shape is asked for in many frames; it changes when a neighbour comes or
        # goes.
        key = (near[0].index, near[-1].index)
        kept = self._shapes.get(here.index)
        if kept is None or kept[0] != key:
            kept = self._shapes[here.index] = (key, *_steadied(here, near))
        return kept[1], kept[2]


def _reached(observation: Observation, index: int, seconds: float, limits: Iterable[Span]) -> bool:
    """Whether a frame lies within one of the spans from an observation."""
    away, frames = abs(seconds - observation.seconds), abs(index - observation.index)
    return any(away <= span + 1e-6 or frames <= count for span, count in limits)


def _steadied(here: Observation, near: Sequence[Observation]) -> tuple[Array, Array | None]:
    mean = sum((observation.half for observation in near), np.zeros(2)) / len(near)
    half = np.maximum(here.half, mean)
    if here.points is None:
        return half, None
    total, points = 0.0, np.zeros((5, 2))
    for observation in near:
        if observation.points is not None:
            weight = observation.score + 1e-3 + (observation is here)
            points += weight * (observation.points * observation.half)
            total += weight
    return half, points / (total * half)


def _template(observation: Observation, frame: BufferedFrame) -> template_matching.Template | None:
    box = np.concatenate(
        [observation.centre - observation.half, observation.centre + observation.half]
    )
    return template_matching.cut(frame.luma, frame.step, box)


def _step(
    template: template_matching.Template | None,
    frame: BufferedFrame,
    observation: Observation,
    centre: Array,
    velocity: Array,
    elapsed: float,
    origin: Origin,
) -> PredictedPosition:
    """One frame on from ``centre``."""
    guess = centre + velocity * elapsed
    score = 0.0
    if template is not None:
        search_radius = SEARCH_RADIUS * observation.size
        found, score = template_matching.find(
            template, frame.luma, frame.step, guess, search_radius
        )
        if score >= template_matching.GOOD:
            guess = found
    away = abs(frame.seconds - observation.seconds)
    growth = GROWTH[0] if score >= template_matching.GOOD else GROWTH[1]
    uncertainty = observation.size * min(MAX_UNCERTAINTY, growth * away)
    return PredictedPosition(frame.seconds, guess, max(0.0, score), uncertainty, origin)


def _followed(
    template: template_matching.Template | None,
    observation: Observation,
    frames: Iterable[BufferedFrame],
    velocity: Array,
    origin: Origin,
) -> dict[int, PredictedPosition]:
    """Follow a face from an observation through earlier frames, latest first."""
    predictions: dict[int, PredictedPosition] = {}
    centre, seconds = observation.centre, observation.seconds
    for frame in frames:
        elapsed = max(0.0, seconds - frame.seconds)
        prediction = _step(template, frame, observation, centre, velocity, elapsed, origin)
        if prediction.score >= template_matching.GOOD and elapsed > 0:
            velocity = 0.5 * velocity + 0.5 * (prediction.centre - centre) / elapsed
        else:
            velocity = velocity * math.exp(-elapsed / COASTING)
        centre, seconds = prediction.centre, frame.seconds
        predictions[frame.index] = prediction
    return predictions


def _settle(
    ahead: PredictedPosition,
    back: PredictedPosition | None,
    before: Observation,
    after: Observation,
    drift: Array,
    share: float,
    size: float,
) -> PredictedPosition:
    """The predicted position between two observations, from the ways followed forward and back."""
    straight = (1 - share) * before.centre + share * after.centre
    arc = 4 * share * (1 - share)
    if back is None:
        centre = ahead.centre + share * drift
        uncertainty = 0.04 * size + 0.35 * arc * _length(drift)
        return PredictedPosition(ahead.seconds, centre, ahead.score, uncertainty, "interpolated")
    known = [
        (prediction.centre, weight)
        for prediction, weight in ((ahead, 1 - share), (back, share))
        if prediction.score >= template_matching.GOOD
    ] or [(straight, 1.0)]
    total = sum(weight + 1e-6 for _, weight in known)
    centre = sum(((weight + 1e-6) / total * c for c, weight in known), np.zeros(2))
    others = [c for c, _ in known] + ([straight] if len(known) < 2 else [])
    apart = max(_length(other - centre) for other in others)
    uncertainty = min(MAX_UNCERTAINTY * size, 0.05 * size + 0.6 * apart + 0.1 * arc * size)
    score = max(ahead.score, back.score)
    return PredictedPosition(ahead.seconds, centre, score, uncertainty, "interpolated")


def _length(way: Array) -> float:
    return math.hypot(*way.tolist())
