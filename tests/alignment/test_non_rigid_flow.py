"""How a face's surface moved within its crop: measured, bounded, forgotten."""

import cv2
import numpy as np
import pytest

from stream_anon.alignment.non_rigid_flow import GRID, LARGEST, NonRigidFlow
from stream_anon.geometry import ALIGNED_SIDE, TEMPLATE, apply, invert, similarity
from tests.fakes import STATES, state

SIDE = 64
ALIGNMENT = similarity((TEMPLATE - 64.0) * 2.0 + 300.0)


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (80, 80)).astype(np.uint8)
    return cv2.resize(noise, (640, 640), interpolation=cv2.INTER_CUBIC)


def cut(frame: np.ndarray, transform: np.ndarray) -> np.ndarray:
    step = SIDE / ALIGNED_SIDE
    matrix = transform * step
    matrix[:, 2] += 0.5 * step - 0.5
    return cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)


def shifted(frame: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The frame whose point p shows what lay at p - way."""
    matrix = np.array([[1.0, 0.0, way[0]], [0.0, 1.0, way[1]]])
    return cv2.warpAffine(frame, matrix, frame.shape[::-1])


@pytest.mark.parametrize("way", [(4.0, 0.0), (-3.0, 5.0)])
def test_motion_within_a_resting_crop_is_told_in_its_units(way):
    flow = NonRigidFlow(ALIGNED_SIDE)
    assert flow(state(1), cut(texture(), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.0) is None
    now = cut(shifted(texture(), np.array(way)), ALIGNMENT)
    motion = flow(state(1), now, ALIGNMENT, ALIGNMENT, 0.04)
    assert motion is not None
    assert motion.shape == (GRID, GRID, 2)
    assert motion.dtype == np.float32
    # What is here lay ``way`` pixels back; two pixels are a unit.
    inner = motion[3:-3, 3:-3].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx(-np.array(way) / 2, abs=0.2)


def test_a_crop_that_moves_with_the_face_sees_no_motion():
    flow = NonRigidFlow(ALIGNED_SIDE)
    flow(state(1), cut(texture(), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.0)
    way = np.array((6.0, -4.0))
    moved = ALIGNMENT.copy()
    moved[:, 2] = ALIGNMENT[:, 2] - ALIGNMENT[:, :2] @ way
    # The crop still follows the old place: only the crop is locked to the face.
    motion = flow(state(1), cut(shifted(texture(), way), ALIGNMENT), ALIGNMENT, moved, 0.04)
    assert motion is not None
    assert np.abs(np.median(motion[3:-3, 3:-3].reshape(-1, 2), axis=0)).max() < 0.25
    assert apply(invert(moved), TEMPLATE) - apply(invert(ALIGNMENT), TEMPLATE) == pytest.approx(
        np.tile(way, (5, 1))
    )


def test_nothing_moves_further_than_a_face_can():
    flow = NonRigidFlow(ALIGNED_SIDE)
    flow(state(1), cut(texture(0), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.0)
    motion = flow(state(1), cut(texture(9), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.04)
    assert motion is not None
    assert np.isfinite(motion).all()
    assert np.abs(motion).max() <= LARGEST


@pytest.mark.parametrize("gap", [0.0, -0.04, 1.0])
def test_a_gap_or_a_step_back_tells_nothing(gap):
    flow = NonRigidFlow(ALIGNED_SIDE)
    crop = cut(texture(), ALIGNMENT)
    flow(state(1), crop, ALIGNMENT, ALIGNMENT, 5.0)
    assert flow(state(1), crop, ALIGNMENT, ALIGNMENT, 5.0 + gap) is None


def test_an_ended_track_leaves_nothing():
    flow = NonRigidFlow(ALIGNED_SIDE)
    flow(state(1), cut(texture(), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.0)
    STATES.end(1)
    assert flow(state(1), cut(texture(), ALIGNMENT), ALIGNMENT, ALIGNMENT, 0.04) is None
