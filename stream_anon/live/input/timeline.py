"""One time line for months, from time stamps that nobody can trust.

A camera's stamps jump, wrap, stand still, run back or drift. Here they only say how frames follow
each other within a second; where in time they lie is told by this machine's monotonic clock.
"""

from __future__ import annotations

from stream_anon.live.clock import TICKS

TOLERANCE = TICKS
"""By how much stamps may disagree with the arrival before they are taken anew."""
STEP = TICKS // 120
"""From one frame to the next in a burst, at least, as long as that is not ahead by too much."""
CREEP = 0.003
"""Share of a lateness that is made up for with each frame: clocks drift, networks tremble."""


class LiveTimeline:
    """Maps stamps to ticks since an epoch; what it gives always grows.

    A frame cannot arrive before it was seen, so the time line is moved at once where stamps
    would say so, and slowly where everything seems late.

    Attributes:
        anchored: how often the stamps were taken anew, the first time included.
    """

    def __init__(self) -> None:
        self.anchored = 0
        self._offset = 0.0
        self._stamp: float | None = None
        self._last: int | None = None

    def next(self, stamp: float | None, now: int) -> int:
        """Where a frame lies.

        Args:
            stamp: seconds by the camera; None where it gives none.
            now: ticks of its arrival; not falling.

        Returns:
            Ticks, larger than before. Never ahead of ``now`` by more than ``TOLERANCE`` and one
            tick for each frame.
        """
        ticks = None
        if stamp is not None and abs(stamp) < 1e12:
            ticks = stamp * TICKS
            grows = self._stamp is None or ticks > self._stamp
            late = now - (ticks + self._offset)
            if self._stamp is None or not grows or abs(late) > TOLERANCE:
                self._offset = now - ticks
                self.anchored += 1
            elif late < 0:
                self._offset += late
            else:
                self._offset += CREEP * late
            self._stamp = ticks
        place = now if ticks is None else round(ticks + self._offset)
        if self._last is not None:
            ahead = self._last + STEP > now + TOLERANCE
            place = max(place, self._last + (1 if ahead else STEP))
        self._last = place
        return place

    def restart(self) -> None:
        """Another connection: its stamps have nothing to do with those before."""
        self._stamp = None
