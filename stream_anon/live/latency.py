"""How long a frame may wait for what comes after it: three budgets instead of one constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stream_anon.config import TrackerConfig


@dataclass(frozen=True, slots=True)
class Budget:
    """What one of the three modes means.

    Attributes:
        look_back: seconds that a frame waits in the tracker.
        lookahead: frames that the encoder may hold.
        low_delay: the decoder gives each frame at once; streams with B-frames need it off.
    """

    look_back: float
    lookahead: int
    low_delay: bool


BUDGETS: Final = {
    "low": Budget(0.25, 0, True),
    "balanced": Budget(0.6, 0, False),
    "careful": Budget(1.7, 0, False),
}


BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0)
"""Upper bounds in seconds of the histogram of what it comes to."""


def tracker(config: TrackerConfig, latency: str) -> TrackerConfig:
    """The tracker's options with a budget's look-back.

    The detector looks at least as often as frames wait, or somebody could come and go unseen:
    with less look-back it has more to do. What is bridged in hindsight under `careful` is held
    forward under the others (`tracking.tracker`).
    """
    look_back = BUDGETS[latency].look_back
    return config.model_copy(
        update={"latency": look_back, "interval": min(config.interval, look_back)}
    )
