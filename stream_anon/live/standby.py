"""A process that has everything imported and waits: to take the place of one that dies.

Importing the libraries and compiling the networks takes seconds, on a busy machine many. Whoever
waits here has done so, knows no address, no password and no picture, and is told what it is only
when it is needed.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

from stream_anon.live.spawn import SEND_SECONDS, spawn
from stream_anon.live.wire import Wire, WireError

PAUSE = 4.0
"""Seconds after one was taken, or died, until the next begins: what took it comes first."""
LATER = 60.0
"""Seconds until another try where none could be started."""


class Standby:
    """At most one process in waiting.

    Args:
        roles: of ``child.ROLES`` that it can take.
        data: gives what they are to prepare, no secrets.
        hidden: variables of the environment that it does not get.
        pause: seconds until the next begins.
    """

    def __init__(
        self,
        roles: tuple[str, ...],
        data: Callable[[], dict[str, Any]],
        hidden: Iterable[str] = (),
        pause: float = PAUSE,
    ) -> None:
        self._roles, self._data, self._hidden = roles, data, tuple(hidden)
        self._pause = pause
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._due: float | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        """Of the process in waiting, if there is one."""
        return None if self._process is None else self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has imported everything."""
        return self._ready

    def tick(self, now: float) -> None:
        """Start one where none waits; to be called when everything else runs."""
        if self._due is None:
            self._due = now + self._pause
        if self._process is None:
            if now >= self._due:
                self._start(now)
        elif self._process.poll() is not None or not self._heard():
            # What cannot be prepared now cannot be prepared soon either.
            self._due = now + (self._pause if self._ready else LATER)
            self.end()

    def take(self, now: float) -> tuple[subprocess.Popen[bytes], Wire] | None:
        """The process in waiting, which is the caller's from then on; None where there is none.

        One that is not ready yet is further than one that has not begun.
        """
        self._due = now + self._pause
        if self._process is None or self._wire is None:
            return None
        if self._process.poll() is not None or not self._heard():
            self.end()
            return None
        taken = self._process, self._wire
        self._process = self._wire = None
        self._ready = False
        return taken

    def end(self) -> None:
        """End it: nobody needs it, or what it prepared has changed. Safe to call twice."""
        process, wire = self._process, self._wire
        self._process = self._wire = None
        self._ready = False
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if wire is not None:
            wire.close()

    def _start(self, now: float) -> None:
        try:
            self._process, self._wire = spawn(self._hidden)
            first = {"type": "standby", "roles": list(self._roles), **self._data()}
            if not self._wire.send(first, timeout=SEND_SECONDS):
                self.end()
        except (OSError, WireError):
            # Without one, whoever dies is started as at the beginning.
            self.end()
            self._due = now + LATER

    def _heard(self) -> bool:
        """Whether it still speaks as it should."""
        if self._wire is None:
            return False
        try:
            # What comes after "ready" is the role's, whose process takes the wire.
            if not self._ready and (message := self._wire.receive(0.0)) is not None:
                self._ready = message.type == "ready"
                return self._ready
        except WireError:
            return False
        return not self._wire.ended
