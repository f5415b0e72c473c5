"""Photos through everything: detector, gate, second look, report, Tracks file, command line."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

import stream_anon
from stream_anon.cli import run
from stream_anon.errors import InputError, VerificationError
from tests.media.clips import make_clip
from tests.verification import clips

FACE = np.s_[70:170, 180:270]
"""Of the portrait's first frame, found by eye: where its face is."""


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return clips.portrait()


@pytest.fixture
def photo(portrait, tmp_path):
    Image.fromarray(portrait).save(tmp_path / "a.jpg", quality=92)
    return tmp_path / "a.jpg"


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_photo_is_redacted_and_looked_at_again(photo, tmp_path):
    report = stream_anon.redact(photo, method="fill", verify="full", report=tmp_path / "r.json")
    out = tmp_path / "a_anonymized.jpg"
    assert report.frames_in == report.frames_out == 1
    assert len(report.tracks) == 1
    assert report.verification.passed is True
    assert report.verification.faces >= 1
    assert report.streams[0].reason == "a photo, written as JPEG"
    before, after = pixels(photo), pixels(out)
    off = np.abs(before.astype(int) - after).max(axis=2) > 12
    assert off[FACE].mean() > 0.8
    assert off[:, :60].mean() < 0.001
    assert json.loads((tmp_path / "r.json").read_text())["output"]["bytes"] == out.stat().st_size


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_that_is_turned_is_redacted_where_it_shows_the_face(
    portrait, tmp_path, orientation
):
    from PIL import ImageOps

    turns = {3: 2, 6: 1, 8: 3}[orientation]
    made = Image.Exif()
    made[0x0112] = orientation
    stored = np.ascontiguousarray(np.rot90(portrait, turns))
    Image.fromarray(stored).save(tmp_path / "a.png", exif=made)
    report = stream_anon.redact(tmp_path / "a.png", tmp_path / "out.png", method="fill")
    assert len(report.tracks) == 1
    with Image.open(tmp_path / "out.png") as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    off = (shown != portrait).any(axis=2)
    assert off[FACE].mean() > 0.8
    assert not off[:, :60].any()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_a_face_that_nobody_painted_fails_the_run(portrait, tmp_path, monkeypatch, name):
    Image.fromarray(portrait).save(tmp_path / name)
    out = tmp_path / f"out{name[1:]}"
    with clips.painting_fails(monkeypatch), pytest.raises(VerificationError, match="not verified"):
        stream_anon.redact(tmp_path / name, out, method="fill")
    assert not out.exists()
    assert (tmp_path / f"out.unverified{name[1:]}").exists()


def test_analyze_and_render_give_what_redact_gives(photo, tmp_path):
    stream_anon.redact(photo, tmp_path / "one.png", method="pixelate")
    stream_anon.analyze(photo, tmp_path / "t.jsonl")
    stream_anon.render(photo, tmp_path / "t.jsonl", tmp_path / "two.png", method="pixelate")
    np.testing.assert_array_equal(pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png"))


def test_a_new_face_in_a_photo(photo, tmp_path):
    report = stream_anon.redact(photo, tmp_path / "out.jpg", method="identity")
    assert report.privacy["tracks"]
    assert report.verification.passed is True


def test_a_damaged_photo_leaves_nothing(photo, tmp_path):
    photo.write_bytes(photo.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"a\.jpg"):
        stream_anon.redact(photo, tmp_path / "out.jpg", method="fill")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg"]


def test_a_folder_of_photos_and_videos(photo, portrait, tmp_path, capfd):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    photo.rename(folder / "a.jpg")
    cv2.imwrite(str(folder / "deep/b.png"), portrait[..., ::-1])
    (folder / "c.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (folder / "notes.txt").write_text("no picture")
    make_clip(folder / "d.mp4", count=5)
    summary = tmp_path / "s.json"
    words = ["redact", folder, "-o", tmp_path / "out", "--method", "fill", "--summary", summary]
    assert run([str(word) for word in words]) == 1
    out = tmp_path / "out"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == [
        "a.jpg", "d.mp4", "deep/b.png",
    ]  # fmt: skip
    err = capfd.readouterr().err
    assert "1 of 4 inputs failed" in err
    assert "c.jpg" in err
    told = json.loads(summary.read_text())
    assert told["counts"] == {"done": 3, "failed": 1}
    assert {entry["status"] for entry in told["inputs"]} == {"done", "failed"}
