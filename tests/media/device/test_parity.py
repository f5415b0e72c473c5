"""A frame on a device against the same frame on the CPU: crops, pastes, small pictures, covers.

Tolerances, in levels of 8 bits. Crops: 8 at most on noise, 4 on smooth frames, 1 on average; the
CPU rounds places to 1/32 sample and planes before colours, the device places to 1/256 and
everything once. Pastes: 0.5 on average, 8 for 998 samples of 1000; beyond it where a mask falls
from 255 to 0 within a sample.
Thumbnails: 8 at most on smooth frames, 2 on average. Luma, and what no mask touches: none.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.frame import FORMATS, DeviceFrame, from_av
from stream_anon.media.device.source import moved
from stream_anon.media.pixel_formats import LAYOUTS, plane_view
from tests.media.clips import av_frame, noise_frame
from tests.media.test_pixel_formats import EXTENT, _fully_inside, ellipse, transform

USED = ("yuv420p", "yuvj420p", "yuv420p10le")

squares = st.builds(
    transform,
    x=st.floats(-30, 120),
    y=st.floats(-30, 100),
    side=st.floats(6, 260),
    angle=st.floats(-math.pi, math.pi),
)
sizes = st.tuples(st.integers(31, 97), st.integers(29, 83))


def planes(frame) -> list[np.ndarray]:
    shown = frame.to_av()
    return [plane_view(shown, frame.layout, n).astype(int) for n in range(3)]


def both(made, kernels) -> tuple[CpuFrame, DeviceFrame]:
    """The device's first: the CPU's owns the frame and paints into it."""
    device = from_av(made, kernels)
    return CpuFrame(made), device


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(USED), sizes, squares, st.sampled_from([16, 48, 96]))
def test_crops(compiled, pix_fmt, size, square, side):
    for most, made in ((8, noise_frame(*size, pix_fmt, side)), (4, av_frame(1, *size, pix_fmt))):
        cpu, device = both(made, compiled)
        one, two = (f.crops(square, side, EXTENT).astype(int) for f in (cpu, device))
        assert np.abs(one - two).max() <= most
        assert np.abs(one - two).mean() <= 1.0


@settings(max_examples=25, deadline=None)
@given(
    pix_fmt=st.sampled_from(USED),
    size=sizes,
    square=squares,
    side=st.sampled_from([48, 96]),
    grid=st.sampled_from([48, 96]),
)
def test_pastes(compiled, pix_fmt, size, square, side, grid):
    cpu, device = both(av_frame(1, *size, pix_fmt), compiled)
    before, patch = planes(cpu), 255 - cpu.crops(square, side, EXTENT)
    for frame in (cpu, device):
        frame.paste(patch, ellipse(grid), square, EXTENT)
    unit = 1 << (cpu.layout.depth - 8)
    pairs = zip(planes(cpu), planes(device), strict=True)
    difference = np.concatenate([np.abs(a - b).ravel() / unit for a, b in pairs])
    assert difference.mean() <= 0.5
    assert (difference > 8.0).sum() <= 16 + 0.002 * difference.size
    assert difference.max() <= 48
    # Nothing but what the CPU changed, and its next neighbours, is changed.
    for old, one, two in zip(before, planes(cpu), planes(device), strict=True):
        reached = np.abs(one - old) > 0
        near = np.zeros_like(reached)
        for y in (-1, 0, 1):
            for x in (-1, 0, 1):
                near |= np.roll(reached, (y, x), (0, 1))
        assert (np.abs(two - old)[~near] <= unit).all()


@settings(max_examples=25, deadline=None)
@given(
    pix_fmt=st.sampled_from(USED),
    size=sizes,
    square=squares,
    side=st.sampled_from([48, 128]),
    grid=st.sampled_from([48, 128]),
    value=st.integers(0, 255),
)
def test_where_the_mask_is_full_nothing_of_the_original_is_left(
    compiled, pix_fmt, size, square, side, grid, value
):
    # Two frames with nothing in common get the same patch: inside they must be equal.
    first, second = (from_av(noise_frame(*size, pix_fmt, seed), compiled) for seed in (1, 2))
    patch = np.full((1, side, side, 3), value, np.uint8)
    patch[:, ::3, ::2] = 255 - value
    mask = ellipse(grid)
    for frame in (first, second):
        frame.paste(patch, mask, square, EXTENT)
    inside = _fully_inside(square[0], mask[0], *size)
    padded = np.pad(inside, ((0, size[1] % 2), (0, size[0] % 2)))
    small = padded.reshape(-(-size[1] // 2), 2, -(-size[0] // 2), 2).max(axis=(1, 3))
    for n, (a, b) in enumerate(zip(planes(first), planes(second), strict=True)):
        must = (small if n else inside) > 0
        np.testing.assert_array_equal(a[must], b[must])


@settings(max_examples=20, deadline=None)
@given(pix_fmt=st.sampled_from(USED), size=sizes, square=squares, grid=st.sampled_from([1, 32, 48]))
def test_an_empty_mask_changes_nothing(compiled, pix_fmt, size, square, grid):
    frame = from_av(noise_frame(*size, pix_fmt), compiled)
    before, crops = planes(frame), frame.crops(square, 32, EXTENT)
    frame.paste(255 - crops, np.zeros((1, grid, grid), np.uint8), square, EXTENT)
    for old, new in zip(before, planes(frame), strict=True):
        np.testing.assert_array_equal(old, new)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(USED), sizes, st.integers(8, 140), st.integers(8, 120))
def test_small_pictures(compiled, pix_fmt, size, wide, high):
    cpu, device = both(av_frame(1, *size, pix_fmt), compiled)
    for step in (1, 3, 200):
        np.testing.assert_array_equal(cpu.luma(step), device.luma(step))
    one, two = (f.thumbnail(2 * wide, 2 * high).astype(int) for f in (cpu, device))
    assert np.abs(one - two).mean() <= 2.0


@pytest.mark.parametrize("matrix", [1, 5, 6, 9, 2])
@pytest.mark.parametrize("size", [(200, 160), (1280, 720)])
def test_thumbnails_have_the_scaler_s_colours(compiled, matrix, size):
    """Tagged as it may be, or not at all: what the detector sees does not hang on the device."""
    made = av_frame(2, *size, "yuv420p", speed=0.0)
    made.colorspace = matrix
    cpu, device = both(made, compiled)
    one, two = (f.thumbnail(64, 48).astype(int) for f in (cpu, device))
    assert np.abs((one - two).mean(axis=(0, 1))).max() <= 1.2
    assert np.abs(one - two).max() <= 9


@pytest.mark.parametrize("pix_fmt", USED)
@pytest.mark.parametrize("size", [(97, 61), (64, 48), (2, 2), (1, 1), (3, 200)])
@pytest.mark.parametrize("blocks", [1, 4])
def test_whole_frames_in_blocks_and_black(compiled, pix_fmt, size, blocks):
    cpu, device = both(av_frame(1, *size, pix_fmt), compiled)
    for frame in (cpu, device):
        frame.pixelate(blocks)
    unit = 1 << (cpu.layout.depth - 8)
    for one, two in zip(planes(cpu), planes(device), strict=True):
        assert len(np.unique(two)) <= blocks * blocks
        # A border between blocks may lie a sample aside; a frame of few samples has fewer blocks.
        if min(size) > 2:
            assert (np.abs(one - two) > unit).mean() <= 0.05
    for frame in (cpu, device):
        frame.blacken()
    for one, two in zip(planes(cpu), planes(device), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="at least 1"):
        device.pixelate(0)


@pytest.mark.parametrize("pix_fmt", USED)
def test_there_and_back_it_is_the_same_frame(compiled, pix_fmt):
    made = noise_frame(97, 61, pix_fmt)
    made.colorspace, made.color_range, made.color_primaries, made.color_trc = 9, 2, 9, 16
    device = from_av(made, compiled, pts=7)
    shown = device.to_av()
    assert shown.format.name == pix_fmt
    for n in range(3):
        view = plane_view(made, LAYOUTS[pix_fmt], n)
        np.testing.assert_array_equal(plane_view(shown, LAYOUTS[pix_fmt], n), view)
    tags = shown.colorspace, shown.color_range, shown.color_primaries, shown.color_trc
    assert tuple(map(int, tags)) == (9, 2, 9, 16)
    assert shown.pts == 7
    assert not list(shown.side_data)


def test_what_the_decoder_does_next_does_not_reach_it(compiled):
    made = noise_frame(64, 48, "yuv420p")
    device = from_av(made, compiled)
    before = planes(device)
    for n in range(3):
        plane_view(made, LAYOUTS["yuv420p"], n)[...] = 0
    for old, new in zip(before, planes(device), strict=True):
        np.testing.assert_array_equal(old, new)


def test_outlines_stay_inside_the_frame(compiled):
    device = from_av(av_frame(0, 90, 70, "yuv420p"), compiled)
    before = planes(device)[0]
    device.outline(np.array([20.0, 15.0, 60.0, 50.0]))
    changed = np.argwhere(np.abs(planes(device)[0] - before) > 3)
    assert (changed.min(axis=0) >= (12, 17)).all()
    assert (changed.max(axis=0) <= (53, 63)).all()
    for box in ((-20, -20, 30, 30), (60, 50, 500, 500), (-9, -9, -5, -5)):
        device.outline(np.array(box, np.float64))


def test_only_420_of_8_and_10_bits_goes_to_a_device(compiled):
    assert set(USED) <= FORMATS
    for pix_fmt in ("yuv422p", "gray", "yuva420p", "yuv420p12le", "rgb24"):
        with pytest.raises(ValueError, match=pix_fmt):
            from_av(av_frame(0, 32, 32, pix_fmt), compiled)


@pytest.mark.parametrize(
    "change",
    [
        {"crops": np.zeros((1, 32, 31, 3), np.uint8)},
        {"crops": np.zeros((1, 32, 32, 3), np.float32)},
        {"crops": np.zeros((2, 32, 32, 3), np.uint8)},
        {"masks": np.zeros((1, 32, 31), np.uint8)},
        {"masks": np.zeros((1, 32, 32), bool)},
        {"transforms": np.zeros((1, 3, 3))},
        {"transforms": np.zeros((1, 2, 3))},
        {"transforms": np.full((1, 2, 3), np.nan)},
    ],
)
def test_patches_that_do_not_fit_are_refused(compiled, change):
    device = from_av(noise_frame(90, 70, "yuv420p"), compiled)
    before = planes(device)
    arguments = {
        "crops": np.zeros((1, 32, 32, 3), np.uint8),
        "masks": np.full((1, 32, 32), 255, np.uint8),
        "transforms": transform(40, 40, 40),
        "extent": EXTENT,
    }
    with pytest.raises(ValueError, match="must be|transform"):
        device.paste(**(arguments | change))
    for old, new in zip(before, planes(device), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_later_patch_covers_an_earlier_one(compiled):
    device = from_av(noise_frame(90, 70, "yuv420p"), compiled)
    square = np.concatenate([transform(40, 35, 40), transform(50, 35, 40)])
    patch = np.zeros((2, 32, 32, 3), np.uint8)
    patch[1] = 255
    device.paste(patch, np.full((2, 32, 32), 255, np.uint8), square, EXTENT)
    y = planes(device)[0]
    assert y[35, 24] == 16
    assert y[35, 50] == y[35, 40] == 235


@pytest.mark.parametrize("at", [(96, 60), (0, 0), (96, 0), (0, 60), (50, 60), (96, 30)])
def test_the_last_row_and_column_are_covered(compiled, at):
    """Odd sides: the last chroma block hangs over the edge."""
    device = from_av(noise_frame(97, 61, "yuv420p"), compiled)
    device.paste(
        np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16), 255, np.uint8),
        transform(*at, 20.0), EXTENT,
    )  # fmt: skip
    luma, *chroma = planes(device)
    assert luma[at[1], at[0]] == 16
    assert all(plane[at[1] // 2, at[0] // 2] == 128 for plane in chroma)


@pytest.mark.parametrize("damaged", [False, True])
def test_damage_is_told_on(compiled, damaged):
    """Also what only the source knows of, and no flag of the decoder's says."""
    frame = CpuFrame(noise_frame(32, 32, "yuv420p"), corrupt=damaged)
    assert moved(frame, compiled).corrupt == damaged
