"""The manifest keeps its schema, and the schema is the one that is committed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

import stream_anon
from stream_anon import recipes
from stream_anon.config import Config, override
from stream_anon.errors import InputError, OutputError, UsageError
from stream_anon.models import registry
from stream_anon.pipeline.report import schema
from tests.attacks.scene import write_clip
from tests.media.damage import hide_sound


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    clip = write_clip(folder / "clip.mp4", 12)
    path = folder / "report.json"
    stream_anon.redact(clip, folder / "out.mp4", report=path)
    return json.loads(path.read_text())


def test_the_committed_schema_is_the_one_of_the_code(root):
    committed = json.loads((root / "docs" / "report.schema.json").read_text())
    how = "run: python -m stream_anon.pipeline.report > docs/report.schema.json"
    assert committed == schema(), how


def test_a_report_keeps_the_schema(report):
    Draft202012Validator.check_schema(schema())
    jsonschema.validate(report, schema())


@pytest.mark.parametrize("spoil", [{"extra": 1}, {"frames": None}, {"schema_version": 2}])
def test_the_schema_refuses_what_is_no_report(report, spoil):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report, **spoil}, schema())


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("anna") / "Anna Meier at home.mp4", 4)


def made(clip, tmp_path, **changes):
    config = override(Config(), **{"method.name": "fill", **changes})
    path = tmp_path / "report.json"
    stream_anon.redact(clip, tmp_path / "out.mp4", config=config, report=path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, (None, "out.mp4")),
        ({"video.keep_metadata": True}, ("Anna Meier at home.mp4", "out.mp4")),
        ({"report.file_names": "both"}, ("Anna Meier at home.mp4", "out.mp4")),
        ({"video.keep_metadata": True, "report.file_names": "output"}, (None, "out.mp4")),
        ({"report.file_names": "none"}, (None, None)),
    ],
)
def test_names_are_dropped_as_other_metadata_is(clip, tmp_path, changes, names):
    report = made(clip, tmp_path, **changes)
    assert (report["input"]["name"], report["output"]["name"]) == names
    left_out = "report: name of the input file" in report["dropped"]
    assert left_out == (names[0] is None)
    for name, part in ((clip.name, "input"), ("out.mp4", "output")):
        assert (name in json.dumps(report)) == (report[part]["name"] is not None)
        path = clip if part == "input" else tmp_path / "out.mp4"
        assert report[part]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert report[part]["bytes"] == path.stat().st_size
    jsonschema.validate(report, schema())


def test_folders_of_this_machine_are_not_in_it(clip, tmp_path, monkeypatch):
    folder = tmp_path / "weights of the firm"
    folder.mkdir()
    found = registry.path("centerface")
    (folder / found.name).write_bytes(found.read_bytes())
    text = json.dumps(made(clip, tmp_path, models_dir=str(folder)))
    assert "weights of the firm" not in text
    assert "models_dir" not in text
    for path in (tmp_path, clip.parent, Path.home()):
        assert str(path) not in text


def test_hidden_sound_that_is_left_out_is_told(tmp_path):
    clip = hide_sound(write_clip(tmp_path / "a.mp4", 50), tmp_path / "b.mp4", 1.0)
    made = stream_anon.redact(clip, tmp_path / "out.mp4", method="fill")
    (note,) = [n for n in made.notes if "left out" in n]
    assert note.startswith("stream 1: ")
    assert note.endswith(" packets from outside of what is presented are left out")


def test_hashes_are_of_what_was_read_and_written(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 6)
    made = stream_anon.redact(clip, tmp_path / "out.mp4", method="fill")
    for part, path in ((made.input, clip), (made.output, tmp_path / "out.mp4")):
        assert part.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert part.bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("how", "policy"),
    [("replaced", "stop"), ("grown", "step-down"), ("gone", "stop"), ("touched", "stop")],
)
def test_an_input_that_changes_meanwhile_ends_the_run(tmp_path, how, policy):
    clip = write_clip(tmp_path / "a.mp4", 40)
    other = write_clip(tmp_path / "b.mp4", 20)
    done = []

    def change(progress) -> None:
        # At the first tick: the detector has hardly begun, and the queue before it is short.
        if not done:
            done.append(how)
            if how == "replaced":
                os.replace(other, clip)
            elif how == "grown":
                with clip.open("ab") as file:
                    file.write(b"more")
            elif how == "gone":
                clip.unlink()
            else:
                os.utime(clip, ns=(0, 12345))

    with pytest.raises(InputError, match=r"a\.mp4: (changed|went away) while it was read"):
        stream_anon.redact(
            clip,
            tmp_path / "out.mp4",
            method="fill",
            report=tmp_path / "r.json",
            on_fault=policy,
            progress=change,
        )
    assert done
    assert sorted(p.name for p in tmp_path.iterdir() if p.name not in ("a.mp4", "b.mp4")) == []


@pytest.mark.parametrize("where", ["folder", "exists", "gone/r.json", "a.mp4", "out.mp4"])
def test_the_report_s_place_is_checked_before_the_work(tmp_path, monkeypatch, where):
    clip = write_clip(tmp_path / "a.mp4", 6)
    (tmp_path / "folder").mkdir()
    (tmp_path / "exists").write_text("yesterday's")
    monkeypatch.setattr(recipes, "pipeline", lambda name: pytest.fail("the work has begun"))
    with pytest.raises((UsageError, OutputError)):
        stream_anon.redact(clip, tmp_path / "out.mp4", report=tmp_path / where)
    assert (tmp_path / "exists").read_text() == "yesterday's"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "exists", "folder"]


def test_a_report_is_whole_or_not_there(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "a.mp4", 6)
    report = tmp_path / "r.json"
    report.write_text("yesterday's")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(OutputError, match=r"r\.json: cannot be written \(no space left"):
        stream_anon.redact(clip, tmp_path / "out.mp4", method="fill", report=report, overwrite=True)
    assert report.read_bytes() == b"yesterday's"
    assert not list(tmp_path.glob(".*"))


def test_what_it_tells(report):
    assert report["frames"]["input"] == report["frames"]["output"] == 12
    assert len(report["input"]["sha256"]) == len(report["output"]["sha256"]) == 64
    assert {s["action"] for s in report["streams"]} == {"redact", "copy"}
    assert report["models"][0]["name"] == "centerface"
    assert set(report["time"]["wall"]) >= {"decode", "detect and track", "paint", "encode"}
    assert report["time"]["total"] > 0
