"""Crops and pastes on the planes of every pixel format."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.pixel_formats import (
    LAYOUTS,
    plane_view,
    rgb_to_ycc,
)
from stream_anon.media.resampling import max_pool
from tests.media.clips import av_frame, noise_frame

cv2.setNumThreads(1)

FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuvj420p",
    "yuv420p9le",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "gray",
    "gray10le",
    "yuva420p",
]
EXTENT = 128.0


def transform(x: float, y: float, side: float, angle: float = 0.0) -> np.ndarray:
    """(1, 2, 3): a square of ``side`` pixels about (x, y), turned, onto the aligned face space."""
    scale = EXTENT / side
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[c, -s], [s, c]])
    middle = np.array([EXTENT / 2 - 0.5, EXTENT / 2 - 0.5])
    return np.hstack([linear, (middle - linear @ np.array([x, y]))[:, None]])[None]


def ellipse(size: int, value: int = 255, share: float = 0.4) -> np.ndarray:
    """(1, size, size) mask."""
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (size // 2, size // 2), (int(size * share),) * 2, 0, 0, 360, value, -1)
    return mask[None]


def planes(frame: CpuFrame) -> list[np.ndarray]:
    """Copies of all planes, opacity included."""
    source = frame.to_av()
    return [plane_view(source, frame.layout, i).copy() for i in range(len(source.planes))]


def noisy(pix_fmt: str, width: int = 90, height: int = 70, seed: int = 0) -> CpuFrame:
    return CpuFrame(noise_frame(width, height, pix_fmt, seed))


squares = st.builds(
    transform,
    x=st.floats(-30, 120),
    y=st.floats(-30, 100),
    side=st.floats(6, 260),
    angle=st.floats(-math.pi, math.pi),
)


@settings(max_examples=120, deadline=None)
@given(
    pix_fmt=st.sampled_from(FORMATS),
    width=st.integers(31, 97),
    height=st.integers(29, 83),
    square=squares,
    size=st.sampled_from([32, 48, 64, 128]),
    grid=st.sampled_from([32, 64, 128]),
)
def test_an_empty_mask_changes_nothing(pix_fmt, width, height, square, size, grid):
    frame = noisy(pix_fmt, width, height)
    compose_right = planes(frame)
    crops = frame.crops(square, size, EXTENT)
    assert crops.shape == (1, size, size, 3)
    assert crops.dtype == np.uint8
    frame.paste(255 - crops, np.zeros((1, grid, grid), np.uint8), square, EXTENT)
    for old, new in zip(compose_right, planes(frame), strict=True):
        np.testing.assert_array_equal(old, new)


@settings(max_examples=200, deadline=None)
@given(
    pix_fmt=st.sampled_from(FORMATS),
    width=st.integers(31, 97),
    height=st.integers(29, 83),
    square=squares,
    size=st.sampled_from([48, 64, 128]),
    grid=st.sampled_from([48, 64, 128]),
    value=st.integers(0, 255),
)
def test_where_the_mask_is_full_nothing_of_the_original_is_left(
    pix_fmt, width, height, square, size, grid, value
):
    # Two frames with nothing in common get the same patch: inside they must be equal.
    first, second = (noisy(pix_fmt, width, height, seed) for seed in (1, 2))
    patch = np.full((1, size, size, 3), value, np.uint8)
    patch[:, ::3, ::2] = 255 - value
    mask = ellipse(grid)
    first.paste(patch, mask, square, EXTENT)
    second.paste(patch, mask, square, EXTENT)
    inside = _fully_inside(square[0], mask[0], width, height)
    layout = first.layout
    for i, (a, b) in enumerate(zip(planes(first), planes(second), strict=True)):
        if i == 3:
            continue
        must = inside
        if i:
            # A chroma sample that any replaced luma sample uses.
            pad_y, pad_x = -height % (1 << layout.sub_y), -width % (1 << layout.sub_x)
            must = max_pool(np.pad(inside, ((0, pad_y), (0, pad_x))), layout.sub_x, layout.sub_y)
        np.testing.assert_array_equal(a[must > 0], b[must > 0])


def _fully_inside(square: np.ndarray, mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Luma samples all of whose footprint lies where the mask is 255, found without warping."""
    grid = len(mask)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    units = square[:, :2] @ np.stack([x.ravel(), y.ravel()]) + square[:, 2:]
    place = (units + 0.5) * grid / EXTENT - 0.5
    # Reach of a sample in the mask: the bilinear neighbours, or the block that is averaged.
    step = math.hypot(*square[0, :2]) * grid / EXTENT
    reach = math.ceil(1.5 + 1.5 * max(step, 1.0))
    solid = cv2.erode(mask, np.ones((2 * reach + 1,) * 2, np.uint8), borderValue=0)
    near = np.rint(place).astype(int)
    valid = ((near >= 0) & (near < grid)).all(0)
    out = np.zeros(width * height, np.uint8)
    out[valid] = solid[near[1, valid], near[0, valid]] == 255
    return out.reshape(height, width)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_outside_the_mask_the_frame_is_untouched(pix_fmt):
    frame = noisy(pix_fmt, 97, 83)
    compose_right = planes(frame)
    square = transform(50, 40, 40, 0.3)
    frame.paste(np.full((1, 64, 64, 3), 200, np.uint8), ellipse(64), square, EXTENT)
    layout = frame.layout
    y, x = np.mgrid[0:83, 0:97]
    far = np.hypot(x - 50, y - 40) > 20
    changed = 0
    for i, (old, new) in enumerate(zip(compose_right, planes(frame), strict=True)):
        mask = far if i in (0, 3) else far[:: 1 << layout.sub_y, :: 1 << layout.sub_x]
        if i not in (0, 3):
            mask = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        np.testing.assert_array_equal(old[mask], new[mask])
        changed += int((old != new).sum())
        if i == 3:
            np.testing.assert_array_equal(old, new)
    assert changed > 400


@settings(max_examples=60, deadline=None)
@given(
    pix_fmt=st.sampled_from(["yuv420p", "yuv444p", "yuv420p10le", "yuvj420p", "yuv422p"]),
    x=st.floats(10, 80),
    y=st.floats(10, 60),
    side=st.floats(30, 70),
    angle=st.floats(-0.7, 0.7),
)
def test_what_is_cut_and_pasted_back_is_what_was_there(pix_fmt, x, y, side, angle):
    frame = CpuFrame(av_frame(0, 96, 72, pix_fmt))
    compose_right = planes(frame)
    square = transform(x, y, side, angle)
    crops = frame.crops(square, 96, EXTENT)
    frame.paste(crops, ellipse(96), square, EXTENT)
    unit = 1 << (frame.layout.depth - 8)
    for old, new in zip(compose_right, planes(frame), strict=True):
        error = np.abs(old.astype(int) - new.astype(int)) / unit
        # Two interpolations of a smooth frame, and chroma whose RGB leaves the gamut.
        assert error.mean() < 0.8
        assert np.quantile(error, 0.99) < 9


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le", "yuv420p", "gray"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_a_pasted_colour_is_cut_again(pix_fmt, matrix, full):
    image = noise_frame(80, 80, pix_fmt)
    image.colorspace, image.color_range = matrix, 2 if full else 1
    frame = CpuFrame(image)
    square = transform(40, 40, 60)
    colour = (180, 120, 90) if pix_fmt != "gray" else (120, 120, 120)
    patch = np.empty((1, 64, 64, 3), np.uint8)
    patch[:] = colour
    frame.paste(patch, ellipse(64), square, EXTENT)
    again = frame.crops(square, 64, EXTENT)[0, 24:40, 24:40]
    assert np.abs(again.astype(int) - np.array(colour)).max() <= 2


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
def test_crops_have_the_colours_that_a_player_shows(matrix, full):
    names = {1: "ITU709", 5: "ITU601", 9: "BT2020"}
    image = av_frame(3, 96, 72, "yuv444p")
    image.colorspace, image.color_range = matrix, 2 if full else 1
    shown = image.reformat(
        format="rgb24",
        src_colorspace=names[matrix],
        src_color_range="JPEG" if full else "MPEG",
    ).to_ndarray()
    crop = CpuFrame(image).crops(transform(40.5, 35.5, 48), 48, EXTENT)[0]
    error = np.abs(crop.astype(int) - shown[12:60, 17:65].astype(int))
    assert error.max() <= 3


def test_a_crop_of_the_frame_s_own_size_is_the_frame_itself():
    frame = CpuFrame(av_frame(0, 200, 160, "yuv444p"))
    identity = np.array([[[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]]])
    crop = frame.crops(identity, 128, EXTENT)[0].astype(np.float32)
    y = plane_view(frame.to_av(), frame.layout, 0)[10:138, 20:148].astype(np.float32)
    luma = crop @ rgb_to_ycc(6, False, 8)[0, :3] + 16
    assert np.abs(luma - y).mean() < 1


def test_a_large_face_is_averaged_not_sampled():
    # Stripes of one pixel: sampling shows black or white, averaging shows grey.
    image = av_frame(0, 400, 400, "yuv420p")
    for i in range(3):
        view = plane_view(image, LAYOUTS["yuv420p"], i)
        view[:] = 128
        if i == 0:
            view[:, ::2], view[:, 1::2] = 40, 200
    crop = CpuFrame(image).crops(transform(200, 200, 300, 0.1), 48, EXTENT)
    assert crop.std() < 6
    assert 110 < crop.mean() < 140


def test_a_large_crop_is_averaged_when_pasted_small():
    frame = CpuFrame(av_frame(0, 64, 64, "yuv444p"))
    patch = np.zeros((1, 256, 256, 3), np.uint8)
    patch[:, :, ::2] = 255
    square = transform(32, 32, 32)
    frame.paste(patch, ellipse(64), square, EXTENT)
    y = plane_view(frame.to_av(), frame.layout, 0)[26:38, 26:38]
    assert y.std() < 8


@pytest.mark.parametrize("x", [-200, -20, 0, 95, 300])
@pytest.mark.parametrize("y", [-200, -20, 0, 71, 300])
def test_faces_over_the_border_and_beyond(x, y):
    frame = noisy("yuv420p", 95, 71)
    square = transform(x, y, 60, 0.4)
    crops = frame.crops(square, 64, EXTENT)
    assert crops.shape == (1, 64, 64, 3)
    compose_right = planes(frame)
    frame.paste(np.zeros_like(crops), ellipse(64), square, EXTENT)
    if max(abs(x - 47), abs(y - 35)) > 150:
        for old, new in zip(compose_right, planes(frame), strict=True):
            np.testing.assert_array_equal(old, new)
    elif 0 <= x < 95 and 0 <= y < 71:
        assert plane_view(frame.to_av(), frame.layout, 0)[y, x] == 16


def test_a_later_patch_covers_an_earlier_one():
    frame = noisy("yuv420p")
    square = np.concatenate([transform(40, 35, 40), transform(50, 35, 40)])
    patch = np.zeros((2, 32, 32, 3), np.uint8)
    patch[1] = 255
    frame.paste(patch, np.full((2, 32, 32), 255, np.uint8), square, EXTENT)
    y = plane_view(frame.to_av(), frame.layout, 0)
    assert y[35, 24] == 16
    assert y[35, 50] == y[35, 40] == 235


def test_no_faces_are_no_work():
    frame = noisy("yuv420p")
    none = np.empty((0, 2, 3))
    assert frame.crops(none, 64, EXTENT).shape == (0, 64, 64, 3)
    frame.paste(np.empty((0, 64, 64, 3), np.uint8), np.empty((0, 64, 64), np.uint8), none, EXTENT)


@pytest.mark.parametrize(
    "change",
    [
        {"crops": np.zeros((1, 32, 31, 3), np.uint8)},
        {"crops": np.zeros((1, 32, 32, 3), np.float32)},
        {"crops": np.zeros((2, 32, 32, 3), np.uint8)},
        {"crops": np.zeros((1, 32, 32), np.uint8)},
        {"masks": np.zeros((1, 32, 31), np.uint8)},
        {"masks": np.zeros((1, 32, 32), bool)},
        {"transforms": np.zeros((1, 3, 3))},
        {"transforms": np.zeros((1, 2, 3))},
        {"transforms": np.full((1, 2, 3), np.nan)},
    ],
)
def test_patches_that_do_not_fit_are_refused(change):
    frame = noisy("yuv420p")
    compose_right = planes(frame)
    arguments = {
        "crops": np.zeros((1, 32, 32, 3), np.uint8),
        "masks": np.full((1, 32, 32), 255, np.uint8),
        "transforms": transform(40, 40, 40),
        "extent": EXTENT,
    }
    with pytest.raises(ValueError, match="must be|transform"):
        frame.paste(**(arguments | change))
    for old, new in zip(compose_right, planes(frame), strict=True):
        np.testing.assert_array_equal(old, new)
