"""Attempts 26 to 29: a Tracks file that lies, under both fault policies.

Damage and forgeries that are found when the file is read stand in ``tests/tracks/test_file.py``;
here each of them goes through the command line, and every file that is left is looked at.
"""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from stream_anon.cli import run
from stream_anon.errors import TracksError
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.analyze import analyze_file
from stream_anon.tracks.reader import TracksFile
from tests.attacks.scene import FRAMES, Scripted, leaks, quick, write_clip
from tests.tracks.test_file import DAMAGE, LIES, lines_of
from tests.tracks.tools import forge

POLICIES = ("stop", "step-down")


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    clip = write_clip(folder / "scene.mp4")

    def second(index, faces):
        other = type(faces[0])(faces[0].box + np.array([150.0, 0.0, 150.0, 0.0]), None, 0.9)
        return [*faces, other] if index >= 4 else faces

    made = lambda config: DetectAndTrack(Scripted(second), config)  # noqa: E731
    analyze_file(clip, folder / "t.jsonl", quick(), analyzer_of=made)
    return folder


@pytest.fixture
def scene(analysed, tmp_path):
    for name in ("scene.mp4", "t.jsonl"):
        shutil.copy(analysed / name, tmp_path / name)
    return tmp_path


def render(folder, policy, *options):
    words = ["render", str(folder / "scene.mp4"), "--tracks", str(folder / "t.jsonl")]
    words += ["-o", str(folder / "out.mp4"), "-q", "-y", "--method", "pixelate"]
    return run([*words, "--on-fault", policy, *options])


def nothing_leaks(folder):
    assert leaks(folder, folder / "scene.mp4") == []
    return sorted(path.name for path in folder.iterdir())


def test_the_way_it_should_be(scene):
    assert render(scene, "stop") == 0
    assert nothing_leaks(scene) == ["out.mp4", "scene.mp4", "t.jsonl"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", [*LIES, *(f"damage: {name}" for name in DAMAGE)])
def test_26_a_file_that_lies_or_is_damaged_is_refused_before_anything_is_written(
    scene, capfd, name, policy
):
    path = scene / "t.jsonl"
    if name in LIES:
        forge(path, LIES[name])
    elif name.removeprefix("damage: ") in ("a place changed", "the hash of the input changed"):
        raw = path.read_bytes()
        header, rest = raw.split(b"\n", 1)
        old = json.loads(header)["input"]["sha256"].encode()
        path.write_bytes(raw.replace(old, b"0" * 64, 1) if "hash" in name else spoil(header, rest))
    else:
        damage = DAMAGE[name.removeprefix("damage: ")]
        path.write_bytes(b"".join(damage(lines_of(path))))
    assert render(scene, policy) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said
    assert nothing_leaks(scene) == ["scene.mp4", "t.jsonl"]


def spoil(header, rest):
    """One digit of one box."""
    at = rest.index(b'"box":[') + 8
    return header + b"\n" + rest[:at] + bytes([rest[at] ^ 1]) + rest[at + 1 :]


@pytest.mark.parametrize("policy", POLICIES)
def test_27_a_file_of_another_video_is_refused(scene, capfd, policy):
    write_clip(scene / "scene.mp4", FRAMES - 1)
    assert render(scene, policy) == 1
    assert "another file" in capfd.readouterr().err
    assert nothing_leaks(scene) == ["scene.mp4", "t.jsonl"]


@pytest.mark.parametrize("policy", POLICIES)
def test_28_a_frame_that_is_not_in_the_file_is_covered_whole_or_ends_the_run(scene, policy):
    forge(scene / "t.jsonl", lambda lines: lines.pop(-2) and None)
    code = render(scene, policy, "--report", str(scene / "report.json"))
    if policy == "stop":
        assert code == 1
        assert nothing_leaks(scene) == ["scene.mp4", "t.jsonl"]
        return
    assert code == 0
    nothing_leaks(scene)
    report = json.loads((scene / "report.json").read_text())
    assert report["frames"]["stepped_down"] == {"pixelated": 1}
    assert report["frames"]["reasons"]["the Tracks file has no line for it"] == 1


def test_27_the_tracks_file_is_not_written_over(scene, capfd):
    tracks = scene / "t.jsonl"
    before = tracks.read_bytes()
    for options in (["-o", str(tracks)], ["--report", str(tracks)]):
        assert render(scene, "stop", *options) == 2
        assert "Tracks file" in capfd.readouterr().err
    assert tracks.read_bytes() == before


@pytest.mark.parametrize("policy", POLICIES)
def test_28_a_frame_marked_unknown_is_not_shown_by_an_edit(scene, policy):
    """Neither by a track that is kept visible, nor by a zone that is never painted."""
    path = scene / "t.jsonl"
    forge(path, lambda lines: lines[10].update(unknown="the detector failed"))
    assert run(["tracks", "keep", str(path), "2", "--reason", "consent"]) == 0
    whole = ["--box", "280,0,320,20", "--never", "--reason", "a poster"]
    assert run(["tracks", "zone", str(path), *whole]) == 0
    code = render(scene, policy)
    assert code == (1 if policy == "stop" else 0)
    nothing_leaks(scene)
    assert (scene / "out.mp4").exists() == (policy == "step-down")


def test_29_a_file_that_is_swapped_during_the_run_changes_nothing(scene):
    """The file that was checked is the one that is read: it is opened once."""
    path = scene / "t.jsonl"
    with TracksFile(path) as file:
        before = file.raw("0", 20)
        forge(path, lambda lines: [line.update(items=[]) for line in lines[1:-1]] and None)
        other = scene / "other.jsonl"
        shutil.copy(path, other)
        os.replace(other, path)
        try:
            assert file.raw("0", 20) == before
        except TracksError:
            return




def test_29_the_report_and_the_log_hold_no_place(scene, capfd):
    assert render(scene, "stop", "--report", str(scene / "report.json"), "-y") == 0
    with TracksFile(scene / "t.jsonl") as file:
        numbers = {repr(value) for item in file.raw("0", 20).items for value in item.box}
    said = (scene / "report.json").read_text() + "".join(capfd.readouterr())
    assert not [number for number in numbers if number in said]
