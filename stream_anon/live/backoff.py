"""When to try again: soon, then later, never all at once."""

from __future__ import annotations

import random

_SYSTEM = random.SystemRandom()
JITTER = 0.3
"""Share by which a wait may be shorter, so that many cameras do not come back together."""


class Backoff:
    """Waits that double up to a limit.

    Args:
        first: seconds of the first wait.
        longest: seconds of the longest.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, max(first, longest)
        self._tries = 0

    def wait(self) -> float:
        """Seconds to wait before the next try."""
        plain = min(self._longest, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return plain * (1.0 - JITTER * _SYSTEM.random())

    @property
    def tries(self) -> int:
        """Waits since it last worked."""
        return self._tries

    @property
    def worth_telling(self) -> bool:
        """Whether the next failure is one to be logged: the first, second, fourth, eighth ... and
        every thousandth. Months of a camera that is away must not fill a disk."""
        count = self._tries + 1
        return count & (count - 1) == 0 or count % 1000 == 0

    def reset(self) -> None:
        """It worked."""
        self._tries = 0
