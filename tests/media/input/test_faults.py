"""What breaks on the way in: one clear line, or a mark on every frame that is concerned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream_anon.errors import FrameFault, InputError
from stream_anon.media.compare import describe
from stream_anon.media.input.source import FileSource
from tests.media.clips import make_clip
from tests.media.conftest import pass_through
from tests.media.damage import joined, remux, scramble

GOPS = {"preset": "veryfast", "bf": "2", "g": "10", "keyint_min": "10", "x264-params": "scenecut=0"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {
        suffix: make_clip(folder / f"a{suffix}", size=(160, 128), count=30, options=GOPS)
        for suffix in (".mkv", ".ts", ".mp4")
    }


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_damage_is_marked_up_to_the_next_keyframe(tmp_path, whole, suffix):
    path = remux(whole[suffix], tmp_path / f"x{suffix}", lambda n, d: scramble(d) if n == 12 else d)
    with FileSource(path) as source:
        marks = {p.index: p.corrupt for p in source.frames()}
    first, last = min(i for i in marks if marks[i]), max(i for i in marks if marks[i])
    assert 9 <= first <= 14
    assert last <= 20
    assert not any(marks[i] for i in marks if i < 9 or i > 20)


def test_damage_stops_a_run_that_shall_stop(tmp_path, whole):
    path = remux(whole[".mkv"], tmp_path / "x.mkv", lambda n, d: scramble(d) if n == 12 else d)
    with pytest.raises(FrameFault, match="damaged"):
        pass_through(path, tmp_path / "out.mkv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.mkv"]


def test_damage_is_covered_whole_in_a_run_that_goes_on(tmp_path, whole):
    path = remux(whole[".mkv"], tmp_path / "x.mkv", lambda n, d: scramble(d) if n == 12 else d)
    pass_through(path, tmp_path / "out.mkv", policy="step-down")
    before = list(FileSource(path).frames())
    after = list(FileSource(tmp_path / "out.mkv").frames())
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        difference = np.abs(old.luma(1).astype(int) - new.luma(1)).mean()
        assert (difference > 5) == old.corrupt


def test_a_stream_that_begins_without_its_keyframe_begins_at_the_next(tmp_path, whole):
    path = remux(whole[".ts"], tmp_path / "x.ts", lambda n, d: None if n == 0 else d)
    with FileSource(path) as source:
        frames = list(source.frames())
    assert 18 <= len(frames) <= 20
    assert not frames[-1].corrupt


def test_nothing_that_can_be_decoded(tmp_path, whole):
    path = remux(whole[".mkv"], tmp_path / "x.mkv", lambda n, d: bytes(len(d)))
    with pytest.raises(InputError, match="no frame of the video could be decoded"):
        FileSource(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
def test_a_file_that_breaks_off(tmp_path, suffix, share):
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    source = make_clip(
        tmp_path / f"a{suffix}", size=(160, 128), count=60, container_options=options
    )
    data = source.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    # Matroska tells its length only roughly: a quarter of a second may go unnoticed.
    if suffix == ".mkv" and share > 0.9:
        assert len(list(FileSource(path).frames())) >= 60 - 7
    else:
        with pytest.raises(InputError, match="cut") as caught:
            list(FileSource(path).frames())
        assert "\n" not in str(caught.value)
    with FileSource(path, tolerant=True) as reader:
        assert 0 < len(list(reader.frames())) < 60


def test_an_index_at_the_end_that_is_missing(tmp_path):
    path = make_clip(tmp_path / "a.mp4", count=30)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match="is no video file or is damaged"):
        FileSource(path)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ((128, 96, "yuv420p"), r"frame 8 of stream 0 is 128x96, the first was 96x64"),
        ((96, 64, "yuv422p"), r"frame 8 of stream 0 is in yuv422p, the first was in yuv420p"),
    ],
)
def test_frames_that_change_their_form(tmp_path, second, words):
    path = joined(tmp_path / "x.ts", [(96, 64, "yuv420p"), second])
    with FileSource(path) as source:
        seen = []
        with pytest.raises(FrameFault, match=words):
            seen.extend(source.frames())
    assert len(seen) == 8
    with pytest.raises(FrameFault):
        pass_through(path, tmp_path / "out.ts")
    assert not (tmp_path / "out.ts").exists()
    assert not list(tmp_path.glob(".*"))


def test_times_that_turn_back_do_not_stop_a_run(tmp_path):
    # Two recordings of one camera, joined: the clock starts again.
    part = make_clip(tmp_path / "part.ts", count=10, audio=["mp2"]).read_bytes()
    (tmp_path / "x.ts").write_bytes(part + part)
    pass_through(tmp_path / "x.ts", tmp_path / "out.mkv")
    facts = describe(tmp_path / "out.mkv")
    assert len(facts.of("video")[0].times) == 20
    times = [t for t in facts.of("video")[0].times if t is not None]
    assert times == sorted(set(times))
