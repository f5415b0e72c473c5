"""What is given up while frames come faster than they are painted, and when it is taken back."""

from __future__ import annotations

import math
from dataclasses import dataclass

MISSING = 0.25
"""Share of frames that may be left out before it counts as overload; the last step leaves out
half."""

CALM = 5.0
"""Times ``patience`` in order before a step is taken back."""


@dataclass(frozen=True, slots=True)
class Step:
    """What holds at one level of overload.

    Attributes:
        interval: seconds within which the detector looks, None for the chosen ones.
        method: that paints in the place of the chosen one, or None.
        drop: every second frame is left out before anybody looks at it.
    """

    interval: float | None = None
    method: str | None = None
    drop: bool = False


def ladder(interval: float, longest: float, methods: tuple[str, ...], own: str) -> tuple[Step, ...]:
    """The steps, from none to the last: detector, method, frames.

    Args:
        interval: the detector's, in seconds, as it was chosen.
        longest: that it may grow to.
        methods: that may take the place of ``own``, in order.
        own: the chosen method.
    """
    steps = [Step()]
    slow = None
    if longest > interval * 1.1:
        middle = (interval * longest) ** 0.5
        steps += [Step(middle), Step(longest)]
        slow = longest
    after = methods[methods.index(own) + 1 :] if own in methods else methods
    steps += [Step(slow, name) for name in after]
    last = steps[-1]
    return (*steps, Step(last.interval, last.method, drop=True))


class Overload:
    """Chooses the step from how late frames are, and whether some were left out.

    What waits is bounded, so that frames of a fast camera are left out before they are late.

    Args:
        steps: as from ``ladder``.
        backlog: seconds of lateness that are too many.
        patience: seconds that each step is given to help.

    Attributes:
        level: index of the step.
    """

    def __init__(self, steps: tuple[Step, ...], backlog: float, patience: float) -> None:
        self._steps, self._backlog, self._patience = steps, backlog, patience
        self.level = 0
        self._before = float("-inf")
        self._frames = self._missed = 0.0
        self._late_since: float | None = None
        self._calm_since: float | None = None

    @property
    def step(self) -> Step:
        """What holds now."""
        return self._steps[self.level]

    def observe(self, lateness: float, now: float, missed: int = 0) -> bool:
        """A frame came.

        Args:
            lateness: seconds between its arrival at the reader and its turn here.
            now: seconds of a monotonic clock.
            missed: frames before it that were left out, as there was no room for them.

        Returns:
            Whether the level changed.
        """
        before = self.level
        # Of the last ``patience`` seconds, more or less.
        kept = math.exp(-max(0.0, now - self._before) / self._patience)
        self._before = now
        self._frames = kept * self._frames + 1.0
        self._missed = kept * self._missed + missed
        missing = self._missed / (self._frames + self._missed)
        if lateness > self._backlog or missing > MISSING:
            self._calm_since = None
            if self._late_since is None:
                self._late_since = now
            elif now - self._late_since >= self._patience and self.level + 1 < len(self._steps):
                self.level += 1
                self._late_since = now
        else:
            self._late_since = None
            # Between half of it and all of it nothing changes.
            if lateness > self._backlog / 2:
                self._calm_since = None
            elif self._calm_since is None:
                self._calm_since = now
            elif now - self._calm_since >= CALM * self._patience and self.level:
                self.level -= 1
                self._calm_since = now
        return self.level != before
