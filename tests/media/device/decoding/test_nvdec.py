"""NVDEC's path from packets to frames on a device, on the CPU: frames, faults, fall-backs."""

from __future__ import annotations

from functools import partial

import av
import numpy as np
import pytest

from stream_anon.media.device import nvdec
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.kernels import DeviceKernels, twin_kernels
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet
from tests.media.clips import make_clip
from tests.media.device.decoding.hardware import Surfaces, nvdec_source, planes

TWIN: DeviceKernels = twin_kernels()


def alike(path, source, **options) -> None:
    """Frame by frame what the CPU gives: samples, times, tags, marks."""
    with FileSource(path, **options) as plain, source:
        ours, theirs = list(source), list(plain)
        assert [type(i) is Packet for i in ours] == [type(i) is Packet for i in theirs]
        count = 0
        for one, other in zip(ours, theirs, strict=True):
            if isinstance(one, Packet):
                continue
            count += 1
            assert isinstance(one, DeviceFrame)
            for name in ("key", "time_base", "rate", "rotation", "width", "height", "corrupt"):
                assert getattr(one, name) == getattr(other, name), name
            for a, b in zip(planes(one), planes(other), strict=True):
                np.testing.assert_array_equal(a, b)
            for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
                assert getattr(one.to_av(), tag) == getattr(other.to_av(), tag)
        assert count
        assert (source.lost, source.repaired) == (plain.lost, plain.repaired)


CLIPS = {
    "b-frames": {"options": {"preset": "veryfast", "bf": "3", "g": "8"}, "audio": ["aac"]},
    "10 bits": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "full range": {"pix_fmt": "yuvj420p"},
    "tagged": {"colour": (1, 1, 1, 1)},
    "vfr": {"pts": [0, 1, 5, 6, 7, 20, 21, 22, 40, 41]},
    "turned": {"rotation": 90},
}


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_those_of_the_cpu(tmp_path, name):
    given = {"count": 10 if name == "vfr" else 20, **CLIPS[name]}
    clip = make_clip(tmp_path / "clip.mkv", **given)
    source = nvdec_source(clip, TWIN)
    alike(clip, source)
    assert source.decoded_by[0].startswith("NVDEC (")


def test_a_cut_begins_where_it_does_on_the_cpu(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", count=30, options={"preset": "veryfast", "g": "8"})
    alike(clip, nvdec_source(clip, TWIN, start=0.5, end=1.0), start=0.5, end=1.0)


BROKEN = [
    av.ExternalError(1, "CUDA_ERROR_LAUNCH_FAILED"),
    av.error.MemoryError(12, "No decoder surfaces left"),
    OSError("libnvcuvid.so.1: cannot open shared object file"),
    RuntimeError("the card fell off the bus"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("at", [1, 2, 9, 17, 24, 31])
def test_a_decoder_that_fails_in_mid_stream_loses_nothing(tmp_path, at, error):
    """Keyframes, B-frames, frames that the hardware still owes: all come, once, from the CPU."""
    options = {"preset": "veryfast", "bf": "3", "g": "12", "b-pyramid": "normal"}
    clip = make_clip(tmp_path / "clip.mp4", count=30, options=options)
    for delay in (0, 3):
        source = nvdec_source(clip, TWIN, partial(Surfaces, fails=(at,), error=error, delay=delay))
        alike(clip, source)
        words = source.decoded_by[0]
        assert "h264 on the CPU: NVDEC gave up (" in words
        assert words.startswith("h264 on the CPU" if at == 1 else "NVDEC, after ") or at == 2


def test_a_profile_that_the_chip_does_not_know_is_decoded_on_the_cpu(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4")
    source = nvdec_source(clip, TWIN, partial(Surfaces, planar=True))
    alike(clip, source)
    assert source.decoded_by[0] == "h264 on the CPU: NVDEC does not take this stream"


def test_without_nvdec_the_cpu_decodes_and_the_report_says_so(tmp_path):
    def nothing(stream):
        raise av.error.PermissionError(1, "Operation not permitted")

    clip = make_clip(tmp_path / "clip.mp4")
    source = nvdec_source(clip, TWIN, nothing)
    alike(clip, source)
    assert source.decoded_by[0] == "h264 on the CPU: NVDEC gave up (operation not permitted)"


def test_where_too_much_would_have_to_be_kept_what_is_lost_is_counted(tmp_path, monkeypatch):
    """One keyframe: the memory for a second try is bounded, and the rest is marked."""
    monkeypatch.setattr(nvdec, "MOST_KEPT", 200)
    clip = make_clip(tmp_path / "clip.mp4", count=30, options={"preset": "veryfast", "g": "20"})
    source = nvdec_source(clip, TWIN, partial(Surfaces, fails=(12,)), tolerant=True)
    frames = list(source.frames())
    assert source.lost > 0
    assert not any(frame.corrupt for frame in frames[:8])
    late = [frame for frame in frames if frame.pts * frame.time_base >= 0.48]
    before_key = [frame for frame in late if frame.pts * frame.time_base < 0.8]
    assert all(frame.corrupt for frame in before_key)
    assert not any(f.corrupt for f in late if f.pts * f.time_base > 0.8)


def test_damage_that_the_stream_tells_is_marked(tmp_path):
    """A frame is missing: its numbers tell, whoever decodes."""
    options = {"preset": "veryfast", "g": "12", "bf": "0"}
    whole = make_clip(tmp_path / "whole.mkv", count=24, options=options)
    holed = tmp_path / "holed.mkv"
    with av.open(str(whole)) as source, av.open(str(holed), "w") as target:
        out = target.add_stream_from_template(source.streams.video[0])
        kept = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(kept):
            if number != 4:
                packet.stream = out
                target.mux(packet)
    ours = [frame.corrupt for frame in nvdec_source(holed, TWIN).frames()]
    theirs = [frame.corrupt for frame in FileSource(holed).frames()]
    assert ours == theirs
    assert any(ours)


def test_frames_are_out_of_the_decoders_pool(tmp_path):
    """Painting a frame must not reach those that are predicted from it."""
    clip = make_clip(tmp_path / "clip.mp4", count=8)
    plain = [planes(frame) for frame in FileSource(clip).frames()]
    for frame, wanted in zip(nvdec_source(clip, TWIN).frames(), plain, strict=True):
        for a, b in zip(planes(frame), wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        frame.blacken()


def test_what_is_not_for_nvdec_is_known_before(tmp_path):
    wide = FileSource(make_clip(tmp_path / "a.mkv", pix_fmt="yuv444p")).info.streams[0]
    odd = FileSource(make_clip(tmp_path / "b.mkv", codec="ffv1")).info.streams[0]
    odder = FileSource(make_clip(tmp_path / "c.mkv", codec="libx264", pix_fmt="yuv420p"))
    assert nvdec.unfit(wide) == "frames of yuv444p are decoded on the CPU"
    assert nvdec.unfit(odd) == "NVDEC has no ffv1"
    assert nvdec.unfit(odder.info.streams[0]) is None


def test_a_missing_library_is_one_line(monkeypatch):
    def refused(name):
        raise OSError(name)

    monkeypatch.setattr(nvdec.ctypes, "CDLL", refused)
    assert nvdec.missing() == "the driver's NVDEC library (libnvcuvid.so.1) is missing"


def test_a_library_without_a_driver_is_one_line(monkeypatch):
    monkeypatch.setattr(nvdec.ctypes, "CDLL", lambda name: None)
    words = nvdec.missing()
    assert words is None or words.startswith("NVDEC does not start (")


@pytest.mark.gpu
def test_a_gpu_decodes_to_the_same_samples(tmp_path):
    from stream_anon.media.device.kernels import cuda_kernels

    if nvdec.missing():
        pytest.skip(str(nvdec.missing()))
    for name in CLIPS:
        given = {"count": 10 if name == "vfr" else 20, "size": (256, 144), **CLIPS[name]}
        clip = make_clip(tmp_path / f"{name}.mkv", **given)
        alike(clip, nvdec_source(clip, cuda_kernels(), nvdec.open_nvdec))
