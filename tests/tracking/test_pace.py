"""How often the detector looks can be changed while frames flow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stream_anon.config import TrackerConfig
from stream_anon.tracking.tracker import Tracker

RATE = 25.0


def looks(latency: float | None, interval: float | None, frames: int = 150) -> list[int]:
    """Frames of moving noise in which the detector looks."""
    config = TrackerConfig(latency=latency)
    tracker = Tracker(config, 640, 360, RATE, itertools.count(1))
    rng = np.random.default_rng(1)
    step = tracker.luma_step
    still = np.full((360 // step, 640 // step), 90, np.uint8)
    found = []
    if interval is not None:
        tracker.pace(interval)
    for index in range(frames):
        luma = still.copy()
        # Something moves in a corner: new to the detector, again and again, but not everywhere.
        x = index % (luma.shape[1] // 2)
        luma[:30, x : x + 30] = rng.integers(0, 256, (30, 30), dtype=np.uint8)[:30, :]
        attention = tracker.needs_detection(index, index / RATE, luma)
        if attention is not None:
            found.append(index)
        areas = None if attention is None else attention.regions
        faces = None if attention is None else []
        glance = None if attention is None else ([], attention.sudden)
        tracker.push(index, index / RATE, luma, faces, areas, glance)
    return found


def test_a_longer_interval_never_asks_for_more():
    usual, slower = looks(None, None), looks(None, 0.6)
    assert len(slower) <= len(usual)
    assert looks(None, 0.28) == usual


def test_the_interval_never_outlasts_the_frames_that_wait():
    # With frames that wait for a quarter of a second, asking for more changes nothing.
    assert looks(0.25, 1.0) == looks(0.25, None)


def test_nonsense_is_refused():
    tracker = Tracker(TrackerConfig(), 640, 360, RATE, itertools.count(1))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="interval"):
            tracker.pace(wrong)
