"""The README's command lines, in the order in which a reader tries them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import pytest
from PIL import Image

from stream_anon.cli.main import COMMANDS
from tests.verification import clips
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_they_do_what_they_say_in_the_order_in_which_they_stand(tmp_path):
    """Each line as a shell runs it, on clips of the portrait that the demo shows."""
    for name in ("clips/a.mp4", "clips/b.mp4", "a.mov", "b.mkv", "clip.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        clips.write(tmp_path / name, 10)
    # Long enough for the part that is cut out, short enough for a test: a frame a second.
    clips.write(tmp_path / "street.mp4", 130, times=list(range(130)), base=Fraction(1))
    Image.fromarray(clips.portrait()).save(tmp_path / "photo.jpg")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/a.png"), scene(48, 48, 1))
    shutil.copy(ROOT / "pipelines/redact.py", tmp_path / "mine.py")
    made = set()
    for line in lines():
        done = subprocess.run(
            ["bash", "-c", f"{shlex.quote(sys.executable)} -m stream_anon {line}"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr[-2000:])
        assert "Traceback" not in done.stderr, line
        words = shlex.split(line)
        for option in ("-o", "--report", "--summary", ">"):
            if option in words:
                made.add(words[words.index(option) + 1])
    for name in made - {"-"}:
        assert (tmp_path / name).exists(), name
    assert (tmp_path / "street_anonymized.mp4").exists()
    assert (tmp_path / "street_preview.png").exists()
    assert len(made) > 12
