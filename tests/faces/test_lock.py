"""Landmarks locked to the face's motion: calm where a detector trembles, and never lost."""

import cv2
import numpy as np
import pytest

from stream_anon.faces import lock
from stream_anon.faces.lock import LandmarkLock, follow
from stream_anon.geometry import FACE_FRAME, TEMPLATE, apply, invert, similarity


def texture(seed: int = 0) -> np.ndarray:
    """A large smooth random picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40)).astype(np.uint8)
    return cv2.resize(noise, (640, 640), interpolation=cv2.INTER_CUBIC)


def moved(picture: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return cv2.warpAffine(picture, matrix, picture.shape[::-1])


def cut(picture: np.ndarray, transform: np.ndarray) -> np.ndarray:
    step = lock.SIDE / FACE_FRAME
    matrix = transform * step
    matrix[:, 2] += 0.5 * step - 0.5
    return cv2.warpAffine(picture, matrix, (lock.SIDE, lock.SIDE), flags=cv2.INTER_AREA)


LANDMARKS = (TEMPLATE - 64.0) * 2.0 + 300.0


def test_motion_is_measured_to_a_fraction_of_a_pixel():
    frame = similarity(LANDMARKS)
    before = cut(texture(), frame)
    way = follow(before, cut(moved(texture(), (6.0, -4.0)), frame))
    assert way is not None
    assert apply(way, TEMPLATE) - TEMPLATE == pytest.approx(np.tile([3.0, -2.0], (5, 1)), abs=0.2)


def test_a_trembling_detector_is_calmed_and_followed():
    rng = np.random.default_rng(1)
    locked, seen, true = [], [], []
    steady = LandmarkLock()
    for k in range(60):
        shift = np.array([1.5 * k, 20 * np.sin(k / 9)])
        points = LANDMARKS + shift
        noisy = points + rng.normal(0, 3.0, (5, 2))
        frame = similarity(noisy)
        picture = moved(texture(), tuple(shift))
        locked.append(steady(1, cut(picture, frame), frame, noisy, k / 25))
        seen.append(noisy)
        true.append(points)
    centre = [np.stack(x)[15:].mean(axis=1) for x in (locked, seen, true)]
    tremble = [np.diff(c - centre[2], axis=0).std() for c in centre[:2]]
    assert tremble[0] < 0.35 * tremble[1]
    assert np.abs(centre[0] - centre[2]).max() < 4.0


def test_without_texture_the_detector_is_believed():
    flat = np.full((lock.SIDE, lock.SIDE), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (lock.SIDE, lock.SIDE)).astype(np.uint8)
    frame = similarity(LANDMARKS)
    steady = LandmarkLock()
    steady(1, flat, frame, LANDMARKS, 0.0)
    assert np.allclose(steady(1, noise, frame, LANDMARKS + 9.0, 0.04), LANDMARKS + 9.0)


def test_a_lock_that_lost_its_face_lets_go():
    frame = similarity(LANDMARKS)
    crop = cut(texture(), frame)
    steady = LandmarkLock()
    steady(1, crop, frame, LANDMARKS, 0.0)
    far = LANDMARKS + 60.0
    assert np.allclose(steady(1, crop, frame, far, 0.04), far)


@pytest.mark.parametrize("seconds", [-0.04, 0.0, 0.3])
def test_a_gap_begins_anew(seconds):
    frame = similarity(LANDMARKS)
    crop = cut(texture(), frame)
    steady = LandmarkLock()
    steady(1, crop, frame, LANDMARKS, 0.0)
    assert np.array_equal(steady(1, crop, frame, LANDMARKS + 5.0, seconds), LANDMARKS + 5.0)


def test_a_forgotten_track_leaves_no_crop():
    frame = similarity(LANDMARKS)
    steady = LandmarkLock()
    steady(7, cut(texture(), frame), frame, LANDMARKS, 0.0)
    steady.forget(7)
    assert not steady._states


def test_the_crop_and_the_frame_agree():
    frame = similarity(LANDMARKS)
    assert apply(invert(frame), TEMPLATE) == pytest.approx(LANDMARKS)
