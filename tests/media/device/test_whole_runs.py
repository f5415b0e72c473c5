"""Whole runs, from file to file, on the CPU and on its twin of a GPU: the same regions and pixels.

Tolerance, in levels of 8 bits over all samples that reach the encoder, with the same regions: 0.05
on average, 8 for 999 samples of 1000. Where a detector looks for itself, the twin's thumbnails
differ by half a level, and boxes by some pixels with them: as much as between f32 and bf16.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import redact
from stream_anon.config import Config, override
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.kernels import DeviceKernels, cuda_kernels
from stream_anon.media.device.source import DeviceSource
from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet
from stream_anon.methods import Blur, Fill, Pixelate
from stream_anon.methods.base import Method, Rendered
from stream_anon.methods.device.covers import DeviceFill, DevicePixelate
from stream_anon.pipeline.plan import make_plan
from tests.attacks.scene import leaks, quick, write_clip
from tests.attacks.test_faults import build
from tests.media.clips import make_clip
from tests.media.device.twin import Run, differences, region_pairs, run

SHORT = 6
"""Frames of a clip that is enough where every frame is the same kind of work."""


class Declining(Method):
    """Declines every face, so that all take the soft cover."""

    name = "declining"
    crop_size = 32

    def render(self, crops, subjects):
        return Rendered(np.full_like(crops, 90), None, np.ones(len(crops), np.bool_))


@pytest.fixture
def clip(tmp_path) -> Path:
    """Fewer frames than the attacks' own."""
    return write_clip(tmp_path / "scene.mp4", frames=SHORT)


METHODS = {"pixelate": Pixelate, "fill": Fill, "blur": Blur, "soft cover": Declining}


def close(one: Run, other: Run) -> None:
    found = differences(one, other)
    assert found.mean() <= 0.05
    assert np.quantile(found, 0.999) <= 8


@pytest.mark.parametrize("name", METHODS)
def test_every_method_paints_the_same(shim, clip, tmp_path, name):
    runs = []
    for kernels, folder in ((None, "cpu"), (shim, "twin")):
        own = tmp_path / folder
        own.mkdir()
        copy = Path(shutil.copy(clip, own))
        runs.append(run(build(copy, quick(), method=METHODS[name]()), kernels))
    cpu, twin = runs
    assert (cpu.frames, twin.frames) == ({"CpuFrame"}, {"DeviceFrame"})
    # The detector is told where the face is: everything behind it must be the same to the bit.
    assert cpu.regions == twin.regions
    close(cpu, twin)
    assert cpu.report.frames_out == twin.report.frames_out == SHORT
    assert cpu.report.frames.stepped_down == twin.report.frames.stepped_down == {}
    assert leaks(tmp_path / "twin", tmp_path / "twin" / "scene.mp4") == []


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_a_gpu_paints_the_same(clip, tmp_path, name):
    runs = []
    for kernels, folder in ((None, "cpu"), (cuda_kernels(), "cuda")):
        own = tmp_path / folder
        own.mkdir()
        copy = Path(shutil.copy(clip, own))
        runs.append(run(build(copy, quick(), method=METHODS[name]()), kernels))
    assert runs[0].regions == runs[1].regions
    close(*runs)


def test_covers_that_are_made_by_kernels_are_the_same(shim, clip, tmp_path):
    """Method and frame on the device: within a level of the method on the CPU."""
    for number, (plain, made) in enumerate(
        [(Pixelate(), DevicePixelate(shim)), (Fill(), DeviceFill(shim))]
    ):
        runs = []
        for method, kernels in ((plain, None), (made, shim)):
            own = tmp_path / f"{number}{method.__class__.__name__}"
            own.mkdir()
            runs.append(run(build(Path(shutil.copy(clip, own)), quick(), method=method), kernels))
        close(*runs)


ODD = {
    "10 bits": {"pix_fmt": "yuv420p10le"},
    "odd sizes": {"codec": "ffv1", "size": (97, 61)},
    "full range": {"pix_fmt": "yuvj420p", "codec": "mjpeg"},
    "on its side": {"rotation": 90},
    "not for a device": {"pix_fmt": "yuv444p"},
}


@pytest.mark.parametrize("name", ODD)
def test_formats(shim, tmp_path, name):
    runs = []
    for kernels, folder in ((None, "cpu"), (shim, "twin")):
        own = tmp_path / folder
        own.mkdir()
        clip = make_clip(own / "clip.mkv", count=4, **ODD[name])
        runs.append(run(build(clip, quick()), kernels))
    assert runs[1].frames == {"CpuFrame" if name == "not for a device" else "DeviceFrame"}
    close(*runs)
    one, two = (dict(done.report.model_dump()["frames"]) for done in runs)
    assert one == two


def test_numpy_can_do_it_all_without_a_compiler(tmp_path):
    """The kernels' twins alone, on a few frames."""
    short = write_clip(tmp_path / "short.mp4", frames=4)
    done = run(build(short, quick()), DeviceKernels("cpu", TwinModule))
    assert done.frames == {"DeviceFrame"}
    assert leaks(tmp_path, short) == []


def test_the_source_hands_on_what_it_wraps(shim, tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", audio=["aac"], subtitles="srt", count=12)
    with FileSource(clip) as plain, DeviceSource(FileSource(clip), shim) as source:
        assert source.info.streams[0].codec == plain.info.streams[0].codec
        assert source.live is False
        source.start_digest()
        plain.start_digest()
        for _ in range(2):
            one, two = list(plain), list(source)
            assert [type(i) is Packet for i in one] == [type(i) is Packet for i in two]
            for a, b in zip(one, two, strict=True):
                if isinstance(a, Packet):
                    assert bytes(a.data) == bytes(b.data)
                    continue
                for name in ("key", "seconds", "rate", "rotation", "width", "height", "corrupt"):
                    assert getattr(a, name) == getattr(b, name)
        assert (source.lost, source.repaired, source.spliced) == (0, 0, 0)
        assert source.digest() == plain.digest()
        source.select(())
        assert not [item for item in source if isinstance(item, Packet)]


SHARED = {
    "carphone.mp4": 0.97,
    "two_heads.gif": 0.97,
    "head_s20.mp4": 0.97,
    "juggle.mp4": 0.97,
    "street_bw_360p.mp4": 0.9,
}
"""Mean overlap of the regions, at least. Small faces' boxes hang on half a level the most."""

LONG = ("head_s20.mp4", "juggle.mp4", "street_bw_360p.mp4", "two_heads.gif")


def whole(clip: Path, folder: Path, kernels, **changes) -> Run:
    folder.mkdir()
    config = override(Config(), **{"verify.mode": "off", "video.end": 0.6, **changes})
    return run(redact.build(make_plan(clip, folder / "out.mkv", config)), kernels)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in SHARED]
)
def test_footage_is_painted_in_the_same_places(shim, shared, tmp_path, name):
    changes = {"method.name": "pixelate", "detector.precision": "f32"}
    clip = shared / "media" / name
    cpu = whole(clip, tmp_path / "cpu", None, **changes)
    twin = whole(clip, tmp_path / "twin", shim, **changes)
    assert twin.frames == {"DeviceFrame"}
    assert cpu.regions
    assert cpu.regions.keys() == twin.regions.keys()
    pairs = [(cpu.regions[key], twin.regions[key]) for key in cpu.regions]
    shares = [share for pair in pairs for share in region_pairs(*pair)]
    assert np.mean(shares) >= SHARED[name]
    assert differences(cpu, twin).mean() <= 0.5


@pytest.mark.shared
@pytest.mark.slow
def test_new_faces_pass_the_second_look(shim, shared, tmp_path):
    """`identity` from host copies of the crops; the finished file is looked at in full."""
    clip = shared / "media" / "carphone.mp4"
    changes = {"method.name": "identity", "verify.mode": "full", "video.end": 0.5}
    done = whole(clip, tmp_path / "twin", shim, **changes)
    assert done.frames == {"DeviceFrame"}
    assert done.report.verification.passed
    assert done.report.frames_with_faces == done.report.frames_out
