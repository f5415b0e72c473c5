"""Ctrl-C, SIGTERM and SIGHUP: the first asks the run to end cleanly, the second interrupts it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that everything is taken away that was begun."""
    raise KeyboardInterrupt


def interruptible() -> None:
    """From here on SIGTERM and SIGHUP end a command as Ctrl-C does.

    What a caller ignores (``nohup``) or handles itself stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that the first of ``SIGNALS`` sets; outside the main thread, never."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, ask)
        for number in SIGNALS
        # ``nohup`` means it; Ctrl-C is ignored in whatever a script runs in the background.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
