"""Starting, hearing and ending one of our processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from stream_anon.live.backoff import Backoff
from stream_anon.live.child import environment
from stream_anon.live.wire import Message, Wire, WireError

if TYPE_CHECKING:
    from stream_anon.live.standby import Standby

RETRY, RETRY_LONGEST = 0.2, 2.0
STEADY = 10.0
"""Seconds after which a process that is alive counts as one that works."""
STARTING = 60.0
"""Seconds until the first sign of life: a busy machine imports slowly."""
SEND_SECONDS = 2.0


def spawn(hidden: Iterable[str]) -> tuple[subprocess.Popen[bytes], Wire]:
    """A process that waits for its task.

    Args:
        hidden: variables of the environment that it does not get.

    Raises:
        OSError: it cannot be started.
    """
    wire, there = Wire.pair()
    number = there.fileno()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_anon.live.child", str(number)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment(hidden),
            # Ctrl-C in a terminal goes to the supervisor, which ends us in order.
            start_new_session=True,
        )
    except OSError:
        wire.close()
        raise
    finally:
        there.close()
    return process, wire


class Process:
    """One of our processes: started anew whenever it ends before it was told to.

    Args:
        role: of ``child.ROLES``.
        name: for log lines.
        task: gives what it is told at each start: a mapping, and descriptors that are closed
            here when it has them.
        begun: called after each start, to tell it more.
        heard: called with each of its messages but signs of life.
        stall: seconds without a sign of life, or without progress, after which it is ended.
        hidden: variables of the environment that it does not get.
        standby: processes that have everything imported, or None.

    Attributes:
        starts: how often it was started.
        kills: how often it was ended for giving no sign.
        counters: what it last told.
        alive: it runs and has given a sign of life.
    """

    def __init__(
        self,
        role: str,
        name: str,
        task: Callable[[], tuple[dict[str, Any], list[int]]],
        begun: Callable[[], None],
        heard: Callable[[Message], None],
        log: Callable[[str, str], None],
        stall: float,
        hidden: Iterable[str] = (),
        standby: Standby | None = None,
    ) -> None:
        self.role, self.name = role, name
        self.starts = self.kills = 0
        self.counters: dict[str, Any] = {}
        self.ending = False
        self._task, self._begun, self._heard, self._log = task, begun, heard, log
        self._stall, self._hidden, self._standby = stall, tuple(hidden), standby
        self._backoff = Backoff(RETRY, RETRY_LONGEST)
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._due = 0.0
        self._began = self._sign = 0.0
        self.alive = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs, if one does."""
        return None if self._process is None else self._process.pid

    @property
    def wire(self) -> Wire | None:
        """To the process that runs."""
        return self._wire

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def send(self, data: dict[str, Any], fds: Iterable[int] = ()) -> bool:
        """Tell it something; one that does not listen is ended, and started anew."""
        if self._wire is None:
            return False
        try:
            return self._wire.send(data, fds=tuple(fds), timeout=SEND_SECONDS)
        except WireError:
            self.kill("takes no messages")
            return False

    def tick(self, now: float) -> None:
        """Start it where it is due, and look whether it still lives."""
        if self._process is None:
            if not self.ending and now >= self._due:
                self._start(now)
            return
        if (code := self._process.poll()) is not None:
            self._gone(f"ended with code {code}", now)
            return
        quiet = now - max(self._sign, self._began)
        if quiet > (self._stall if self.alive else max(STARTING, self._stall)):
            self.kill(f"gave no sign for {quiet:.1f} s")

    def listen(self, now: float) -> None:
        """Take the messages that are there."""
        while self._wire is not None:
            try:
                message = self._wire.receive(0.0)
            except WireError as error:
                self.kill(str(error))
                return
            if message is None:
                if self._wire.ended and self._process is not None:
                    try:
                        code = self._process.wait(1.0)
                    except subprocess.TimeoutExpired:
                        self._process.kill()
                        code = self._process.wait()
                    self._gone(f"ended with code {code}", now)
                return
            if message.type == "status":
                idle = float(message.data.get("idle", 0.0))
                self._sign = now - idle
                self.alive = True
                self.counters = dict(message.data.get("counters", {}))
            self._heard(message)

    def kill(self, why: str) -> None:
        """End it at once; it is started anew unless it is ending."""
        if self._process is None:
            return
        self.kills += 1
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._gone(why, time.monotonic())

    def end(self) -> None:
        """Not to be started any more."""
        self.ending = True

    def _start(self, now: float) -> None:
        data, fds = self._task()
        try:
            ready = None if self._standby is None else self._standby.take(now)
            self._process, wire = ready or spawn(self._hidden)
        except OSError as error:
            self._close(fds)
            self._due = now + self._backoff.wait()
            self._log("error", f"{self.name}: cannot be started ({error.strerror})")
            return
        self._wire, self._began, self._sign, self.alive = wire, now, now, False
        self.starts += 1
        self.counters = {}
        try:
            wire.send({"role": self.role, **data}, fds=tuple(fds), timeout=SEND_SECONDS)
        except WireError:
            self.kill("takes no messages")
            return
        finally:
            self._close(fds)
        self._begun()

    def _gone(self, why: str, now: float) -> None:
        steady = now - self._began > STEADY
        if steady:
            self._backoff.reset()
        if not self.ending:
            self._log("warning", f"{self.name}: the {self.role} {why}")
        self._process = None
        self.alive = False
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        # Whatever has worked for a while begins again at once; what dies young waits.
        self._due = now if steady else now + self._backoff.wait()

    @staticmethod
    def _close(fds: Iterable[int]) -> None:
        for descriptor in fds:
            os.close(descriptor)
