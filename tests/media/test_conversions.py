"""Inputs that are not YCbCr in 8 bits in an MP4: their colours, times and codecs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from stream_anon.config import VideoConfig
from stream_anon.errors import UsageError
from stream_anon.media.compare import describe
from stream_anon.media.input.probe import probe
from stream_anon.media.input.source import FileSource
from stream_anon.media.output import streams
from stream_anon.media.output.formats import default_suffix
from stream_anon.media.output.streams import plan_streams
from tests.media.clips import av_frame, make_clip
from tests.media.conftest import pass_through
from tests.media.output.test_streams import VIDEO, media, stream

BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255)]
BARS += [(255, 0, 0), (0, 0, 255), (0, 0, 0), (128, 64, 32), (200, 150, 120)]
X264 = {"crf": "0", "preset": "ultrafast"}


def bars(height: int) -> np.ndarray:
    """(height, 320, 3) uint8 RGB: ten colours beside each other."""
    return np.repeat(np.repeat(np.array([BARS], np.uint8), 32, 1), height, 0)


def written(path: Path, codec: str, pix_fmt: str, options: dict[str, str], height: int) -> Path:
    with av.open(str(path), "w") as container:
        out = container.add_stream(
            codec, rate=25, width=320, height=height, pix_fmt=pix_fmt, options=dict(options)
        )
        for index in range(3):
            image = av.VideoFrame.from_ndarray(bars(height), format="rgb24").reformat(
                format=pix_fmt
            )
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(out.encode(image))
        container.mux(out.encode(None))
    return path


def shown(path: Path) -> np.ndarray:
    """The first frame as a player shows it: by its tags, by its height where it has none."""
    with av.open(str(path)) as container:
        image = next(container.decode(video=0))
    assert not image.format.is_rgb
    hd = int(image.colorspace) == 1 or (int(image.colorspace) == 2 and image.height >= 720)
    full = int(image.color_range) == int(ColorRange.JPEG)
    rgb = image.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if hd else Colorspace.ITU601,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return rgb.to_ndarray()


@pytest.mark.parametrize("height", [64, 720])
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mkv", "libx264rgb", "rgb24", X264),
        ("a.mkv", "ffv1", "bgr0", {}),
        ("a.mkv", "ffv1", "gbrp10le", {}),
        ("a.mov", "png", "rgb24", {}),
        ("a.mov", "png", "rgba", {}),
        (
            "a.mkv",
            "libx265",
            "gbrp",
            {"preset": "ultrafast", "x265-params": "log-level=none:lossless=1"},
        ),
        ("a.mkv", "libvpx-vp9", "gbrp", {"lossless": "1", "deadline": "realtime"}),
        ("a.avi", "rawvideo", "bgr24", {}),
        ("a.mov", "qtrle", "rgb24", {}),
    ],
)
def test_rgb_comes_out_in_its_colours(tmp_path, name, codec, pix_fmt, options, height):
    source = written(tmp_path / name, codec, pix_fmt, options, height)
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        pass_through(source, target, crf=4, preset="ultrafast")
        middle = shown(target)[height // 2, 16::32].astype(int)
        np.testing.assert_allclose(middle, BARS, atol=4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg4", {"g": "12"}),
        ("mpeg4", {"bf": "2", "g": "12"}),
        ("libx264", {"bf": "0", "preset": "veryfast"}),
        ("libx264", {"bf": "2", "preset": "veryfast", "x264-params": "b-adapt=0"}),
        ("libx264", {"bf": "3", "preset": "veryfast", "x264-params": "b-adapt=0:b-pyramid=normal"}),
        ("mpeg2video", {"bf": "2", "g": "12"}),
    ],
)
def test_an_avi_shows_its_frames_in_order_and_on_time(tmp_path, codec, options, suffix):
    source = make_clip(tmp_path / "a.avi", codec=codec, size=(160, 128), options=options, count=24)
    target = tmp_path / f"out{suffix}"
    pass_through(source, target)
    for path in (source, target):
        with FileSource(path) as reader:
            frames = list(reader.frames())
            assert reader.repaired == 0
        assert [p.seconds for p in frames] == pytest.approx([n / 25 for n in range(24)])
        for index, frame in enumerate(frames):
            same = av_frame(index, 160, 128, "yuv420p")
            luma = np.frombuffer(same.planes[0], np.uint8).reshape(128, -1)[:, :160]
            assert np.abs(frame.luma(1).astype(int) - luma).mean() < 8


def test_what_is_left_out_of_an_avi_leaves_its_gap(tmp_path):
    # A frame that was dropped while recording is an empty chunk: its time passes.
    pts = [0, 1, 2, 5, 6, 7, 8, 9]
    source = make_clip(
        tmp_path / "a.avi", codec="mpeg4", count=8, pts=pts, options={"g": "12"}, size=(160, 128)
    )
    with FileSource(source) as reader:
        assert [p.seconds for p in reader.frames()] == pytest.approx([n / 25 for n in pts])


# Codecs.

DEEP = replace(VIDEO, pix_fmt="yuv420p10le", coded_pix_fmt="yuv420p10le")


@pytest.mark.parametrize(
    ("codec", "video", "target", "becomes"),
    [
        ("hevc", DEEP, "b.mp4", "hevc"),
        ("hevc", DEEP, "b.mkv", "hevc"),
        ("av1", DEEP, "b.mp4", "av1"),
        ("vp9", DEEP, "b.mkv", "vp9"),
        ("hevc", VIDEO, "b.mp4", "h264"),
        ("hevc", DEEP, "b.avi", "h264"),
        ("h264", DEEP, "b.mp4", "h264"),
        ("prores", DEEP, "b.mov", "h264"),
    ],
)
def test_deep_video_keeps_a_codec_that_players_take(codec, video, target, becomes):
    info = media("a.mkv", "matroska,webm", stream("video", codec, video=video))
    plan = plan_streams(info, Path(target), VideoConfig())
    assert plan.streams[0].output_codec == becomes
    refused = any("many players refuse h264 in yuv420p10le" in note for note in plan.notes)
    assert refused == (becomes == "h264" and video is DEEP)


def test_without_its_encoder_deep_video_becomes_h264_and_says_so(monkeypatch):
    monkeypatch.setattr(streams, "available", lambda codec: codec != "hevc")
    info = media("a.mkv", "matroska,webm", stream("video", "hevc", video=DEEP))
    plan = plan_streams(info, Path("b.mkv"), VideoConfig())
    assert plan.streams[0].output_codec == "h264"
    assert plan.notes == ("stream 0: many players refuse h264 in yuv420p10le",)


def test_hevc_in_ten_bits_stays_what_it_is(tmp_path):
    source = make_clip(tmp_path / "a.mp4", codec="libx265", pix_fmt="yuv420p10le", count=6)
    pass_through(source, tmp_path / "out.mp4", preset="ultrafast")
    info = probe(tmp_path / "out.mp4")
    assert (info.streams[0].codec, info.video[0].video.coded_pix_fmt) == ("hevc", "yuv420p10le")


# Windows Media.


def test_advice_names_only_what_is_possible():
    info = media("a.wmv", "asf", stream("video", "wmv3"), stream("audio", "wmav2"))
    with pytest.raises(UsageError, match=r"write to \.avi, or leave sound out") as caught:
        plan_streams(info, Path("b.ts"), VideoConfig())
    assert "own format" not in str(caught.value)
    info = media("a.avi", "avi", stream("video", "h264"), stream("audio", "wmav2"))
    with pytest.raises(UsageError, match=r"write to \.avi, or leave sound out"):
        plan_streams(info, Path("b.ts"), VideoConfig())
    with pytest.raises(
        UsageError, match=r"b\.wmv: \.wmv cannot be written; for this input, use \.avi"
    ):
        plan_streams(replace(info, path=Path("a.wmv"), format="asf"), Path("b.wmv"), VideoConfig())


@pytest.mark.parametrize(("sound", "becomes"), [("wmav2", ".avi"), ("mp3", ".mp4"), (None, ".mp4")])
def test_windows_media_comes_out(tmp_path, sound, becomes):
    source = tmp_path / "a.wmv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("wmv2", rate=25, width=96, height=64, pix_fmt="yuv420p")
        audio = container.add_stream(sound, rate=44100) if sound else None
        if audio is not None:
            audio.codec_context.bit_rate, audio.codec_context.layout = 64000, "mono"
        for index in range(10):
            image = av_frame(index, 96, 64, "yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(video.encode(image))
        for index in range(12 if audio is not None else 0):
            kind = audio.codec_context.format.name
            samples = np.zeros((1, audio.codec_context.frame_size), {"f": "f4", "s": "i4"}[kind[0]])
            block = av.AudioFrame.from_ndarray(samples, kind, "mono")
            block.sample_rate, block.pts = 44100, index * samples.shape[1]
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    suffix, why = default_suffix(probe(source))
    assert (suffix, why is not None) == (becomes, True)
    target = tmp_path / f"out{suffix}"
    pass_through(source, target)
    before, after = describe(source), describe(target)
    assert len(after.of("video")[0].times) == 10
    assert [s.digest for s in after.of("audio")] == [s.digest for s in before.of("audio")]
