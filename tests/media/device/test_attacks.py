"""The gate's attacks once more, with frames whose every verb is a kernel's.

All that run in this process where `slow` tests are run, a few always (`conftest.py`).
"""

from __future__ import annotations

import pytest

from stream_anon.media.device.frame import DeviceFrame
from tests.attacks import test_faults, test_painting
from tests.attacks.test_faults import *  # noqa: F403 - the tests themselves, by their names
from tests.attacks.test_painting import *  # noqa: F403


@pytest.fixture(autouse=True)
def _everything_on_the_twin(on_twin, monkeypatch):
    monkeypatch.setattr(test_painting, "CpuFrame", DeviceFrame)
    assert test_faults.build is test_painting.build
