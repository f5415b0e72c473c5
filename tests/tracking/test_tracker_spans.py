"""The tracker's spans and margin, each by what would be shown without it."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.config import TrackerConfig
from stream_anon.detection.types import Face
from tests.tracking.scenes import Person, even, landmarks, painted, run


def someone(size: float = 80.0) -> Person:
    return Person(lambda t: (250 + 30 * t, 180), size)


def shown(result, person: Person, share: float = 0.9) -> list[float]:
    """Times at which the person's face is not wholly inside a mask."""
    return [
        round(result.times[d.index], 3)
        for d in result.decided
        if not painted(d, person.box(result.times[d.index]), share)
    ]


def unsure(person: Person, index: int) -> list[Face]:
    """A detection that starts a track, and is not sure enough for it to be followed for long."""
    box = person.box(index / 25)
    return [Face(box, landmarks(box), 0.45)]


def nobody(k: int, index: int) -> bool:
    return True


@pytest.mark.parametrize("margin", [0.0, 0.12, 0.5, 1.0])
def test_boxes_grow_by_the_margin(margin):
    person = Person(lambda t: (300, 180), 80)
    result = run([person], even(1.0), config=TrackerConfig(margin=margin))
    true = person.box(0.0)
    wide, high = true[2:] - true[:2]
    for decided in result.decided:
        [face] = decided.faces
        assert face.box[2] - face.box[0] >= wide * (1 + margin) - 1e-6
        assert face.box[3] - face.box[1] >= high * (1 + margin) - 1e-6


@pytest.mark.parametrize("span", [0.3, 0.6, 1.2])
def test_a_track_is_held_after_its_last_look(span):
    person = someone()
    config = TrackerConfig(max_age=span, backfill=0.0, interval=0.04)
    result = run(
        [person], even(3.0), config=config, hidden=nobody,
        extra=lambda index: unsure(person, index) if index <= 20 else [],
    )  # fmt: skip
    times = [result.times[d.index] for d in result.decided if d.faces]
    assert times[-1] >= 20 / 25 + span - 0.05


@pytest.mark.parametrize("span", [0.3, 0.6, 1.2])
def test_a_track_is_painted_before_its_first_look(span):
    person = someone()
    config = TrackerConfig(max_age=0.0, backfill=span, interval=0.04)
    result = run(
        [person], even(3.0), config=config, hidden=nobody,
        extra=lambda index: unsure(person, index) if index >= 50 else [],
    )  # fmt: skip
    times = [result.times[d.index] for d in result.decided if d.faces]
    assert times[0] <= 50 / 25 - span + 0.2


@pytest.mark.parametrize("gap", [0.8, 1.2])
def test_a_gap_within_a_track_is_filled(gap):
    person = someone()
    config = TrackerConfig(max_gap=1.4, max_age=0.0, backfill=0.0, interval=0.08)
    lost = lambda k, index: 1.0 <= index / 25 < 1.0 + gap  # noqa: E731
    result = run([person], even(3.5), config=config, hidden=lost)
    assert not [t for t in shown(result, person) if 0.2 < t < 3.2]


def test_weak_detections_continue_a_track_and_start_none():
    person = someone()

    def weak(index: int) -> list[Face]:
        box = person.box(index / 25)
        return [Face(box, landmarks(box), 0.12)]

    config = TrackerConfig(max_age=0.0, max_gap=0.1, backfill=0.0, interval=0.08)
    result = run([person], even(4.0), config=config, hidden=lambda k, index: index > 25, extra=weak)
    assert not [t for t in shown(result, person) if 0.1 < t < 3.8]
    alone = run([], even(1.0), config=config, extra=weak)
    assert not any(decided.faces for decided in alone.decided)


def test_a_doubtful_box_is_larger_than_a_sure_one():
    person = Person(lambda t: (300, 180), 80)
    box = person.box(0.0)

    def with_score(score: float):
        face = Face(box, landmarks(box), score)
        result = run([person], even(0.5), hidden=lambda k, index: True, extra=lambda index: [face])
        return np.mean([d.faces[0].box[2] - d.faces[0].box[0] for d in result.decided])

    assert with_score(0.25) > 1.05 * with_score(0.9)
