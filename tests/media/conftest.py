"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.media.output.streams import MediaPlan, plan_streams
from stream_anon.media.packets import Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor

Passing = Callable[..., MediaPlan]

QUICK = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}


def pass_through(
    source: Path,
    target: Path,
    *,
    codec: str = "auto",
    preset: str | None = None,
    start: float | None = None,
    end: float | None = None,
    policy: str = "stop",
    **options: object,
) -> MediaPlan:
    """A file through source, gate and sink, with no face in it."""
    config = VideoConfig(codec=codec, encoder_preset=preset, start=start, end=end, **options)  # type: ignore[arg-type]
    gate = Compositor(Fill(), FaultConfig(policy=policy))  # type: ignore[arg-type]
    with FileSource(source, start=start, end=end, tolerant=policy != "stop") as reader:
        plan = plan_streams(reader.info, target, config)
        reader.select(plan.copied)
        with FileSink(target, plan, reader.info, config) as sink:
            for item in reader:
                if isinstance(item, Packet):
                    sink.copy(item)
                else:
                    sink.write(gate.clear(item, ()))
    return plan


@pytest.fixture
def redact() -> Passing:
    """``pass_through``, to be called by tests."""
    return pass_through
