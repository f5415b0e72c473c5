"""The pass that a picture needs to reach an encoder.

Only one place in the package may issue it: the compositor in ``stream_anon.pipeline.gate``,
which claims the seal when it is imported. A second claim fails, and so does making a
``Cleared`` without the seal; ``tests/attacks`` holds both to it.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Any, Final, final

from stream_anon.errors import GateError
from stream_anon.video.picture import Picture


class Rung(IntEnum):
    """How a picture was made safe, from the best step of the ladder to the last."""

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
    """A picture together with what was painted on it; good for one encoding.

    Attributes:
        stream, index, pts: of the picture, as it was decoded.
        rung: the step of the ladder that was taken for the picture as a whole.
        covered: the tracks that were painted, by number.
    """

    __slots__ = ("_picture", "covered", "index", "pts", "rung", "stream")

    def __init__(
        self, picture: Picture, covered: tuple[int, ...], rung: Rung, seal: object
    ) -> None:
        if seal is not _SEAL:
            raise GateError("only the compositor can clear a picture")
        self._picture: Picture | None = picture
        self.stream, self.index, self.pts = picture.stream, picture.index, picture.pts
        self.covered = covered
        self.rung = rung

    def __init_subclass__(cls, **_: object) -> None:
        raise GateError("Cleared cannot be subclassed")

    def __reduce__(self) -> Any:
        raise GateError("Cleared cannot be copied or pickled")

    def take(self) -> Picture:
        """The picture, once.

        Raises:
            GateError: it was taken before.
        """
        picture, self._picture = self._picture, None
        if picture is None:
            raise GateError(f"picture {self.index} was already released")
        return picture
