"""The contract of frames, over every implementation and pixel format."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.device.kernels import DeviceKernels, cuda_kernels, twin_kernels
from stream_anon.media.device.source import moved
from stream_anon.media.frame import Frame
from stream_anon.media.photo import frame_of
from stream_anon.media.pixel_formats import PHOTO_LAYOUTS
from stream_anon.regions import FrameKey
from tests.fakes import MemoryFrame
from tests.media.clips import av_frame, texture
from tests.media.test_pixel_formats import EXTENT, FORMATS, ellipse, transform

WIDTH, HEIGHT = 97, 61

Make = Callable[[], Frame]


def _cpu(pix_fmt: str) -> Make:
    return lambda: CpuFrame(
        av_frame(0, WIDTH, HEIGHT, pix_fmt),
        stream=2,
        index=7,
        pts=340,
        time_base=Fraction(1, 90),
        rate=Fraction(30000, 1001),
        rotation=-90 % 360,
    )


def _photo(pix_fmt: str) -> Make:
    layout = PHOTO_LAYOUTS[pix_fmt]
    rgb = texture(0, WIDTH, HEIGHT)
    wide = rgb.astype(layout.dtype) * (257 if layout.depth == 16 else 1)
    planes = [wide[..., n] for n in ((1, 2, 0) if layout.rgb else (1,))]
    if layout.alpha:
        planes.append(planes[0])

    def make() -> Frame:
        frame = CpuFrame(frame_of(pix_fmt, planes), rotation=270, rate=Fraction(30000, 1001))
        frame.stream, frame.index, frame.pts, frame.time_base = 2, 7, 340, Fraction(1, 90)
        return frame

    return make


def _memory() -> Frame:
    frame = MemoryFrame(texture(0, WIDTH, HEIGHT))
    frame.stream, frame.index, frame.pts = 2, 7, 340
    frame.time_base, frame.rate, frame.rotation = Fraction(1, 90), Fraction(30000, 1001), 270
    return frame


def _device(pix_fmt: str, kernels: Callable[[], DeviceKernels]) -> Make:
    return lambda: moved(_cpu(pix_fmt)(), kernels())


_ON_DEVICE = ("yuv420p", "yuvj420p", "yuv420p10le")
_kernels = lru_cache(maxsize=2)(lambda make: make())

MAKERS: dict[str, Make] = {
    **{f"cpu-{name}": _cpu(name) for name in FORMATS},
    **{f"photo-{name}": _photo(name) for name in PHOTO_LAYOUTS},
    **{f"twin-{name}": _device(name, lambda: _kernels(twin_kernels)) for name in _ON_DEVICE},
    **{f"cuda-{name}": _device(name, lambda: _kernels(cuda_kernels)) for name in _ON_DEVICE},
    "memory": _memory,
}
"""Implementations that are added later join the suite here."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.gpu if name.startswith("cuda") else ())
        for name in sorted(MAKERS)
    ]
)
def make(request) -> Make:
    return MAKERS[request.param]


def test_it_says_which_frame_it_is_and_how_it_stands(make):
    frame = make()
    assert frame.key == FrameKey("2", 7, 340)
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert (frame.rotation, frame.quarter_turns) == (270, 3)
    assert frame.rate == Fraction(30000, 1001)
    assert frame.seconds == pytest.approx(340 / 90)
    assert frame.device in ("cpu", "cuda:0")
    assert not frame.corrupt
    assert frame.nbytes >= WIDTH * HEIGHT


def test_the_key_follows_what_a_cut_changes(make):
    frame = make()
    frame.index, frame.pts = 0, 0
    assert frame.key == FrameKey("2", 0, 0)


@pytest.mark.parametrize(
    ("rotation", "turns"), [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (359, 0), (91, 1)]
)
def test_quarter_turns(make, rotation, turns):
    frame = make()
    frame.rotation = rotation
    assert frame.quarter_turns == turns


def test_detached_it_is_the_same_frame_and_can_be_painted(make):
    frame, other = make(), make()
    square = transform(40.0, 30.0, 30.0)
    before = frame.crops(square, 32, EXTENT).copy()
    detached = frame.detach()
    assert isinstance(detached, Frame)
    assert detached.key == other.key
    for name in ("width", "height", "rotation", "rate", "device", "corrupt", "time_base"):
        assert getattr(detached, name) == getattr(other, name)
    np.testing.assert_array_equal(detached.crops(square, 32, EXTENT), before)
    detached.paste(255 - before, ellipse(32), square, EXTENT)
    assert np.abs(detached.crops(square, 32, EXTENT).astype(int) - before).max() > 20


def test_shapes_and_types_of_what_it_gives(make):
    frame = make()
    small = frame.thumbnail(24, 16)
    assert small.shape == (16, 24, 3)
    assert small.dtype == np.uint8
    luma = frame.luma(4)
    assert luma.shape == (-(-HEIGHT // 4), -(-WIDTH // 4))
    assert luma.dtype == np.uint8
    crops = frame.crops(np.concatenate([transform(40, 30, 30)] * 3), 20, EXTENT)
    assert crops.shape == (3, 20, 20, 3)
    assert crops.dtype == np.uint8
    assert frame.to_av() is not None


def test_a_mask_says_where_a_paste_lands(make):
    frame = make()
    square = transform(48.0, 30.0, 24.0)
    far = transform(14.0, 12.0, 16.0)
    kept, old = (frame.crops(at, 16, EXTENT).copy() for at in (far, square))
    white, nowhere = np.full((1, 16, 16, 3), 255, np.uint8), np.zeros((1, 16, 16), np.uint8)
    frame.paste(white, nowhere, square, EXTENT)
    np.testing.assert_array_equal(frame.crops(square, 16, EXTENT), old)
    frame.paste(np.full((1, 16, 16, 3), 128, np.uint8), ellipse(16), square, EXTENT)
    assert np.abs(frame.crops(square, 16, EXTENT)[0, 6:10, 6:10].astype(int) - 128).max() <= 3
    np.testing.assert_array_equal(frame.crops(far, 16, EXTENT), kept)


def test_a_cover_of_the_whole_leaves_nothing(make):
    frame = make()
    frame.pixelate(4)
    values = np.unique(frame.luma(1))
    assert len(values) <= 4 * 4
    frame.blacken()
    assert frame.crops(transform(40, 30, 30), 16, EXTENT).max() <= 1
