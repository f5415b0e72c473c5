"""The README's command lines, in the order in which a reader tries them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import pytest

from stream_anon.cli.main import COMMANDS
from tests.visual_mixer.scenes import scene

ROOT = Path(__file__).resolve().parents[2]


def lines() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^stream-anon (.*?)(?:\s{2,}#.*|\s+#.*)?$", text, re.MULTILINE)
    assert len(found) > 12
    return found


def test_they_can_be_run_one_after_the_other(command, api, video, tmp_path, monkeypatch):
    for name in ("street.mp4", "clips/a.mp4", "clips/b.mp4", "a.mov", "b.mkv", "photo.jpg"):
        video(name)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/a.png"), scene(48, 48, 1))
    (tmp_path / "mine.py").write_text("def build(plan):\n    return None\n")
    monkeypatch.setattr(
        "stream_anon.evaluation.benchmarks.speed.bench", lambda *_, **__: pytest.fail("slow")
    )
    for line in lines():
        words = shlex.split(line)
        if words[0] in ("bench", "doctor"):
            assert command(words[0], "--help").code == 0
            continue
        if words[0] in ("analyze", "tracks", "render"):
            # Run for real, with a video and its Tracks file, in tests/pipeline/test_edits_shown.py.
            assert command(*words, "--help").code == 0
            continue
        if "--preview" in words or "-" in words:
            # Run for real in test_preview.py and test_pipes.py.
            continue
        target = None
        if ">" in words:
            target = words[words.index(">") + 1]
            words = words[: words.index(">")]
        if words[0] == "budget":
            # The report of a stand-in holds nothing.
            assert command("budget", "--help").code == 0
            continue
        done = command(*words)
        assert done.code == 0, (line, done.err)
        if target:
            (tmp_path / target).write_text(done.out)


def test_every_command_that_a_reader_needs_is_there():
    named = {shlex.split(line)[0] for line in lines()}
    assert named <= set(COMMANDS)
    assert set(COMMANDS) - named <= {"train"}
