"""A kernel that fails in the middle of a run: no frame shows the face, whatever the policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_anon.errors import Fault
from stream_anon.kernels.cuda import KernelError
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.source import DeviceSource, on_device
from stream_anon.media.input.source import FileSource
from tests.attacks.scene import leaks, quick, write_clip
from tests.attacks.test_faults import build, frames_of, nothing_left

FRAMES = 10
FROM = 4
"""The launch of the kernel that fails first: something is written before."""


@pytest.fixture
def clip(tmp_path):
    """Fewer frames than the attacks' own."""
    return write_clip(tmp_path / "scene.mp4", frames=FRAMES)


class Failing:
    """A module one of whose kernels fails from some launch on, as a card out of memory does."""

    def __init__(self, module: Any, kernel: str, once: bool) -> None:
        self._module, self._kernel, self._once = module, kernel, once
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        if kernel == self._kernel:
            self._count += 1
            if self._count == FROM or (self._count > FROM and not self._once):
                raise MemoryError("out of memory on the device")
        self._module.launch(kernel, threads, *args)


def failing(shim: DeviceKernels, kernel: str, once: bool) -> DeviceKernels:
    made: dict[str, Failing] = {}

    def load(name: str) -> Any:
        return made.setdefault(name, Failing(shim[name], kernel, once))

    return DeviceKernels("cpu", load)


@pytest.mark.parametrize("policy", ["stop", "step-down"])
@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("kernel", ["face_crop", "face_paste", "map_luma"])
def test_a_kernel_that_fails(shim, clip, tmp_path, kernel, once, policy):
    source = DeviceSource(FileSource(clip), failing(shim, kernel, once))
    pipeline = build(clip, quick(**{"fault.policy": policy}), source=source)
    try:
        report = pipeline.run()
    except Fault:
        # Tracking cannot step down: without luma nobody knows who is where.
        assert policy == "stop" or kernel == "map_luma"
        assert nothing_left(clip)
        return
    if kernel == "map_luma":
        # Where it was asked for ahead, it is asked for once more.
        assert once
        assert not report.frames.stepped_down
        return
    assert policy == "step-down"
    assert sum(report.frames.stepped_down.values()) == (1 if once else FRAMES - FROM + 1)
    assert frames_of(tmp_path / "out.mp4") == FRAMES
    assert leaks(tmp_path, clip) == []


@pytest.mark.parametrize("also", ["cover_rows", "cover_paint"])
def test_where_the_last_cover_fails_too_nothing_leaves(shim, clip, tmp_path, also):
    """Blocks fail: black. Black fails as well: no output at all."""
    inner = failing(shim, "face_paste", False)
    made: dict[str, Failing] = {}

    def load(name: str) -> Any:
        if name not in made:
            made[name] = Failing(inner[name], also, False)
            made[name]._count = FROM
        return made[name]

    source = DeviceSource(FileSource(clip), DeviceKernels("cpu", load))
    pipeline = build(clip, quick(**{"fault.policy": "step-down"}), source=source)
    if also == "cover_paint":
        with pytest.raises(Fault, match="blackened"):
            pipeline.run()
        assert nothing_left(clip)
        return
    report = pipeline.run()
    assert report.frames.stepped_down == {"black": FRAMES - FROM + 1}
    assert leaks(tmp_path, clip) == []


def test_planes_that_cannot_be_copied_back_end_the_run(shim, clip, monkeypatch):
    def lost(*_: Any) -> Any:
        raise MemoryError("out of pinned memory")

    monkeypatch.setattr("stream_anon.media.device.frame.to_planar", lost)
    source = DeviceSource(FileSource(clip), shim)
    with pytest.raises(Exception, match="memory"):
        build(clip, quick(**{"fault.policy": "step-down"}), source=source).run()
    assert nothing_left(clip)


def test_what_a_frame_hands_out_is_a_copy(shim):
    """A method that writes into its crops must not write into the frame."""
    from stream_anon.media.device.frame import from_av
    from tests.media.clips import noise_frame
    from tests.media.test_pixel_formats import EXTENT, transform

    frame = from_av(noise_frame(64, 48, "yuv420p"), shim)
    square = transform(30, 24, 40)
    crops, small, luma = frame.crops(square, 16, EXTENT), frame.thumbnail(16, 12), frame.luma(1)
    before = [part.copy() for part in (crops, small, luma)]
    for part in (crops, small, luma):
        part[...] = 0
    again = [frame.crops(square, 16, EXTENT), frame.thumbnail(16, 12), frame.luma(1)]
    for old, new in zip(before, again, strict=True):
        np.testing.assert_array_equal(old, new)
    assert isinstance(frame, DeviceFrame)


def test_a_gpu_that_cannot_run_the_kernels_is_refused_before_anything_starts(clip, monkeypatch):
    from stream_anon.device import Choice
    from stream_anon.errors import UsageError

    def none(name: str) -> Any:
        raise KernelError("CuPy finds no GPU")

    monkeypatch.setattr(
        "stream_anon.media.device.source.cuda_kernels", lambda: DeviceKernels("cuda:0", none)
    )
    source = FileSource(clip)
    assert on_device(source, Choice("cpu", "asked for")) is source
    with pytest.raises(UsageError, match="device 'cuda' cannot be used: CuPy finds no GPU"):
        on_device(source, Choice("cuda", "asked for"))
