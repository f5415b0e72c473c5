"""How a face's surface moved within its frame: measured, bounded, forgotten."""

import cv2
import numpy as np
import pytest

from stream_anon.faces.surface import GRID, LARGEST, Surface
from stream_anon.geometry import FACE_FRAME, TEMPLATE, apply, invert, similarity

SIDE = 64
FRAME = similarity((TEMPLATE - 64.0) * 2.0 + 300.0)


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (80, 80)).astype(np.uint8)
    return cv2.resize(noise, (640, 640), interpolation=cv2.INTER_CUBIC)


def cut(picture: np.ndarray, transform: np.ndarray) -> np.ndarray:
    step = SIDE / FACE_FRAME
    matrix = transform * step
    matrix[:, 2] += 0.5 * step - 0.5
    return cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)


def shifted(picture: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The picture whose point p shows what lay at p - way."""
    matrix = np.array([[1.0, 0.0, way[0]], [0.0, 1.0, way[1]]])
    return cv2.warpAffine(picture, matrix, picture.shape[::-1])


@pytest.mark.parametrize("way", [(4.0, 0.0), (-3.0, 5.0)])
def test_motion_within_a_resting_frame_is_told_in_its_units(way):
    surface = Surface(FACE_FRAME)
    assert surface(1, cut(texture(), FRAME), FRAME, FRAME, 0.0) is None
    now = cut(shifted(texture(), np.array(way)), FRAME)
    motion = surface(1, now, FRAME, FRAME, 0.04)
    assert motion is not None
    assert motion.shape == (GRID, GRID, 2)
    assert motion.dtype == np.float32
    # What is here lay ``way`` pixels back; two pixels are a unit.
    inner = motion[3:-3, 3:-3].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx(-np.array(way) / 2, abs=0.2)


def test_a_frame_that_moves_with_the_face_sees_no_motion():
    surface = Surface(FACE_FRAME)
    surface(1, cut(texture(), FRAME), FRAME, FRAME, 0.0)
    way = np.array((6.0, -4.0))
    moved = FRAME.copy()
    moved[:, 2] = FRAME[:, 2] - FRAME[:, :2] @ way
    # The crop still follows the old place: only the frame is locked to the face.
    motion = surface(1, cut(shifted(texture(), way), FRAME), FRAME, moved, 0.04)
    assert motion is not None
    assert np.abs(np.median(motion[3:-3, 3:-3].reshape(-1, 2), axis=0)).max() < 0.25
    assert apply(invert(moved), TEMPLATE) - apply(invert(FRAME), TEMPLATE) == pytest.approx(
        np.tile(way, (5, 1))
    )


def test_nothing_moves_further_than_a_face_can():
    surface = Surface(FACE_FRAME)
    surface(1, cut(texture(0), FRAME), FRAME, FRAME, 0.0)
    motion = surface(1, cut(texture(9), FRAME), FRAME, FRAME, 0.04)
    assert motion is not None
    assert np.isfinite(motion).all()
    assert np.abs(motion).max() <= LARGEST


@pytest.mark.parametrize("gap", [0.0, -0.04, 1.0])
def test_a_gap_or_a_step_back_tells_nothing(gap):
    surface = Surface(FACE_FRAME)
    crop = cut(texture(), FRAME)
    surface(1, crop, FRAME, FRAME, 5.0)
    assert surface(1, crop, FRAME, FRAME, 5.0 + gap) is None


def test_an_ended_track_leaves_nothing():
    surface = Surface(FACE_FRAME)
    surface(1, cut(texture(), FRAME), FRAME, FRAME, 0.0)
    surface.forget(1)
    assert not surface._states
