"""The gate's attacks once more, with frames whose every verb is a kernel's.

All of them, in-process, where `slow` tests are run; a few of each kind always. Fewer would not tell
whether a step of the ladder works on a device, more would say nothing new: the gate is the same.
"""

from __future__ import annotations

import pytest

from stream_anon.media.device.frame import DeviceFrame
from tests.attacks import test_faults, test_painting
from tests.attacks.test_faults import *  # noqa: F403 - the tests themselves, by their names
from tests.attacks.test_painting import *  # noqa: F403

ALWAYS = (
    "test_the_judge_sees_the_face_and_a_whole_run_hides_it",
    "test_6_a_detector_that_fails_for_a_while_covers_that_while",
    "test_10_a_damaged_frame_steps_down",
    "test_22_a_frame_that_cannot_be_pixelated_either_is_black",
    "test_24_two_video_streams_are_both_covered",
)


@pytest.fixture(autouse=True)
def _everything_on_the_twin(request, on_twin, monkeypatch):
    if request.node.originalname not in ALWAYS:
        selected = str(request.config.getoption("markexpr"))
        if "slow" not in selected:
            pytest.skip("slow: run by `make test-slow`")
    monkeypatch.setattr(test_painting, "CpuFrame", DeviceFrame)
    assert test_faults.build is test_painting.build
