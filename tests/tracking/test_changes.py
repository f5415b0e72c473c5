"""What counts as news to the detector."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stream_anon.tracking.camera_motion import camera_motion
from stream_anon.tracking.changes import PATIENCE, ChangeMap, Periods

NEVER = Periods(seconds=1e6, frames=10**6, idle=4.0)
"""No look is ever due by time: only news is looked at."""


def asked_for(changes: ChangeMap, periods: Periods, known=None) -> np.ndarray:
    """Cells that are to be looked at, however closely."""
    return changes.needs_detection(periods, known) | changes.sudden(known)


def textured(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (height // 6, width // 6)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("speed", [1, 2, 3])
def test_who_slides_in_slowly_is_looked_at_within_the_patience(speed):
    """Never much at once, so nothing is urgent: the strip that was never seen grows older."""
    room, person = textured(120, 240, 1), textured(60, 48, 2)
    changes = ChangeMap(smallest=12.0)
    changes.push(room, 0.0)
    changes.looked()
    first = None
    for index in range(1, 25):
        frame = room.copy()
        shown = min(48, speed * index)
        frame[30:90, :shown] = person[:, 48 - shown :]
        changes.push(frame, index / 25)
        asked = asked_for(changes, NEVER)
        if asked.any():
            first = index
            break
    assert first is not None
    rows, columns = np.nonzero(asked)
    assert columns.max() * 8 <= shown + 16
    assert rows.min() * 8 >= 30 - 16
    # From when what is new is as wide as the smallest patch that counts, and a frame or two.
    assert speed * first <= 24 + speed * (PATIENCE + 2)


def test_a_still_room_is_never_asked_for():
    room = textured(120, 240, 1)
    changes = ChangeMap(smallest=12.0)
    changes.push(room, 0.0)
    changes.looked()
    for index in range(1, 20):
        noise = np.random.default_rng(index).integers(-2, 3, room.shape)
        changes.push(np.clip(room + noise, 0, 255).astype(np.uint8), index / 25)
        assert not asked_for(changes, NEVER).any()


def shaken(scene: np.ndarray, index: int) -> np.ndarray:
    """A frame of a camera that drifts to the right."""
    height, width = 120, 240
    matrix = np.array([[1.0, 0.0, -20.0 - 0.7 * index], [0.0, 1.0, -20.0]])
    return cv2.warpAffine(scene, matrix, (width, height), flags=cv2.INTER_LINEAR)


def test_what_only_the_camera_moves_is_looked_at_more_rarely():
    scene = textured(200, 320, 3) // 2 + 60
    periods = Periods(seconds=1e6, frames=6, idle=1e3, carried=5.0)
    changes = ChangeMap(smallest=12.0)
    changes.push(shaken(scene, 0), 0.0)
    changes.looked()
    middle, own = np.s_[4:11, 6:24], np.s_[6:9, 14:17]
    for index in range(1, 28):
        frame = shaken(scene, index).copy()
        # Too small to be news, and no camera does it.
        frame[56:63, 113 + index % 2 : 120 + index % 2] = 240
        changes.push(frame, index / 25)
        asked = changes.needs_detection(periods)
        if index == 10:
            assert asked[own].any(), "due after six frames"
            asked[5:10, 13:18] = False
            assert asked[middle].mean() < 0.1, "all the rest is not"
            changes.looked(changes.needs_detection(periods))
    for index in range(28, 32):
        changes.push(shaken(scene, index), index / 25)
    late = changes.needs_detection(periods)[middle]
    never = changes.needs_detection(replace(periods, carried=1e6))[middle]
    assert late.mean() > never.mean() + 0.05, "but it is, in the end"


def test_the_camera_motion_is_read_off_a_flow_in_which_others_walk():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (90, 160)).astype(np.uint8)
    rows, columns = np.mgrid[0:90, 0:160].astype(np.float32)
    x, y = 2 * columns + 6, 2 * rows + 4
    zoom, roll, shift = 0.01, -0.004, (1.5, -0.8)
    across = (shift[0] + zoom * x - roll * y) / 2
    down = (shift[1] + roll * x + zoom * y) / 2
    across[30:80, 40:90] += 4.0
    motion = camera_motion(image, across, down, (6, 4), (2.0, 2.0))
    wanted = np.array([[1 + zoom, -roll, shift[0]], [roll, 1 + zoom, shift[1]]])
    assert np.abs(motion - wanted).max() < 1e-4
    noise = rng.normal(0, 9, (2, 90, 160)).astype(np.float32)
    assert camera_motion(image, noise[0], noise[1], (6, 4), (2.0, 2.0)) is None
    assert camera_motion(np.full_like(image, 90), across, down, (6, 4), (2.0, 2.0)) is None


def test_what_comes_at_once_is_for_a_glance_and_for_a_look_if_it_stays():
    room, person = textured(120, 240, 1) // 2, 110 + textured(48, 48, 2) // 2
    changes = ChangeMap(smallest=12.0)
    changes.push(room, 0.0)
    changes.looked()
    with_person = room.copy()
    with_person[40:88, 96:144] = person
    changes.push(with_person, 0.04)
    sudden = changes.sudden()
    assert sudden[7:9, 14:16].all()
    assert sudden.sum() <= 8 * 8
    assert not changes.needs_detection(NEVER).any()
    assert changes.sudden_face <= 48
    changes.glanced(sudden)
    for index in range(2, PATIENCE + 4):
        changes.push(with_person, 0.04 * index)
        assert not changes.sudden().any(), "it was seen coming"
        if changes.needs_detection(NEVER)[7:9, 14:16].all():
            break
    else:
        pytest.fail("a glance alone is no look")
