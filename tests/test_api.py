"""What the API is handed wrongly ends as one of its own errors, and nothing is written."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

import stream_anon
from stream_anon import recipes
from stream_anon.config import Config, override
from stream_anon.errors import ConfigError, UsageError
from stream_anon.pipeline import analysis
from tests.attacks.scene import Scripted, quick, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("api") / "clip.mp4", 8)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"config": {}}, ConfigError, "config is a dict, not a Config"),
        ({"config": {"method": {"name": "fill"}}}, ConfigError, "config is a dict"),
        ({"config": "redact.yaml"}, ConfigError, "config is a str"),
        ({"end": math.inf}, ConfigError, "video.end"),
        ({"start": math.nan}, ConfigError, "video.start"),
        ({"end": "soon"}, ConfigError, "video.end"),
        ({"method": 3}, ConfigError, "method.name"),
        ({"crf": True}, ConfigError, "video.crf"),
        ({"input": 3}, UsageError, "named by a path, not by int"),
        ({"input": None}, UsageError, "there is no input"),
        ({"input": "a\0b"}, UsageError, "NUL"),
        ({"output": b"out.mp4"}, UsageError, "named by a path, not by bytes"),
    ],
)
@pytest.mark.parametrize("call", [stream_anon.redact, stream_anon.plan])
def test_wrong_arguments(clip, tmp_path, monkeypatch, call, options, error, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        call(**{"input": clip, "output": tmp_path / "out.mp4", **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Blind(Scripted):
    def detect(self, view, quarter_turns=0):
        return []


def run(clip: Path, target: Path, config: Config, monkeypatch, detector) -> stream_anon.Report:
    pipeline = recipes.pipeline("redact")
    monkeypatch.setattr(analysis, "make_detector", lambda *_: detector)
    monkeypatch.setattr(recipes, "pipeline", lambda _: SimpleNamespace(build=pipeline.build))
    return stream_anon.redact(clip, target, config=config, method="fill")


@pytest.mark.parametrize(
    ("changes", "detector", "said"),
    [
        ({"detector.threshold": 0.5}, Blind(), "detector.threshold 0.5"),
        ({"tracker.interval": "1s"}, Blind(), "tracker.interval 1.0"),
        ({}, Blind(), None),
        ({"detector.threshold": 0.5}, Scripted(), None),
    ],
)
def test_unusual_settings_that_find_nobody_are_said_loudly(
    clip, tmp_path, monkeypatch, caplog, changes, detector, said
):
    config = override(Config(), **changes) if said or not changes else quick(**changes)
    with caplog.at_level(logging.WARNING, "stream_anon"):
        report = run(clip, tmp_path / "out.mp4", config, monkeypatch, detector)
    words = "no face was found at settings other than the default: "
    assert [note for note in report.notes if words in note] == ([words + said] if said else [])
    assert (words in caplog.text) == bool(said)


@pytest.mark.parametrize("link", [None, "symbolic", "hard"])
def test_the_input_is_never_planned_as_the_output(tmp_path, link):
    clip = write_clip(tmp_path / "clip.mp4", 2)
    target = clip if link is None else tmp_path / "other.mp4"
    if link == "symbolic":
        target.symlink_to(clip)
    elif link == "hard":
        target.hardlink_to(clip)
    with pytest.raises(UsageError, match="is the input; inputs are never written to"):
        stream_anon.plan(clip, target)


@pytest.mark.parametrize("name", ["ring.mp4", "x" * 300 + ".mp4", "file/out.mp4", "no/out.mp4"])
@pytest.mark.parametrize("part", ["output", "report", "input"])
def test_paths_that_the_system_refuses_are_our_errors(clip, tmp_path, name, part):
    (tmp_path / "ring.mp4").symlink_to("ring.mp4")
    (tmp_path / "file").write_text("x")
    given = {"input": clip, "output": tmp_path / "out.mp4", "report": tmp_path / "r.json"}
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(stream_anon.StreamAnonError) as caught:
        stream_anon.redact(**{**given, part: tmp_path / name}, method="fill", models_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_report_is_whole_or_not_there_and_replaces_nothing(clip, tmp_path, monkeypatch):
    report = tmp_path / "r.json"
    report.write_text("an earlier one")
    with pytest.raises(UsageError, match="exists"):
        stream_anon.redact(clip, tmp_path / "out.mp4", report=report, method="fill")
    assert report.read_text() == "an earlier one"
    assert not (tmp_path / "out.mp4").exists()
    pipeline = recipes.pipeline("redact")
    monkeypatch.setattr(analysis, "make_detector", lambda *_: Scripted())
    monkeypatch.setattr(recipes, "pipeline", lambda _: SimpleNamespace(build=pipeline.build))
    stream_anon.redact(clip, tmp_path / "out.mp4", report=report, method="fill", overwrite=True)
    assert report.read_text().startswith("{")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "r.json"]


def test_a_run_leaves_opencv_s_threads_as_they_were(tmp_path, monkeypatch):
    import cv2

    clip = write_clip(tmp_path / "in.mp4", 3)
    asked = []
    real = cv2.setNumThreads
    monkeypatch.setattr(cv2, "setNumThreads", lambda count: asked.append(count) or real(count))
    before = cv2.getNumThreads()
    stream_anon.redact(clip, tmp_path / "out.mp4", method="fill", verify="off")
    assert asked == [1, before]
