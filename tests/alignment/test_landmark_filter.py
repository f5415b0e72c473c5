"""Landmarks locked to the face's motion: calm where a detector trembles, and never lost."""

import cv2
import numpy as np
import pytest

from stream_anon.alignment import landmark_filter
from stream_anon.alignment.landmark_filter import LandmarkFilter, follow
from stream_anon.geometry import ALIGNED_SIDE, TEMPLATE, apply, invert, similarity
from tests.fakes import STATES, state


def texture(seed: int = 0) -> np.ndarray:
    """A large smooth random frame."""
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40)).astype(np.uint8)
    return cv2.resize(noise, (640, 640), interpolation=cv2.INTER_CUBIC)


def moved(frame: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return cv2.warpAffine(frame, matrix, frame.shape[::-1])


def cut(frame: np.ndarray, transform: np.ndarray) -> np.ndarray:
    step = landmark_filter.SIDE / ALIGNED_SIDE
    matrix = transform * step
    matrix[:, 2] += 0.5 * step - 0.5
    return cv2.warpAffine(
        frame, matrix, (landmark_filter.SIDE, landmark_filter.SIDE), flags=cv2.INTER_AREA
    )


LANDMARKS = (TEMPLATE - 64.0) * 2.0 + 300.0


def test_motion_is_measured_to_a_fraction_of_a_pixel():
    alignment = similarity(LANDMARKS)
    before = cut(texture(), alignment)
    way = follow(before, cut(moved(texture(), (6.0, -4.0)), alignment))
    assert way is not None
    assert apply(way, TEMPLATE) - TEMPLATE == pytest.approx(np.tile([3.0, -2.0], (5, 1)), abs=0.2)


def test_a_trembling_detector_is_calmed_and_followed():
    rng = np.random.default_rng(1)
    filtered, seen, true = [], [], []
    smooth = LandmarkFilter()
    for k in range(60):
        shift = np.array([1.5 * k, 20 * np.sin(k / 9)])
        points = LANDMARKS + shift
        noisy = points + rng.normal(0, 3.0, (5, 2))
        alignment = similarity(noisy)
        frame = moved(texture(), tuple(shift))
        filtered.append(smooth(state(1), cut(frame, alignment), alignment, noisy, k / 25))
        seen.append(noisy)
        true.append(points)
    centre = [np.stack(x)[15:].mean(axis=1) for x in (filtered, seen, true)]
    tremble = [np.diff(c - centre[2], axis=0).std() for c in centre[:2]]
    assert tremble[0] < 0.35 * tremble[1]
    assert np.abs(centre[0] - centre[2]).max() < 4.0


def test_without_texture_the_detector_is_believed():
    flat = np.full((landmark_filter.SIDE, landmark_filter.SIDE), 90, np.uint8)
    noise = (
        np.random.default_rng(0)
        .integers(0, 256, (landmark_filter.SIDE, landmark_filter.SIDE))
        .astype(np.uint8)
    )
    alignment = similarity(LANDMARKS)
    smooth = LandmarkFilter()
    smooth(state(1), flat, alignment, LANDMARKS, 0.0)
    assert np.allclose(smooth(state(1), noise, alignment, LANDMARKS + 9.0, 0.04), LANDMARKS + 9.0)


def test_a_lock_that_lost_its_face_lets_go():
    alignment = similarity(LANDMARKS)
    crop = cut(texture(), alignment)
    smooth = LandmarkFilter()
    smooth(state(1), crop, alignment, LANDMARKS, 0.0)
    far = LANDMARKS + 60.0
    assert np.allclose(smooth(state(1), crop, alignment, far, 0.04), far)


@pytest.mark.parametrize("seconds", [-0.04, 0.0, 0.3])
def test_a_gap_begins_anew(seconds):
    alignment = similarity(LANDMARKS)
    crop = cut(texture(), alignment)
    smooth = LandmarkFilter()
    smooth(state(1), crop, alignment, LANDMARKS, 0.0)
    moved = smooth(state(1), crop, alignment, LANDMARKS + 5.0, seconds)
    assert np.array_equal(moved, LANDMARKS + 5.0)


def test_a_forgotten_track_leaves_no_crop():
    alignment = similarity(LANDMARKS)
    smooth = LandmarkFilter()
    smooth(state(7), cut(texture(), alignment), alignment, LANDMARKS, 0.0)
    assert len(state(7)) == 1
    STATES.end(7)
    assert smooth._last.get(state(7)) is None


def test_the_crop_and_the_crop_agree():
    alignment = similarity(LANDMARKS)
    assert apply(invert(alignment), TEMPLATE) == pytest.approx(LANDMARKS)
