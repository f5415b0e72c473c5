"""What is decided about streams, containers, codecs and metadata, and the reason given."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from stream_anon.config import VideoConfig
from stream_anon.errors import UsageError
from stream_anon.media.input.info import Colour, MediaInfo, StreamInfo, VideoInfo
from stream_anon.media.output.encoders import ENCODERS, encoded_format, pixel_formats, settings
from stream_anon.media.output.formats import BY_SUFFIX, container_for, default_suffix, holds
from stream_anon.media.output.streams import plan_streams

VIDEO = VideoInfo(
    width=96,
    height=64,
    pix_fmt="yuv420p",
    coded_pix_fmt="yuv420p",
    rate=Fraction(25),
    sample_aspect=None,
    rotation=0,
    matrix=None,
    colour=Colour(),
    interlaced=False,
    field_order=0,
    first_pts=0,
)


def stream(kind: str, codec: str, index: int = 0, **changes) -> StreamInfo:
    made = StreamInfo(
        index=index,
        kind=kind,
        codec=codec,
        time_base=Fraction(1, 1000),
        start=0,
        duration=1.0,
        frames=25,
        language=None,
        dispositions=(),
        disposition=0,
        video=VIDEO if kind == "video" else None,
    )
    return replace(made, **changes)


def media(path: str, format: str, *streams: StreamInfo, **changes) -> MediaInfo:
    numbered = tuple(replace(s, index=n) for n, s in enumerate(streams))
    return MediaInfo(Path(path), format, 1000, 0.0, 1.0, numbered, **changes)


def actions(info: MediaInfo, target: str, **options) -> list[tuple[str, str | None]]:
    plan = plan_streams(info, Path(target), VideoConfig(**options))
    return [(s.action, s.output_codec) for s in plan.streams]


def test_each_kind_of_stream():
    info = media(
        "a.mkv",
        "matroska,webm",
        stream("video", "hevc"),
        stream("audio", "aac"),
        stream("subtitle", "subrip"),
        stream("data", "klv"),
        stream("attachment", "unknown"),
        stream("video", "mjpeg", dispositions=("attached_pic",)),
        stream("video", "rv60", video=None),
        stream("audio", "unknown"),
        stream("unknown", "unknown"),
    )
    plan = plan_streams(info, Path("b.mkv"), VideoConfig())
    assert [s.action for s in plan.streams] == ["redact", "copy", "copy", *["drop"] * 6]
    assert plan.streams[0].output_codec == "h264"
    assert plan.redacted == {0}
    assert plan.copied == {1, 2}
    assert all(s.reason for s in plan.streams)
    assert "face" in plan.streams[5].reason
    assert "decoded" in plan.streams[6].reason


@pytest.mark.parametrize(
    ("target", "options", "codec"),
    [
        ("b.mp4", {}, "h264"),
        ("b.mkv", {}, "h264"),
        ("b.webm", {}, "vp9"),
        ("b.avi", {}, "h264"),
        ("b.h265", {}, "hevc"),
        ("b.gif", {}, "gif"),
        ("b.mp4", {"codec": "av1"}, "av1"),
        ("b.webm", {"codec": "av1"}, "av1"),
        ("B.MOV", {"codec": "hevc"}, "hevc"),
    ],
)
def test_the_codec_follows_the_container(target, options, codec):
    info = media("a.mp4", "mov", stream("video", "h264"))
    assert actions(info, target, **options) == [("redact", codec)]


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("b.webm", {"codec": "h264"}, r"b\.webm: webm cannot hold h264, only vp9, av1"),
        ("b.avi", {"codec": "hevc"}, r"avi cannot hold hevc"),
        ("b.h264", {"codec": "vp9"}, r"h264 cannot hold vp9"),
        ("b.xyz", {}, r"b\.xyz: cannot tell the format from '\.xyz'"),
        ("b", {}, r"cannot tell the format"),
        ("b.mp4", {"crf": 60}, r"crf 60 is above 51"),
        ("b.mp4", {"encoder_preset": "warp"}, r"'warp' is no preset of h264; it has: ultrafast"),
    ],
)
def test_what_cannot_be_is_refused(target, options, words):
    info = media("a.mp4", "mov", stream("video", "h264"))
    with pytest.raises(UsageError, match=words):
        plan_streams(info, Path(target), VideoConfig(**options))


@pytest.mark.parametrize(
    ("target", "kind", "codec"),
    [
        ("b.webm", "audio", "aac"),
        ("b.mkv", "subtitle", "mov_text"),
        ("b.mp4", "subtitle", "subrip"),
        ("b.ts", "subtitle", "mov_text"),
        ("b.ts", "audio", "flac"),
        ("b.h264", "audio", "aac"),
    ],
)
def test_a_stream_that_does_not_fit_is_named_never_lost(target, kind, codec):
    info = media("a.mp4", "mov", stream("video", "h264"), stream(kind, codec))
    with pytest.raises(UsageError, match=rf"stream 1.*{codec}|stream 1, {codec}"):
        plan_streams(info, Path(target), VideoConfig())
    if kind == "audio":
        assert actions(info, target, audio="drop")[1][0] == "drop"


def test_a_gif_leaves_sound_out():
    info = media("a.mp4", "mov", stream("video", "h264"), stream("audio", "aac"))
    assert actions(info, "b.gif") == [("redact", "gif"), ("drop", None)]


def test_two_videos_do_not_fit_into_an_elementary_stream():
    info = media("a.mp4", "mov", stream("video", "h264"), stream("video", "h264"))
    with pytest.raises(UsageError, match="holds one video stream"):
        plan_streams(info, Path("b.h264"), VideoConfig())


@pytest.mark.parametrize(
    ("path", "format", "copied", "suffix", "told"),
    [
        ("a.mp4", "mov,mp4,m4a,3gp,3g2,mj2", ["aac", "mov_text"], ".mp4", False),
        ("a.MKV", "matroska,webm", ["flac", "subrip"], ".mkv", False),
        ("a.webm", "matroska,webm", ["opus"], ".webm", False),
        ("a.avi", "avi", ["mp3"], ".avi", False),
        ("a.m2ts", "mpegts", ["ac3"], ".m2ts", False),
        ("a.h264", "h264", [], ".h264", False),
        ("a.hevc", "hevc", [], ".hevc", False),
        ("a.gif", "gif", [], ".mp4", True),
        ("a.mpg", "mpeg", ["mp2"], ".mp4", True),
        ("a.wmv", "asf", ["wmav2"], ".avi", True),
        ("a.dat", "mov,mp4,m4a,3gp,3g2,mj2", ["aac"], ".mp4", True),
        ("a.avi", "matroska,webm", ["opus"], ".mkv", True),
        ("a.ts", "mpegts", ["flac"], ".mp4", True),
    ],
)
def test_the_default_container_is_the_input_s_where_it_can_be(path, format, copied, suffix, told):
    streams = [stream("video", "h264"), *(stream("audio", c) for c in copied)]
    answer, why = default_suffix(media(path, format, *streams))
    assert (answer, why is not None) == (suffix, told)


@pytest.mark.parametrize("suffix", sorted(BY_SUFFIX))
def test_every_container_holds_its_default_codec(suffix):
    container = container_for(Path(f"x{suffix.upper()}"))
    assert holds(container.muxer, container.codecs[0]) or container.muxer == "mpegts"
    assert all(codec in ENCODERS for codec in container.codecs)


def test_metadata_is_named_but_never_told():
    info = media(
        "a.mp4",
        "mov",
        stream(
            "video",
            "h264",
            metadata={"language": "deu", "handler_name": "GoPro AVC", "encoder": "x"},
        ),
        stream("audio", "aac", metadata={"handler_name": "SoundHandler", "BPS-eng": "9"}),
        metadata={"location": "+48+11/", "major_brand": "isom", "encoder": "Lavf"},
    )
    plan = plan_streams(info, Path("b.mp4"), VideoConfig())
    assert plan.dropped == ("file: location", "stream 0: handler_name")
    assert plan_streams(info, Path("b.mp4"), VideoConfig(keep_metadata=True)).dropped == ()


def test_side_data_that_is_left_out_is_named():
    video = replace(VIDEO, side_data=("A53_CC", "DISPLAYMATRIX", "SEI_UNREGISTERED"))
    info = media("a.ts", "mpegts", stream("video", "h264", video=video))
    plan = plan_streams(info, Path("b.ts"), VideoConfig())
    assert plan.dropped == ("stream 0: closed captions", "stream 0: user data (SEI)")


def test_a_rotation_that_the_container_lacks_is_told():
    video = replace(VIDEO, rotation=90, matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    info = media("a.mp4", "mov", stream("video", "h264", video=video))
    assert plan_streams(info, Path("b.mp4"), VideoConfig()).notes == ()
    assert "rotation" in plan_streams(info, Path("b.avi"), VideoConfig()).notes[0]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size", "becomes"),
    [
        ("h264", "yuv420p", (96, 64), "yuv420p"),
        ("h264", "yuvj420p", (96, 64), "yuvj420p"),
        ("h264", "yuv420p10le", (96, 64), "yuv420p10le"),
        ("h264", "yuv420p9le", (96, 64), "yuv420p10le"),
        ("h264", "yuv422p12le", (96, 64), "yuv422p10le"),
        ("h264", "gray", (95, 63), "gray"),
        ("h264", "gray12le", (96, 64), "gray10le"),
        ("h264", "yuv420p", (96, 63), "yuv422p"),
        ("h264", "yuv420p", (95, 64), "yuv444p"),
        ("h264", "yuvj420p", (95, 63), "yuvj444p"),
        ("h264", "yuva444p", (96, 64), "yuv444p"),
        ("hevc", "yuv420p12le", (96, 64), "yuv420p12le"),
        ("av1", "yuv420p", (95, 63), "yuv420p"),
        ("av1", "yuv444p10le", (96, 64), "yuv420p10le"),
        ("av1", "yuvj420p", (96, 64), "yuv420p"),
        ("vp9", "yuv440p", (96, 64), "yuv440p"),
        ("vp9", "gray", (96, 64), "yuv420p"),
        ("gif", "yuv420p", (96, 64), "pal8"),
    ],
)
def test_the_nearest_format_that_the_encoder_takes(codec, pix_fmt, size, becomes):
    video = replace(VIDEO, pix_fmt=pix_fmt, width=size[0], height=size[1])
    name, note = encoded_format(codec, video)
    assert name == becomes
    assert (note is None) == (name == pix_fmt)


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_encoders_are_here_and_their_defaults_are_allowed(codec):
    encoder = ENCODERS[codec]
    assert pixel_formats(encoder.name)
    assert settings(codec, None, None) == settings(codec, encoder.crf, encoder.preset or None)
