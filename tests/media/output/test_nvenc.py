"""NVENC, as far as that goes without one: its options, when it is chosen, what waits for it.

And what goes to encoders on the CPU from a device: NV12 as it lies, to the same bits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import av
import pytest

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import UsageError
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.source import DeviceSource
from stream_anon.media.input.source import FileSource
from stream_anon.media.output import nvenc
from stream_anon.media.output._encode import StreamEncoder
from stream_anon.media.output.encoders import NVENC, settings
from stream_anon.media.output.sink import FileSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.media.packets import Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.media.clips import make_clip

FAST = VideoConfig(encoder_preset="ultrafast")
TWIN = twin_kernels()


@pytest.fixture
def there(monkeypatch):
    """A GPU that encodes all three codecs."""
    monkeypatch.setattr(nvenc, "missing", lambda codec="h264": None)


def planned(path: Path, options: VideoConfig, on_gpu: bool = True, name: str = "out.mkv"):
    with FileSource(path) as source:
        return plan_streams(source.info, Path(name), options, on_gpu=on_gpu)


@pytest.mark.parametrize("codec", NVENC)
def test_ffmpeg_knows_every_option_and_value(codec):
    """A typing error would otherwise be seen on the first GPU only."""
    context = av.CodecContext.create(NVENC[codec].name, "w")
    known = {option.name: option for option in context.supported_options.private}
    general = {option.name for option in context.supported_options.generic}
    for preset in NVENC[codec].presets:
        for name, value in settings(NVENC[codec], 23, preset).items():
            if name not in known:
                assert name in general, name
                continue
            choices = {choice.name for choice in known[name].choices}
            low, high = known[name].min, known[name].max
            number = value.replace(".", "", 1).isdigit()
            assert value in choices or (number and low <= float(value) <= high), (name, value)


def test_a_gpu_that_encodes_is_used_and_named(there, tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", count=2)
    (stream,) = planned(clip, VideoConfig()).streams
    assert (stream.encoder, stream.reason) == ("h264_nvenc", "video, encoded as h264_nvenc")
    for options, on_gpu in (
        (VideoConfig(), False),
        (VideoConfig(encoder="cpu"), True),
        (VideoConfig(encoder_preset="fast"), True),
    ):
        (stream,) = planned(clip, options, on_gpu).streams
        assert stream.encoder == "libx264"


def test_presets_are_those_of_the_encoder(there, tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", count=2)
    (stream,) = planned(clip, VideoConfig(encoder_preset="p6")).streams
    assert stream.encoder == "h264_nvenc"
    plan = planned(clip, VideoConfig(encoder_preset="fast"))
    assert "encoded on the CPU: 'fast' is a preset of its encoder" in plan.notes
    with pytest.raises(UsageError, match="no preset of h264"):
        planned(clip, VideoConfig(encoder="nvenc", encoder_preset="fast"))
    with pytest.raises(UsageError, match="no preset of h264"):
        planned(clip, VideoConfig(encoder_preset="p6"), on_gpu=False)


def test_frames_that_it_would_round_are_encoded_on_the_cpu(there, tmp_path):
    deep = make_clip(tmp_path / "a.mkv", codec="libx265", pix_fmt="yuv420p10le", count=2)
    wide = make_clip(tmp_path / "b.mkv", pix_fmt="yuv444p", count=2)
    assert planned(deep, VideoConfig()).streams[0].encoder == "hevc_nvenc"
    assert planned(deep, VideoConfig(codec="h264")).streams[0].encoder == "libx264"
    assert planned(wide, VideoConfig()).streams[0].encoder == "libx264"


def test_where_it_is_missing_a_note_says_so(monkeypatch, tmp_path):
    words = "this GPU or its driver does not encode h264 (no capable devices found)"
    monkeypatch.setattr(nvenc, "missing", lambda codec="h264": words)
    clip = make_clip(tmp_path / "clip.mkv", count=2)
    plan = planned(clip, VideoConfig())
    assert plan.streams[0].encoder == "libx264"
    assert f"encoded on the CPU: {words}" in plan.notes
    with pytest.raises(UsageError, match="video.encoder 'nvenc' cannot be used: this GPU"):
        planned(clip, VideoConfig(encoder="nvenc"))
    with pytest.raises(UsageError, match="encodes what lies on a GPU"):
        planned(clip, VideoConfig(encoder="nvenc"), on_gpu=False)


def test_a_missing_library_is_one_line(monkeypatch):
    def refused(name):
        raise OSError(name)

    monkeypatch.setattr(nvenc.ctypes, "CDLL", refused)
    nvenc.missing.cache_clear()
    assert nvenc.missing() == "the driver's NVENC library (libnvidia-encode.so.1) is missing"
    assert nvenc.missing("gif") == "NVENC has no gif"
    nvenc.missing.cache_clear()


def test_a_library_without_a_gpu_is_one_line(monkeypatch):
    monkeypatch.setattr(nvenc.ctypes, "CDLL", lambda name: None)
    nvenc.missing.cache_clear()
    words = nvenc.missing()
    nvenc.missing.cache_clear()
    assert words is None or words.startswith("this GPU or its driver does not encode h264 (")


def written(path: Path, target: Path, kernels=None, options: VideoConfig = FAST) -> FileSink:
    """A run of the sink alone, over frames of the CPU or of the twin."""
    source = FileSource(path) if kernels is None else DeviceSource(FileSource(path), kernels)
    with source:
        plan = plan_streams(source.info, target, options)
        sink = FileSink(target, plan, source.info, options)
        gate = Compositor(Fill(), FaultConfig())
        for item in source:
            if isinstance(item, Packet):
                sink.copy(item)
            else:
                sink.write(gate.clear(item, ()))
        sink.finish()
    return sink


def packets(path: Path) -> list[tuple]:
    with av.open(str(path)) as container:
        return [(p.stream_index, p.pts, p.dts, bytes(p)) for p in container.demux() if p.size]


FORMATS = {
    "8 bits": ({}, "nv12"),
    "full range": ({"pix_fmt": "yuvj420p"}, "nv12"),
    "10 bits": ({"codec": "libx265", "pix_fmt": "yuv420p10le"}, "yuv420p10le"),
    "4:4:4": ({"pix_fmt": "yuv444p"}, "yuv444p"),
    "odd sizes": ({"codec": "ffv1", "size": (97, 61)}, "yuv444p"),
    "vp9": ({"codec": "libvpx-vp9"}, "nv12"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_encoded_from_a_device_is_the_same_to_the_bit(tmp_path, name):
    given, asked = FORMATS[name]
    clip = make_clip(tmp_path / "clip.mkv", count=6, **given)
    # One thread: how x264 and x265 share out their work must not matter here.
    options = VideoConfig(encoder_preset="ultrafast")
    one = written(clip, tmp_path / "cpu.mkv", options=options)
    two = written(clip, tmp_path / "twin.mkv", TWIN, options)
    assert two.encoded_by[0].endswith(f"on the CPU, from {asked}")
    assert "nv12" not in one.encoded_by[0]
    assert packets(tmp_path / "cpu.mkv") == packets(tmp_path / "twin.mkv")


def test_sound_before_the_first_frame_costs_a_conversion_not_the_samples(tmp_path):
    """The header opens every encoder: frames in NV12 are then made planar, as exactly."""
    clip = make_clip(tmp_path / "clip.mkv", count=6, audio=["aac"])
    one = tmp_path / "one.mkv"
    with DeviceSource(FileSource(clip), TWIN) as source:
        items = sorted(source, key=lambda item: not isinstance(item, Packet))
        plan = plan_streams(source.info, one, FAST)
        sink, gate = FileSink(one, plan, source.info, FAST), Compositor(Fill(), FaultConfig())
        for item in items:
            if isinstance(item, Packet):
                sink.copy(item)
            else:
                sink.write(gate.clear(item, ()))
        sink.finish()
    written(clip, tmp_path / "cpu.mkv")
    assert sink.encoded_by[0].endswith("from yuv420p")
    video = [[p for p in packets(path) if p[0] == 0] for path in (one, tmp_path / "cpu.mkv")]
    assert video[0] == video[1]


@pytest.mark.parametrize("device", ["twin", "cpu"])
def test_a_run_on_a_gpu_encodes_nv12_whatever_comes_first(tmp_path, device):
    """Also where a frame comes in host memory after all: it is repacked, as exactly."""
    clip = make_clip(tmp_path / "clip.mkv", count=6, audio=["aac"])
    target = tmp_path / "one.mkv"
    plain = FileSource(clip)
    with DeviceSource(plain, TWIN) if device == "twin" else plain as source:
        items = sorted(source, key=lambda item: not isinstance(item, Packet))
        plan = plan_streams(source.info, target, FAST, on_gpu=True)
        sink, gate = FileSink(target, plan, source.info, FAST), Compositor(Fill(), FaultConfig())
        for item in items:
            (sink.copy if isinstance(item, Packet) else partial(_write, sink, gate))(item)
        sink.finish()
    written(clip, tmp_path / "cpu.mkv")
    assert sink.encoded_by[0] == "libx264 on the CPU, from nv12"
    video = [[p for p in packets(path) if p[0] == 0] for path in (target, tmp_path / "cpu.mkv")]
    assert video[0] == video[1]


def test_nothing_is_written_before_an_encoder_on_the_gpu_has_its_first_frame(tmp_path, monkeypatch):
    """Its frames' memory belongs to a context that only they know; the header would open it."""
    monkeypatch.setattr(StreamEncoder, "waits", property(lambda self: self.frames < 3))
    clip = make_clip(tmp_path / "clip.mkv", count=8, audio=["aac"])
    held = written(clip, tmp_path / "held.mkv")
    monkeypatch.undo()
    written(clip, tmp_path / "plain.mkv")
    assert held.frames == {0: 8}
    assert sorted(packets(tmp_path / "held.mkv")) == sorted(packets(tmp_path / "plain.mkv"))


@pytest.mark.gpu
def test_a_gpu_encodes_frames_on_the_card(tmp_path):
    from stream_anon.media.device.kernels import cuda_kernels

    if words := nvenc.missing():
        pytest.skip(words)
    clip = make_clip(tmp_path / "clip.mkv", count=12, size=(320, 192), audio=["aac"])
    target = tmp_path / "out.mkv"
    options = VideoConfig(encoder="nvenc")
    with DeviceSource(FileSource(clip), cuda_kernels()) as source:
        plan = plan_streams(source.info, target, options, on_gpu=True)
        sink, gate = FileSink(target, plan, source.info, options), Compositor(Fill(), FaultConfig())
        for item in source:
            (sink.copy if isinstance(item, Packet) else partial(_write, sink, gate))(item)
        sink.finish()
    assert sink.encoded_by[0] == "h264_nvenc on the GPU, from frames on the card"
    with FileSource(target) as made, FileSource(clip) as plain:
        assert [f.pts for f in made.frames()] == [f.pts for f in plain.frames()]


def _write(sink, gate, frame) -> None:
    sink.write(gate.clear(frame, ()))
