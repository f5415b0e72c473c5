"""Frames out of shared memory: those that the reader had no room for are counted."""

from __future__ import annotations

import numpy as np

from stream_anon.live.clock import TICKS
from stream_anon.live.painting.source import RingSource
from stream_anon.live.ring import Ring
from stream_anon.live.wire import Wire


def reader(source: RingSource, sequences: list[int]) -> None:
    """One that comes, announces frames of these numbers and goes; the source takes them all."""
    wire, other = Wire.pair()
    ring = Ring.create(64, 64, 2)
    source.attach(Wire(other))
    form = {"type": "format", "width": 64, "height": 64, "rate": 25.0, "slots": 2}
    wire.send(form, fds=(ring.descriptor,), timeout=5.0)
    for sequence in sequences:
        planes = [np.zeros(size[::-1], np.uint8) for size in ring.sizes]
        ring.write(0, sequence, planes)
        frame = {"type": "frame", "slot": 0, "sequence": sequence, "pts": sequence * 100}
        wire.send(frame, timeout=5.0)
        for _ in range(100):
            if source.next(0.05) is not None:
                break
    wire.close()
    ring.close()


def test_numbers_that_are_missing_are_frames_that_are():
    source = RingSource("a", lambda: TICKS // 4)
    reader(source, [1, 2, 6, 7])
    assert source.missed == 3
    # Another reader counts from one again.
    reader(source, [1, 2])
    assert source.missed == 3
    reader(source, [1, 4])
    assert source.missed == 5
    source.close()
