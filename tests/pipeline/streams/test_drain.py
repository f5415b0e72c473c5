"""The last frames: an encoder that hangs with them is noticed, a slow disk is not taken for it."""

from __future__ import annotations

import threading
import time

import pytest

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import StallFault
from stream_anon.media.input.source import FileSource
from stream_anon.media.output._encode import StreamEncoder
from stream_anon.media.output.sink import FileSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import Pipeline
from tests.attacks.scene import Scripted, quick, write_clip


def run(tmp_path, **changes):
    clip = write_clip(tmp_path / "clip.mp4", 30)
    config = quick(**{"verify.mode": "off", **changes})
    plan = make_plan(clip, tmp_path / "out.mp4", config)
    source = FileSource(clip, copied=plan.media.copied)
    sink = FileSink(tmp_path / "out.mp4", plan.media, source.info, config.video)
    gate = Compositor(Fill(), FaultConfig())
    return Pipeline(plan, source, Scripted(), gate, sink).run()


def test_an_encoder_that_hangs_with_the_last_frames_is_a_stall(tmp_path, monkeypatch):
    release = threading.Event()

    def hang(self):
        release.wait(60.0)
        return []

    monkeypatch.setattr(StreamEncoder, "flush", hang)
    with pytest.raises(StallFault, match=r"drain gave no answer"):
        run(tmp_path, **{"fault.stall_seconds": 3.0})
    release.set()
    # The thread that hung may still write into what has no name any more.
    for _ in range(100):
        if "stream-anon-painter" not in {thread.name for thread in threading.enumerate()}:
            break
        time.sleep(0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_a_disk_that_is_slow_with_what_is_finished_is_not(tmp_path, monkeypatch):
    close = FileSink.close

    def slow(self):
        time.sleep(4.5)
        return close(self)

    monkeypatch.setattr(FileSink, "close", slow)
    report = run(tmp_path, **{"fault.stall_seconds": 4.0})
    assert report.frames_out == 30
    assert {"drain", "finish"} <= set(report.time.wall)


def test_what_an_encoder_holds_is_known_and_comes_once(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 30)
    gate = Compositor(Fill(), FaultConfig())
    with FileSource(clip, copied=()) as source:
        config = VideoConfig(audio="drop")
        plan = plan_streams(source.info, tmp_path / "out.mp4", config)
        sink = FileSink(tmp_path / "out.mp4", plan, source.info, config)
        assert sink.held == 0
        for frame in source.frames():
            sink.write(gate.clear(frame, ()))
        assert sink.held > 0, "libx264 looks ahead"
        sink.drain()
        assert sink.held == 0
        sink.drain()
        sink.finish()
    with FileSource(tmp_path / "out.mp4") as made:
        assert len(list(made.frames())) == 30
