"""People who walk through frames of noise: true boxes, luma, and detections that may fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.config import TrackerConfig
from stream_anon.detection.types import Face
from stream_anon.tracking.over_cover import TrackingResult
from stream_anon.tracking.tracker import Tracker

WIDTH, HEIGHT = 640, 360
Where = Callable[[float], tuple[float, float] | None]


@dataclass
class Person:
    """A face of one size whose centre is a function of time; None while it is not there."""

    where: Where
    size: float = 60.0
    seed: int = 1
    texture: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        coarse = rng.integers(40, 220, (7, 6)).astype(np.uint8)
        side = int(self.size)
        self.texture = np.kron(coarse, np.ones((side // 6 + 1, side // 6 + 1), np.uint8))

    def box(self, seconds: float) -> NDArray[np.float64] | None:
        at = self.where(seconds)
        if at is None:
            return None
        half = np.array([self.size / 2 / 1.15, self.size / 2 * 1.15])
        return np.concatenate([np.array(at) - half, np.array(at) + half])


def landmarks(box: NDArray[np.float64]) -> NDArray[np.float64]:
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    points = (geometry.TEMPLATE - geometry.MASK_CENTRE) / (38.0, 50.0)
    return centre + points * half


def luma(people: Iterable[Person], seconds: float, shot: int = 0) -> NDArray[np.uint8]:
    """A textured background, another for each shot, with the people in front, nearest last."""
    rng = np.random.default_rng(1000 + shot)
    coarse = rng.integers(0, 255, (18, 32)).astype(np.uint8)
    plane = np.kron(coarse, np.ones((20, 20), np.uint8))
    for person in people:
        box = person.box(seconds)
        if box is None:
            continue
        x, y = np.round(box[:2]).astype(int)
        texture = person.texture
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + texture.shape[1], WIDTH), min(y + texture.shape[0], HEIGHT)
        if x1 > x0 and y1 > y0:
            plane[y0:y1, x0:x1] = texture[y0 - y : y1 - y, x0 - x : x1 - x]
    return plane


def seen(person: Person, seconds: float, jitter: float, rng: np.random.Generator) -> Face | None:
    """A detection, or None where no half of the face is in the frame."""
    box = person.box(seconds)
    if box is None:
        return None
    centre = (box[:2] + box[2:]) / 2
    if not (0 <= centre[0] < WIDTH and 0 <= centre[1] < HEIGHT):
        return None
    box = box + np.tile(rng.normal(0, jitter * person.size, 2), 2)
    return Face(box, landmarks(box), 0.8)


@dataclass
class Run:
    """What a tracker decided, and what was true."""

    decided: list[TrackingResult]
    times: Sequence[float]
    looked: list[int]
    most_waiting: int
    whole: list[int]


def run(
    people: Sequence[Person],
    times: Sequence[float],
    *,
    config: TrackerConfig | None = None,
    hidden: Callable[[int, int], bool] = lambda person, frame: False,
    jitter: float = 0.0,
    shots: Callable[[int], int] = lambda frame: 0,
    limit: int | None = None,
    extra: Callable[[int], list[Face]] = lambda frame: [],
) -> Run:
    rate = (len(times) - 1) / max(1e-6, times[-1] - times[0]) if len(times) > 1 else 25.0
    tracker = Tracker(config or TrackerConfig(), WIDTH, HEIGHT, rate, itertools.count(1))
    if limit is not None:
        tracker.limit(limit)
    rng = np.random.default_rng(0)
    decided: list[TrackingResult] = []
    looked, whole = [], []
    most = 0
    for index, seconds in enumerate(times):
        plane = luma(people, seconds, shots(index))
        faces = areas = glance = None
        attention = tracker.needs_detection(index, seconds, plane)
        if attention is not None:
            areas = attention.regions
            looked.append(index)
            if areas is None:
                whole.append(index)
            found = [
                seen(person, seconds, jitter, rng)
                for k, person in enumerate(people)
                if not hidden(k, index)
            ]
            faces = [face for face in found if face is not None] + extra(index)
            large = [
                face for face in faces if (face.box[2:] - face.box[:2]).max() >= attention.smallest
            ]
            glance = [face for face in large if inside(face, attention.sudden)], attention.sudden
            faces = [face for face in faces if areas is None or inside(face, areas)]
        decided += tracker.push(index, seconds, plane, faces, areas, glance)
        most = max(most, index + 1 - len(decided))
    decided += tracker.flush()
    return Run(decided, times, looked, most, whole)


def inside(face: Face, areas: NDArray[np.float64]) -> bool:
    """Whether the face's middle lies in one of the areas."""
    centre = (face.box[:2] + face.box[2:]) / 2
    return bool(((areas[:, :2] <= centre) & (centre <= areas[:, 2:])).all(axis=1).any())


def painted(decided: TrackingResult, box: NDArray[np.float64], share: float = 0.9) -> bool:
    """Whether the box's inner ellipse (at ``share`` of its size) lies inside one mask."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    angles = np.linspace(0, 2 * np.pi, 40)
    outline = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * half * share
    inside = (outline >= 0).all(axis=1) & (outline < (WIDTH, HEIGHT)).all(axis=1)
    outline = outline[inside]
    return len(outline) == 0 or any(
        (geometry.mask_radius(geometry.apply(face.transform, outline)) <= 1.0).all()
        for face in decided.faces
    )


def even(seconds: float, rate: float = 25.0) -> list[float]:
    return [k / rate for k in range(round(seconds * rate))]
