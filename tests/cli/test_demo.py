"""`make demo` from end to end: the clip, the real pipeline, the contact sheet; and real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_anon.cli import demo
from stream_anon.errors import InputError, OutputError
from stream_anon.evaluation.reporting.sheet import contact_sheet, frames_at


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "in.mp4"
    demo.make_clip(path)
    return path


def test_the_clip_is_what_it_says(clip: Path):
    with av.open(str(clip)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height) == (demo.WIDTH, demo.HEIGHT)
        assert video.average_rate == demo.RATE
        assert video.frames == demo.RATE * demo.SECONDS
        assert sound.codec_context.name == "aac"
        assert float(container.duration / av.time_base) == pytest.approx(demo.SECONDS, abs=0.1)


def test_the_demo(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert demo.main([str(clip)]) == 0
    assert sorted(os.listdir("demo")) == ["out.mp4", "out.png", "out.report.json"]
    report = json.loads(Path("demo/out.report.json").read_text())
    assert report["frames"]["input"] == report["frames"]["output"] == 180
    assert report["frames"]["with_faces"] == 180
    # Where the face is in the middle of the clip it is another, and the rocket is the same.
    (before,) = frames_at(clip, [0.5], 640)
    (after,) = frames_at("demo/out.mp4", [0.5], 640)
    change = np.abs(before.astype(float) - after).mean(axis=2)
    assert change[90:200, 245:330].mean() > 6
    assert change[:, 520:].mean() < 3
    sheet = cv2.imread("demo/out.png")
    assert sheet.shape[1] == 2 * 640 + 8


def test_the_demo_of_a_file_that_is_none(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x.mp4").write_text("hello")
    assert demo.main(["x.mp4"]) == 1
    assert capsys.readouterr().err.startswith("error: x.mp4: ")
    assert os.listdir("demo") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing(clip: Path, tmp_path: Path, number: signal.Signals):
    with subprocess.Popen(
        [sys.executable, "-m", "stream_anon", "redact", str(clip), "-o", str(tmp_path / "out.mp4")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        # The temporary file appears when the first frame is about to be written.
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            assert process.poll() is None, "it was done before it could be stopped"
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "stopped: no unfinished output was left behind\n"
    assert list(tmp_path.iterdir()) == []


class TestSheet:
    @staticmethod
    def video(path: Path, levels: list[int], times: list[int], start: int = 0) -> Path:
        """Grey frames at these times in milliseconds."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for level, at in zip(levels, times, strict=True):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), "rgb24")
                frame.pts, frame.time_base = at + start, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    def test_frames_are_those_on_show(self, tmp_path):
        path = self.video(tmp_path / "a.mkv", [20, 90, 160, 230], [0, 100, 500, 900], start=70)
        found = frames_at(path, [0.0, 0.1, 0.45, 0.5, 2.0], 32)
        levels = [int(frame.mean().round(-1)) for frame in found]
        assert levels == [20, 90, 90, 160, 230]
        assert found[0].shape == (24, 32, 3)

    def test_two_rates_side_by_side(self, tmp_path):
        before = self.video(tmp_path / "a.mkv", [50] * 10, list(range(0, 1000, 100)))
        after = self.video(tmp_path / "b.mkv", [200] * 5, list(range(0, 1000, 200)))
        contact_sheet(before, after, tmp_path / "s.png", columns=("a", "b"), rows=3, width=64)
        sheet = cv2.imread(str(tmp_path / "s.png"))
        assert sheet.shape == (3 * (48 + 28 + 8), 64 * 2 + 8, 3)
        assert sheet[40, 10].mean().round(-1) == 50
        assert sheet[40, 90].mean().round(-1) == 200

    @pytest.mark.parametrize("turned", [False, True])
    def test_moments_lie_in_both_videos(self, tmp_path, turned):
        whole = self.video(tmp_path / "a.mkv", list(range(20, 220, 20)), list(range(0, 1000, 100)))
        start = self.video(tmp_path / "b.mkv", list(range(20, 120, 20)), list(range(0, 500, 100)))
        pair = (start, whole) if turned else (whole, start)
        contact_sheet(*pair, tmp_path / "s.png", rows=3, width=64)
        sheet = cv2.imread(str(tmp_path / "s.png")).astype(int)
        for row in range(3):
            at = row * (48 + 28 + 8) + 40
            # The same moment of what is the same video shows the same grey.
            assert abs(sheet[at, 10] - sheet[at, 90]).max() <= 2

    def test_what_cannot_be_read_or_written(self, tmp_path):
        video = self.video(tmp_path / "a.mkv", [50] * 3, [0, 40, 80])
        (tmp_path / "x.mkv").write_text("hello")
        with pytest.raises(InputError, match="x.mkv"):
            contact_sheet(video, tmp_path / "x.mkv", tmp_path / "s.png")
        with pytest.raises(InputError, match="absent"):
            contact_sheet(tmp_path / "absent.mkv", video, tmp_path / "s.png")
        with pytest.raises(OutputError, match="no/s.png"):
            contact_sheet(video, video, tmp_path / "no/s.png")
