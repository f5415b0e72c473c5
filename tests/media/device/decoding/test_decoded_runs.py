"""Whole runs whose frames a decoder left on the device: by what stands for NVDEC and for DALI."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest

from stream_anon.media.device.dali import DaliContext
from stream_anon.media.device.kernels import DeviceKernels, twin_kernels
from stream_anon.media.device.pool import SurfacePool
from stream_anon.media.input.source import FileSource
from tests.attacks.scene import leaks, quick, write_clip
from tests.attacks.test_faults import build
from tests.media.device.decoding.hardware import StandIn, Surfaces, dali_source, nvdec_source
from tests.media.device.lazy import LazyStreams, lazy_kernels
from tests.media.device.test_order import ORDERS
from tests.media.device.test_whole_runs import whole
from tests.media.device.twin import Run, differences, run

FRAMES = 6

SOURCES = {
    "nvdec": lambda path, kernels: nvdec_source(path, kernels),
    "nvdec that fails": lambda path, kernels: nvdec_source(
        path, kernels, partial(Surfaces, fails=(4,), delay=2)
    ),
    "dali": lambda path, kernels: dali_source(path, kernels, partial(DaliContext, open_=StandIn)),
}


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "scene.mp4", frames=FRAMES)


def decoded_run(clip, kernels: DeviceKernels, name: str) -> Run:
    pipeline = build(clip, quick())
    made = SOURCES[name](clip, kernels)
    pipeline._source.make_decoder = made.make_decoder
    made.close()
    done = run(pipeline, kernels)
    (clip.parent / "out.mp4").unlink()
    return done


@pytest.mark.parametrize("name", SOURCES)
def test_nobody_is_seen_and_the_rest_stays(shim, clip, tmp_path, name):
    copied = run(build(clip, quick()), shim)
    assert leaks(tmp_path, clip) == []
    (tmp_path / "out.mp4").unlink()
    pipeline = build(clip, quick())
    pipeline._source.make_decoder = SOURCES[name](clip, shim).make_decoder
    found = run(pipeline, shim)
    assert leaks(tmp_path, clip) == []
    assert found.frames == {"DeviceFrame"}
    assert found.regions.keys() == copied.regions.keys()
    assert found.report.frames_out == FRAMES
    assert found.report.frames.stepped_down == {}
    by = found.report.streams[0].decoder
    gaps = differences(copied, found)
    if name == "dali":
        assert by == "DALI on the CPU (h264)"
        assert gaps.mean() <= 0.5
    else:
        assert by.startswith("NVDEC")
        assert ("NVDEC gave up" in by) == (name == "nvdec that fails")
        assert gaps.max() == 0


@pytest.mark.parametrize("eager", ORDERS, ids=lambda names: "-".join(names))
@pytest.mark.parametrize("name", ["nvdec", pytest.param("dali", marks=pytest.mark.slow)])
def test_decoders_take_their_memory_back_only_when_it_was_read(shim, clip, name, eager):
    """Queues that do nothing before somebody waits: what is read too early, or late, is poison."""
    plain = decoded_run(clip, shim, name)
    lazy = decoded_run(clip, lazy_kernels(shim, LazyStreams(eager)), name)
    assert lazy.frames == {"DeviceFrame"}
    assert differences(plain, lazy).max() == 0


@pytest.mark.parametrize("name", ["nvdec", "dali"])
def test_where_the_device_has_no_memory_frames_go_to_the_cpu(clip, monkeypatch, name, caplog):
    """Some of them: they come all the same, in order, with the samples that they have there."""
    kernels, calls = twin_kernels(), iter(range(1 << 20))
    plane = SurfacePool.plane

    def short(self, rows, pitch):
        if next(calls) % 3 == 2:
            raise MemoryError("out of memory")
        return plane(self, rows, pitch)

    monkeypatch.setattr(SurfacePool, "plane", short)
    caplog.set_level(logging.WARNING, "stream_anon")
    with SOURCES[name](clip, kernels) as source, FileSource(clip) as plain:
        frames, wanted = list(source.frames()), list(plain.frames())
    assert [frame.key for frame in frames] == [frame.key for frame in wanted]
    assert {type(frame).__name__ for frame in frames} == {"CpuFrame", "DeviceFrame"}
    assert any("no memory on the device" in record.getMessage() for record in caplog.records)
    for one, other in zip(frames, wanted, strict=True):
        assert not one.corrupt
        a, b = one.to_av().to_ndarray().astype(int), other.to_av().to_ndarray()
        np.testing.assert_array_equal(a, b)


@pytest.mark.shared
@pytest.mark.slow
def test_footage_through_dalis_colours(shim, shared, tmp_path):
    """How far a real clip's samples are off, and that the same people are found."""
    clip = shared / "media" / "carphone.mp4"
    with FileSource(clip) as plain:
        wanted = [frame.to_av().to_ndarray().astype(int) for frame in plain.frames()]
    with SOURCES["dali"](clip, shim) as source:
        found = [frame.to_av().to_ndarray() for frame in source.frames()]
    gaps = np.abs(np.stack(found) - np.stack(wanted))
    assert gaps.mean() <= 0.2
    assert np.quantile(gaps, 0.999) <= 3
    changes = {"method.name": "pixelate", "detector.precision": "f32"}
    done = whole(clip, tmp_path / "twin", shim, **changes)
    assert done.report.frames_with_faces > 0
