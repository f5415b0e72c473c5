"""Copied sound and subtitles: bit for bit what is presented, and nothing that was left out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream_anon.media.compare import describe
from stream_anon.media.extradata import scrubbed
from stream_anon.media.lead_in import LeadIn
from tests.media.clips import FAST, av_frame, make_clip
from tests.media.conftest import pass_through
from tests.media.damage import WITNESS, hide_sound

FRAME = b"METADATA_BLOCK_PICTURE=" + b"QUFBQQ" * 400


def comments(*entries: bytes) -> bytes:
    """A Vorbis comment header."""
    body = b"".join(len(e).to_bytes(4, "little") + e for e in entries)
    return b"\x03vorbis" + bytes(4) + len(entries).to_bytes(4, "little") + body + b"\x01"


def laced(*headers: bytes) -> bytes:
    """Three headers as a container holds them."""
    sizes = b"".join(b"\xff" * (len(h) // 255) + bytes([len(h) % 255]) for h in headers[:2])
    return b"\x02" + sizes + b"".join(headers)


def headers_of(private: bytes) -> tuple[bytes, bytes, bytes]:
    """Likewise, taken apart."""
    first = private.index(b"\x01vorbis")
    second, third = private.index(b"\x03vorbis"), private.index(b"\x05vorbis")
    return private[first:second], private[second:third], private[third:]


def with_vorbis(path: Path) -> Path:
    """A clip with sound in Vorbis."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=dict(FAST), width=96, height=64)
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("vorbis", rate=48000, options={"strict": "experimental"})
        sound.codec_context.layout = "stereo"
        for index in range(20):
            image = av_frame(index, 96, 64, "yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(video.encode(image))
        wave = np.random.default_rng(0).normal(0, 0.1, (2, 1024)).astype(np.float32)
        for index in range(37):
            samples = av.AudioFrame.from_ndarray(wave, "fltp", "stereo")
            samples.sample_rate, samples.pts = 48000, 1024 * index
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def with_private(source: Path, target: Path, private: bytes) -> Path:
    """A copy whose sound has other private data."""
    with av.open(str(source)) as a, av.open(str(target), "w") as b:
        new = [b.add_stream_from_template(s, opaque=True) for s in a.streams]
        new[1].codec_context.extradata = private
        for packet in a.demux():
            if packet.size:
                packet.stream = new[packet.stream_index]
                b.mux(packet)
    return target


def private_of(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.extradata


def decoded(path: Path, **options: str) -> np.ndarray:
    """All samples of the first sound track, as a reader with these options of FFmpeg gets them."""
    with av.open(str(path), options=options) as container:
        frames = [f.to_ndarray() for f in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)


def test_what_a_vorbis_header_tells_stays_behind(tmp_path):
    plain = with_vorbis(tmp_path / "plain.mkv")
    first, _, last = headers_of(private_of(plain))
    said = comments(b"ARTIST=" + WITNESS, b"LOCATION=48.1 11.5", FRAME)
    source = with_private(plain, tmp_path / "in.mkv", laced(first, said, last))
    assert WITNESS in source.read_bytes()
    assert FRAME in source.read_bytes()
    target = tmp_path / "out.mkv"
    plan = pass_through(source, target)
    assert "stream 1: comments in the codec's header" in plan.dropped
    assert WITNESS not in target.read_bytes()
    assert FRAME[:50] not in target.read_bytes()
    assert headers_of(private_of(target)) == (first, comments(), last)
    np.testing.assert_array_equal(decoded(source), decoded(target))
    pass_through(source, target, keep_metadata=True)
    assert WITNESS in target.read_bytes()


@pytest.mark.parametrize("codec", ["alac", "opus", "flac"])
def test_headers_keep_what_decoding_needs(tmp_path, codec):
    path = make_clip(tmp_path / "a.mkv", audio=["libopus" if codec == "opus" else codec])
    private = private_of(path)
    assert scrubbed(codec, private) == private
    assert scrubbed(codec, private + b"\x84" + WITNESS) == private


def test_of_a_subtitle_script_the_drawing_stays():
    script = (
        "[Script Info]\r\n; by somebody\r\nTitle: The witness\r\nScriptType: v4.00+\r\n"
        "PlayResX: 640\r\n\r\n[Aegisub Project Garbage]\r\nVideo File: /home/me/witness.mp4\r\n"
        "[V4+ Styles]\r\nFormat: Name, Fontname\r\nStyle: Default,Arial\r\n"
        "[Fonts]\r\nfontname: me.ttf\r\nABCDEF\r\n[Graphics]\r\nfilename: face.png\r\nABCDEF\r\n"
        "[Events]\r\nFormat: Layer, Start, End, Style, Text\r\n"
    )
    kept = scrubbed("ass", script.encode())
    assert kept is not None
    words = kept.decode()
    for gone in ("somebody", "witness", "me.ttf", "face.png", "ABCDEF"):
        assert gone not in words
    for stays in ("PlayResX: 640", "ScriptType", "Style: Default,Arial", "[Events]", "Start, End"):
        assert stays in words
    assert scrubbed("ass", kept) == kept


@pytest.mark.parametrize("codec", ["vorbis", "flac", "alac", "opus", "ass", "dvd_subtitle", "aac"])
@pytest.mark.parametrize("data", [b"", None, b"\x02", b"\x02\xff\xff", b"\x01\x02", bytes(40)])
def test_headers_that_are_none_do_no_harm(codec, data):
    scrubbed(codec, data)


# What was cut away.


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.ts"])
def test_sound_that_an_edit_list_hides_is_not_carried_along(tmp_path, name):
    whole = make_clip(tmp_path / "whole.mp4", count=75, audio=["aac"])
    source = hide_sound(whole, tmp_path / "in.mp4", 1.0)
    ignoring = {"ignore_editlist": "1"}
    assert decoded(source, **ignoring).shape[1] - decoded(source).shape[1] >= 48000
    pass_through(source, tmp_path / name)
    hidden = decoded(tmp_path / name, **(ignoring if name != "out.mkv" else {})).shape[1]
    # Two packets lead in, and one lies on both sides: 64 ms of 1,000.
    assert hidden - decoded(source).shape[1] <= 3 * 1024
    if name in ("out.mp4", "out.mov"):
        before, after = describe(source).of("audio")[0], describe(tmp_path / name).of("audio")[0]
        kept = [t for t in before.times if t is not None and t >= 0]
        assert [t for t in after.times if t is not None and t >= 0] == pytest.approx(kept, abs=1e-3)


def test_what_is_heard_is_the_same_to_the_sample(tmp_path):
    source = hide_sound(
        make_clip(tmp_path / "whole.mp4", count=50, audio=["aac"]), tmp_path / "in.mp4", 0.5
    )
    pass_through(source, tmp_path / "out.mp4")
    # The decoder fills some bands with noise, which depends on all it has decoded before.
    np.testing.assert_allclose(decoded(source), decoded(tmp_path / "out.mp4"), atol=5e-3)


class Packet:
    def __init__(self, pts: int, discard: bool = False) -> None:
        self.pts, self.dts, self.duration, self.is_discard = pts, pts, 10, discard


@pytest.mark.parametrize(
    ("kind", "codec", "kept"),
    [
        ("audio", "aac", 2),
        ("audio", "opus", 4),
        ("audio", "flac", 0),
        ("audio", "ac3", 1),
        ("audio", "pcm_s16le", 0),
        ("subtitle", "subrip", 0),
    ],
)
def test_as_much_leads_in_as_a_decoder_needs(kind, codec, kept):
    passing = LeadIn(kind, codec, begin=0)
    out = [p.pts for pts in range(-95, 100, 10) for p in passing.pass_on(Packet(pts))]
    assert out == list(range(-5 - 10 * kept, 100, 10))
    assert passing.dropped == 9 - kept


def test_what_lies_between_two_parts_is_dropped():
    passing = LeadIn("audio", "aac", begin=0)
    packets = [Packet(0), Packet(10, discard=True), Packet(20)]
    assert [p.pts for q in packets for p in passing.pass_on(q)] == [0, 20]


def test_a_stream_that_is_over_before_it_begins_leaves_nothing():
    passing = LeadIn("audio", "aac", begin=0)
    assert [p for pts in (-50, -40, -30) for p in passing.pass_on(Packet(pts))] == []
