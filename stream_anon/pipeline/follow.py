"""Following what was drawn by hand through a video, so that its box moves along.

By template, as faces are followed between two detector runs of the detector. What was drawn stays
the template: one that is cut anew from every find drifts off. Where it is not found it goes on as
it moved last and slows down, and its box grows with the time since it was seen: it may become too
large, never too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import UsageError
from stream_anon.media.frame import Frame
from stream_anon.media.input.files import open_file
from stream_anon.regions import Box
from stream_anon.tracking import template_matching
from stream_anon.tracks.reader import TracksFile

Array = NDArray[np.float64]

REACH = 0.5
"""How far it may move from where it was expected, in sizes, and still be found."""

GROWTH = 0.9
"""Share of its size by which the box grows on every side for each second out of sight."""

MOST_GROWTH = 1.0
"""Growth is at most this, in sizes."""

SLACK = 0.04
"""Share of its size by which the box is larger than what was drawn while it is found."""

COASTING = 0.6
"""Seconds in which what is out of sight loses its speed but for 37 %."""


def follow(
    video: Path,
    tracks: TracksFile,
    stream: str,
    box: Box,
    start: float,
    end: float,
    progress: Callable[[float], None] | None = None,
) -> tuple[tuple[float, Box], ...]:
    """Keyframes for every frame of a span.

    Args:
        video: that the Tracks file was made from; the caller has compared its hash.
        tracks: the file: it says which part of the video was analysed.
        stream: the video stream.
        box: in the span's first frame, pixels.
        start, end: of the span in seconds, both included.
        progress: called with the seconds that are reached.

    Returns:
        Seconds and boxes, in order of time.

    Raises:
        UsageError: there is no frame between the two times.
        InputError: the video cannot be read.
    """
    header = tracks.header
    source = open_file(video, start=header.start, end=header.end, copied=(), tolerant=True)
    found: list[tuple[float, Box]] = []
    follower: _Follower | None = None
    with source:
        for frame in source.frames():
            if str(frame.stream) != stream or frame.seconds < start:
                continue
            if frame.seconds > end:
                break
            if follower is None:
                follower = _Follower(frame, box)
                found.append((frame.seconds, box))
            else:
                found.append((frame.seconds, follower.step(frame)))
            if progress is not None:
                progress(frame.seconds)
    if not found:
        raise UsageError(f"{video}: no frame of stream {stream} lies in {start:g} to {end:g} s")
    return tuple(found)


class _Follower:
    """Where one box is, frame by frame."""

    def __init__(self, frame: Frame, box: Box) -> None:
        at = np.array(box)
        self._stride = template_matching.luma_step(frame.width, frame.height)
        self._half = (at[2:] - at[:2]) / 2
        self._size = 2.0 * math.sqrt(float(self._half[0] * self._half[1]))
        self._centre: Array = (at[:2] + at[2:]) / 2
        self._velocity: Array = np.zeros(2)
        self._seconds = self._seen = frame.seconds
        self._template = template_matching.cut(frame.luma(self._stride), self._stride, at)

    def step(self, frame: Frame) -> Box:
        """The box in the next frame."""
        elapsed = max(1e-9, frame.seconds - self._seconds)
        guess = self._centre + self._velocity * elapsed
        score = 0.0
        if self._template is not None:
            # What was lost for a while may come back further away.
            lost = frame.seconds - self._seen
            reach = self._size * min(2.0, REACH + lost)
            found, score = template_matching.find(
                self._template, frame.luma(self._stride), self._stride, guess, reach
            )
        if score >= template_matching.GOOD:
            if self._seen == self._seconds:
                self._velocity = 0.5 * self._velocity + 0.5 * (found - self._centre) / elapsed
            guess, self._seen = found, frame.seconds
        else:
            self._velocity = self._velocity * math.exp(-elapsed / COASTING)
        self._centre, self._seconds = guess, frame.seconds
        growth = min(MOST_GROWTH, SLACK + GROWTH * (frame.seconds - self._seen)) * self._size
        # Held at the border: a box wholly outside could not be painted.
        low = np.minimum(self._centre - self._half - growth, (frame.width - 2, frame.height - 2))
        high = np.maximum(self._centre + self._half + growth, (2, 2))
        x0, y0, x1, y1 = (float(v) for v in (*low, *high))
        return x0, y0, x1, y1
