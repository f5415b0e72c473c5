"""An analyzer's doubt: whoever is not known is covered whole, back to the last successful detector
run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stream_anon.config import TrackerConfig
from stream_anon.detection.base import Detector
from stream_anon.errors import DetectorFault
from stream_anon.pipeline.stream_analyzer import StreamAnalyzer
from stream_anon.tracking.tracker import Tracker
from tests.attacks.scene import HEIGHT, RATE, WIDTH, face_at, quick
from tests.attacks.scene import frame as scene
from tests.fakes import MemoryFrame

EVERY = 5
"""The detector looks at one frame in this many."""


class Fails(Detector):
    """Finds the face; fails at the looks that ``wrong`` names."""

    name = "centerface"

    def __init__(self, wrong) -> None:
        self._wrong = wrong
        self.detections_run: list[int] = []

    def detect(self, view, quarter_turns=0):
        self.detections_run.append(view.index)
        if self._wrong(view.index):
            raise DetectorFault("centerface answered with values that are not finite")
        return [face_at(view.index)]


def analyzed(detector, policy="step-down", count=36):
    config = quick(**{"fault.policy": policy, "tracker.interval": EVERY / RATE})
    tracker = Tracker(
        TrackerConfig(interval=EVERY / RATE), WIDTH, HEIGHT, float(RATE), itertools.count(1)
    )
    analyzer = StreamAnalyzer(detector, tracker, config)
    out = []
    for index in range(count):
        out += analyzer.push(MemoryFrame(scene(index), index))
    return [*out, *analyzer.flush()]


def doubted(found) -> set[int]:
    return {one.frame.index for one in found if one.analysis_error is not None}


def a_look() -> int:
    """A frame well into the scene at which the detector looks."""
    detector = Fails(lambda index: False)
    analyzed(detector)
    return min(
        index
        for index in detector.detections_run
        if index >= 12 and index - 1 not in detector.detections_run
    )


def test_without_a_fault_there_is_no_doubt():
    detector = Fails(lambda index: False)
    found = analyzed(detector)
    assert doubted(found) == set()
    assert [one.frame.index for one in found] == list(range(36))
    assert all(one.faces for one in found)
    assert 6 <= len(detector.detections_run) < 36


@pytest.mark.parametrize("failures", [1, 4, 9])
def test_doubt_reaches_from_the_last_good_look_to_the_next(failures):
    first = a_look()
    detector = Fails(lambda index: first <= index < first + failures)
    found = analyzed(detector)
    good = [index for index in detector.detections_run if not first <= index < first + failures]
    before = max(index for index in good if index < first)
    after = min(index for index in good if index >= first)
    unknown = doubted(found)
    assert set(range(before + 1, after)) <= unknown
    # Also what was to be looked at soon after the last successful detector run, and no more than
    # that.
    assert unknown == set(range(min(unknown), after))
    assert min(unknown) >= before - EVERY
    assert before + 1 < first, "somebody may have come in between two detector runs"
    assert after == first + failures, "while in doubt, every frame is looked at"


def test_doubt_that_never_ends_covers_the_rest():
    detector = Fails(lambda index: index >= 15)
    found = analyzed(detector)
    before = max(index for index in detector.detections_run if index < 15)
    assert doubted(found) >= set(range(before + 1, 36))


def test_a_detector_that_never_works_covers_everything():
    assert doubted(analyzed(Fails(lambda index: True))) == set(range(36))


def test_the_policy_to_stop_stops():
    look = a_look()
    with pytest.raises(DetectorFault, match="not finite"):
        analyzed(Fails(lambda index: index == look), policy="stop")


def test_every_frame_comes_out_once_and_as_it_was():
    found = analyzed(Fails(lambda index: index == 10))
    assert [one.frame.index for one in found] == list(range(36))
    for one in found:
        np.testing.assert_array_equal(one.frame.rgb, scene(one.frame.index))
