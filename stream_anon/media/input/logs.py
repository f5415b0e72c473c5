"""What FFmpeg's decoders say about a packet: often all that is known of its damage.

PyAV drops FFmpeg's messages unless a level is set, for the whole process. Here errors alone
are let through. Those of a call go to the thread that made it; those of a decoder's own threads
are counted by the decoder's name. None is printed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import av

Line = tuple[int, str, str]
"""FFmpeg's level, the name of the part that speaks, the message."""

_LOGGER: Final = "libav"
_HARMLESS: Final = ("sei", "rasl", "ignoring", "skipping")
"""What errors speak of that say nothing about the samples of a frame."""


class _Heard(logging.Handler):
    """Counts errors that no thread waits for, by the name of the part that speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a line of FFmpeg."""
        if tells_damage(record.getMessage()):
            self.counts[record.name.removeprefix(f"{_LOGGER}.")] += 1


_heard: Final = _Heard()
_lock: Final = threading.Lock()


@contextmanager
def captured() -> Iterator[list[Line]]:
    """Messages of FFmpeg at error level from this thread, in order."""
    listen()
    capture: Any = av.logging.Capture(True)
    with capture as lines:
        yield lines


def overheard(name: str) -> int:
    """Errors so far of all decoders of that name that have threads of their own."""
    return _heard.counts[name]


def tells_damage(message: str) -> bool:
    """Whether an error concerns the samples of a frame."""
    words = message.lower()
    return not any(word in words for word in _HARMLESS)


def listen() -> None:
    """Let errors of FFmpeg through; safe to call at any time."""
    level = av.logging.get_level()
    if level is not None and level >= av.logging.ERROR:
        return
    with _lock:
        # A repeated message would be swallowed, and a second damaged packet with it.
        av.logging.set_skip_repeated(False)
        logger = logging.getLogger(_LOGGER)
        if _heard not in logger.handlers:
            logger.addHandler(_heard)
            logger.propagate = False
        av.logging.set_level(av.logging.ERROR)
