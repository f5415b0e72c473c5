"""The command line against an API that only notes what it was asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import stream_anon
from stream_anon.cli import run
from stream_anon.pipeline.report import FilePart, FramesPart


@dataclass
class FakeReport:
    """What the command line needs of a report."""

    words: str = "3 frames"
    frames: FramesPart = field(default_factory=lambda: FramesPart(input=3, output=3))
    input: FilePart = field(default_factory=lambda: FilePart(name=None, bytes=3, sha256="0" * 64))
    output: FilePart = field(default_factory=lambda: FilePart(name=None, bytes=4, sha256="1" * 64))
    tracks: tuple[()] = ()
    tracks_seen: int = 0

    def summary(self) -> str:
        return self.words


@dataclass
class FakeApi:
    """Writes ``done`` into every output, or raises what the test put under the input's name."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, BaseException] = field(default_factory=dict)
    during: Callable[[dict[str, Any]], None] = lambda call: None

    def redact(self, source: Path, target: Path, **rest: Any) -> FakeReport:
        self.calls.append({"source": source, "target": target, **rest})
        self.during(self.calls[-1])
        if source.name in self.errors:
            raise self.errors[source.name]
        target.write_text("done")
        if rest["report"] is not None:
            rest["report"].write_text("{}")
        return FakeReport()

    def plan(self, source: Path, target: Path, config: Any) -> str:
        if source.name in self.errors:
            raise self.errors[source.name]
        return f"{source} -> {target}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(stream_anon, "redact", fake.redact, raising=False)
    monkeypatch.setattr(stream_anon, "plan", fake.plan, raising=False)
    return fake


@dataclass
class Said:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Run ``stream-anon ARGUMENTS`` in a fresh folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return call


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A command sets up the package's log; other tests shall not notice."""
    log = logging.getLogger("stream_anon")
    level, handlers = log.level, list(log.handlers)
    yield
    log.setLevel(level)
    log.handlers[:] = handlers


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """A file by that name; what is in it does not matter here."""

    def make(name: str = "street.mp4") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raw")
        return Path(name)

    return make
