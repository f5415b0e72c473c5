"""A clock that no time stamp can stop, turn back or make jump.

Time stamps are data: they repeat, run back, jump, wrap or count a millisecond a frame, and
a rule of the tracker that believed them would stop looking. Every frame moves this clock on
by what its time stamp says, within the bounds of what a camera does.
"""

from __future__ import annotations

import math

FASTEST = 60.0
"""Frames a second, at most: time stamps closer than that are taken as being this far apart.
A camera that really is faster is covered for a shorter time, in as many frames."""

SLOWEST = 1.0
"""Frames a second of a stream whose nominal rate says less, or nothing, for ``usual``."""

JUMP_SECONDS = 1.0
"""A step of the time stamps of more than this, and of more than ``JUMP_FRAMES``, is a jump."""

JUMP_FRAMES = 5.0
"""Likewise, in frames at the nominal rate."""


class StreamClock:
    """Seconds since a stream's first frame, ever rising.

    Args:
        rate: frames a second that the stream claims; anything.

    Attributes:
        seconds: at the latest frame.
        usual: seconds between two frames, as far as the claim can be believed.
    """

    def __init__(self, rate: float) -> None:
        sane = rate if math.isfinite(rate) and rate > 0 else 25.0
        self.usual = 1.0 / min(FASTEST, max(SLOWEST, sane))
        self.seconds = 0.0
        self._longest = max(JUMP_SECONDS, JUMP_FRAMES / max(sane, 1e-3))
        self._last: float | None = None

    def jumps(self, stamp: float) -> bool:
        """Whether a frame with this time stamp, in seconds, would follow a break in time."""
        if self._last is None:
            return False
        step = stamp - self._last
        return not (-1e-9 <= step <= self._longest)

    def push(self, stamp: float) -> float:
        """Move on to a frame.

        Args:
            stamp: its time stamp in seconds; NaN where it has none.

        Returns:
            ``seconds``, larger than before by at least ``1 / FASTEST``.
        """
        if self._last is not None:
            step = stamp - self._last
            if self.jumps(stamp) or not math.isfinite(step):
                step = self.usual
            self.seconds += max(step, 1.0 / FASTEST)
        if math.isfinite(stamp):
            self._last = stamp
        return self.seconds
