"""The kernels' sources run by g++, as in ``tests/kernels``; and runs whose frames all use them."""

from __future__ import annotations

from typing import Any

import pytest

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.source import moved
from tests.attacks.conftest import _clip, clip
from tests.kernels.conftest import compiled, shim

__all__ = ["_clip", "clip", "compiled", "shim"]


@pytest.fixture
def on_twin(shim, monkeypatch):
    """Whatever is decoded in this test becomes a frame on the twin, wherever it is decoded."""

    def make(*given: Any, **named: Any):
        return moved(CpuFrame(*given, **named), shim)

    monkeypatch.setattr("stream_anon.media.input.decoder.CpuFrame", make)
    return shim
