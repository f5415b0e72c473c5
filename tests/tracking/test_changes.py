"""What counts as news to the detector."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.tracking.changes import PATIENCE, ChangeMap, Periods

NEVER = Periods(seconds=1e6, frames=10**6, idle=4.0)
"""No look is ever due by time: only news is looked at."""


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
        asked = changes.needs_detection(NEVER)
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
        assert not changes.needs_detection(NEVER).any()
