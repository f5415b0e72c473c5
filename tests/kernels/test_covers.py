"""Cells, planes, the soft cover and blocks: the source against its twin and the methods."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.kernels.maps import axis
from stream_anon.kernels.planes import PixelFormat
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.surface import batch_of
from stream_anon.methods.base import Subject
from stream_anon.methods.fill import Fill
from stream_anon.methods.on_device import DeviceFill, DevicePixelate, DeviceSoftCover
from stream_anon.methods.pixelate import Pixelate
from stream_anon.methods.soft_cover import SIDE, SoftCover
from tests.kernels.scenes import surface

TWIN = TwinModule("covers")


def subjects(sizes):
    return [Subject(n, None, float(size), 1.0) for n, size in enumerate(sizes)]


def faces(count, side, seed, *, smooth=False):
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    if smooth:
        crops = np.stack([cv2.GaussianBlur(crop, (0, 0), 3.0) for crop in crops])
    return crops


face_sizes = st.lists(st.floats(1, 400), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(sizes=face_sizes, cells=st.integers(2, 9), seed=st.integers(0, 99))
def test_cells_agree_with_the_twin_and_the_method(compiled, sizes, cells, seed):
    method = Pixelate(cells)
    crops = faces(len(sizes), method.crop_size, seed)
    asked = subjects(sizes)
    found = DevicePixelate(compiled["covers"], cells).render(crops, asked)
    twin = DevicePixelate(TWIN, cells).render(crops, asked)
    np.testing.assert_array_equal(found.crops, twin.crops)
    wanted = method.render(crops, asked)
    assert np.abs(found.crops.astype(int) - wanted.crops).max() <= 1
    np.testing.assert_array_equal(found.masks, wanted.masks)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 3),
    side=st.sampled_from([4, 16, 31]),
    slope=st.booleans(),
    colour=st.none() | st.tuples(*[st.integers(0, 255)] * 3),
    seed=st.integers(0, 99),
)
def test_planes_agree_with_the_twin_and_the_method(compiled, count, side, slope, colour, seed):
    crops = faces(count, side, seed)
    asked = subjects([9.0] * count)
    found = DeviceFill(compiled["covers"], colour, side, slope=slope).render(crops, asked)
    twin = DeviceFill(TWIN, colour, side, slope=slope).render(crops, asked)
    np.testing.assert_array_equal(found.crops, twin.crops)
    wanted = Fill(colour, side, slope=slope).render(crops, asked)
    assert np.abs(found.crops.astype(int) - wanted.crops).max() <= 1


@settings(max_examples=6, deadline=None)
@given(sizes=face_sizes, seed=st.integers(0, 99), smooth=st.booleans())
def test_the_soft_cover_agrees_with_the_twin_and_the_method(compiled, sizes, seed, smooth):
    crops = faces(len(sizes), SIDE, seed, smooth=smooth)
    found, twin, wanted = DeviceSoftCover(compiled["covers"]), DeviceSoftCover(TWIN), SoftCover()
    for _ in range(2):
        one, two, three = (m.render(crops, subjects(sizes)) for m in (found, twin, wanted))
        np.testing.assert_array_equal(one.crops, two.crops)
        np.testing.assert_array_equal(one.masks, three.masks)
        assert np.abs(one.crops.astype(int) - three.crops).max() <= 2


def blocks(module, size, kind, seeds, across, down):
    surfaces = [surface(module, *size, kind, seed) for seed in seeds]
    batch = batch_of(module, surfaces)
    width, height = size
    small = (width + 1) // 2, (height + 1) // 2
    x, y = [axis(n, across) for n in (width, small[0])], [axis(n, down) for n in (height, small[1])]

    def table(axes):
        return (
            module.put(np.concatenate([one.first for one in axes])),
            module.put(np.concatenate([one.weights.ravel() for one in axes])),
            module.put(np.array([one.taps for one in axes], np.int32)),
        )

    count = np.int32(len(seeds))
    sums = module.put(np.zeros((len(seeds), 3, height, across), np.int64))
    levels = module.put(np.zeros((len(seeds), 3, down, across), np.int32))
    module.launch(
        "cover_rows", sums.size, batch.addresses, batch.geometry, count, np.int32(height),
        np.int32(across), *table(x), sums,
    )  # fmt: skip
    module.launch(
        "cover_blocks", levels.size, sums, count, np.int32(height), np.int32(across),
        np.int32(down), *table(y), levels,
    )  # fmt: skip
    module.launch(
        "cover_paint", len(seeds) * small[0] * small[1], batch.addresses, batch.geometry, count,
        np.int32(width), np.int32(height), levels, np.int32(across), np.int32(down),
    )  # fmt: skip
    return [module.get(plane).copy() for one in surfaces for plane in one.planes]


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 50)),
    p010=st.booleans(),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=2),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_blocks_agree_with_the_twin(compiled, size, p010, seeds, grid):
    kind = PixelFormat.P010 if p010 else PixelFormat.NV12
    small = (size[0] + 1) // 2, (size[1] + 1) // 2
    across, down = min(grid[0], small[0]), min(grid[1], small[1])
    found = blocks(compiled["covers"], size, kind, seeds, across, down)
    for one, two in zip(found, blocks(TWIN, size, kind, seeds, across, down), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", [PixelFormat.NV12, PixelFormat.P010])
def test_nothing_of_a_frame_in_blocks_is_left_but_their_means(compiled, kind):
    luma, chroma = blocks(compiled["covers"], (64, 48), kind, [5], 4, 3)
    wide = luma.view(np.uint8 if kind is PixelFormat.NV12 else "<u2")[:, :64]
    for y in range(3):
        for x in range(4):
            assert len(np.unique(wide[16 * y : 16 * y + 16, 16 * x : 16 * x + 16])) == 1
    assert len(np.unique(chroma.view(wide.dtype)[:, :64:2])) <= 12
