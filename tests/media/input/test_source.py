"""The contract of sources, over every decoder backend; and what is special to files."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream_anon.errors import InputError, UsageError
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.decoder import Timeline
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet
from tests.media.clips import av_frame, make_clip

BACKENDS: dict[str, Callable[..., Source]] = {"pyav": FileSource}
"""Backends that are added later join the suite here."""


@pytest.fixture(params=sorted(BACKENDS))
def open_source(request) -> Callable[..., Source]:
    return BACKENDS[request.param]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clips") / "clip.mp4",
        videos=2,
        audio=["aac"],
        count=24,
        options={"preset": "veryfast", "bf": "2", "g": "8"},
    )


def listed(source: Source) -> list[tuple]:
    out: list[tuple] = []
    for item in source:
        if isinstance(item, Packet):
            out.append((item.stream, item.data.pts, bytes(item.data)))
        else:
            out.append((item.stream, item.index, item.pts, item.luma(4).tobytes()))
    return out


def test_frames_come_in_order_and_times_grow(open_source, clip):
    with open_source(clip) as source:
        last: dict[int, tuple[int, int]] = {}
        for frame in source.frames():
            assert isinstance(frame, Frame)
            index, pts = last.get(frame.stream, (-1, -1))
            assert frame.index == index + 1
            assert frame.pts > pts
            assert frame.time_base == source.info.streams[frame.stream].time_base
            assert not frame.corrupt
            last[frame.stream] = (frame.index, frame.pts)
        assert {stream: index for stream, (index, _) in last.items()} == {0: 23, 1: 23}


def test_frames_and_sound_come_interleaved(open_source, clip):
    with open_source(clip) as source:
        kinds = [isinstance(item, Packet) for item in source]
    assert any(kinds)
    assert not all(kinds)
    assert kinds != sorted(kinds)
    assert kinds != sorted(kinds, reverse=True)


def test_reading_twice_gives_the_same(open_source, clip):
    with open_source(clip) as source:
        assert listed(source) == listed(source)


def test_reading_can_stop_and_begin_again(open_source, clip):
    with open_source(clip) as source:
        whole = listed(source)
        for _ in zip(range(5), source, strict=False):
            pass
        assert listed(source) == whole


def test_only_selected_streams_are_copied(open_source, clip):
    with open_source(clip) as source:
        source.select(())
        assert not any(isinstance(item, Packet) for item in source)
        source.select((2,))
        assert {item.stream for item in source if isinstance(item, Packet)} == {2}


def test_frames_are_what_was_encoded(open_source, tmp_path):
    path = make_clip(tmp_path / "x.mkv", codec="ffv1", size=(61, 47), pix_fmt="yuv444p", count=5)
    with open_source(path) as source:
        for frame in source.frames():
            same = av_frame(frame.index, 61, 47, "yuv444p")
            y = np.frombuffer(same.planes[0], np.uint8).reshape(47, -1)[:, :61]
            np.testing.assert_array_equal(frame.luma(1), y)


def test_a_frame_can_be_changed_without_changing_later_ones(open_source, clip):
    with open_source(clip) as source:
        source.select(())
        untouched = {(p.stream, p.index): p.luma(2).copy() for p in source.frames()}
        for frame in source.frames():
            if frame.index % 3:
                np.testing.assert_array_equal(frame.luma(2), untouched[frame.stream, frame.index])
            else:
                frame.blacken()


def test_frames_outlive_the_source(open_source, clip):
    with open_source(clip) as source:
        held = [p for _, p in zip(range(12), source.frames(), strict=False)]
        expected = [p.luma(2).copy() for p in held]
    for frame, luma in zip(held, expected, strict=True):
        np.testing.assert_array_equal(frame.luma(2), luma)
        assert frame.thumbnail(24, 16).std() > 5


def test_info_describes_the_file(open_source, clip):
    with open_source(clip) as source:
        info = source.info
    assert [s.kind for s in info.streams] == ["video", "video", "audio"]
    assert [s.codec for s in info.streams] == ["h264", "h264", "aac"]
    video = info.streams[0].video
    assert video is not None
    assert (video.width, video.height, video.rate, video.pix_fmt) == (96, 64, 25, "yuv420p")
    assert info.frames == 48
    assert info.rate(0) == 25.0
    assert info.duration == pytest.approx(0.96, abs=0.03)
    with pytest.raises(KeyError):
        info.rate(2)


def test_closing_twice_is_harmless(open_source, clip):
    source = open_source(clip)
    next(iter(source))
    source.close()
    source.close()


# Cutting.


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize(("start", "end"), [(0.5, None), (0.52, 1.0), (None, 0.7), (2.1, 2.6)])
def test_a_cut_is_exact_to_the_frame(tmp_path, suffix, start, end):
    path = make_clip(
        tmp_path / f"x{suffix}",
        codec="mpeg4" if suffix == ".avi" else "libx264",
        options={"g": "12", "bf": "2"} if suffix != ".avi" else {"g": "12"},
        audio=["mp2"] if suffix == ".ts" else ["aac"] if suffix != ".avi" else ["mp3"],
        count=75,
    )
    with FileSource(path) as source:
        begin = source.info.start
        whole = [(p.seconds - begin, p.luma(3).tobytes()) for p in source.frames()]
    with FileSource(path, start=start, end=end) as source:
        items = list(source)
    kept = [i for i in items if isinstance(i, Frame)]
    wanted = [
        (t, data)
        for t, data in whole
        if t >= (start or 0) - 1e-9 and (end is None or t < end - 1e-9)
    ]
    assert [p.luma(3).tobytes() for p in kept] == [data for _, data in wanted]
    assert [p.index for p in kept] == list(range(len(wanted)))
    shift = (wanted[0][0] + begin) if start is not None else 0.0
    assert [p.seconds for p in kept] == pytest.approx(
        [t + begin - shift for t, _ in wanted], abs=1e-3
    )
    sound = [i.data for i in items if isinstance(i, Packet)]
    assert sound
    length = wanted[-1][0] - wanted[0][0] + 0.04
    low = 0.0 if start is not None else begin - 0.1
    for packet in sound:
        assert low - 1e-3 <= packet.pts * packet.time_base <= low + length + 0.2


def test_a_start_becomes_time_zero(tmp_path):
    path = make_clip(tmp_path / "x.mp4", count=50, audio=["aac"])
    with FileSource(path, start=0.9) as source:
        frames = [p for p in source if isinstance(p, Frame)]
    assert frames[0].pts == 0
    assert len(frames) == 50 - 23


def test_expected_frames_of_a_cut(tmp_path):
    path = make_clip(tmp_path / "x.mp4", count=50)
    with FileSource(path, start=1.0) as source:
        assert source.info.frames == 25
    with FileSource(path, start=0.4, end=1.0) as source:
        assert source.info.frames == 15


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (100.0, None)])
def test_a_cut_that_leaves_nothing_is_refused(clip, start, end):
    with pytest.raises(UsageError, match=r"clip\.mp4"):
        FileSource(clip, start=start, end=end)


def test_a_cut_between_two_frames_is_refused(tmp_path):
    path = make_clip(tmp_path / "x.mkv", count=30, rate=2)
    with (
        FileSource(path, start=0.6, end=0.7) as source,
        pytest.raises(InputError, match="between its start and end"),
    ):
        list(source)


# Times.


def test_elementary_streams_get_times_from_the_rate(tmp_path):
    path = make_clip(
        tmp_path / "x.h264",
        rate=Fraction(30000, 1001),
        options={"bf": "3", "x264-params": "b-adapt=0"},
        count=20,
    )
    with av.open(str(path)) as container:
        assert {p.pts for p in container.demux(0)} == {None}
    with FileSource(path) as source:
        frames = list(source.frames())
        rate = source.info.streams[0].video.rate
    assert rate == Fraction(30000, 1001)
    exact = [n / rate for n in range(20)]
    for frame, time in zip(frames, exact, strict=True):
        assert abs(frame.pts * frame.time_base - time) <= frame.time_base / 2
    # In the order of presentation: the waves move right by two pixels a frame.
    for frame in frames:
        same = av_frame(frame.index, 96, 64, "yuv420p")
        y = np.frombuffer(same.planes[0], np.uint8).reshape(64, -1)[:, :96]
        assert np.abs(frame.luma(1).astype(int) - y).mean() < 6


def test_avi_with_reordered_frames_gets_times(tmp_path):
    path = make_clip(tmp_path / "x.avi", codec="mpeg4", options={"bf": "2"}, count=20)
    with FileSource(path) as source:
        times = [p.seconds for p in source.frames()]
    assert len(times) == 20
    assert np.diff(times) == pytest.approx(np.full(19, 0.04), abs=1e-6)


def test_times_that_are_missing_repeated_or_turn_back_are_repaired():
    line = Timeline(Fraction(1, 1000), Fraction(25), counted=False)
    given = [(None, 0), (40, 40), (None, 33), (73, 33), (60, 33), (None, 0), (500, 0)]
    assert [line.next(pts, duration) for pts, duration in given] == [0, 40, 73, 74, 75, 115, 500]
    assert line.repaired == 5


def test_counted_times_do_not_drift():
    line = Timeline(Fraction(1, 1200000), Fraction(30000, 1001), counted=True)
    times = [line.next(None, 0) for _ in range(100001)]
    assert times[100000] == 100000 * 1001 * 40
    assert line.repaired == 0


def test_repeated_times_in_a_file_are_counted(tmp_path):
    path = _repeating(tmp_path / "x.mkv")
    with FileSource(path) as source:
        pts = [p.pts for p in source.frames()]
        assert source.repaired >= 1
    assert pts == sorted(set(pts))
    assert len(pts) == 6


def _repeating(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, width=32, height=32, pix_fmt="yuvj420p")
        packets = []
        for n in range(6):
            image = av_frame(n, 32, 32, "yuvj420p")
            image.pts = n
            packets += stream.encode(image)
        for packet, pts in zip(packets, (0, 40, 80, 80, 80, 200), strict=True):
            packet.pts = packet.dts = pts
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    return path


# Files.


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"hello, this is no video. " * 300, "is no video file or is damaged"),
        ("notes.txt", b"hello, this is no video. " * 300, "is no video file or is damaged"),
        ("zeros.mkv", bytes(50000), "is no video file or is damaged"),
        ("noise.avi", np.random.default_rng(0).bytes(50000), "is no video file or is damaged"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "is no video file or is damaged"),
        ("list.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n", "is no video file"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, content, cause):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        FileSource(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_frame_is_no_video(tmp_path):
    av_frame(0, 32, 32, "rgb24").save(str(tmp_path / "still.png"))
    with pytest.raises(InputError, match="is no video file"):
        FileSource(tmp_path / "still.png")


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.codec_context.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 48000
        for n in range(20):
            sound.pts = n * 1024
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="holds no video"):
        FileSource(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        FileSource(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="is a folder"):
        FileSource(tmp_path)


def test_names_with_spaces_and_signs(tmp_path):
    path = make_clip(tmp_path / "a b%d é: file:x?.mp4", count=3)
    assert len(list(FileSource(path).frames())) == 3
