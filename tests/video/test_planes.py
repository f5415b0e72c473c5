"""Crops and pastes on the planes of every pixel format."""

from __future__ import annotations

import math

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.video.planes import LAYOUTS, nearest_layout, plane_view, rgb_to_ycc, ycc_to_rgb
from stream_anon.video.warp import blend, inverse, max_pool, sample
from stream_anon.video.yuv_picture import YuvPicture
from tests.video.clips import frame, noise_frame

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
    """(1, 2, 3): a square of ``side`` pixels about (x, y), turned, onto the face frame."""
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


def planes(picture: YuvPicture) -> list[np.ndarray]:
    """Copies of all planes, opacity included."""
    source = picture.frame()
    return [plane_view(source, picture.layout, i).copy() for i in range(len(source.planes))]


def noisy(pix_fmt: str, width: int = 90, height: int = 70, seed: int = 0) -> YuvPicture:
    return YuvPicture(noise_frame(width, height, pix_fmt, seed))


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
    picture = noisy(pix_fmt, width, height)
    before = planes(picture)
    crops = picture.crops(square, size, EXTENT)
    assert crops.shape == (1, size, size, 3)
    assert crops.dtype == np.uint8
    picture.paste(255 - crops, np.zeros((1, grid, grid), np.uint8), square, EXTENT)
    for old, new in zip(before, planes(picture), strict=True):
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
    # Two pictures with nothing in common get the same patch: inside they must be equal.
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
def test_outside_the_mask_the_picture_is_untouched(pix_fmt):
    picture = noisy(pix_fmt, 97, 83)
    before = planes(picture)
    square = transform(50, 40, 40, 0.3)
    picture.paste(np.full((1, 64, 64, 3), 200, np.uint8), ellipse(64), square, EXTENT)
    layout = picture.layout
    y, x = np.mgrid[0:83, 0:97]
    far = np.hypot(x - 50, y - 40) > 20
    changed = 0
    for i, (old, new) in enumerate(zip(before, planes(picture), strict=True)):
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
    picture = YuvPicture(frame(0, 96, 72, pix_fmt))
    before = planes(picture)
    square = transform(x, y, side, angle)
    crops = picture.crops(square, 96, EXTENT)
    picture.paste(crops, ellipse(96), square, EXTENT)
    unit = 1 << (picture.layout.depth - 8)
    for old, new in zip(before, planes(picture), strict=True):
        error = np.abs(old.astype(int) - new.astype(int)) / unit
        # Two interpolations of a smooth picture, and chroma whose RGB leaves the gamut.
        assert error.mean() < 0.8
        assert np.quantile(error, 0.99) < 9


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le", "yuv420p", "gray"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_a_pasted_colour_is_cut_again(pix_fmt, matrix, full):
    image = noise_frame(80, 80, pix_fmt)
    image.colorspace, image.color_range = matrix, 2 if full else 1
    picture = YuvPicture(image)
    square = transform(40, 40, 60)
    colour = (180, 120, 90) if pix_fmt != "gray" else (120, 120, 120)
    patch = np.empty((1, 64, 64, 3), np.uint8)
    patch[:] = colour
    picture.paste(patch, ellipse(64), square, EXTENT)
    again = picture.crops(square, 64, EXTENT)[0, 24:40, 24:40]
    assert np.abs(again.astype(int) - np.array(colour)).max() <= 2


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
def test_crops_have_the_colours_that_a_player_shows(matrix, full):
    names = {1: "ITU709", 5: "ITU601", 9: "BT2020"}
    image = frame(3, 96, 72, "yuv444p")
    image.colorspace, image.color_range = matrix, 2 if full else 1
    shown = image.reformat(
        format="rgb24",
        src_colorspace=names[matrix],
        src_color_range="JPEG" if full else "MPEG",
    ).to_ndarray()
    crop = YuvPicture(image).crops(transform(40.5, 35.5, 48), 48, EXTENT)[0]
    error = np.abs(crop.astype(int) - shown[12:60, 17:65].astype(int))
    assert error.max() <= 3


def test_a_crop_of_the_frame_s_own_size_is_the_picture_itself():
    picture = YuvPicture(frame(0, 200, 160, "yuv444p"))
    identity = np.array([[[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]]])
    crop = picture.crops(identity, 128, EXTENT)[0].astype(np.float32)
    y = plane_view(picture.frame(), picture.layout, 0)[10:138, 20:148].astype(np.float32)
    luma = crop @ rgb_to_ycc(6, False, 8)[0, :3] + 16
    assert np.abs(luma - y).mean() < 1


def test_a_large_face_is_averaged_not_sampled():
    # Stripes of one pixel: sampling shows black or white, averaging shows grey.
    image = frame(0, 400, 400, "yuv420p")
    for i in range(3):
        view = plane_view(image, LAYOUTS["yuv420p"], i)
        view[:] = 128
        if i == 0:
            view[:, ::2], view[:, 1::2] = 40, 200
    crop = YuvPicture(image).crops(transform(200, 200, 300, 0.1), 48, EXTENT)
    assert crop.std() < 6
    assert 110 < crop.mean() < 140


def test_a_large_crop_is_averaged_when_pasted_small():
    picture = YuvPicture(frame(0, 64, 64, "yuv444p"))
    patch = np.zeros((1, 256, 256, 3), np.uint8)
    patch[:, :, ::2] = 255
    square = transform(32, 32, 32)
    picture.paste(patch, ellipse(64), square, EXTENT)
    y = plane_view(picture.frame(), picture.layout, 0)[26:38, 26:38]
    assert y.std() < 8


@pytest.mark.parametrize("x", [-200, -20, 0, 95, 300])
@pytest.mark.parametrize("y", [-200, -20, 0, 71, 300])
def test_faces_over_the_border_and_beyond(x, y):
    picture = noisy("yuv420p", 95, 71)
    square = transform(x, y, 60, 0.4)
    crops = picture.crops(square, 64, EXTENT)
    assert crops.shape == (1, 64, 64, 3)
    before = planes(picture)
    picture.paste(np.zeros_like(crops), ellipse(64), square, EXTENT)
    if max(abs(x - 47), abs(y - 35)) > 150:
        for old, new in zip(before, planes(picture), strict=True):
            np.testing.assert_array_equal(old, new)
    elif 0 <= x < 95 and 0 <= y < 71:
        assert plane_view(picture.frame(), picture.layout, 0)[y, x] == 16


def test_a_later_patch_covers_an_earlier_one():
    picture = noisy("yuv420p")
    square = np.concatenate([transform(40, 35, 40), transform(50, 35, 40)])
    patch = np.zeros((2, 32, 32, 3), np.uint8)
    patch[1] = 255
    picture.paste(patch, np.full((2, 32, 32), 255, np.uint8), square, EXTENT)
    y = plane_view(picture.frame(), picture.layout, 0)
    assert y[35, 24] == 16
    assert y[35, 50] == y[35, 40] == 235


def test_no_faces_are_no_work():
    picture = noisy("yuv420p")
    none = np.empty((0, 2, 3))
    assert picture.crops(none, 64, EXTENT).shape == (0, 64, 64, 3)
    picture.paste(np.empty((0, 64, 64, 3), np.uint8), np.empty((0, 64, 64), np.uint8), none, EXTENT)


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
    picture = noisy("yuv420p")
    before = planes(picture)
    arguments = {
        "crops": np.zeros((1, 32, 32, 3), np.uint8),
        "masks": np.full((1, 32, 32), 255, np.uint8),
        "transforms": transform(40, 40, 40),
        "extent": EXTENT,
    }
    with pytest.raises(ValueError, match="must be|transform"):
        picture.paste(**(arguments | change))
    for old, new in zip(before, planes(picture), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_pixelate_and_blacken_leave_nothing(pix_fmt):
    picture = noisy(pix_fmt, 97, 61)
    picture.pixelate(8)
    y = plane_view(picture.frame(), picture.layout, 0)
    assert len(np.unique(y)) <= 8 * 6
    picture.blacken()
    crop = picture.crops(transform(40, 30, 30), 32, EXTENT)
    assert crop.max() <= 1
    if picture.layout.alpha:
        alpha = plane_view(picture.frame(), picture.layout, 3)
        assert len(np.unique(alpha)) > 50


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_thumbnail_and_luma(pix_fmt):
    picture = YuvPicture(frame(0, 97, 61, pix_fmt))
    thumbnail = picture.thumbnail(48, 30)
    assert thumbnail.shape == (30, 48, 3)
    assert thumbnail.dtype == np.uint8
    if not pix_fmt.startswith("gray"):
        rgb = picture.crops(transform(48, 30, 24), 12, EXTENT)[0].mean((0, 1))
        assert np.abs(thumbnail[9:21, 18:30, ::-1].mean((0, 1)) - rgb).max() < 12
    luma = picture.luma(4)
    assert luma.dtype == np.uint8
    assert luma.shape == (16, 25)
    assert luma.std() > 5


def test_outline_draws_inside_the_picture():
    picture = noisy("yuv420p")
    for box in ((10, 10, 50, 40), (-20, -20, 30, 30), (60, 50, 500, 500), (-9, -9, -5, -5)):
        picture.outline(np.array(box, np.float64))


def test_nbytes_counts_the_planes():
    assert 96 * 64 * 1.5 <= YuvPicture(frame(0, 96, 64, "yuv420p")).nbytes < 96 * 64 * 3


def test_formats_that_are_not_patched_are_refused():
    with pytest.raises(ValueError, match="rgb24"):
        YuvPicture(frame(0, 32, 32, "rgb24"))


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
        picture = YuvPicture(noise_frame(160, 120, "yuv420p"))
        picture.paste(crops, ellipse(grid), where, EXTENT)
        painted.append(planes(picture))
    for one, two in zip(*painted, strict=True):
        assert (np.abs(one.astype(int) - two) > 8).mean() < 0.01


def test_a_mask_that_the_frame_cuts_off_ends_there():
    picture = YuvPicture(noise_frame(160, 120, "yuv420p"))
    before = planes(picture)
    crops, mask = np.full((1, 32, 32, 3), 230, np.uint8), np.full((1, 32, 32), 255, np.uint8)
    picture.paste(crops, mask, transform(80.0, 60.0, 40.0), EXTENT)
    after = planes(picture)
    changed = np.argwhere(before[0] != after[0])
    assert (changed.min(axis=0) >= (37, 57)).all()
    assert (changed.max(axis=0) <= (82, 102)).all()
