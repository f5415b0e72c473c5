"""When the detector looks: by what changes, at whatever the time stamps say, and before an end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stream_anon.config import TrackerConfig
from stream_anon.detection.base import Detector
from stream_anon.detection.types import Face
from stream_anon.pipeline.stream_analyzer import StreamAnalyzer
from stream_anon.tracking.tracker import Tracker
from tests.attacks.scene import quick
from tests.fakes import MemoryFrame
from tests.tracking.scenes import HEIGHT, WIDTH, Person, even, landmarks, luma, run

COMES = 40


def newcomer() -> Person:
    """Not there, and then there."""
    return Person(lambda index: (300, 180) if index >= COMES else None, 90)


def frames(count: int) -> list[np.ndarray]:
    person = newcomer()
    return [luma([person], float(index)) for index in range(count)]


def face(index: int) -> list[Face]:
    box = newcomer().box(float(index))
    return [] if box is None else [Face(box, landmarks(box), 0.9)]


class Sees(Detector):
    """Finds whoever is there."""

    name = "centerface"

    def __init__(self) -> None:
        self.detections_run: list[int] = []

    def detect(self, view, quarter_turns=0):
        self.detections_run.append(view.index)
        return face(view.index)


def decide(times: list[float], count: int | None = None):
    """Decisions by frame, and the frames that were looked at."""
    count = len(times) if count is None else count
    detector = Sees()
    tracker = Tracker(TrackerConfig(), WIDTH, HEIGHT, 25.0, itertools.count(1))
    lane = StreamAnalyzer(detector, tracker, quick(**{"tracker.interval": 0.28}))
    out = []
    for index, plane in enumerate(frames(count)):
        frame = MemoryFrame(np.repeat(plane[..., None], 3, axis=2), index)
        frame.pts = round(times[index] * 1000)
        frame.time_base = frame.time_base / 40
        out += lane.push(frame)
    out += lane.flush()
    return out, detector.detections_run


CLOCKS = {
    "as it should be": [index / 25 for index in range(60)],
    "all the same": [1.0] * 60,
    "backwards": [10.0 - index / 25 for index in range(60)],
    "a millisecond a frame": [index / 1000 for index in range(60)],
    "stands still when somebody comes": [min(index, COMES - 3) / 25 for index in range(60)],
    "thirty seconds late": [index / 25 + 30.0 * (index == COMES - 5) for index in range(60)],
    "starts again": [index % (COMES - 1) / 25 for index in range(60)],
}


@pytest.mark.parametrize("name", CLOCKS)
def test_whoever_comes_is_painted_whatever_the_time_stamps_say(name):
    out, detections_run = decide(CLOCKS[name])
    assert [one.frame.index for one in out] == list(range(60))
    open_ = [one.frame.index for one in out if one.frame.index >= COMES and not one.faces]
    assert open_ == []
    assert COMES in detections_run


def test_somebody_who_is_there_at_once_is_looked_at_in_that_frame():
    _, detections_run = decide(CLOCKS["as it should be"])
    assert COMES in detections_run
    assert len(detections_run) < 30, "a room in which nothing changes is looked at now and then"


@pytest.mark.parametrize("left", [1, 2, 4, 6])
def test_somebody_in_the_last_frames_is_painted(left):
    out, _ = decide(CLOCKS["as it should be"], COMES + left)
    assert [one.frame.index for one in out if one.faces][-left:] == [
        COMES + index for index in range(left)
    ]


@pytest.mark.parametrize(("size", "frames_left"), [(40, 6), (90, 14)])
def test_somebody_who_was_coming_in_when_the_file_ended_is_painted(size, frames_left):
    """They slide in too slowly to be news, and the next detector run is due after the end."""
    person = Person(
        lambda t: (-size / 2 + 4.0 * (t - COMES), 180) if t >= COMES else None, float(size)
    )

    def true(index: int) -> list[Face]:
        box = person.box(float(index))
        half_in = box is not None and (box[0] + box[2]) / 2 >= 0
        return [Face(box, landmarks(box), 0.9)] if half_in else []

    detector = Sees()
    detector.detect = lambda view, quarter_turns=0: true(view.index)  # type: ignore[method-assign]
    tracker = Tracker(TrackerConfig(), WIDTH, HEIGHT, 25.0, itertools.count(1))
    lane = StreamAnalyzer(detector, tracker, quick(**{"tracker.interval": 0.28}))
    out = []
    for index in range(COMES + frames_left):
        plane = luma([person], float(index))
        out += lane.push(MemoryFrame(np.repeat(plane[..., None], 3, axis=2), index))
    out += lane.flush()
    there = [index for index in range(COMES + frames_left) if true(index)]
    assert there
    assert [index for index in there if not out[index].faces] == []


@pytest.mark.parametrize("left", [1, 2, 4])
def test_somebody_in_the_last_frames_before_a_cut_is_painted(left):
    person = Person(lambda t: (300, 180) if 1.6 <= t < 1.6 + left / 25 else None, 90)
    cut = COMES + left
    result = run([person], even(3.0), shots=lambda index: index // cut)
    shown = [d.index for d in result.decided if COMES <= d.index < cut and not d.faces]
    assert shown == []


def test_memory_never_makes_fewer_frames_wait_than_a_look_needs():
    config = quick(**{"tracker.interval": 0.28, "tracker.window_megabytes": 16})
    tracker = Tracker(config.tracker, WIDTH, HEIGHT, 25.0, itertools.count(1))
    lane = StreamAnalyzer(Sees(), tracker, config)
    waiting, most = 0, 0
    for index, plane in enumerate(frames(60)):
        frame = Large(np.repeat(plane[..., None], 3, axis=2), index)
        waiting += 1 - sum(1 for _ in lane.push(frame))
        most = max(most, waiting)
    list(lane.flush())
    assert most >= tracker.least_waiting
    assert any("more than window_megabytes" in note for note in lane.notes)


class Large(MemoryFrame):
    """A frame that says it takes 40 MB."""

    @property
    def nbytes(self) -> int:
        return 40_000_000
