"""The other commands, the help, and how fast they start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stream_anon._version import __version__
from stream_anon.cli.main import COMMANDS, cli
from stream_anon.config import Config, parse

HEAVY = ("av", "numpy", "cv2", "openvino", "torch", "pydantic", "rich", "yaml")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["redact", "--help"],
        ["analyze", "--help"],
        ["render", "--help"],
        ["tracks", "--help"],
        ["tracks", "add", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        f"import sys; from stream_anon.cli import run; run({arguments!r}); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_starts_fast():
    # Processor time, and the best of some: it says what the command needs on a machine that
    # does nothing else, whatever this one is doing.
    def needed() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert python("-m", "stream_anon", "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(needed() for _ in range(5)) < 0.3


@pytest.mark.parametrize(
    "name",
    ["", "redact", "analyze", "render", "tracks", "doctor", "models", "config", "completion"],
)
def test_help_fits_a_screen(command, name):
    done = command(*name.split(), "--help")
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_redact_help_names_every_option(command):
    words = command("redact", "--help").out
    for parameter in cli.get_command(None, "redact").params:
        for name in parameter.opts:
            assert name in words or name in ("--version", "inputs_"), name


def test_only_commands_of_this_installation_are_listed(command):
    listed = cli.list_commands(None)
    assert {"redact", "doctor", "models", "config", "completion"} <= set(listed) <= set(COMMANDS)
    assert command("nonesuch").code == 2


def test_version(command):
    assert command("--version").out == f"stream-anon {__version__}\n"
    assert command("redact", "--version").out == f"stream-anon {__version__}\n"


def test_no_command_shows_the_help(command):
    assert "Usage: stream-anon" in "".join([(done := command()).out, done.err])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(command, shell):
    done = command("completion", shell)
    assert done.code == 0
    assert "_STREAM_ANON_COMPLETE" in done.out


def test_config_prints_what_can_be_read_back(command):
    assert parse(yaml.safe_load(command("config").out)) == Config()
    assert parse(yaml.safe_load(command("config", "--preset", "fast").out)) != Config()
    assert "careful" in command("config", "--presets").out


def test_doctor(command):
    done = command("doctor", "--json")
    found = json.loads(done.out)
    assert done.code == (1 if found["problems"] else 0)
    assert found["versions"]["stream-anon"] == __version__
    assert "h264" in found["video"]["decoders"]
    assert found["what_is_used"]["device"].startswith(("cpu: ", "cuda: "))
    assert "what is used" in command("doctor").out


def test_doctor_tells_of_a_wrong_file(command, tmp_path):
    (tmp_path / "centerface.onnx").write_text("something else")
    done = command("doctor", "--models-dir", tmp_path, "--json")
    state = json.loads(done.out)["models"]["centerface"]
    assert state.startswith(("WRONG", "there"))  # the right one may lie in the cache


def test_models(command, tmp_path):
    done = command("models", "list", "--models-dir", tmp_path)
    assert done.code == 0
    assert "centerface" in done.out
    assert str(tmp_path) in done.out
    assert command("models", "verify", "nonesuch").code == 1
    assert command("models", "pull", "nonesuch").code == 1


def test_models_verify_fails_on_a_wrong_file(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STREAM_ANON_MODELS", raising=False)
    assert command("models", "verify", "--models-dir", tmp_path).code == 0
    assert command("models", "verify", "centerface", "--models-dir", tmp_path).code == 1
    (tmp_path / "centerface.onnx").write_text("something else")
    done = command("models", "verify", "--models-dir", tmp_path)
    assert done.code == 1
    assert "centerface: wrong" in done.err


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m stream_anon config | head -1",
        shell=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("# Every option")
    assert done.stderr == ""


def test_the_installed_script_runs(root: Path):
    done = subprocess.run(
        [Path(sys.executable).with_name("stream-anon"), "--version"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == f"stream-anon {__version__}\n"


def test_nothing_is_reported_to_anybody(tmp_path: Path):
    """OpenVINO's plain import leaves a client id in the home folder and sends it away."""
    done = subprocess.run(
        [sys.executable, "-m", "stream_anon", "doctor"],
        capture_output=True, timeout=60, check=False,
        env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    assert b"what is used" in done.stdout
    assert not list(tmp_path.iterdir())
