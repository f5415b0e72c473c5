"""The writer: one process for one output, which may hang, fail and begin again on its own.

PyAV holds the interpreter while it opens a network output and heeds no timeout there: whatever
waits on a server that accepts and stays silent waits here, where nobody else does. The supervisor
ends a writer that gives no sign of life. No frame comes here, only encoded packets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_anon.errors import OutputError
from stream_anon.live.backoff import Backoff
from stream_anon.live.child import Child
from stream_anon.live.output.recording import Recording
from stream_anon.live.output.targets import Target, Template, open_hls, open_url
from stream_anon.live.wire import Message, Wire

log = logging.getLogger(__name__)

RETRY, RETRY_LONGEST = 0.3, 3.0
STEADY = 5.0
"""Seconds after which an output that is open counts as one that works."""
POLL = 0.25
MEGABYTE = 1 << 20


class Writer:
    """Writes one output for ever.

    Args:
        child: this process.
        task: what the supervisor said.
    """

    def __init__(self, child: Child, task: dict[str, Any]) -> None:
        self._child, self._task = child, task
        self._name: str = task["shown"]
        self._wires: list[Wire] = []
        self._wire: Wire | None = None
        self._rate = 25.0
        self._target: Target | None = None
        self._template: Template | None = None
        self._backoff = Backoff(RETRY, RETRY_LONGEST)
        self._again = 0.0
        self._since = 0.0
        self._last: int | None = None
        self.counters = child.counters
        self.counters |= {
            "state": "waiting", "opens": 0, "failures": 0, "packets": 0, "bytes": 0, "dropped": 0,
        }  # fmt: skip
        child.handle = self._hear

    def run(self) -> None:
        """Until the process is to end and the feed has."""
        while True:
            self._child.beat()
            if self._wires:
                if self._wire is not None:
                    self._wire.close()
                self._wire = self._wires.pop(0)
            if self._wire is None:
                if self._child.stopping.is_set():
                    break
                time.sleep(POLL)
                continue
            message = self._wire.receive(POLL)
            if message is not None:
                self._take(message)
            elif self._wire.ended:
                self._wire.close()
                self._wire = None
        self._end()

    def _hear(self, message: Message) -> None:
        if message.type == "feed":
            self._wires.append(Wire.of(message.fds[0]))

    def _take(self, message: Message) -> None:
        data = message.data
        if message.type == "format":
            self._rate = float(data.get("rate", 25.0))
            return
        if message.type != "packet":
            return
        pts, key = int(data["pts"]), bool(data["key"])
        if self._last is not None and pts <= self._last:
            # Another painting process began a little before where the last one ended.
            self.counters["dropped"] += 1
            return
        target = self._target or self._open(message.blob, key)
        if target is None:
            self.counters["dropped"] += 1
            return
        try:
            target.write(message.blob, pts, int(data["duration"]), key)
        except OutputError as error:
            self._failed(error)
            return
        self._last = pts
        if time.monotonic() - self._since > STEADY:
            self._backoff.reset()
        self.counters["state"] = "running"
        self.counters["packets"] += 1
        self.counters["bytes"] += len(message.blob)

    def _open(self, data: bytes, key: bool) -> Target | None:
        if not key or time.monotonic() < self._again:
            return None
        self.counters["state"] = "connecting"
        try:
            self._template = Template(data, self._rate)
            made = self._target = self._made(self._template)
        except OutputError as error:
            self._failed(error)
            return None
        self.counters["opens"] += 1
        self._since = time.monotonic()
        log.info("%s: open", self._name)
        return made

    def _made(self, template: Template) -> Target:
        task = self._task
        if task["kind"] == "hls":
            return open_hls(Path(task["place"]), task["segment"], template)
        if task["kind"] == "record":
            most = task["keep_megabytes"]
            return Recording(
                Path(task["place"]),
                task["camera"],
                template,
                task["segment"],
                task["keep"],
                None if most is None else most * MEGABYTE,
            )
        return open_url(
            task["place"], self._name, task["transport"], task["timeout"], template,
            self._child.secrets, task["tls"],
        )  # fmt: skip

    def _failed(self, error: OutputError) -> None:
        """Begin again later; packets are dropped until then."""
        self.counters["failures"] += 1
        self.counters["state"] = "reconnecting"
        if self._backoff.worth_telling:
            more = f" (for the {self._backoff.tries + 1}th time)" if self._backoff.tries > 2 else ""
            log.warning("%s%s", error, more)
        target, self._target = self._target, None
        if target is not None:
            target.abandon()
        self._forget()
        self._again = time.monotonic() + self._backoff.wait()

    def _forget(self) -> None:
        template, self._template = self._template, None
        if template is not None:
            template.close()

    def _end(self) -> None:
        self.counters["state"] = "ending"
        if self._target is not None:
            try:
                self._target.close()
            except OutputError as error:
                log.warning("%s", error)
        self._forget()


def warm(data: dict[str, Any]) -> None:
    """Everything is imported already; see ``child.ROLES``."""


def run(child: Child, task: Message, ready: Callable[[], None], warmed: None = None) -> None:
    """The role; see ``child.ROLES``."""
    writer = Writer(child, task.data)
    ready()
    writer.run()
