"""What counts as unchanged: an encoder's work does, a painter's does not."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.verification.likeness import GRID, same_shares, share
from stream_anon.verification.verifier import OPEN
from tests.verification.clips import portrait

FACE = (160, 60, 300, 220)
"""x0, y0, x1, y1 in the portrait."""


def face(side: int) -> np.ndarray:
    """The face at a size, as luma."""
    x0, y0, x1, y1 = FACE
    crop = cv2.cvtColor(portrait()[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


def square(grey: np.ndarray) -> np.ndarray:
    """As ``same_shares`` brings it to the grid."""
    how = cv2.INTER_AREA if grey.shape[0] > GRID else cv2.INTER_LINEAR
    return cv2.resize(grey.astype(np.float32), (GRID, GRID), interpolation=how)


def coded(grey: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def pixelated(grey: np.ndarray, cells: int) -> np.ndarray:
    small = cv2.resize(grey, (cells, cells), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_NEAREST)


@settings(deadline=None)
@given(side=st.integers(20, 160), quality=st.integers(55, 100), light=st.integers(-3, 3))
def test_what_an_encoder_does_is_no_change(side, quality, light):
    before = face(side)
    after = np.clip(coded(before, quality).astype(int) + light, 0, 255).astype(np.uint8)
    assert share(square(before), square(after)) >= OPEN


@settings(deadline=None)
@given(side=st.integers(20, 160), cells=st.integers(2, 7), quality=st.integers(55, 100))
def test_pixelation_is_a_change(side, cells, quality):
    before = face(side)
    assert share(square(before), square(coded(pixelated(before, cells), quality))) < OPEN


@settings(deadline=None)
@given(side=st.integers(20, 160), strength=st.floats(0.15, 0.5))
def test_blur_is_a_change(side, strength):
    before = face(side)
    after = cv2.GaussianBlur(before, (0, 0), strength * side)
    assert share(square(before), square(after)) < OPEN


@settings(deadline=None)
@given(side=st.integers(20, 160), level=st.integers(0, 255))
def test_a_solid_cover_is_a_change(side, level):
    before = face(side)
    assert share(square(before), square(np.full_like(before, level))) < OPEN


@settings(deadline=None)
@given(side=st.integers(20, 160))
def test_other_features_in_the_same_place_are_a_change(side):
    before = face(side)
    assert share(square(before), square(np.ascontiguousarray(before[:, ::-1]))) < OPEN
    assert share(square(before), square(np.ascontiguousarray(before[::-1]))) < OPEN


@settings(deadline=None)
@given(side=st.integers(40, 160), part=st.floats(0.0, 1.0))
def test_the_less_is_painted_the_more_is_the_same(side, part):
    before = face(side)
    after = before.copy()
    after[: round(part * side)] = 128
    least = share(square(before), square(np.full_like(before, 128)))
    got = share(square(before), square(after))
    assert least <= got + 0.02
    assert (got >= OPEN) or part > 0.1
    assert (got < OPEN) or part < 0.6


def test_a_flat_place_is_not_decided_by_noise():
    rng = np.random.default_rng(3)
    flat = np.full((GRID, GRID), 100, np.float32)
    noisy = flat + rng.normal(0, 1.0, flat.shape).astype(np.float32)
    assert share(noisy, flat) >= OPEN


def _frame(rgb: np.ndarray) -> CpuFrame:
    made = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    return CpuFrame(made)


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0])
def test_places_are_found_where_the_boxes_say(scale):
    whole = portrait()
    size = (round(512 * scale) // 2 * 2,) * 2
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    box = np.array(FACE, float) * scale
    x0, y0, x1, y1 = np.round(box).astype(int)
    painted = small.copy()
    painted[y0:y1, x0:x1] = 120
    elsewhere = small.copy()
    elsewhere[y1 + 4 :] = 120
    boxes = box[None]
    assert same_shares(_frame(small), _frame(painted), boxes)[0] < 0.1
    assert same_shares(_frame(small), _frame(elsewhere), boxes)[0] > 0.95


def test_no_places_no_shares():
    frame = _frame(portrait())
    assert same_shares(frame, frame, np.empty((0, 4))).shape == (0,)
