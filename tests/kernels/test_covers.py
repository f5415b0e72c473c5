"""Cells, planes, the soft cover and blocks: the source against its twin and the methods."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.errors import MethodFault
from stream_anon.kernels.maps import axis
from stream_anon.kernels.planes import PixelFormat
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.surface import batch_of
from stream_anon.methods.base import Subject
from stream_anon.methods.blur import Blur
from stream_anon.methods.device.covers import (
    DeviceBlur,
    DeviceFill,
    DevicePixelate,
    DeviceSoftCover,
)
from stream_anon.methods.device.mixer import DeviceVisualMixer
from stream_anon.methods.fill import Fill
from stream_anon.methods.pixelate import Pixelate
from stream_anon.methods.soft_cover import SIDE, SoftCover
from stream_anon.methods.visual_mixer import VisualMixer, grid_side
from stream_anon.track_state import TrackState
from tests.kernels.scenes import surface
from tests.privacy.tools import fixed

TWIN = TwinModule("covers")
TWINS = twin_kernels()


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
    found = DevicePixelate(compiled, cells).render(crops, asked)
    twin = DevicePixelate(TWINS, cells).render(crops, asked)
    shown = compiled["covers"].get(found.crops)
    np.testing.assert_array_equal(shown, twin.crops)
    wanted = method.render(crops, asked)
    assert np.abs(shown.astype(int) - wanted.crops).max() <= 1
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
    found = DeviceFill(compiled, colour, side, slope=slope).render(crops, asked)
    shown = compiled["covers"].get(found.crops)
    twin = DeviceFill(TWINS, colour, side, slope=slope).render(crops, asked)
    np.testing.assert_array_equal(shown, twin.crops)
    wanted = Fill(colour, side, slope=slope).render(crops, asked)
    assert np.abs(shown.astype(int) - wanted.crops).max() <= 1


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 3),
    deviation=st.floats(0.05, 0.4),
    seed=st.integers(0, 99),
    smooth=st.booleans(),
)
def test_a_blur_agrees_with_the_twin_and_the_method(compiled, count, deviation, seed, smooth):
    method = Blur(deviation)
    crops, asked = faces(count, method.crop_size, seed, smooth=smooth), subjects([9.0] * count)
    shown = compiled["covers"].get(DeviceBlur(compiled, deviation).render(crops, asked).crops)
    np.testing.assert_array_equal(shown, DeviceBlur(TWINS, deviation).render(crops, asked).crops)
    # OpenCV rounds the weights for bytes to 1/256, here they are exact to 1/65536.
    assert np.abs(shown.astype(int) - method.render(crops, asked).crops).max() <= 3


@settings(max_examples=8, deadline=None)
@given(size=st.floats(10, 200), seed=st.integers(0, 99))
def test_a_shuffle_agrees_with_the_method(compiled, size, seed):
    """The same generator, the same permutation. Small faces are shrunk first, by whole numbers on
    a device, so that a value may differ by a level, and a search that hangs on it by a window."""
    crops = faces(3, 112, seed, smooth=True)

    def made(method) -> tuple[np.ndarray, np.ndarray]:
        state = TrackState(1)
        asked = [Subject(state, None, size, 1.0) for _ in range(3)]
        together = method.render(crops, asked).crops
        alone = method.render(crops[2:], asked[2:]).crops
        if not isinstance(together, np.ndarray):
            together, alone = (compiled["covers"].get(one) for one in (together, alone))
        found = together.copy(), alone.copy()
        state.close()
        method.close()
        return found

    with fixed(seed) as random:
        plain, _ = made(VisualMixer(90.0, random=random))
    with fixed(seed) as random:
        shown, alone = made(DeviceVisualMixer(compiled, 90.0, random=random))
    # One permutation for a track, whether its faces come together or one by one.
    np.testing.assert_array_equal(shown[2:], alone)
    if grid_side(size, 112) == 112:
        np.testing.assert_array_equal(shown, plain)
    else:
        np.testing.assert_allclose(shown.mean((1, 2)), plain.mean((1, 2)), atol=2.0)


def test_what_a_track_was_shuffled_by_is_wiped(compiled):
    method, state = DeviceVisualMixer(compiled, 90.0), TrackState(1)
    method.render(faces(1, 112, 0), [Subject(state, None, 90.0, 1.0)])
    index = method._kept.get(state).index
    assert compiled["covers"].get(index).any()
    state.close()
    assert not compiled["covers"].get(index).any()


def test_crops_of_another_size_are_no_crops(compiled):
    with pytest.raises(MethodFault, match="112 px crops"):
        DeviceVisualMixer(compiled).render(faces(1, 64, 0), subjects([9.0]))


@settings(max_examples=6, deadline=None)
@given(sizes=face_sizes, seed=st.integers(0, 99), smooth=st.booleans())
def test_the_soft_cover_agrees_with_the_twin_and_the_method(compiled, sizes, seed, smooth):
    crops = faces(len(sizes), SIDE, seed, smooth=smooth)
    found, twin, wanted = DeviceSoftCover(compiled), DeviceSoftCover(TWINS), SoftCover()
    for _ in range(2):
        one, two, three = (m.render(crops, subjects(sizes)) for m in (found, twin, wanted))
        shown = compiled["covers"].get(one.crops)
        np.testing.assert_array_equal(shown, two.crops)
        np.testing.assert_array_equal(one.masks, three.masks)
        assert np.abs(shown.astype(int) - three.crops).max() <= 2


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
