"""What the outside of a packet shows of damage, where a card's decoder tells of none."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.input.slices import SliceCheck
from tests.media.clips import make_clip
from tests.media.damage import remux
from tests.media.device.decoding.hardware import Surfaces, nvdec_source

KINDS = {
    "mp4": {},
    "slices.mp4": {"options": {"x264-params": "slices=4:keyint=8"}},
    "interlaced.mkv": {"interlaced": True},
    "ts": {},
    "hevc.mp4": {"codec": "libx265"},
    "hevc.ts": {"codec": "libx265"},
}


def packets(path: Path) -> tuple[SliceCheck, list[bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        own = stream.codec_context
        check = SliceCheck(own.codec.canonical_name, own.extradata)
        return check, [bytes(packet) for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_whole_is_not_marked(tmp_path, kind):
    check, found = packets(make_clip(tmp_path / f"clip.{kind}", count=20, **KINDS[kind]))
    assert len(found) == 20
    assert [check.is_damaged(packet) for packet in found] == [False] * 20


@pytest.mark.shared
def test_no_packet_of_the_suite_is_marked(shared):
    looked = 0
    for path in sorted((shared / "media").glob("*.[mh][!d]*")):
        with av.open(str(path)) as container:
            names = [s.codec_context.codec.canonical_name for s in container.streams.video]
        if names and names[0] in ("h264", "hevc"):
            check, found = packets(path)
            assert not [n for n, packet in enumerate(found) if check.is_damaged(packet)], path.name
            looked += 1
    assert looked >= 10


def broken(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    return {
        "cut": data[:-3],
        "more": data + b"\x01\x02",
        "zeros": data[:middle] + bytes(12) + data[middle + 12 :],
        "head": bytes([data[0], data[1], data[2], data[3], data[4] | 0x80]) + data[5:],
        "empty": bytes(len(data)),
    }[how]


@pytest.mark.parametrize("how", ["cut", "more", "zeros", "head", "empty"])
@pytest.mark.parametrize("kind", ["mp4", "hevc.mp4"])
def test_what_an_encoder_does_not_write_is_marked(tmp_path, kind, how):
    clip = make_clip(tmp_path / f"clip.{kind}", count=20, speed=6.0, **KINDS[kind])
    check, found = packets(clip)
    large = [packet for packet in found[1:] if len(packet) > 60]
    assert large
    assert all(check.is_damaged(broken(packet, how)) for packet in large)


@pytest.mark.parametrize("kind", ["ts", "hevc.ts"])
def test_zeros_and_a_lost_beginning_in_annex_b(tmp_path, kind):
    check, found = packets(make_clip(tmp_path / f"clip.{kind}", count=12, **KINDS[kind]))
    assert all(check.is_damaged(bytes(len(packet))) for packet in found)
    assert all(check.is_damaged(packet[4:]) for packet in found)


def test_a_picture_without_its_first_slice(tmp_path):
    kind = "slices.mp4"
    check, found = packets(make_clip(tmp_path / f"clip.{kind}", count=8, **KINDS[kind]))
    packet = found[3]
    size = 4 + int.from_bytes(packet[:4])
    assert len(packet) > size
    assert not check.is_damaged(packet)
    assert check.is_damaged(packet[size:])


def concealing(stream):
    """As a card does: whatever comes is shown, and nothing is said of it."""
    surfaces = Surfaces(stream)
    decode = surfaces.decode

    def silent(packet):
        try:
            frames = decode(packet)
        except av.InvalidDataError:
            frames = []
        for frame in frames:
            frame._decoded = Silent(frame._decoded)
        return frames

    surfaces.decode = silent
    surfaces.name = "hardware"
    return surfaces


class Silent:
    """A frame that is never marked."""

    is_corrupt = False

    def __init__(self, frame) -> None:
        self._frame = frame

    def __getattr__(self, name):
        return getattr(self._frame, name)


@pytest.fixture(autouse=True)
def nothing_heard(monkeypatch):
    """A card writes no line about damage."""
    monkeypatch.setattr("stream_anon.media.input.logs.tells_damage", lambda line: False)
    monkeypatch.setattr("stream_anon.media.input.logs.overheard", lambda name: 0)


def zeroed(number: int, data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes(16) + data[at + 16 :] if number == 6 else data


def test_frames_of_a_silent_decoder_are_marked_up_to_the_next_keyframe(tmp_path):
    options = {"options": {"x264-params": "keyint=12:scenecut=0:bframes=0"}, "speed": 6.0}
    clip = make_clip(tmp_path / "clip.mp4", count=24, **options)
    bad = remux(clip, tmp_path / "bad.mp4", zeroed)
    with nvdec_source(bad, twin_kernels(), concealing, tolerant=True) as source:
        marks = [frame.corrupt for frame in source.frames()]
        assert source.decoded_by == {0: "NVDEC (h264)"}
        assert source.conceals == [0]
    assert len(marks) >= 23
    assert not any(marks[:6])
    assert all(marks[6:-12])
    assert not any(marks[-12:])
    assert np.sum(marks) >= 5
