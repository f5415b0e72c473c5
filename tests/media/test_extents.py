"""Files that break off: told from what their containers say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_anon.errors import InputError
from stream_anon.media.extents import cut_off
from stream_anon.media.input.source import FileSource
from tests.media.clips import make_clip

CLIPS = {
    ".avi": {"codec": "mpeg4", "options": {"g": "12"}, "audio": ["mp3"]},
    ".flv": {"codec": "libx264", "audio": ["aac"]},
    ".wmv": {"codec": "wmv2", "audio": ["mp3"]},
    ".mxf": {"codec": "mpeg2video", "audio": ["pcm_s16le"], "size": (720, 576), "count": 20},
    ".gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.fixture(scope="module", params=sorted(CLIPS))
def clip(request, tmp_path_factory) -> Path:
    suffix = request.param
    options = {"size": (160, 128), "count": 50, **CLIPS[suffix]}
    return make_clip(tmp_path_factory.mktemp("whole") / f"a{suffix}", **options)


def test_a_whole_file_is_whole(clip):
    with FileSource(clip) as source:
        assert len(list(source.frames())) in (20, 50)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.97])
def test_a_file_that_breaks_off(clip, tmp_path, share):
    data = clip.read_bytes()
    path = tmp_path / f"cut{clip.suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"cut\.\w+: (breaks off|is no video file)") as caught:
        list(FileSource(path).frames())
    assert "\n" not in str(caught.value)


def test_breaking_off_between_two_blocks(clip, tmp_path):
    if clip.suffix == ".gif":
        pytest.skip("a gif has no number of frames but its end, which is cut here as well")
    data = clip.read_bytes()
    path = tmp_path / f"cut{clip.suffix}"
    whole = 0
    for at in range(len(data) // 2, len(data) // 2 + 40):
        path.write_bytes(data[:at])
        try:
            list(FileSource(path).frames())
            whole += 1
        except InputError:
            pass
    assert whole == 0


def test_a_run_that_goes_on_takes_what_is_there(clip, tmp_path):
    data = clip.read_bytes()
    path = tmp_path / f"cut{clip.suffix}"
    path.write_bytes(data[: int(len(data) * 0.7)])
    with FileSource(path, tolerant=True) as source:
        assert 0 < len(list(source.frames())) < 50


def test_what_is_behind_the_end_does_not_matter(clip, tmp_path):
    if clip.suffix in (".flv",):
        pytest.skip("an FLV has no end of its own")
    path = tmp_path / f"more{clip.suffix}"
    path.write_bytes(clip.read_bytes() + bytes(1000))
    assert cut_off(path, {".wmv": "asf"}.get(clip.suffix, clip.suffix[1:])) is None


@pytest.mark.parametrize("name", ["avi", "asf", "mxf", "flv", "gif", "ogg"])
@pytest.mark.parametrize("data", [b"", b"RIFF", b"GIF89a", bytes(30), b"\xff" * 30, b"FLV\x01\x05"])
def test_headers_that_say_nothing(tmp_path, name, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    cut_off(path, name)
