"""The soft cover: nothing of a face but 4 x 4 averages, and no edge to be seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.masks import minimum_mask
from stream_anon.geometry import ALIGNED_SIDE, MASK_CENTRE, apply, invert
from stream_anon.methods import soft_cover
from stream_anon.methods.base import Subject
from stream_anon.methods.soft_cover import GROWTH, SIDE, SoftCover
from stream_anon.pipeline.painting.shapes import grown
from stream_anon.track_state import TrackState

SUBJECT = Subject(TrackState(1), landmarks=None, size=60.0, score=0.9)


def crop(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def render(frame: np.ndarray) -> np.ndarray:
    return SoftCover(np.zeros((SIDE, SIDE), np.float32)).render(frame[None], [SUBJECT]).crops[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_of_the_inside_only_averages_have_any_influence(seed: int):
    frame = crop(seed)
    cells = soft_cover._cells()[1]
    shuffled = frame.copy()
    rng = np.random.default_rng(seed + 1)
    for cell in range(16):
        place = np.flatnonzero(cells.ravel() == cell)
        shuffled.reshape(-1, 3)[place] = frame.reshape(-1, 3)[rng.permutation(place)]
    assert not np.array_equal(shuffled, frame)
    assert np.array_equal(render(shuffled), render(frame))


def test_the_mask_is_whole_over_the_minimum_mask_of_the_face():
    """Every point that the minimum mask touches, in the frame that is painted in."""
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    own = minimum_mask(4 * ALIGNED_SIDE)
    y, x = np.nonzero(own > 0)
    points = np.stack([x, y], axis=1) * 0.25 + 0.125 - 0.5
    there = apply(grown(identity, GROWTH), points)
    pixels = (there + 0.5) * (SIDE / ALIGNED_SIDE) - 0.5
    low, high = np.floor(pixels).astype(int), np.ceil(pixels).astype(int)
    mask = soft_cover.soft_mask()
    for px, py in ((low, low), (high, low), (low, high), (high, high)):
        # At the lower rim the face's own frame ends before its mask would.
        assert (mask[py[:, 1].clip(0, SIDE - 1), px[:, 0].clip(0, SIDE - 1)] == 255).all()


def test_of_a_small_face_a_plane_is_left():
    frame = crop(4)
    small = Subject(TrackState(1), landmarks=None, size=30.0, score=0.9)
    cover = SoftCover(np.zeros((SIDE, SIDE), np.float32))
    hidden = soft_cover._radius() < 0.75  # the blur brings the surroundings nearer than that
    y, x = np.nonzero(hidden)
    basis = np.stack([np.ones(len(x)), x, y], axis=1)
    left = []
    for subject in (small, SUBJECT):
        pixels = cover.render(frame[None], [subject]).crops[0][hidden].astype(float)
        fitted = basis @ np.linalg.lstsq(basis, pixels, rcond=None)[0]
        left.append(float((pixels - fitted).std()))
    assert left[0] < 2.0 < left[1]


def test_the_edge_runs_out_before_the_crop_does():
    mask = soft_cover.soft_mask()
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert rim.max() == 0
    steps = np.abs(np.diff(mask.astype(int), axis=1))
    assert steps.max() < 96, "a soft edge takes several pixels"


def test_the_cells_lie_where_the_mask_does():
    centre = apply(grown(np.eye(2, 3), GROWTH), np.array([MASK_CENTRE]))[0]
    x, y = np.rint((centre + 0.5) * (SIDE / ALIGNED_SIDE) - 0.5).astype(int)
    assert soft_cover._radius()[y, x] < 0.05
    assert {soft_cover._cells()[1][y + dy, x + dx] for dy in (-3, 3) for dx in (-3, 3)} == {
        5, 6, 9, 10,
    }  # fmt: skip
    assert np.allclose(apply(invert(grown(np.eye(2, 3), GROWTH)), centre[None]), MASK_CENTRE)


@pytest.mark.parametrize("level", [0, 8])
def test_it_has_the_grain_of_its_surroundings(level: int):
    rng = np.random.default_rng(5)
    flat = np.clip(128 + level * rng.standard_normal((SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    out = SoftCover().render(flat[None], [SUBJECT]).crops[0]
    middle = out[40:60, 40:60].astype(float).std()
    assert (middle > 1.5) if level else (middle < 0.7)
