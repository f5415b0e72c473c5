"""The landmark net: finds what is there, knows when nothing is, and is not always believed."""

import cv2
import numpy as np
import pytest

from stream_anon.alignment.landmark_net import MAX_EXPECTED_ERROR, SIDE, LandmarkFinder, believed
from stream_anon.geometry import TEMPLATE


def drawn(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """A crude face with dark eyes, nose and mouth at these places: (64, 64) luma."""
    frame = np.full((128, 128), 90, np.uint8)
    centre = points.mean(axis=0)
    cv2.ellipse(frame, (*np.rint(centre).astype(int),), (36, 50), 0, 0, 360, 170, -1)
    for eye in points[:2]:
        cv2.ellipse(frame, tuple(np.rint(eye).astype(int)), (8, 4), 0, 0, 360, 40, -1)
        cv2.ellipse(frame, tuple(np.rint(eye - (0, 9)).astype(int)), (10, 2), 0, 0, 360, 60, -1)
    nose = tuple(np.rint(points[2]).astype(int))
    cv2.ellipse(frame, nose, (7, 4), 0, 0, 180, 110, -1)
    left, right = (tuple(np.rint(p).astype(int)) for p in points[3:])
    cv2.line(frame, left, right, 50, 5)
    noise = np.random.default_rng(seed).normal(0, 3, frame.shape)
    soft = cv2.GaussianBlur(np.clip(frame + noise, 0, 255).astype(np.uint8), (0, 0), 1.5)
    return cv2.resize(soft, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def finder():
    return LandmarkFinder()


@pytest.mark.parametrize("shift", [(0, 0), (7, -5), (-6, 6)])
def test_it_follows_a_face_that_moves_in_the_crop(finder, shift):
    still, moved = TEMPLATE, TEMPLATE + np.array(shift)
    points, errors = finder([drawn(still), drawn(moved)])
    assert points.shape == (2, 5, 2)
    assert (errors > 0).all()
    assert (points[1] - points[0]).mean(axis=0) == pytest.approx(shift, abs=2.0)
    assert np.hypot(*(points[0] - still).T).mean() < 6.0


def test_light_has_no_influence(finder):
    face = drawn(TEMPLATE)
    dim = (face.astype(float) * 0.4 + 20).round().astype(np.uint8)
    (bright, dark), _ = finder([face, dim])
    assert np.abs(bright - dark).max() < 1.0


def test_it_doubts_what_is_no_face(finder):
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    flat = np.full((SIDE, SIDE), 128, np.uint8)
    points, errors = finder([drawn(TEMPLATE), noise, flat])
    assert np.isfinite(points).all()
    assert np.isfinite(errors).all()
    assert errors[1] > 1.5 * errors[0]


def test_none_is_answered_with_none(finder):
    points, errors = finder([])
    assert points.shape == (0, 5, 2)
    assert errors.shape == (0,)


def test_doubt_distance_and_nan_are_not_believed():
    assert believed(TEMPLATE + 3.0, 1.0, TEMPLATE)
    assert not believed(TEMPLATE + 3.0, MAX_EXPECTED_ERROR, TEMPLATE)
    assert not believed(TEMPLATE + 3.0, float("nan"), TEMPLATE)
    assert not believed(TEMPLATE + 40.0, 1.0, TEMPLATE)
    assert not believed(np.full((5, 2), np.nan), 1.0, TEMPLATE)
