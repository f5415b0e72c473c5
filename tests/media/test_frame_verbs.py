"""What else a frame can do, and the arithmetic below it."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.pixel_formats import (
    nearest_layout,
    plane_view,
    rgb_to_ycc,
    ycc_to_rgb,
)
from stream_anon.media.resampling import blend, inverse, sample
from tests.media.clips import av_frame, noise_frame
from tests.media.test_pixel_formats import EXTENT, FORMATS, ellipse, noisy, planes, transform


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_pixelate_and_blacken_leave_nothing(pix_fmt):
    frame = noisy(pix_fmt, 97, 61)
    frame.pixelate(8)
    y = plane_view(frame.to_av(), frame.layout, 0)
    assert len(np.unique(y)) <= 8 * 6
    frame.blacken()
    crop = frame.crops(transform(40, 30, 30), 32, EXTENT)
    assert crop.max() <= 1
    if frame.layout.alpha:
        alpha = plane_view(frame.to_av(), frame.layout, 3)
        assert len(np.unique(alpha)) > 50


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_thumbnail_and_luma(pix_fmt):
    frame = CpuFrame(av_frame(0, 97, 61, pix_fmt))
    thumbnail = frame.thumbnail(48, 30)
    assert thumbnail.shape == (30, 48, 3)
    assert thumbnail.dtype == np.uint8
    if not pix_fmt.startswith("gray"):
        rgb = frame.crops(transform(48, 30, 24), 12, EXTENT)[0].mean((0, 1))
        assert np.abs(thumbnail[9:21, 18:30, ::-1].mean((0, 1)) - rgb).max() < 12
    luma = frame.luma(4)
    assert luma.dtype == np.uint8
    assert luma.shape == (16, 25)
    assert luma.std() > 5


def test_outline_draws_inside_the_frame():
    frame = noisy("yuv420p")
    for box in ((10, 10, 50, 40), (-20, -20, 30, 30), (60, 50, 500, 500), (-9, -9, -5, -5)):
        frame.outline(np.array(box, np.float64))


def test_nbytes_counts_the_planes():
    assert 96 * 64 * 1.5 <= CpuFrame(av_frame(0, 96, 64, "yuv420p")).nbytes < 96 * 64 * 3


def test_formats_that_are_not_patched_are_refused():
    with pytest.raises(ValueError, match="rgb24"):
        CpuFrame(av_frame(0, 32, 32, "rgb24"))


@pytest.mark.parametrize(
    ("pix_fmt", "nearest"),
    [
        ("rgb24", "yuv444p"),
        ("bgra", "yuv444p"),
        ("pal8", "yuv444p"),
        ("gbrp10le", "yuv444p10le"),
        ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"),
        ("gray16le", "gray12le"),
        ("monob", "gray"),
        ("yuv420p10be", "yuv420p10le"),
    ],
)
def test_the_nearest_format_keeps_depth_and_chroma(pix_fmt, nearest):
    assert nearest_layout(av.VideoFormat(pix_fmt, 16, 16)) == nearest


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_colour_matrices_are_inverse_to_each_other(matrix, full, depth):
    there, back = rgb_to_ycc(matrix, full, depth), ycc_to_rgb(matrix, full, depth)
    rgb = np.random.default_rng(0).uniform(0, 255, (3, 50))
    ycc = there[:, :3] @ rgb + there[:, 3:]
    np.testing.assert_allclose(back[:, :3] @ ycc + back[:, 3:], rgb, atol=1e-2)
    white = there[:, :3].sum(1) * 255 + there[:, 3]
    top = (1 << depth) - 1 if full else 235 << (depth - 8)
    np.testing.assert_allclose(white, [top, 1 << (depth - 1), 1 << (depth - 1)], atol=1e-2)


@given(target=st.integers(0, 255), new=st.integers(0, 255), mask=st.integers(0, 255))
def test_blending_is_rounded_and_exact_at_both_ends(target, new, mask):
    wide = np.array([[target]], np.uint16)
    small = wide.astype(np.uint8)
    share = np.array([[mask]], np.uint8)
    blend(small, np.array([[new]], np.uint8), share)
    blend(wide, np.array([[new]], np.uint16), share)
    exact = (new * mask + target * (255 - mask)) / 255
    assert abs(int(small[0, 0]) - exact) <= 0.5 + 1e-9
    assert small[0, 0] == wide[0, 0]
    if mask in (0, 255):
        assert small[0, 0] == (new if mask else target)


def test_singular_transforms_are_refused():
    with pytest.raises(ValueError, match="singular"):
        inverse(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))


def test_sampling_reads_no_more_than_it_needs():
    source = np.zeros((4000, 4000), np.uint8)
    out = sample(source, np.array([[1.0, 0.0, 3990.0], [0.0, 1.0, -5.0]]), 20, 20)
    assert out.shape == (20, 20)


def test_a_mask_goes_with_its_crop_or_alone_to_the_same_place():
    crops = np.full((1, 48, 48, 3), 230, np.uint8)
    where = transform(70.0, 60.0, 50.0, 0.3)
    painted = []
    for grid in (48, 96):
        frame = CpuFrame(noise_frame(160, 120, "yuv420p"))
        frame.paste(crops, ellipse(grid), where, EXTENT)
        painted.append(planes(frame))
    for one, two in zip(*painted, strict=True):
        assert (np.abs(one.astype(int) - two) > 8).mean() < 0.01


def test_a_mask_that_the_frame_cuts_off_ends_there():
    frame = CpuFrame(noise_frame(160, 120, "yuv420p"))
    compose_right = planes(frame)
    crops, mask = np.full((1, 32, 32, 3), 230, np.uint8), np.full((1, 32, 32), 255, np.uint8)
    frame.paste(crops, mask, transform(80.0, 60.0, 40.0), EXTENT)
    compose_left = planes(frame)
    changed = np.argwhere(compose_right[0] != compose_left[0])
    assert (changed.min(axis=0) >= (37, 57)).all()
    assert (changed.max(axis=0) <= (82, 102)).all()
