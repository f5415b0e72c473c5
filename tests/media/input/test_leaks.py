"""What must not travel beside the pixels, and what must not open: by files that try it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from stream_anon.errors import InputError
from stream_anon.media.input.source import FileSource
from tests.media.clips import FAST, make_clip, texture
from tests.media.conftest import pass_through
from tests.media.damage import remux

PLACE = b"at Anna Meier's door, 48.137 N 11.575 E"
CAPTION = b"\xfc\x94\x20\xfc\x41\x4e\xfc\x4e\x41\xfc\x80\x80"
"""Closed captions (CEA-608 in CEA-708): four triplets that begin a line and write ANNA."""


def sei(kind: int, payload: bytes) -> bytes:
    """An Annex B SEI unit of H.264 (ITU-T H.264, 7.3.2.3), with emulation prevention."""
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    body = bytes([kind]) + size + payload + b"\x80"
    escaped = bytearray()
    zeros = 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\x00\x00\x00\x01\x06" + bytes(escaped)


USER_DATA = sei(5, bytes(range(16)) + PLACE)
HEAD = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(CAPTION) // 3, 0xFF])
CAPTIONS = sei(4, HEAD + CAPTION + b"\xff")


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Path:
    """H.264 in MPEG-TS, captions and a place before every frame."""
    folder = tmp_path_factory.mktemp("camera")
    plain = make_clip(
        folder / "plain.ts", count=12, options={**FAST, "bf": "0", "x264-params": "aud=1"}
    )

    def talk(number: int, data: bytes) -> bytes:
        # Behind the access unit delimiter (type 9), which must come first.
        at = data.find(b"\x00\x00\x01", 5)
        at -= data[at - 1] == 0
        return data[:at] + USER_DATA + CAPTIONS + data[at:]

    return remux(plain, folder / "camera.ts", talk)


def carried(path: Path) -> set[str]:
    """Names of the side data of a file's frames."""
    with av.open(str(path)) as container:
        return {data.type.name for frame in container.decode(video=0) for data in frame.side_data}


def test_the_camera_says_it(camera):
    assert {"SEI_UNREGISTERED", "A53_CC"} <= carried(camera)
    assert PLACE in camera.read_bytes()


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h264", ".ts"), ("hevc", ".mkv")])
def test_captions_and_user_data_do_not_travel(camera, tmp_path, codec, suffix):
    out = tmp_path / f"out{suffix}"
    plan = pass_through(camera, out, codec=codec, preset="ultrafast")
    found = carried(out)
    assert "A53_CC" not in found
    assert PLACE not in out.read_bytes()
    with av.open(str(out)) as container:
        for frame in container.decode(video=0):
            for data in frame.side_data:
                assert PLACE not in bytes(data)
    assert any("caption" in name for name in plan.dropped), plan.dropped


LISTS = {
    "concat": "ffconcat version 1.0\nfile other.ts\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
    "hls absolute": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{folder}/other.ts\n"
    "#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    '<Period><AdaptationSet mimeType="video/mp2t"><Representation id="1">'
    "<BaseURL>other.ts</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts"])
def test_a_list_that_names_another_file_opens_nothing(tmp_path, name, suffix):
    make_clip(tmp_path / "other.ts", count=12)
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[name].format(folder=tmp_path))
    with pytest.raises(InputError, match="is no video file or is damaged"):
        FileSource(path)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        # No frame is decoded ahead of the one that is painted, so each is predicted from it.
        ("libx264", {"preset": "veryfast", "bf": "0", "refs": "1", "crf": "12", "g": "100"}),
        ("mpeg4", {"bf": "0"}),
        ("libvpx-vp9", {}),
    ],
)
def test_a_cover_does_not_move_with_what_is_predicted_from_it(tmp_path, codec, options):
    """Painting in the decoder's own memory would shift with the motion of later frames."""
    path = make_clip(
        tmp_path / "a.mkv", codec=codec, count=16, size=(160, 128), speed=4.0, options=options
    )
    with FileSource(path) as source:
        clean = [frame.luma(1).copy() for frame in source.frames()]
        crops = np.full((1, 32, 32, 3), 255, np.uint8)
        masks = np.full((1, 32, 32), 255, np.uint8)
        turn = np.array([[[3.2, 0, -160.0], [0, 3.2, -96.0]]])
        for frame, luma in zip(source.frames(), clean, strict=True):
            np.testing.assert_array_equal(frame.luma(1), luma)
            if frame.index % 2 == 0:
                frame.paste(crops, masks, turn, 128.0)
                assert (frame.luma(1) != luma).any()


@pytest.mark.parametrize("lost", [1, 3])
def test_a_tail_that_cannot_be_decoded_is_told(tmp_path, lost):
    whole = make_clip(tmp_path / "a.mkv", count=20, options={**FAST, "bf": "0", "g": "5"})
    path = remux(
        whole, tmp_path / "x.mkv", lambda n, data: bytes(len(data)) if n >= 20 - lost else data
    )
    with pytest.raises(InputError, match="last frames cannot be decoded"):
        pass_through(path, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_damage_lasts_until_a_keyframe_whatever_the_frames_between_look_like(tmp_path):
    whole = make_clip(
        tmp_path / "a.mkv", size=(160, 128), count=30,
        options={"preset": "veryfast", "bf": "0", "g": "15", "x264-params": "scenecut=0"},
    )  # fmt: skip
    path = remux(whole, tmp_path / "x.mkv", lambda n, d: bytes(len(d)) if n == 4 else d)
    with FileSource(path, tolerant=True) as source:
        marks = {round(float(p.seconds) * 25): p.corrupt for p in source.frames()}
    after = [index for index in marks if 5 <= index < 15]
    assert after
    assert all(marks[index] for index in after)
    assert not any(marks[index] for index in marks if index < 4 or index >= 15)


def test_what_is_hidden_is_really_there():
    """The texture moves: a cover that travels along would be seen."""
    assert np.abs(texture(0, 160, 128, 4.0).astype(int) - texture(1, 160, 128, 4.0)).mean() > 10
