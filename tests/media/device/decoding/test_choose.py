"""Who decodes: by name, by what is there, stream by stream; and what the report says of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stream_anon.cli.probe import examine
from stream_anon.config import Config, FaultConfig, override
from stream_anon.device import Choice
from stream_anon.errors import UsageError
from stream_anon.media.device import choose, dali, nvdec, source
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.source import on_device
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.media.clips import make_clip
from tests.media.device.decoding.hardware import StandIn, Surfaces

CUDA, CPU = Choice("cuda", "asked for"), Choice("cpu", "asked for")
NO_LIBRARY = "the driver's NVDEC library (libnvcuvid.so.1) is missing"


@pytest.fixture
def twin(monkeypatch):
    """A GPU that is the twin, with NVDEC and DALI as they are told to be there."""

    def there(*names: str) -> None:
        monkeypatch.setattr(source, "cuda_kernels", twin_kernels)
        monkeypatch.setattr(dali, "Pipeline", StandIn)
        wanted = None if "nvdec" in names else NO_LIBRARY
        monkeypatch.setattr(nvdec, "missing", lambda *_: wanted)
        missing = None if "dali" in names else "DALI cannot be used (no module named 'nvidia.dali')"
        monkeypatch.setattr(dali, "missing", lambda *_: missing)
        make = choose.device_decoders
        monkeypatch.setattr(
            source, "device_decoders",
            lambda kernels, name, **given: make(kernels, name, "mixed", Surfaces, **given),
        )  # fmt: skip

    return there


def decoded(path: Path, decoder: str, **options) -> str:
    with on_device(FileSource(path, **options), CUDA, decoder) as opened:
        assert {type(frame).__name__ for frame in opened.frames()} == {"DeviceFrame"}
        return opened.decoded_by[0]


@pytest.mark.parametrize(
    ("there", "decoder", "said"),
    [
        (("nvdec", "dali"), "auto", "NVDEC (h264)"),
        (("nvdec",), "auto", "NVDEC (h264)"),
        (("dali",), "auto", "DALI by NVDEC"),
        (("nvdec", "dali"), "dali", "DALI by NVDEC"),
        (("nvdec", "dali"), "nvdec", "NVDEC (h264)"),
        (("nvdec", "dali"), "cpu", "h264 on the CPU"),
    ],
)
def test_what_is_there_and_wanted_decodes(twin, tmp_path, there, decoder, said):
    twin(*there)
    assert decoded(make_clip(tmp_path / "clip.mp4", count=6), decoder) == said


def test_without_either_the_cpu_decodes_and_one_line_says_so(twin, tmp_path, caplog):
    twin()
    with caplog.at_level(logging.WARNING, "stream_anon"):
        words = decoded(make_clip(tmp_path / "clip.mp4", count=4), "auto")
    assert words.startswith(f"h264 on the CPU: {NO_LIBRARY}; DALI cannot be used (")
    assert [r.getMessage() for r in caplog.records] == [
        f"frames are decoded on the CPU: {words.partition(': ')[2]}"
    ]


@pytest.mark.parametrize("decoder", ["nvdec", "dali"])
def test_what_is_asked_for_by_name_must_be_there(twin, tmp_path, decoder):
    twin()
    clip = make_clip(tmp_path / "clip.mp4", count=4)
    with pytest.raises(UsageError, match=f"video.decoder '{decoder}' cannot be used: "):
        on_device(FileSource(clip), CUDA, decoder)
    with pytest.raises(UsageError, match="decodes on a GPU: --device cuda"):
        on_device(FileSource(clip), CPU, decoder)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("suffix", ["ts", "mp4"])
def test_what_comes_over_lossy_lines_is_decoded_where_damage_is_told(
    twin, tmp_path, strict, suffix
):
    """Where damage is to end the run; who names a decoder gets it."""
    twin("nvdec")
    clip = make_clip(tmp_path / f"clip.{suffix}", count=6)
    with on_device(FileSource(clip), CUDA, "auto", strict) as opened:
        list(opened.frames())
        words, hidden = opened.decoded_by[0], list(opened.conceals)
    if strict and suffix == "ts":
        why = "damage is to end the run, and MPEG-TS may have been damaged"
        assert (words, hidden) == (f"h264 on the CPU: {why}", [])
    else:
        assert (words, hidden) == ("NVDEC (h264)", [0])
    with on_device(FileSource(clip), CUDA, "nvdec", strict) as opened:
        list(opened.frames())
        assert opened.decoded_by[0] == "NVDEC (h264)"


UNFIT = {
    "frames of yuv422p are decoded on the CPU": {"pix_fmt": "yuv422p"},
    "NVDEC has no mpeg4": {"codec": "mpeg4"},
}


@pytest.mark.parametrize("why", UNFIT)
def test_a_stream_that_nvdec_does_not_know_is_decoded_on_the_cpu(twin, tmp_path, why):
    twin("nvdec")
    clip = make_clip(tmp_path / "clip.mkv", count=4, **UNFIT[why])
    with on_device(FileSource(clip), CUDA) as opened:
        assert len(list(opened.frames())) == 4
        assert why in opened.decoded_by[0]


def test_ten_bits_are_not_for_dali(twin, tmp_path):
    twin("dali")
    clip = make_clip(tmp_path / "clip.mkv", codec="libx265", pix_fmt="yuv420p10le", count=4)
    words = decoded(clip, "dali")
    assert words == "hevc on the CPU: DALI would not keep the samples of yuv420p10le"


def test_a_cpu_run_is_as_it_was(tmp_path):
    plain = FileSource(make_clip(tmp_path / "clip.mp4", count=4))
    assert on_device(plain, CPU) is plain
    list(plain.frames())
    assert plain.decoded_by == {0: "h264 on the CPU"}


def test_motion_vectors_need_the_cpu(twin, tmp_path):
    twin("nvdec")
    clip = make_clip(tmp_path / "clip.mp4", count=4)
    assert "motion vectors" in decoded(clip, "nvdec", motion=True)


def test_doctor_says_what_is_missing():
    video = examine()["video"]
    for name in ("NVDEC", "DALI", "NVENC"):
        assert video[name] == "yes" or video[name].startswith("no (")


def test_a_run_says_what_decoded_and_encoded(twin, tmp_path):
    """From file to file over the twin: NV12 all the way into libx264."""
    twin("nvdec")
    clip = make_clip(tmp_path / "clip.mp4", count=8, audio=["aac"])
    target = tmp_path / "out.mp4"
    config = override(Config(), **{"video.encoder_preset": "ultrafast"}).video
    with on_device(FileSource(clip), CUDA) as opened:
        plan = plan_streams(opened.info, target, config)
        sink, gate = FileSink(target, plan, opened.info, config), Compositor(Fill(), FaultConfig())
        for frame in opened.frames():
            sink.write(gate.clear(frame, ()))
        sink.finish()
        assert opened.decoded_by == {0: "NVDEC (h264)"}
        assert sink.encoded_by == {0: "libx264 on the CPU, from nv12"}
    assert len(list(FileSource(target).frames())) == 8
