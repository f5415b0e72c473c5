"""The one clock of a run: ticks since an epoch, by the machine's monotonic clock."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Final

TICKS: Final = 90_000
"""A second on every time line of a run."""
TIME_BASE: Final = Fraction(1, TICKS)


class LiveClock:
    """Ticks since the run began; the same in all its processes.

    Args:
        epoch: nanoseconds of the monotonic clock at which the run began.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def now(self) -> int:
        """Ticks."""
        return (time.monotonic_ns() - self.epoch) * TICKS // 1_000_000_000
