"""Crops about the landmarks: they never cover less than the tracker's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.alignment.align import align_all, widen_all
from stream_anon.geometry import (
    MASK_CENTRE,
    MASK_SEMI_AXES,
    TEMPLATE,
    apply,
    invert,
    mask_radius,
    scale_of,
    similarity,
)

ANGLES = np.linspace(0, 2 * np.pi, 240, endpoint=False)
OUTLINE = np.array(MASK_CENTRE) + np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1) * MASK_SEMI_AXES


def landmarks(size: float, turn: float, at: tuple[float, float], squeeze: float) -> np.ndarray:
    flat = (TEMPLATE - TEMPLATE.mean(0)) * (squeeze, 1.0) * (size / 100)
    c, s = np.cos(turn), np.sin(turn)
    return flat @ np.array([[c, s], [-s, c]]) + at


@given(
    size=st.floats(20, 600),
    turn=st.floats(-3.1, 3.1),
    squeeze=st.floats(0.2, 1.3),
    left=st.floats(-0.4, 0.4),
    up=st.floats(-0.4, 0.4),
    wide=st.floats(0.5, 2.0),
    crop_scale=st.floats(1.0, 1.6),
)
def test_the_new_mask_covers_the_old_one(size, turn, squeeze, left, up, wide, crop_scale):
    points = landmarks(size, turn, (300.0, 200.0), squeeze)
    middle = np.array([300.0 + left * size, 200.0 + up * size])
    half = np.array([0.5 * size * wide, 0.6 * size])
    box = np.concatenate([middle - half, middle + half])
    alignments = align_all(box[None], points[None])
    wider, _ = widen_all(alignments, points[None], crop_scale)
    outline = apply(invert(alignments[0]), OUTLINE)
    assert mask_radius(apply(wider[0], outline)).max() <= 1.0 + 1e-9


def test_good_landmarks_lie_where_a_generator_wants_them():
    points = landmarks(90.0, 0.2, (120.0, 80.0), 1.0)
    alignment = similarity(points)
    wider = widen_all(alignment[None], points[None], 1.25)[0][0]
    wanted = (TEMPLATE - MASK_CENTRE) / 1.25 + MASK_CENTRE
    assert np.abs(apply(wider, points) - wanted).max() < 0.5
    assert scale_of(alignment) / scale_of(wider) == pytest.approx(1.25)


@pytest.mark.parametrize(
    "points",
    [
        np.full((5, 2), np.nan),
        np.full((5, 2), 50.0),
        landmarks(20.0, 0.0, (64.0, 64.0), 1.0),
        landmarks(900.0, 0.0, (64.0, 64.0), 1.0),
    ],
    ids=["none", "one point", "far too small", "far too large"],
)
def test_landmarks_that_fit_no_face_change_nothing(points):
    alignments = align_all(np.array([[20.0, 10.0, 110.0, 120.0]]), np.full((1, 5, 2), np.nan))
    assert np.array_equal(widen_all(alignments, points[None], 1.25)[0], alignments)
