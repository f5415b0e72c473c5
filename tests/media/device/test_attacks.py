"""The gate's attacks once more, where every verb of a frame, the covers and the method are kernels.

Frames are painted together. All attacks that run in this process where `slow` tests are run, a few
always (`conftest.py`).
"""

from __future__ import annotations

from functools import partial

import pytest

from stream_anon.media.device.frame import DeviceFrame
from stream_anon.methods.device.covers import DevicePixelate
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.painting.gate import Compositor
from tests.attacks import test_faults, test_painting
from tests.attacks.test_faults import *  # noqa: F403 - the tests themselves, by their names
from tests.attacks.test_painting import *  # noqa: F403

SPOILED = {
    "test_22_a_frame_that_cannot_be_cut_or_painted",
    "test_22_a_frame_that_cannot_be_pixelated_either_is_black",
}
"""Attacks on one verb of one frame: painted one by one, by method and covers of the host. What
becomes of a batch whose verb is spoiled stands in ``test_batches.py``."""


@pytest.fixture(autouse=True)
def _everything_on_the_twin(on_twin, monkeypatch, request):
    monkeypatch.setattr(test_painting, "CpuFrame", DeviceFrame)
    if request.node.originalname not in SPOILED:
        place = Workplace(kernels=on_twin, batch=8)
        monkeypatch.setattr(test_faults, "Compositor", partial(Compositor, place=place))
        for module in (test_faults, test_painting):
            monkeypatch.setattr(module, "Pixelate", partial(DevicePixelate, on_twin))
    assert test_faults.build is test_painting.build
