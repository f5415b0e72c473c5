"""Every verb of ``stream-anon tracks``, from the command line to the samples of the result."""

from __future__ import annotations

import json
import shutil

import av
import numpy as np
import pytest

from stream_anon.cli import run
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.analyze import analyze_file
from stream_anon.tracks.reader import TracksFile
from tests.attacks.scene import (
    FRAMES,
    SIDE,
    Scripted,
    corner,
    face_at,
    quick,
    shows_face,
    write_clip,
)
from tests.media.clips import make_clip


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A clip and its Tracks file: the face that the scene shows, and one that is not there."""
    folder = tmp_path_factory.mktemp("scene")
    clip = write_clip(folder / "scene.mp4")

    def also_a_ghost(index, faces):
        ghost = type(faces[0])(np.array([250.0, 170.0, 300.0, 230.0]), None, 0.9)
        return [*faces, ghost]

    analyze(clip, folder / "t.jsonl", also_a_ghost)
    return folder


def analyze(clip, tracks, wrong=None, config=None):
    made = lambda options: DetectAndTrack(Scripted(wrong), options)  # noqa: E731
    return analyze_file(clip, tracks, config or quick(), analyzer_of=made)


class Desk:
    """A reviewer's desk: a clip, its Tracks file, and the command line."""

    def __init__(self, folder, capsys):
        self.folder, self._capsys = folder, capsys
        self.clip, self.path = folder / "scene.mp4", folder / "t.jsonl"

    def tracks(self, verb, *arguments, code=0):
        assert run(["tracks", verb, str(self.path), *map(str, arguments)]) == code
        return self._capsys.readouterr()

    def render(self, *options, method="pixelate"):
        """Frames of the result as RGB, and the report."""
        out, report = self.folder / "out.mp4", self.folder / "report.json"
        words = ["render", str(self.clip), "--tracks", str(self.path), "-o", str(out), "-q", "-y"]
        assert run([*words, "--method", method, "--report", str(report), *options]) == 0
        with av.open(str(out)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return frames, json.loads(report.read_text())


@pytest.fixture
def desk(scene, tmp_path, capsys):
    for name in ("scene.mp4", "t.jsonl"):
        shutil.copy(scene / name, tmp_path / name)
    return Desk(tmp_path, capsys)


def shown(frames):
    """In which frames the face can be made out."""
    return [n for n, rgb in enumerate(frames) if shows_face(rgb, n)]


def flat(rgb, x0, y0, x1, y1):
    """How far an area is from being of one colour."""
    return float(rgb[y0:y1, x0:x1].astype(float).std(axis=(0, 1)).max())


FACE = "1"


def test_without_edits_the_face_is_covered(desk):
    frames, report = desk.render()
    assert shown(frames) == []
    assert report["kept"] == []
    assert report["analysis"]["edits"] == {}


def test_keep(desk):
    desk.tracks("keep", FACE, "--reason", "gave consent", "--from", "0.4s", "--to", "800ms")
    frames, report = desk.render()
    assert shown(frames) == list(range(10, 21))
    (kept,) = report["kept"]
    assert (kept["track"], kept["reason"], kept["frames"]) == (1, "gave consent", 11)
    assert (kept["first_seconds"], kept["last_seconds"]) == (0.4, 0.8)
    assert report["analysis"]["edits"] == {"keep": 1}


def test_keep_needs_a_reason_and_a_track_that_is_there(desk):
    assert "reason" in desk.tracks("keep", FACE, code=2).err
    assert "no track 9" in desk.tracks("keep", 9, "--reason", "x", code=1).err
    assert "reason" in desk.tracks("keep", FACE, "--reason", " ", code=2).err
    with TracksFile(desk.path) as file:
        assert file.edits == ()


def test_undo(desk):
    desk.tracks("keep", FACE, "--reason", "gave consent")
    desk.tracks("undo", 1)
    frames, report = desk.render()
    assert shown(frames) == []
    assert report["kept"] == []
    desk.tracks("undo", 2)
    assert len(shown(desk.render()[0])) == FRAMES


def test_method(desk):
    before, _ = desk.render()
    desk.tracks("method", FACE, "--to", "fill")
    frames, report = desk.render()
    for n in (5, 20):
        x, y = (round(v) for v in corner(n))
        area = (x + 40, y + 40, x + 60, y + 65)
        assert flat(frames[n], *area) < 4 < flat(before[n], *area)
    assert report["method"] == "pixelate"
    assert "no method 'smear'" in desk.tracks("method", FACE, "--to", "smear", code=2).err


@pytest.fixture
def waves(tmp_path, capsys):
    """A clip full of waves in which nothing was found."""
    clip = make_clip(tmp_path / "scene.mp4", size=(320, 240), count=25)
    analyze(clip, tmp_path / "t.jsonl", lambda index, faces: [])
    return Desk(tmp_path, capsys)


def test_add(waves):
    waves.tracks("add", "--box", "100,100,180,160", "--from", "0.4s", "--to", "0.8s")
    frames, report = waves.render()
    painted = [n for n, rgb in enumerate(frames) if flat(rgb, 101, 101, 180, 160) < 4]
    assert painted == list(range(10, 21))
    assert all(flat(rgb, 20, 20, 80, 80) > 20 for rgb in frames)
    (track,) = report["tracks"]
    assert (track["track"], track["label"], track["frames"]) == (1, "region", 11)


def test_add_moves_between_keyframes(waves):
    waves.tracks(
        "add", "--keyframe", "0:20,20,60,60", "--keyframe", "800ms:220,100,260,140",
        "--method", "fill",
    )  # fmt: skip
    frames, _ = waves.render()
    for n in range(21):
        x, y = 20 + 10 * n, 20 + 4 * n
        assert flat(frames[n], x + 1, y + 1, x + 40, y + 40) < 4, n
    assert flat(frames[0], 220, 100, 260, 140) > 20
    assert flat(frames[20], 20, 20, 60, 60) > 20


def test_add_follows(tmp_path, capsys):
    """A detector that sees nothing, and a person who draws one box."""
    clip = write_clip(tmp_path / "scene.mp4")
    analyze(clip, tmp_path / "t.jsonl", lambda index, faces: [])
    desk = Desk(tmp_path, capsys)
    assert len(shown(desk.render()[0])) == FRAMES, "nothing was found"
    box = ",".join(f"{value:.1f}" for value in face_at(0).box)
    desk.tracks("add", "--box", box, "--from", "0s", "--to", "9s")
    held = shown(desk.render()[0])
    assert len(held) > FRAMES // 4, "the face moves out of a box that does not"
    desk.tracks("undo", 1)
    desk.tracks("add", "--box", box, "--from", "0s", "--to", "9s", "--follow", clip)
    frames, _ = desk.render()
    assert shown(frames) == []
    with TracksFile(desk.path) as file:
        for n in range(FRAMES):
            (item,) = file.frame("0", n).items
            assert item.box[0] <= face_at(n).box[0] + 3
            assert item.box[2] >= face_at(n).box[2] - 3
            assert item.box[2] - item.box[0] < 1.5 * SIDE
    other = write_clip(tmp_path / "other.mp4", 5)
    said = desk.tracks("add", "--box", box, "--from", 0, "--to", 1, "--follow", other, code=1)
    assert "another file" in said.err


def test_split_and_merge(desk):
    desk.tracks("split", FACE, "--at", "0.6s")
    desk.tracks("keep", "3", "--reason", "the second half")
    frames, report = desk.render()
    assert shown(frames) == list(range(15, FRAMES))
    assert report["kept"][0]["track"] == 3
    # Merged afterwards, the first half does not become visible with the second.
    desk.tracks("merge", "3", FACE)
    assert shown(desk.render()[0]) == list(range(15, FRAMES))
    desk.tracks("undo", 2)
    frames, report = desk.render()
    assert shown(frames) == []
    assert [part["track"] for part in report["tracks"]] == [2, 3]


def test_merge_of_two_in_one_frame_is_refused(desk):
    assert "in one frame" in desk.tracks("merge", FACE, "2", code=2).err


def test_zone_always(desk):
    desk.tracks("keep", FACE, "--reason", "so that the zone alone covers it")
    # The right half of the way: the face comes out of it.
    desk.tracks("zone", "--polygon", "0,0 320,0 320,240 160,240 90,120 0,240", "--always")
    frames, report = desk.render()
    assert shown(frames) == []
    assert {"track": 3, "label": "region"}.items() <= report["tracks"][-1].items()
    assert flat(frames[0], 100, 10, 300, 60) < 4


def test_zone_never(desk):
    whole = ["--box", "0,0,320,240"]
    assert "reason" in desk.tracks("zone", *whole, "--never", code=2).err
    desk.tracks("zone", *whole, "--never", "--reason", "a film poster", "--to", "0.4s")
    frames, report = desk.render()
    assert shown(frames) == list(range(11))
    assert {(part["track"], part["reason"]) for part in report["kept"]} == {
        (1, "a film poster"),
        (2, "a film poster"),
    }


def test_a_zone_that_holds_half_of_a_face_does_not_show_it(desk):
    x, _ = corner(5)
    box = f"0,0,{x + SIDE / 2},240"
    desk.tracks("zone", "--box", box, "--never", "--reason", "a poster")
    frames, _ = desk.render()
    assert 5 not in shown(frames)


def test_list_show_and_log(desk):
    desk.tracks("keep", FACE, "--reason", "gave consent", "--author", "anna")
    desk.tracks("zone", "--box", "10,10,50,50", "--always", "--author", "ben")
    words = desk.tracks("list").out
    assert "VISIBLE: gave consent" in words
    assert "region" in words
    found = {one["track"]: one for one in json.loads(desk.tracks("list", "--json").out)}
    assert found["1"]["frames"] == FRAMES
    assert 80 < found["1"]["largest"] < 120
    assert "frame 10 at 0.400s" in desk.tracks("show", "--at", "410ms").out
    assert len(json.loads(desk.tracks("show", "--frame", 10, "--json").out)["items"]) == 3
    assert "no frame 99" in desk.tracks("show", "--frame", 99, code=2).err
    log = desk.tracks("log").out
    assert "anna" in log
    assert "ben" in log
    assert json.loads(desk.tracks("log", "--json").out)[0]["change"]["reason"] == "gave consent"


def test_the_author_is_who_says_so(desk, monkeypatch):
    monkeypatch.setenv("STREAM_ANON_AUTHOR", "carla")
    desk.tracks("keep", FACE, "--reason", "consent")
    monkeypatch.delenv("STREAM_ANON_AUTHOR")
    monkeypatch.setenv("LOGNAME", "dora")
    desk.tracks("undo", 1)
    with TracksFile(desk.path) as file:
        assert [edit.author for edit in file.edits] == ["carla", "dora"]


@pytest.mark.parametrize(
    "words",
    [
        ["add", "--box", "10,10,5,50", "--from", "0", "--to", "1"],
        ["add", "--box", "nan,10,50,50", "--from", "0", "--to", "1"],
        ["add", "--box", "1,2,3", "--from", "0", "--to", "1"],
        ["add", "--box", "10,10,50,50", "--from", "1", "--to", "0"],
        ["add", "--box", "10,10,50,50", "--from", "1"],
        ["add", "--from", "0", "--to", "1"],
        ["add", "--box", "10,10,50,50", "--from", "0", "--to", "1", "--method", "identity"],
        ["add", "--box", "900,900,950,950", "--from", "0", "--to", "1"],
        ["add", "--box", "10,10,50,50", "--from", "0", "--to", "1", "--stream", "7"],
        ["zone", "--polygon", "0,0 10,10", "--always"],
        ["zone", "--polygon", "0,0 10,10 10,0 0,10", "--always"],
        ["zone", "--always"],
        ["zone", "--box", "0,0,10,10"],
        ["split", "9", "--at", "1s"],
        ["undo", "5"],
        ["show"],
    ],
)
def test_nonsense_is_refused_in_one_line_and_nothing_is_written(desk, words):
    before = desk.path.read_bytes()
    assert run(["tracks", words[0], str(desk.path), *words[1:]]) in (1, 2)
    assert desk.path.read_bytes() == before


def test_two_streams_three_targets_and_four_methods_in_one_run(tmp_path, capsys):
    clip = make_clip(tmp_path / "scene.mp4", size=(320, 240), videos=2, count=12, audio=["aac"])

    def two(index, faces):
        first = type(faces[0])(np.array([40.0, 40.0, 90.0, 100.0]), None, 0.9)
        second = type(faces[0])(np.array([200.0, 40.0, 250.0, 100.0]), None, 0.9)
        return [first, second]

    analyze(clip, tmp_path / "t.jsonl", two)
    desk = Desk(tmp_path, capsys)
    with TracksFile(desk.path) as file:
        by_stream = {name: known.stream for name, known in file.tracks.items()}
    assert sorted(by_stream.values()) == ["0", "0", "1", "1"]
    one = next(name for name, stream in by_stream.items() if stream == "0")
    three = next(name for name, stream in by_stream.items() if stream == "1")
    desk.tracks("method", one, "--to", "fill")
    desk.tracks("method", three, "--to", "blur")
    desk.tracks("add", "--box", "30,150,100,220", "--from", 0, "--to", 9, "--stream", 1)
    desk.tracks("zone", "--polygon", "150,150 300,150 300,220", "--always", "--stream", 0,
                "--method", "pixelate")  # fmt: skip
    desk.render(method="visual-mixer")
    report = json.loads((tmp_path / "report.json").read_text())
    assert {part["label"] for part in report["tracks"]} == {"face", "region"}
    assert {part["stream"] for part in report["tracks"]} == {0, 1}
    streams = [list(images(tmp_path / "out.mp4", n)) for n in (0, 1)]
    raws = [list(images(clip, n)) for n in (0, 1)]
    for stream, raw in zip(streams, raws, strict=True):
        assert len(stream) == 12
        for frame, before in zip(stream, raw, strict=True):
            for area in (np.s_[60:85, 52:78], np.s_[60:85, 212:238]):
                assert np.abs(frame[area].astype(int) - before[area]).mean() > 6
    for frame, other in zip(*streams, strict=True):
        assert frame[70:84, 55:75].std(axis=(0, 1)).max() < 4, "the face that fill paints"
        assert other[160:210, 40:90].std(axis=(0, 1)).max() < 4, "the region that fill paints"
        assert frame[160:210, 40:90].std(axis=(0, 1)).max() > 20, "of the other stream alone"
    corner_of_zone = np.s_[160:175, 275:295]
    for frame, before in zip(streams[0], raws[0], strict=True):
        assert np.abs(frame[corner_of_zone].astype(int) - before[corner_of_zone]).mean() > 6
    beside = np.s_[200:215, 155:175]
    for frame, before in zip(streams[0], raws[0], strict=True):
        assert np.abs(frame[beside].astype(int) - before[beside]).mean() < 6


def images(path, stream):
    with av.open(str(path)) as container:
        for frame in container.decode(video=stream):
            yield frame.to_ndarray(format="rgb24")

