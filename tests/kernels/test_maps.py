"""Thumbnails, luma, change and cells: the source against its twin, and both against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.kernels.maps import axis, thumbnail_axes
from stream_anon.kernels.planes import PixelFormat
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.surface import batch_of
from tests.kernels.scenes import planar, surface

TWIN = TwinModule("maps")

sizes = st.tuples(st.integers(1, 90), st.integers(1, 70))


def thumbnail(module, size, kind, seeds, wanted):
    surfaces = [surface(module, *size, kind, seed) for seed in seeds]
    batch = batch_of(module, surfaces)
    axes = thumbnail_axes(*size, *wanted)
    out = module.put(np.zeros((len(seeds), wanted[1], wanted[0], 3), np.uint8))
    module.launch(
        "map_thumbnail", out.size // 3, batch.addresses, batch.geometry, batch.colours,
        np.int32(len(seeds)), np.int32(wanted[0]), np.int32(wanted[1]),
        module.put(np.concatenate([one.first for one in axes])),
        module.put(np.concatenate([one.weights.ravel() for one in axes])),
        module.put(np.array([one.taps for one in axes], np.int32)), out,
    )  # fmt: skip
    return module.get(out)


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    kind=st.sampled_from(list(PixelFormat)),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=2),
    wanted=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_thumbnails_agree_with_the_twin(compiled, size, kind, seeds, wanted):
    found = thumbnail(compiled["maps"], size, kind, seeds, wanted)
    np.testing.assert_array_equal(found, thumbnail(TWIN, size, kind, seeds, wanted))


@settings(max_examples=30, deadline=None)
@given(size=sizes, p010=st.booleans(), step=st.integers(1, 5), count=st.integers(1, 3))
def test_luma_is_every_so_many_th_sample(compiled, size, p010, step, count):
    kind = PixelFormat.P010 if p010 else PixelFormat.NV12
    for module in (compiled["maps"], TWIN):
        surfaces = [surface(module, *size, kind, seed) for seed in range(count)]
        batch = batch_of(module, surfaces)
        width, height = -(-size[0] // step), -(-size[1] // step)
        out = module.put(np.zeros((count, height, width), np.uint8))
        module.launch(
            "map_luma", out.size, batch.addresses, batch.geometry, np.int32(count),
            np.int32(step), np.int32(width), np.int32(height), out,
        )  # fmt: skip
        for seed, found in enumerate(module.get(out)):
            plane = planar(*size, kind.depth, seed)[0][::step, ::step]
            np.testing.assert_array_equal(found, plane >> (2 if p010 else 0))


@settings(max_examples=40, deadline=None)
@given(size=sizes, count=st.integers(1, 3), seed=st.integers(0, 99))
def test_change_is_what_opencv_says(compiled, size, count, seed):
    """`tracking.changes` blurs with `cv2.blur` and takes `cv2.absdiff`: the same levels."""
    frames = np.random.default_rng(seed).integers(0, 256, (count + 1, *size[::-1]))
    frames = frames.astype(np.uint8)
    soft = [np.asarray(cv2.blur(frame, (3, 3))).reshape(frame.shape) for frame in frames]
    for module in (compiled["maps"], TWIN):
        luma, last = module.put(frames[1:]), module.put(frames[0])
        blurred, change = (module.put(np.zeros_like(frames[1:])) for _ in range(2))
        module.launch(
            "map_change", luma.size, luma, last, np.int32(count), np.int32(size[0]),
            np.int32(size[1]), blurred, change,
        )  # fmt: skip
        np.testing.assert_array_equal(module.get(blurred), soft[1:])
        for n, found in enumerate(module.get(change)):
            np.testing.assert_array_equal(found, cv2.absdiff(soft[n + 1], soft[n]))


@settings(max_examples=30, deadline=None)
@given(size=sizes, seed=st.integers(0, 99))
def test_cells_are_those_of_the_shot_boundary_detector(compiled, size, seed):
    """`tracking.shot_boundary` takes areas' means by OpenCV; within one level of them."""
    frames = np.random.default_rng(seed).integers(0, 256, (2, *size[::-1])).astype(np.uint8)
    grid = (min(32, size[0]), min(18, size[1]))
    across, down = axis(size[0], grid[0]), axis(size[1], grid[1])
    answers = []
    for module in (compiled["maps"], TWIN):
        out = module.put(np.zeros((2, grid[1], grid[0]), np.uint8))
        module.launch(
            "map_cells", out.size, module.put(frames), np.int32(2), *map(np.int32, size),
            *map(np.int32, grid), module.put(across.first), module.put(across.weights),
            np.int32(across.taps), module.put(down.first), module.put(down.weights),
            np.int32(down.taps), out,
        )  # fmt: skip
        answers.append(module.get(out).copy())
    np.testing.assert_array_equal(*answers)
    for frame, found in zip(frames, answers[0], strict=True):
        wanted = cv2.resize(frame, grid, interpolation=cv2.INTER_AREA).reshape(found.shape)
        assert np.abs(found.astype(int) - wanted).max() <= 1


@given(source=st.integers(1, 4000), wanted=st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_weights_add_up_and_read_nothing_outside(source, wanted):
    found = axis(source, wanted)
    assert (found.weights.sum(axis=1) == 65536).all()
    assert found.weights.min() >= 0
    assert found.first.min() >= 0
    assert (found.first + found.taps).max() <= source


@pytest.mark.parametrize("kind", [PixelFormat.NV12, PixelFormat.P010])
def test_an_even_frame_stays_even(compiled, kind):
    module = compiled["maps"]
    frame = surface(module, 50, 31, kind, 1)
    for plane in frame.planes:
        samples = plane.view(np.uint8 if kind is PixelFormat.NV12 else "<u2")
        samples[...] = 120 if kind is PixelFormat.NV12 else 480 << 6
    batch = batch_of(module, [frame])
    axes = thumbnail_axes(50, 31, 17, 11)
    out = module.put(np.zeros((1, 11, 17, 3), np.uint8))
    module.launch(
        "map_thumbnail", out.size // 3, batch.addresses, batch.geometry, batch.colours,
        np.int32(1), np.int32(17), np.int32(11),
        module.put(np.concatenate([one.first for one in axes])),
        module.put(np.concatenate([one.weights.ravel() for one in axes])),
        module.put(np.array([one.taps for one in axes], np.int32)), out,
    )  # fmt: skip
    assert len(np.unique(module.get(out).reshape(-1, 3), axis=0)) == 1
