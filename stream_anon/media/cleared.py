"""The pass that a frame needs to reach an encoder.

Only one place may issue it: the compositor in ``stream_anon.pipeline.painting.gate``,
which claims the seal when it is imported. A second claim fails, and so does making a
``Cleared`` without the seal; ``tests/attacks`` holds both to it.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Any, Final, final

from stream_anon.errors import GateError
from stream_anon.media.frame import Frame


class FallbackLevel(IntEnum):
    """How a frame was made safe, from the best step of the ladder to the last."""

    METHOD = 0
    FILL = 1
    PIXELATED = 2
    BLACK = 3


class _Seal:
    """Proof of being the compositor; compared by identity."""


_SEAL: Final = _Seal()
_claimed = threading.Lock()


def claim_seal() -> object:
    """Hand the seal to the compositor, once in the life of a process.

    Raises:
        GateError: it was claimed before.
    """
    if not _claimed.acquire(blocking=False):
        raise GateError("the seal of the gate was claimed before")
    return _SEAL


@final
class Cleared:
    """A frame together with what was painted on it; good for one encoding.

    Attributes:
        stream, index, pts: of the frame, as it was decoded.
        level: the step of the ladder that was taken for the frame as a whole.
        painted: the tracks that were painted, by number.
    """

    __slots__ = ("_frame", "index", "level", "painted", "pts", "stream")

    def __init__(
        self, frame: Frame, painted: tuple[int, ...], level: FallbackLevel, seal: object
    ) -> None:
        if seal is not _SEAL:
            raise GateError("only the compositor can clear a frame")
        self._frame: Frame | None = frame
        self.stream, self.index, self.pts = frame.stream, frame.index, frame.pts
        self.painted = painted
        self.level = level

    def __init_subclass__(cls, **_: object) -> None:
        raise GateError("Cleared cannot be subclassed")

    def __reduce__(self) -> Any:
        raise GateError("Cleared cannot be copied or pickled")

    def take(self) -> Frame:
        """The frame, once.

        Raises:
            GateError: it was taken before.
        """
        frame, self._frame = self._frame, None
        if frame is None:
            raise GateError(f"frame {self.index} was already released")
        return frame
