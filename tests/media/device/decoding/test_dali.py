"""DALI's path from packets to frames on a device, on the CPU: its own decoder, and a stand-in.

Times, marks and counts are those of the CPU; samples come through RGB and are near.
"""

from __future__ import annotations

import io
import threading

import av
import numpy as np
import pytest

from stream_anon.media.device import dali, gops
from stream_anon.media.device.dali import DaliContext
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.gops import GopCutter, as_file
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.input.source import FileSource
from tests.media.clips import av_frame, make_clip
from tests.media.device.decoding import hardware
from tests.media.device.decoding.hardware import StandIn, planes

NO_H264 = "DALI's decoder on the CPU does not know H.264 and HEVC"
REAL = dali.Pipeline
TWIN = twin_kernels()
VP9 = {"codec": "libvpx-vp9", "options": {"g": "8", "cpu-used": "8", "crf": "20", "b": "0"}}
VP8 = {"codec": "libvpx", "options": {"g": "8", "cpu-used": "8", "b": "400k"}}


@pytest.fixture(params=["DALI", "stand-in"], autouse=True)
def library(request, monkeypatch) -> str:
    """DALI's own decoder on the CPU, which knows VP8 and VP9; and what stands for it, for all."""
    if request.param == "stand-in":
        monkeypatch.setattr(dali, "Pipeline", StandIn)
    elif words := dali.missing("cpu"):
        pytest.skip(words)
    return request.param


def dali_source(path, make=DaliContext, **options):
    return hardware.dali_source(path, TWIN, make, **options)


def compare(path, source, most=3, **options):
    with FileSource(path, **options) as plain, source:
        ours, theirs = list(source.frames()), list(plain.frames())
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            assert isinstance(one, DeviceFrame)
            for name in ("key", "time_base", "rate", "rotation", "width", "height", "corrupt"):
                assert getattr(one, name) == getattr(other, name), name
            if other.corrupt:
                continue
            for a, b in zip(planes(one), planes(other), strict=True):
                assert np.abs(a.astype(int) - b).mean() <= 0.5
                assert np.abs(a.astype(int) - b).max() <= most
            for tag in ("colorspace", "color_range"):
                assert getattr(one.to_av(), tag) == getattr(other.to_av(), tag)
        assert (source.lost, source.repaired) == (plain.lost, plain.repaired)
        return source.decoded_by[0]


CLIPS = {
    "vp9": VP9,
    "vp8": VP8,
    "tagged": {**VP9, "colour": (1, 1, 1, 1)},
    "vfr": {**VP9, "pts": [0, 1, 5, 6, 7, 20, 21, 22, 40, 41, 42, 50], "count": 12},
    "one long group": {**VP9, "options": {**VP9["options"], "g": "100"}, "count": 50},
    "mp4": {**VP9, "suffix": "mp4"},
}


H264 = {
    "b-frames": {"options": {"preset": "veryfast", "bf": "3", "g": "8"}, "count": 30},
    "vfr, h264": {"pts": [0, 1, 5, 6, 7, 20, 21, 22, 40, 41, 42, 50], "count": 12},
    "hevc": {"codec": "libx265", "options": {"g": "8", "flags": "+cgop"}},
    "avi": {"suffix": "avi", "options": {"preset": "ultrafast", "g": "8", "bf": "0"}},
    "ts": {"suffix": "ts", "options": {"preset": "veryfast", "g": "8", "bf": "2"}},
}


@pytest.mark.parametrize("name", [*CLIPS, *H264])
def test_frames_are_near_those_of_the_cpu(tmp_path, name, library):
    if name in H264 and library == "DALI":
        pytest.skip(NO_H264)
    given = {"count": 20, **{**CLIPS, **H264}[name]}
    suffix = given.pop("suffix", "mkv")
    clip = make_clip(tmp_path / f"clip.{suffix}", **given)
    words = compare(clip, dali_source(clip), most=40)
    codec = {"vp8": "vp8", "hevc": "hevc"}.get(name, "h264" if name in H264 else "vp9")
    assert words == f"DALI on the CPU ({codec})"


def test_chroma_is_not_blurred(tmp_path):
    """Colours that RGB holds come back within a level of two, sharp as they were."""
    clip = make_clip(tmp_path / "clip.mkv", count=6, size=(256, 128), **VP9)
    with FileSource(clip) as plain, dali_source(clip) as source:
        gaps = [
            np.abs(a.astype(int) - b)
            for one, other in zip(source.frames(), plain.frames(), strict=True)
            for a, b in zip(planes(one), planes(other), strict=True)
        ]
    assert np.mean([gap.mean() for gap in gaps]) < 0.2
    assert np.percentile(np.concatenate([gap.ravel() for gap in gaps]), 99) <= 2


def test_a_cut_begins_where_it_does_on_the_cpu(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", count=40, **VP9)
    compare(clip, dali_source(clip, start=0.5, end=1.2), most=40, start=0.5, end=1.2)


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def broken(path, target, change) -> None:
    """The clip with its packets changed: ``change`` gives new bytes, or None to leave one out."""
    with av.open(str(path)) as source, av.open(str(target), "w") as made:
        out = made.add_stream_from_template(source.streams.video[0])
        kept = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(kept):
            data = change(number, bytes(packet))
            if data is None:
                continue
            one = av.Packet(data)
            one.pts, one.dts, one.time_base = packet.pts, packet.dts, packet.time_base
            one.is_keyframe, one.stream, one.duration = packet.is_keyframe, out, packet.duration
            made.mux(one)


def test_what_dali_cannot_decode_the_cpu_decodes_and_marks(tmp_path):
    clip = make_clip(tmp_path / "whole.mkv", count=40, **VP9)
    hurt = tmp_path / "hurt.mkv"
    broken(clip, hurt, lambda n, data: bytes(255 - b for b in data) if n == 18 else data)
    with FileSource(hurt) as plain, dali_source(hurt) as source:
        ours, theirs = list(source.frames()), list(plain.frames())
        assert [f.key for f in ours] == [f.key for f in theirs]
        marked = {f.key for f in theirs if f.corrupt}
        assert marked
        assert marked <= {f.key for f in ours if f.corrupt}
        # The groups before and behind it are as they were.
        assert not any(f.corrupt for f in ours if f.index < 16 or f.index > 25)
        assert source.lost == plain.lost > 0
        assert "1 groups of pictures by vp9 on the CPU" in source.decoded_by[0]


def test_a_dali_that_always_fails_is_given_up(tmp_path, monkeypatch):
    class Broken(StandIn):
        def run(self, data, count):
            raise RuntimeError("Critical error in pipeline:\nno NVDEC")

    monkeypatch.setattr(dali, "Pipeline", Broken)
    clip = make_clip(tmp_path / "clip.mkv", count=80, **VP9)
    words = compare(clip, dali_source(clip))
    assert "vp9 on the CPU: DALI failed (critical error in pipeline: no nvdec)" in words


@pytest.mark.parametrize("after", [0, 5, 8, 11])
def test_a_group_that_breaks_off_is_finished_by_the_cpu(tmp_path, monkeypatch, after):
    """A group longer than what may wait is handed on in parts: none comes twice, none is lost."""
    run = dali.Pipeline.run
    begun = []

    def breaks(self, data, count):
        begun.append(count)
        if len(begun) != 2:
            yield from run(self, data, count)
            return
        given = 0
        for sequence in run(self, data, count):
            if given >= after:
                raise RuntimeError("out of memory")
            given += int(sequence.shape()[0])
            yield sequence
        raise RuntimeError("out of memory")

    monkeypatch.setattr(dali.Pipeline, "run", breaks)
    options = {**VP9["options"], "g": "20"}
    clip = make_clip(tmp_path / "clip.mkv", count=60, codec="libvpx-vp9", options=options)

    def narrow(stream, video, kernels, backend):
        return DaliContext(stream, video, kernels, backend, workers=1, ahead=1)

    words = compare(clip, dali_source(clip, narrow), most=40)
    assert "1 groups of pictures" in words


def test_dali_that_gives_fewer_frames_is_not_believed(tmp_path, monkeypatch):
    def short(gop, stream):
        gop.packets, kept = gop.packets[:-1], gop.packets
        data = as_file(gop, stream)
        gop.packets = kept
        return data

    monkeypatch.setattr(dali, "as_file", short)
    clip = make_clip(tmp_path / "clip.mkv", count=24, **VP9)
    words = compare(clip, dali_source(clip), most=40)
    assert "3 groups of pictures by vp9 on the CPU" in words


@pytest.mark.parametrize(
    ("lengths", "count", "right"),
    [
        ([8, 8, 4], 20, True),
        ([8, 8], 16, True),
        ([3], 3, True),
        ([8, 5], 20, False),
        ([8, 8, 3], 20, False),
        ([8, 8, 8], 20, False),
        ([8], 5, False),
    ],
)
def test_frames_are_counted(lengths, count, right):
    """As many as packets, or it is no result, whatever DALI itself says of it."""

    class Given:
        def __init__(self):
            self.left = list(lengths)

        def feed_input(self, name, data):
            assert (name, data.shape) == ("file", (1, 4))

        def run(self):
            return ([hardware.Sequence(np.zeros((self.left.pop(0), 2, 2, 3), np.uint8))],)

    pipeline = REAL.__new__(REAL)
    pipeline._pipeline = Given()
    if right:
        assert sum(s.shape()[0] for s in REAL.run(pipeline, b"clip", count)) == count
        return
    with pytest.raises(RuntimeError, match=f"frames came of {count} packets"):
        list(REAL.run(pipeline, b"clip", count))


def test_damage_in_a_group_that_the_cpu_decodes_is_marked(tmp_path):
    """Nothing raises: FFmpeg's decoder says it, and goes on with what it made of it."""
    options = {"preset": "veryfast", "g": "8", "bf": "0", "crf": "10"}
    whole = make_clip(tmp_path / "whole.mkv", count=32, size=(192, 128), options=options)
    hurt = tmp_path / "hurt.mkv"

    def flip(number, data):
        half = len(data) // 2
        return data if number != 11 else data[:half] + bytes(b ^ 255 for b in data[half:])

    broken(whole, hurt, flip)
    with FileSource(hurt) as plain, dali_source(hurt, fails_once(11 // 8)) as source:
        theirs = {frame.key: frame.corrupt for frame in plain.frames()}
        ours = {frame.key: frame.corrupt for frame in source.frames()}
    assert ours.keys() == theirs.keys()
    marked = {key.index for key, bad in theirs.items() if bad}
    assert len(marked) > 1
    assert {key.index for key, bad in ours.items() if bad} == marked


def fails_once(group):
    """A stand-in that cannot decode one group."""

    class Broken(StandIn):
        calls = iter(range(1 << 20))

        def run(self, data, count):
            if next(Broken.calls) == group:
                raise RuntimeError("no")
            return super().run(data, count)

    def make(stream, video, kernels, backend):
        # One worker: groups come one after the other.
        return DaliContext(stream, video, kernels, backend, workers=1, open_=Broken)

    return make


def test_whoever_stops_reading_stops_the_decoder(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", count=60, **VP9)
    source = dali_source(clip)
    frames = source.frames()
    for _ in range(3):
        next(frames)
    frames.close()
    source.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("dali") and t.is_alive()]


def clip_with_keys(path, keys, count):
    """H.264 with B-frames whose keyframes are these, no others."""
    options = {"preset": "veryfast", "bf": "3", "forced-idr": "1", "g": "1000", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options, width=96, height=64)
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            image = av_frame(number, 96, 64, "yuv420p")
            image.pts, image.pict_type = number, 1 if number in keys else 0
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("keys", [(0,), (0, 8), (0, 8, 16)], ids=str)
def test_from_a_group_without_end_on_the_cpu_decodes(tmp_path, monkeypatch, keys, library):
    """Keyframes that are too far apart: no frame is lost, none comes twice, none is marked."""
    if library == "DALI":
        pytest.skip(NO_H264)
    monkeypatch.setattr(gops, "MOST_PACKETS", 15)
    clip = clip_with_keys(tmp_path / "clip.mkv", keys, 48)
    words = compare(clip, dali_source(clip), most=40)
    assert words.endswith("h264 on the CPU: a group of pictures is not closed")


def test_keyframes_that_others_reach_across_are_no_cuts(tmp_path):
    """An open group's frames need the group before: they are decoded together."""
    options = {"preset": "veryfast", "x264-params": "keyint=10:min-keyint=10:open-gop=1:bframes=3"}
    clip = make_clip(tmp_path / "clip.mkv", count=40, options=options)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert sum(packet.is_keyframe for packet in packets) > 1
        cutter = GopCutter(stream)
        found = [gop for packet in packets for gop in cutter.push(packet)]
        found += cutter.flush()
    assert [(len(gop), gop.closed) for gop in found] == [(40, True)]


def test_a_stream_that_begins_in_the_middle_of_a_group_is_not_for_dali(tmp_path):
    options = {"preset": "veryfast", "g": "12", "bf": "0"}
    whole = make_clip(tmp_path / "whole.mkv", count=24, options=options)
    clip = tmp_path / "clip.mkv"
    broken(whole, clip, lambda n, data: None if n == 0 else data)
    with FileSource(clip) as plain, dali_source(clip) as source:
        ours, theirs = ([(f.key, f.corrupt) for f in s.frames()] for s in (source, plain))
        assert [key for key, _ in ours] == [key for key, _ in theirs]
        assert {key for key, bad in theirs if bad} <= {key for key, bad in ours if bad}


FILES = {"b-frames": H264["b-frames"], "vp9": VP9, "hevc": H264["hevc"]}


@pytest.mark.parametrize("name", FILES)
def test_groups_are_whole_files(tmp_path, name):
    """FFmpeg reads each by itself: as many frames as packets, those of the whole."""
    clip = make_clip(tmp_path / "clip.mp4", **{"count": 30, **FILES[name]})
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        cutter = GopCutter(stream)
        found = [gop for p in container.demux(stream) if p.size for gop in cutter.push(p)]
        found += cutter.flush()
        files = [as_file(gop, stream) for gop in found]
    assert len(found) > 2
    assert all(gop.closed for gop in found)
    luma = []
    for data, gop in zip(files, found, strict=True):
        with av.open(io.BytesIO(data)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == len(gop)
        luma += [frame.to_ndarray(format="gray") for frame in frames]
    with av.open(str(clip)) as container:
        wanted = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for one, other in zip(luma, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_groups_that_fail_one_by_one_are_decoded_one_by_one(tmp_path):
    """Each by a decoder of its own: one that has decoded cannot be set up anew."""
    options = {"x264-params": "keyint=6:scenecut=0:bframes=0"}
    clip = make_clip(tmp_path / "clip.mp4", count=60, options=options)
    runs = []

    class Now(StandIn):
        def run(self, data, count):
            runs.append(count)
            if len(runs) in (2, 4, 6):
                raise RuntimeError("no")
            return super().run(data, count)

    def make(stream, video, kernels, backend):
        return DaliContext(stream, video, kernels, backend, workers=1, open_=Now)

    with hardware.dali_source(clip, twin_kernels(), make) as source:
        assert len(list(source.frames())) == 60
        assert source.lost == 0
        assert "3 groups of pictures by h264 on the CPU" in source.decoded_by[0]
