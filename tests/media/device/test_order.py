"""Every kind of work in a queue of its own, and still the same pixels.

Runs on queues that do nothing before somebody waits for it, or what they are given at once
(``lazy.py``): whoever uses something too early gets poison, and the last tests show that he does.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from stream_anon.media.device.frame import from_av
from stream_anon.media.device.pool import SPARE, SurfacePool
from tests.attacks.scene import leaks, quick, write_clip
from tests.attacks.test_faults import build
from tests.media.clips import av_frame
from tests.media.device.lazy import POISON, LazyModule, LazyStreams, lazy_kernels
from tests.media.device.twin import differences, run
from tests.media.test_pixel_formats import EXTENT, ellipse, transform

ORDERS = [
    (),
    ("upload", "look", "paint", "copy"),
    *(
        pytest.param(one, marks=pytest.mark.slow)
        for one in (("upload",), ("look", "copy"), ("paint",))
    ),
]


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "scene.mp4", frames=6)


@pytest.mark.parametrize("eager", ORDERS, ids=lambda names: "-".join(names))
def test_runs_have_the_same_pixels_in_every_order(shim, clip, tmp_path, eager):
    plain = run(build(clip, quick()), shim)
    (tmp_path / "out.mp4").unlink()
    streams = LazyStreams(eager)
    lazy = run(build(clip, quick()), lazy_kernels(shim, streams))
    assert lazy.frames == {"DeviceFrame"}
    assert differences(plain, lazy).max() == 0
    assert leaks(tmp_path, clip) == []
    # Each kind of work where it belongs, and nothing anywhere else.
    assert set(streams.asked) == {"upload", "look", "paint", "copy"}


def rounds(kernels, count: int = SPARE + 3) -> list[np.ndarray]:
    """Frames that come, are painted, leave, and whose memory is used again."""
    square, mask, shown, held = transform(30, 24, 30), ellipse(16), [], []
    for n in range(count):
        frame = from_av(av_frame(n, 64, 48, "yuv420p"), kernels)
        frame.paste(np.full((1, 16, 16, 3), 9 * n, np.uint8), mask, square, EXTENT)
        frame.finish()
        held.append(frame)
        if len(held) == 2:
            shown.append(held.pop(0).to_av().to_ndarray())
        del frame
        gc.collect()
    return [*shown, *(frame.to_av().to_ndarray() for frame in held)]


@pytest.mark.parametrize("eager", ORDERS, ids=lambda names: "-".join(names))
def test_memory_is_used_again_only_when_it_is_free(shim, eager):
    for one, two in zip(rounds(shim), rounds(lazy_kernels(shim, LazyStreams(eager))), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("eager", [(), ("paint",)], ids=lambda names: "-".join(names))
def test_somebody_who_does_not_wait_is_found_out(shim, eager):
    """What the tests above rest on: without waits they fail."""

    class Careless(LazyStreams):
        def wait(self, event):
            pass

    wanted, found = rounds(shim), rounds(lazy_kernels(shim, Careless(eager)))
    assert any((one != two).any() for one, two in zip(wanted, found, strict=True))


def test_planes_that_are_still_read_are_not_overwritten(shim):
    """A copy that is slow, and an upload that is fast, of the next frame into the same memory."""

    def pooled(careless: bool) -> np.ndarray:
        streams = LazyStreams(("upload",))
        module = LazyModule(shim["maps"], streams)
        pool = SurfacePool(module, streams)
        with streams.on("upload"):
            plane = pool.plane(4, 16)
            module.write(plane, np.full((4, 16), 7, np.uint8))
            filled = streams.record()
        with streams.on("copy"):
            streams.wait(filled)
            leaving = module.fetch(plane)
            copied = streams.record()
        pool.give([plane], [filled] if careless else [filled, copied])
        with streams.on("upload"):
            again = pool.plane(4, 16)
            assert again is plane
            module.write(again, np.full((4, 16), 9, np.uint8))
        return leaving.wait()

    assert (pooled(careless=False) == 7).all()
    assert (pooled(careless=True) == 9).all()


def test_what_is_pinned_must_not_change_before_it_is_copied(shim):
    streams = LazyStreams()
    module = LazyModule(shim["maps"], streams)
    host, target = np.full((2, 2), 1, np.uint8), np.zeros((2, 2), np.uint8)
    module.write(target, host)
    host[...] = 2
    streams.finish(streams.record())
    assert (target == 2).all()
    assert (module.zeros((1,), np.uint8) == POISON).all()


def test_luma_is_fetched_ahead(shim):
    """From the second frame on it is on its way before anybody asks; no launch is left to do."""
    streams = LazyStreams()
    kernels = lazy_kernels(shim, streams)
    first = from_av(av_frame(0, 64, 48, "yuv420p"), kernels)
    asked = first.luma(2)
    frame = from_av(av_frame(1, 64, 48, "yuv420p"), kernels)
    before = len(streams.asked)
    ahead = frame.luma(2)
    assert len(streams.asked) == before
    np.testing.assert_array_equal(ahead, from_av(av_frame(1, 64, 48, "yuv420p"), shim).luma(2))
    assert asked.shape == ahead.shape
    # Of a frame that was painted meanwhile it is asked for anew.
    other = from_av(av_frame(1, 64, 48, "yuv420p"), kernels)
    other.blacken()
    assert (other.luma(2) == 16).all()


def test_a_frame_that_is_painted_after_all_leaves_painted(shim):
    kernels = lazy_kernels(shim, LazyStreams())
    frame = from_av(av_frame(0, 64, 48, "yuv420p"), kernels)
    frame.finish()
    frame.blacken()
    luma = frame.to_av().to_ndarray()[:48]
    assert (luma == 16).all()
