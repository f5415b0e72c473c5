"""Whole runs: a painter that fails, and what becomes of the file, the report and the exit code."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from types import SimpleNamespace

import av
import cv2
import jsonschema
import numpy as np
import pytest

import stream_anon
from stream_anon import recipes
from stream_anon.cli import run
from stream_anon.config import Config, load
from stream_anon.errors import Cancelled, InputError, ModelError, VerificationError
from stream_anon.models import registry
from stream_anon.pipeline.report import schema
from stream_anon.pipeline.second_look import aside
from stream_anon.verification import check, pairs
from stream_anon.verification.verifier import Verifier
from tests.verification import clips

FULL = {"method": "fill", "verify": "full"}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def configured(**verify):
    return Config.model_validate({"verify": verify, "method": {"name": "fill"}})


def test_a_proper_run_passes_and_says_so(clip, tmp_path):
    report = stream_anon.redact(clip, tmp_path / "out.mp4", **FULL)
    look = report.verification
    assert look.passed is True
    assert (look.mode, look.outcome, look.frames) == ("full", "published", 24)
    assert look.faces >= 20
    assert look.unchanged == look.unchanged_frames == 0
    assert look.detector in [model.name for model in report.models]
    assert look.detector != report.detector
    assert files(tmp_path) == ["out.mp4", "person.mp4"]


@pytest.mark.parametrize("method", ["pixelate", "blur", "visual-mixer", "identity", "dp-image"])
def test_every_method_passes(clip, tmp_path, method, recwarn):
    report = stream_anon.redact(clip, tmp_path / "out.mp4", method=method, verify="full")
    assert report.verification.passed is True


@pytest.mark.parametrize("mode", ["sampled", "full"])
def test_a_face_that_nobody_painted_fails_the_run(clip, tmp_path, monkeypatch, mode):
    out, report = tmp_path / "out.mp4", tmp_path / "r.json"
    with (
        clips.painting_fails(monkeypatch),
        pytest.raises(VerificationError, match="not verified") as caught,
    ):
        stream_anon.redact(clip, out, method="fill", verify=mode, report=report)
    assert files(tmp_path) == ["out.unverified.mp4", "person.mp4", "r.json"]
    look = json.loads(report.read_text())["verification"]
    wanted = 24 if mode == "full" else 3
    assert (look["frames"], look["unchanged_frames"]) == (wanted, wanted)
    assert look["passed"] is False
    assert look["outcome"] == "kept aside"
    assert "kept as out.unverified.mp4" in str(caught.value)


def test_the_default_is_a_sampled_check(clip, tmp_path, monkeypatch):
    assert Config().verify.mode == "sampled"
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mp4", method="fill")
    assert load(recipes.preset("careful")).verify.mode == "full"


def test_the_frames_concerned_are_named_and_no_others(clip, tmp_path, monkeypatch):
    report = tmp_path / "r.json"
    with clips.painting_fails(monkeypatch, {7, 8, 20}), pytest.raises(VerificationError) as caught:
        stream_anon.redact(clip, tmp_path / "out.mp4", report=report, **FULL)
    named = json.loads(report.read_text())["verification"]["named"]
    assert [(one["stream"], one["index"], one["faces"]) for one in named] == [
        (0, 7, 1), (0, 8, 1), (0, 20, 1),
    ]  # fmt: skip
    assert [one["seconds"] for one in named] == [0.28, 0.32, 0.8]
    assert "3 of 24 frames" in str(caught.value)
    assert "frame 7, at 0.280 s" in str(caught.value)


def test_a_part_of_a_turned_clip(tmp_path, monkeypatch):
    clip = clips.write(tmp_path / "turned.mp4", 20, rotation=180)
    config = Config.model_validate({"verify": {"mode": "full"}, "method": {"name": "fill"}})
    done = stream_anon.redact(clip, tmp_path / "out.mp4", config=config, start=0.2, end=0.6)
    assert done.verification.passed
    assert done.verification.frames == done.frames_out == 10
    report = tmp_path / "r.json"
    with clips.painting_fails(monkeypatch, {3}), pytest.raises(VerificationError):
        stream_anon.redact(
            clip, tmp_path / "out2.mp4", config=config, start=0.2, end=0.6, report=report
        )
    assert [n["index"] for n in json.loads(report.read_text())["verification"]["named"]] == [3]


def test_every_video_stream_is_checked(tmp_path, monkeypatch):
    clip = clips.write(tmp_path / "two.mkv", 12, videos=2)
    report = tmp_path / "r.json"
    from stream_anon.media.cpu_frame import CpuFrame

    real = CpuFrame.paste

    def paste(self, *arguments):
        if self.stream == 0:
            real(self, *arguments)

    monkeypatch.setattr(CpuFrame, "paste", paste)
    with pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mkv", report=report, **FULL)
    look = json.loads(report.read_text())["verification"]
    assert look["frames"] == 24
    assert {one["stream"] for one in look["named"]} == {1}


def test_no_place_of_a_face_is_in_the_report(clip, tmp_path, monkeypatch):
    report = tmp_path / "r.json"
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mp4", report=report, **FULL)
    told = json.loads(report.read_text())
    jsonschema.validate(told, schema())
    for one in told["verification"]["named"]:
        assert set(one) == {"stream", "index", "seconds", "faces"}
    words = json.dumps(told["verification"])
    assert not any(word in words for word in ("box", "score", "landmark", "[["))


def test_a_failed_file_can_be_removed(clip, tmp_path, monkeypatch):
    report = tmp_path / "r.json"
    config = configured(mode="full", on_failure="remove")
    with (
        clips.painting_fails(monkeypatch),
        pytest.raises(VerificationError, match="the file was removed"),
    ):
        stream_anon.redact(clip, tmp_path / "out.mp4", config=config, report=report)
    assert files(tmp_path) == ["person.mp4", "r.json"]
    told = json.loads(report.read_text())
    assert told["output"] is None
    assert told["verification"]["outcome"] == "removed"
    jsonschema.validate(told, schema())


def test_what_lies_there_is_not_replaced_by_a_failed_file(clip, tmp_path, monkeypatch):
    (tmp_path / "out.mp4").write_text("earlier")
    (tmp_path / "out.unverified.mp4").write_text("kept before")
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mp4", overwrite=True, **FULL)
    assert (tmp_path / "out.mp4").read_text() == "earlier"
    assert (tmp_path / "out.unverified.mp4").read_text() == "kept before"
    assert aside(tmp_path / "out.mp4").name == "out-3.unverified.mp4"


def test_off_is_off(clip, tmp_path, monkeypatch):
    with clips.painting_fails(monkeypatch):
        report = stream_anon.redact(clip, tmp_path / "out.mp4", method="fill", verify="off")
    assert report.verification is None
    shown = clips.frames(tmp_path / "out.mp4")
    assert np.abs(shown[3].astype(int) - clips.frames(clip)[3]).mean() < 3


@pytest.mark.parametrize("mode", ["sampled", "full"])
def test_an_output_that_cannot_be_read_is_a_failure(clip, tmp_path, monkeypatch, mode):
    from stream_anon.media.output.sink import FileSink

    real = FileSink.close

    def close(self):
        path = real(self)
        data = bytearray(path.read_bytes())
        start = data.find(b"mdat") + 4
        data[start : start + len(data) // 2] = bytes(len(data) // 2)
        path.write_bytes(data)
        return path

    monkeypatch.setattr(FileSink, "close", close)
    with pytest.raises(VerificationError, match="could not be verified"):
        stream_anon.redact(clip, tmp_path / "out.mp4", method="fill", verify=mode)
    assert files(tmp_path) == ["out.unverified.mp4", "person.mp4"]


def test_a_check_that_breaks_is_a_failure_that_names_no_hidden_file(clip, tmp_path, monkeypatch):
    def broken(self, stream):
        raise InputError(f"{self._output.name}: breaks off")
        yield

    monkeypatch.setattr(pairs.Pairs, "all", broken)
    with pytest.raises(VerificationError, match=r"out\.mp4: breaks off"):
        stream_anon.redact(clip, tmp_path / "out.mp4", **FULL)


def test_a_check_that_breaks_tells_the_report_no_name(clip, tmp_path, monkeypatch):
    def broken(self, stream):
        raise InputError(f"{self._original}: breaks off")
        yield

    monkeypatch.setattr(pairs.Pairs, "all", broken)
    report = tmp_path / "r.json"
    with pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mp4", report=report, **FULL)
    assert json.loads(report.read_text())["verification"]["problem"] == "the input: breaks off"
    assert str(tmp_path) not in report.read_text()
    assert clip.name not in report.read_text()


def test_without_the_second_network_a_full_check_stops_before_anything_is_done(
    clip, tmp_path, monkeypatch
):
    _hide(monkeypatch)
    with pytest.raises(ModelError):
        stream_anon.redact(clip, tmp_path / "out.mp4", **FULL)
    assert files(tmp_path) == ["person.mp4"]


def test_without_the_second_network_a_run_says_that_it_was_not_verified(
    clip, tmp_path, monkeypatch, caplog
):
    _hide(monkeypatch)
    with caplog.at_level(logging.WARNING, "stream_anon"):
        report = stream_anon.redact(clip, tmp_path / "out.mp4", method="fill")
    assert report.verification.passed is None
    assert report.verification.problem == (
        "the network blazeface that looks again is not on this machine"
    )
    assert "will not be verified" in caplog.text
    assert (tmp_path / "out.mp4").exists()


def _hide(monkeypatch):
    real = registry.path

    def path(name, *rest, **named):
        if name != "centerface":
            raise ModelError(f"model '{name}' is missing")
        return real(name, *rest, **named)

    monkeypatch.setattr(registry, "path", path)
    monkeypatch.setattr(registry, "_remember", lambda tried: None)
    monkeypatch.setattr(registry, "verify", lambda *a, **k: "missing")


def test_a_stop_during_the_check_leaves_nothing(clip, tmp_path, monkeypatch):
    from stream_anon.verification.verifier import Verifier

    stop = threading.Event()
    real = Verifier.check

    def check(self, *arguments):
        stop.set()
        return real(self, *arguments)

    monkeypatch.setattr(Verifier, "check", check)
    with pytest.raises(Cancelled):
        stream_anon.redact(clip, tmp_path / "out.mp4", cancel=stop, **FULL)
    assert files(tmp_path) == ["person.mp4"]


def test_a_long_file_is_looked_at_here_and_there(tmp_path, monkeypatch):
    clip = clips.write(tmp_path / "long.mp4", 500, options={"g": "50"})
    out = tmp_path / "out.mp4"
    config = Config.model_validate({"verify": {"every": 4.0, "share": 1.0}})
    calls = []
    real = pairs.Pairs.all
    monkeypatch.setattr(pairs.Pairs, "all", lambda *a: calls.append(a) or real(*a))
    # The time that may be spent is not what is tested: a busy machine must not end the check.
    monkeypatch.setattr(check, "time", SimpleNamespace(monotonic=lambda: 0.0))
    report = stream_anon.redact(clip, out, config=config, method="fill")
    assert report.verification.frames == 5
    assert not calls
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError) as caught:
        stream_anon.redact(clip, out, config=config, method="fill", overwrite=True)
    look = caught.value.report.verification
    assert look.unchanged_frames == look.frames == 5
    named = sorted((one.index, one.seconds) for one in look.named)
    assert all(seconds == pytest.approx(index / 25, abs=0.001) for index, seconds in named)
    # One in each stretch.
    assert [int(seconds // 4) for _, seconds in named] == list(range(5))


@pytest.mark.parametrize("error", [MemoryError(), cv2.error("no crop")], ids=["memory", "cv2"])
def test_a_check_that_breaks_is_a_failed_check(clip, tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(Verifier, "places", broken)
    with pytest.raises(VerificationError, match="could not be verified"):
        stream_anon.redact(clip, tmp_path / "out.mp4", **FULL)
    assert files(tmp_path) == ["out.unverified.mp4", "person.mp4"]


def test_a_sampled_check_ends_when_its_time_is_spent(tmp_path):
    clip = clips.write(tmp_path / "long.mp4", 500, options={"g": "50"})
    config = Config.model_validate({"verify": {"every": 0.1, "share": 1e-6}})
    report = stream_anon.redact(clip, tmp_path / "out.mp4", config=config, method="fill")
    assert report.verification.frames == 3


def test_on_the_command_line(clip, tmp_path, monkeypatch, capfd):
    out, report = tmp_path / "out.mp4", tmp_path / "r.json"
    order = ["redact", str(clip), "-o", str(out), "--method", "fill", "--verify", "full"]
    with clips.painting_fails(monkeypatch):
        assert run([*order, "--report", str(report)]) == 1
    said = capfd.readouterr().err
    assert "not verified" in said
    assert said.strip().count("\n") == 0
    assert not out.exists()
    assert json.loads(report.read_text())["verification"]["passed"] is False
    assert run([*order, "-y"]) == 0
    assert "24 frames checked again" in capfd.readouterr().out


def test_a_dry_run_tells_and_does_nothing(clip, tmp_path, capfd):
    assert run(["redact", str(clip), "--dry-run", "--verify", "full"]) == 0
    assert "verification full, on failure: keep-aside" in capfd.readouterr().out
    assert files(tmp_path) == ["person.mp4"]


def test_a_file_kept_aside_is_no_input_of_the_next_run(clip, tmp_path, capfd):
    (tmp_path / "old_anonymized.unverified.mp4").write_bytes(b"x")
    assert run(["redact", str(tmp_path), "--dry-run"]) == 0
    assert "old_anonymized" not in capfd.readouterr().out


def test_containers_without_an_index(tmp_path, monkeypatch):
    clip = clips.write(tmp_path / "person.ts", 20)
    assert stream_anon.redact(clip, tmp_path / "out.ts", **FULL).verification.passed
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "bad.ts", method="fill")
    with av.open(str(tmp_path / "out.ts")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


@pytest.mark.parametrize("mode", ["sampled", "full"])
def test_who_is_left_visible_on_purpose_is_no_failure(clip, tmp_path, mode):
    tracks = tmp_path / "t.jsonl"
    stream_anon.analyze(clip, tracks)
    assert run(["tracks", "keep", str(tracks), "1", "--reason", "gave consent"]) == 0
    report = stream_anon.render(clip, tracks, tmp_path / "out.mp4", method="fill", verify=mode)
    assert [part.frames for part in report.kept] == [24]
    assert report.verification.passed is True
    shown = clips.frames(tmp_path / "out.mp4")
    assert np.abs(shown[3].astype(int) - clips.frames(clip)[3]).mean() < 3


def test_who_is_visible_for_a_time_is_covered_at_others(clip, tmp_path, monkeypatch):
    tracks, report = tmp_path / "t.jsonl", tmp_path / "r.json"
    stream_anon.analyze(clip, tracks)
    assert run(["tracks", "keep", str(tracks), "1", "--reason", "consent", "--to", "0.4"]) == 0
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.render(
            clip, tracks, tmp_path / "out.mp4", method="fill", verify="full", report=report
        )
    told = json.loads(report.read_text())
    named = [one["index"] for one in told["verification"]["named"]]
    assert named == list(range(told["kept"][0]["frames"], 24))
    assert 9 <= len(named) < 24


def test_the_report_tells_of_the_file_that_lies_there(clip, tmp_path, monkeypatch):
    report = tmp_path / "r.json"
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError):
        stream_anon.redact(clip, tmp_path / "out.mp4", report=report, **FULL)
    kept, told = tmp_path / "out.unverified.mp4", json.loads(report.read_text())
    assert told["output"] == {
        "name": kept.name,
        "bytes": kept.stat().st_size,
        "sha256": hashlib.sha256(kept.read_bytes()).hexdigest(),
    }
    assert "person.mp4" not in report.read_text()
