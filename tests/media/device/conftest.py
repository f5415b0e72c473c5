"""The kernels' sources run by g++, as in ``tests/kernels``; and runs whose frames all use them."""

from __future__ import annotations

from typing import Any

import pytest

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.source import moved
from tests.attacks.conftest import _clip, clip
from tests.kernels.conftest import compiled, shim

ALWAYS = {
    "test_10_a_damaged_frame_steps_down",
    "test_22_a_frame_that_cannot_be_pixelated_either_is_black",
}
"""Attacks that always run on the twin as well; the rest is for `make test-slow`."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """The attacks are imported: marking them there would mark them where they come from, too."""
    name = getattr(item, "originalname", item.name)
    if item.path.name == "test_attacks.py" and name not in ALWAYS:
        item.add_marker(pytest.mark.slow)


__all__ = ["_clip", "clip", "compiled", "shim"]


@pytest.fixture
def on_twin(shim, monkeypatch):
    """Whatever is decoded in this test becomes a frame on the twin, wherever it is decoded."""

    def make(*given: Any, **named: Any):
        return moved(CpuFrame(*given, **named), shim)

    monkeypatch.setattr("stream_anon.media.input.decoder.CpuFrame", make)
    return shim
