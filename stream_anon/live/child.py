"""A process of ours: it lives as long as the one that started it, and says how it is.

    python -m stream_anon.live.child FD

What it is to do comes over the socket ``FD``, addresses and passwords included: never as an
argument or in the environment, which others can read.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_anon.live.secret import redacted
from stream_anon.live.wire import Message, Wire, WireError

BEAT: Final = 0.4
"""Seconds from sign of life to sign of life."""
SEND_SECONDS: Final = 10.0
GRACE: Final = 1.0
"""Seconds after a stop that an idle reader is given to hang up."""

ROLES: Final = {
    "reader": "stream_anon.live.input.reader",
    "painter": "stream_anon.live.painting.process",
    "writer": "stream_anon.live.output.writer",
}
"""Each has ``run(child, task, ready, warmed)`` and ``warm(data)``, which gives ``warmed``."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME = 1, 4, 15


class Child:
    """This process, as its main thread sees it.

    Attributes:
        stopping: set when it shall end.
        secrets: texts that no log line may hold.
        counters: what ``status`` tells; changed by the role's threads.
        handle: called with every message, in the thread that listens.
        status: gives the counters.
        idle: gives the seconds since the role's work last came round.
    """

    def __init__(self, wire: Wire) -> None:
        self.stopping = threading.Event()
        self.secrets: tuple[str, ...] = ()
        self.counters: dict[str, Any] = {}
        self.handle: Callable[[Message], None] | None = None
        self.status: Callable[[], dict[str, Any]] = lambda: dict(self.counters)
        self._wire = wire
        self._lock = threading.Lock()
        self._progress = time.monotonic()
        self.idle: Callable[[], float] = lambda: time.monotonic() - self._progress

    def beat(self) -> None:
        """The role's main loop has come round."""
        self._progress = time.monotonic()

    def tell(self, data: dict[str, Any], blob: bytes = b"") -> None:
        """Send a message to the supervisor; where that has gone, end."""
        try:
            with self._lock:
                heard = self._wire.send(data, blob, timeout=SEND_SECONDS)
        except WireError:
            heard = False
        if not heard:
            os._exit(1)

    def listen(self) -> None:
        """Hear the supervisor and give signs of life, until either side ends."""
        due = 0.0
        while True:
            now = time.monotonic()
            if now >= due:
                told = {"type": "status", "idle": self.idle(), "counters": self.status()}
                self.tell(told)
                due = now + BEAT
            message = self._wire.receive(max(0.0, due - time.monotonic()))
            if message is None:
                if self._wire.ended:
                    # Nobody is left who could stop us, or whom a frame could reach.
                    os._exit(1)
                continue
            if message.type == "stop":
                self.stopping.set()
            if self.handle is not None:
                self.handle(message)


class _Handler(logging.Handler):
    def __init__(self, child: Child) -> None:
        super().__init__()
        self._child = child

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line to the supervisor, without what is secret in it."""
        text = redacted(" ".join(record.getMessage().split()), self._child.secrets)
        self._child.tell({"type": "log", "level": record.levelname.lower(), "text": text[:2000]})


def harden(name: str) -> None:
    """No core file, no look into our memory for other programs of the same user, and a name.

    A core file of one of these processes would hold pictures and passwords.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, name[:15].encode(), 0, 0, 0)


def die_with_parent() -> None:
    """End when the process that started this one ends, however it does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def environment(hidden: Iterable[str]) -> dict[str, str]:
    """The environment for a child: ours without what holds credentials."""
    return {name: value for name, value in os.environ.items() if name not in set(hidden)}


def main(arguments: list[str]) -> int:
    """Take the task and do it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # They go to all processes of a terminal or a service; the supervisor passes them on.
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    wire = Wire.of(int(arguments[0]))
    task = wire.receive(30.0)
    warmed: dict[str, Any] = {}
    if task is not None and task.type == "standby":
        harden("sa-standby")
        for role in task.data["roles"]:
            warmed[role] = importlib.import_module(ROLES[role]).warm(task.data)
        if not wire.send({"type": "ready"}, timeout=SEND_SECONDS):
            return 1
        # Until one of us dies, which may be months.
        task = wire.receive(None)
    if task is None or task.data.get("role") not in ROLES:
        return 1
    role = str(task.data["role"])
    harden(f"sa-{role}")
    child = Child(wire)
    child.secrets = tuple(task.data.get("secrets", ()))
    logging.basicConfig(handlers=[_Handler(child)], level=str(task.data["level"]).upper())
    log = logging.getLogger(__name__)
    listener = threading.Thread(target=child.listen, name="listen", daemon=True)
    try:
        module = importlib.import_module(ROLES[role])
        module.run(child, task, listener.start, warmed.get(role))
    except BaseException as error:  # noqa: BLE001 - the end of this process: one line, no trace
        log.error("%s failed: %s: %s", role, type(error).__name__, error)
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads inside libraries that hang must not keep the process.
    os._exit(code)
