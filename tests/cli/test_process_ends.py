"""Whole processes: streams that are closed, stops in the first moments, what is left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from tests.attacks.scene import write_clip

PYTHON = [sys.executable, "-m", "stream_anon"]

PIPELINE = """
import time
from stream_anon.methods import Fill
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.run import Pipeline
from stream_anon.media.output.sink import FileSink
from stream_anon.media.input.source import FileSource
from tests.attacks.scene import Scripted

def build(plan):
    config = plan.request.config
    source = FileSource(plan.request.input, copied=plan.media.copied)
    sink = FileSink(plan.request.output, plan.media, source.info, config.video)
    return Pipeline(plan, source, Scripted(), Compositor(Fill(), config.fault), sink)
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    write_clip(tmp_path / "in.mp4", 6)
    (tmp_path / "mine.py").write_text(PIPELINE)
    return tmp_path


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which ``sa`` is the program."""
    root = Path(__file__).resolve().parents[2]
    program = " ".join(map(shlex.quote, PYTHON))
    return subprocess.run(
        ["bash", "-c", f'sa() {{ {program} "$@"; }}; {line}'],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_closed_streams_change_nothing_of_the_work(folder, closed):
    done = shell(folder, f"sa redact in.mp4 -o out.mp4 --pipeline mine.py {closed}; echo $?")
    assert done.stdout.endswith("0\n"), done.stderr
    assert "Traceback" not in done.stderr
    with av.open(str(folder / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    assert sorted(os.listdir(folder)) == ["in.mp4", "mine.py", "out.mp4"]


def test_a_reader_that_goes_away_does_not_fail_the_work(folder):
    done = shell(
        folder, "(sa redact in.mp4 -o out.mp4 --pipeline mine.py; echo $? >&2) | true"
    )
    assert done.stderr.splitlines()[-1] == "0"
    assert (folder / "out.mp4").exists()


def test_what_cannot_be_printed_fails_where_printing_is_the_work(folder):
    done = shell(folder, "sa config >/dev/full; echo $?")
    assert done.stdout == "1\n"
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("after", [0.15, 0.3, 0.6])
def test_a_stop_in_the_first_moments_is_130(folder, number, after):
    """From when the program has taken over; the interpreter's own start is not its."""
    code = (
        "import sys, stream_anon.cli as c\n"
        "c.interruptible()\n"
        "print('up', flush=True)\n"
        "sys.argv[1:] = ['redact', 'in.mp4', '-o', 'out.mp4']\n"
        "c.main()\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(after)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    # A machine that is fast enough may be done by then.
    if process.returncode == 0:
        assert (folder / "out.mp4").exists()
    else:
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert sorted(os.listdir(folder)) == ["in.mp4", "mine.py"]


def test_what_is_ignored_stays_ignored(folder):
    done = shell(
        folder,
        "trap '' HUP; sa redact in.mp4 -o out.mp4 --pipeline mine.py & sleep 0.3; kill -HUP $!; "
        "wait $!; echo $?",
    )
    assert done.stdout.endswith("0\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_bench_leaves_no_raw_clip_however_it_ends(folder, tmp_path, number):
    room = tmp_path / "room"
    room.mkdir()
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [*PYTHON, "bench", "in.mp4", "--frames", "400", "--method", "fill"], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(room)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("round 1: bare transcode"), first
        process.send_signal(number)
        process.communicate(timeout=60)
    left = [path for path in room.rglob("*") if path.is_file() and path.stat().st_size]
    # What is there after SIGKILL went through the gate, and is broken off.
    assert not [path for path in left if path.name == "clip.mkv"]
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert not list(room.iterdir())


def test_doctor_without_weights_is_not_ready(tmp_path):
    done = subprocess.run(
        [*PYTHON, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False,
        env={
            **{k: v for k, v in os.environ.items() if k != "STREAM_ANON_MODELS"},
            "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
    )  # fmt: skip
    assert done.returncode == 1
    assert "model 'centerface' is not here: stream-anon models pull centerface" in (
        json.loads(done.stdout)["problems"]
    )


def test_doctor_without_the_packages_own_networks_is_not_ready(tmp_path, monkeypatch):
    from stream_anon.cli import probe

    monkeypatch.setattr(probe, "WEIGHTS", tmp_path)
    found = probe.examine()
    assert any("'identity_generator' is missing" in words for words in found["problems"])
    assert found["models"]["landmarks"] == "MISSING from the package"
