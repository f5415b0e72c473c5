"""Attempts 7, 12 to 15 and 17 through the command line: what a whole process leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.attacks.scene import FRAMES, leaks, readable, write_clip

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """
    import time
    from stream_anon import recipes
    from stream_anon.pipeline.painting.gate import Compositor
    from stream_anon.pipeline.run import Pipeline
    from stream_anon.methods import Pixelate
    from stream_anon.media.output.sink import FileSink
    from stream_anon.media.input.source import FileSource
    from tests.attacks.scene import Scripted

    {body}

    def build(plan):
        config = plan.request.config
        source = FileSource(plan.request.input, copied=plan.media.copied)
        sink = FileSink(plan.request.output, plan.media, source.info, config.video)
        return Pipeline(
            plan, source, Scripted(wrong), Compositor(Pixelate(), config.fault), sink
        )
"""

WELL = "wrong = None"
SLOW = """
    def wrong(index, faces):
        time.sleep(0.2)
        return faces
"""
HANGS = """
    def wrong(index, faces):
        if index >= 6:
            time.sleep(3600)
        return faces
"""
RAISES = """
    def wrong(index, faces):
        if index >= 6:
            raise RuntimeError("boom")
        return faces
"""


EVERY_FRAME = "tracker: {interval: 0.04}\nfault: {stall_seconds: 1.5}\n"


def start(folder, body, *options, config=EVERY_FRAME):
    source = textwrap.dedent(PIPELINE).format(body=textwrap.dedent(body).strip())
    (folder / "mine.py").write_text(source)
    (folder / "mine.yaml").write_text(config)
    command = [
        sys.executable, "-m", "stream_anon", "redact", "scene.mp4", "-o", "out.mp4",
        "--pipeline", "mine.py", "--config", "mine.yaml", *options,
    ]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_is_gone(process):
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix not in (".py", ".yaml"))


def wait_for_output(folder):
    """The temporary file, once it is there, so that the process is in the middle of its work."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        for path in folder.iterdir():
            if path.name.startswith(".out"):
                time.sleep(0.5)
                return path
        time.sleep(0.02)
    pytest.fail("the run never began")


def test_a_whole_run_through_the_command_line(clip, tmp_path):
    process = start(tmp_path, WELL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert left(tmp_path) == ["out.mp4", "scene.mp4"]
    assert leaks(tmp_path, clip) == []


def test_7_a_detector_that_hangs_ends_with_the_process(clip, tmp_path):
    before = time.monotonic()
    process = start(tmp_path, HANGS)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert time.monotonic() - before < 30
    assert "gave no answer for 1.5 s" in errors
    assert "Traceback" not in errors
    assert left(tmp_path) == ["scene.mp4"]
    assert group_is_gone(process)


def test_14_an_old_output_survives_a_run_that_fails(clip, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"yesterday's")
    process = start(tmp_path, RAISES, "-y")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "RuntimeError: boom" in errors
    assert (tmp_path / "out.mp4").read_bytes() == b"yesterday's"
    assert left(tmp_path) == ["out.mp4", "scene.mp4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_13_a_stop_from_outside_is_clean(clip, tmp_path, number):
    process = start(tmp_path, SLOW)
    wait_for_output(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert left(tmp_path) == ["scene.mp4"]
    assert group_is_gone(process)


def test_13_a_killed_process_leaves_no_face(tmp_path):
    clip = write_clip(tmp_path / "scene.mp4", 240)
    config = "tracker: {interval: 0.04, backfill: 0.0, max_gap: 0.1}\n"
    options = ("--encoder-preset", "ultrafast", "--crf", "1", "-o", "out.ts")
    process = start(tmp_path, SLOW.replace("0.2", "0.04"), *options, config=config)
    part = wait_for_output(tmp_path)
    deadline = time.monotonic() + 30.0
    # A transport stream can be read as far as it goes; wait until there is something to read.
    while part.stat().st_size < 100_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=30)
    assert not (tmp_path / "out.ts").exists()
    assert sum(1 for _ in readable(part)) > 3, "nothing was written that could show a face"
    assert leaks(tmp_path, clip) == []
    assert group_is_gone(process)


@pytest.mark.parametrize("link", ["direct", "symbolic", "hard"])
def test_15_the_input_is_never_the_output(clip, tmp_path, link):
    before = clip.read_bytes()
    target = tmp_path / "out.mp4"
    if link == "symbolic":
        target.symlink_to(clip)
    elif link == "hard":
        os.link(clip, target)
    options = ("-y", "-o", "scene.mp4") if link == "direct" else ("-y",)
    process = start(tmp_path, WELL, *options)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert clip.read_bytes() == before


def test_the_judge_would_have_seen_a_leak(clip, tmp_path):
    (tmp_path / ".out.part.mp4").write_bytes(clip.read_bytes())
    assert len(leaks(tmp_path, clip)) == FRAMES
