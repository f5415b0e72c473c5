"""The supervisor: starts readers, painters and writers, joins them, and starts them again.

It opens no camera and holds no picture, so that nothing of what they may do can reach it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any

from stream_anon.live.clock import LiveClock
from stream_anon.live.config import LiveConfig
from stream_anon.live.operation.status import Status
from stream_anon.live.spawn import Process
from stream_anon.live.standby import Standby
from stream_anon.live.supervision.cameras import CameraProcesses
from stream_anon.live.supervision.painters import Painters, most
from stream_anon.live.wire import Message

TICK = 0.1
PREVIEW_SECONDS = 1.0
LIGHT_PAUSE = 1.0
"""Seconds until the next reader or writer stands by: it costs half a second of the processor."""
Log = Callable[[str, str], None]


class Supervisor:
    """Runs cameras until it is told to stop.

    Args:
        config: what to do.
        log: takes a level and a line.
        status: what is told to the page and the metrics.
        environment: where ``${NAME}`` is looked up.
        level: least level of log lines.

    Raises:
        ConfigError: a credential is not where it should be.
    """

    def __init__(
        self,
        config: LiveConfig,
        log: Log,
        status: Status,
        environment: dict[str, str],
        level: str = "info",
    ) -> None:
        self.config, self.log, self.status, self.level = config, log, status, level
        self.environment = environment
        self.hidden = config.variables()
        self.clock = LiveClock(time.monotonic_ns())
        self.standby = self._waiting()
        self.painters = Painters(most(config.painters, config.device), self._painter)
        self.painters.begun = self._begun
        self.cameras = {camera.name: CameraProcesses(self, camera) for camera in config.cameras}
        for name in self.cameras:
            self.painters.add(name)
        self.status.painting(self.painters.names)
        self.status.cameras(list(self.cameras))
        self._ending: list[CameraProcesses] = []
        self._previewed = 0.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must appear nowhere."""
        found: list[str] = []
        for camera in (*self.cameras.values(), *self._ending):
            found += camera.url.secrets
            for output in camera.outputs:
                found += output.url.secrets if output.url is not None else ()
        return tuple(found)

    @property
    def processes(self) -> list[Process]:
        """All of them."""
        cameras = [*self.cameras.values(), *self._ending]
        return [*self.painters.processes, *(one for camera in cameras for one in camera.processes)]

    def step(self, timeout: float = TICK) -> None:
        """Hear who speaks within ``timeout`` seconds, and see to everybody."""
        poll = select.poll()
        for process in self.processes:
            if process.wire is not None and not process.wire.ended:
                poll.register(process.wire, select.POLLIN)
        poll.poll(timeout * 1000)
        now = time.monotonic()
        for process in self.processes:
            process.listen(now)
        # The painters first: a reader that begins is joined with its own.
        for painter in self.painters.processes:
            painter.tick(now)
        for camera in (*self.cameras.values(), *self._ending):
            own = self.painters.of(camera.config.name)
            for process in camera.processes:
                if process.running or process.role != "reader" or (own is not None and own.alive):
                    process.tick(now)
        if self.painters.alive:
            for standby in self._waiters:
                standby.tick(now)
        if self._previewed < now - PREVIEW_SECONDS and self.status.watched(now):
            self._previewed = now
            for painter in self.painters.processes:
                painter.send({"type": "preview"})

    def stop(self, seconds: float) -> None:
        """End everything in order: cameras, then frames on their way, then files.

        Args:
            seconds: that this may take before whoever is left is killed.
        """
        until = time.monotonic() + seconds
        cameras = [*self.cameras.values(), *self._ending]
        readers = [camera.reader for camera in cameras]
        writers = [output.process for camera in cameras for output in camera.outputs]
        for process in self.processes:
            process.end()
        for standby in self._waiters:
            standby.end()
        self._end(readers, until)
        self._end(self.painters.processes, until)
        self._end(writers, until)
        for process in self.processes:
            if process.running:
                process.kill("did not end in time")

    def reload(self, config: LiveConfig) -> list[str]:
        """Take what can be changed while everything runs: cameras and outputs.

        Returns:
            Sections that differ and need a new start of the program.

        Raises:
            ConfigError: a credential is not where it should be; nothing was changed.
        """
        shared = ("method", "detector", "tracker", "encoder", "overload")
        fixed = (
            "page", "pipeline", "painters", "device", "models_dir", "log", "stall", "drain",
            "standby",
        )  # fmt: skip
        late = [name for name in fixed if getattr(config, name) != getattr(self.config, name)]
        all_new = any(getattr(config, name) != getattr(self.config, name) for name in shared)
        kept = {name: getattr(self.config, name) for name in fixed}
        before, old = self.config, self.cameras
        self.config = config.model_copy(update=kept)
        self.hidden = self.hidden | config.variables()
        try:
            cameras = {}
            for one in config.cameras:
                known, fresh = old.get(one.name), CameraProcesses(self, one)
                # A password may have changed in its file alone.
                same = known is not None and known.same(fresh) and not all_new
                cameras[one.name] = known if same and known is not None else fresh
        except BaseException:
            # Raised again: the reload is refused whole, and said so; the cameras go on as before.
            self.config = before
            raise
        for name, camera in old.items():
            if cameras.get(name) is not camera:
                self._retire(camera)
            if name not in cameras:
                self.painters.remove(name)
        begun = [camera for name, camera in cameras.items() if old.get(name) is not camera]
        self.cameras = cameras
        self.status.cameras(list(cameras))
        for camera in begun:
            # One that begins with it is told when it has begun.
            self.painters.add(camera.config.name).send(camera.order())
        self.status.painting(self.painters.names)
        if begun:
            # What it prepared is another camera's; it begins anew.
            for standby in self._waiters:
                standby.end()
        return late

    def relay(self, message: Message) -> None:
        """Write a process's log line as ours."""
        level = message.data.get("level")
        if level in ("debug", "info", "warning", "error", "critical"):
            self.log(level, str(message.data.get("text", "")))

    def _retire(self, camera: CameraProcesses) -> None:
        """A camera that is no longer wanted: its reader goes, then its files are finished."""
        for process in camera.processes:
            process.end()
        camera.reader.kill("")
        name = camera.config.name
        if (painter := self.painters.of(name)) is not None:
            painter.send({"type": "remove", "camera": name})
        for output in camera.outputs:
            output.process.send({"type": "stop"})
        self._ending = [one for one in self._ending if any(p.running for p in one.processes)]
        self._ending.append(camera)

    def _end(self, processes: list[Process], until: float) -> None:
        for process in processes:
            process.send({"type": "stop"})
        while any(p.running for p in processes) and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            for process in self.processes:
                if process.wire is not None and not process.wire.ended:
                    poll.register(process.wire, select.POLLIN)
            poll.poll(min(TICK, left) * 1000)
            now = time.monotonic()
            for process in self.processes:
                process.listen(now)
                process.tick(now)

    def _task(self) -> tuple[dict[str, Any], list[int]]:
        return {"pipeline": os.fspath(self.config.pipeline), "level": self.level}, []

    def _painter(self, name: str, begun: Callable[[], None]) -> Process:
        def heard(message: Message) -> None:
            if message.type == "status":
                self.status.painter(process)
            elif message.type == "preview":
                self.status.preview(str(message.data.get("camera")), message.blob)
            elif message.type == "log":
                self.relay(message)

        process = Process(
            "painter", name, self._task, begun, heard, self.log, self.config.stall,
            self.hidden, self.standby.get("painter"),
        )  # fmt: skip
        return process

    def _begun(self, name: str) -> None:
        if (camera := self.cameras.get(name)) is None:
            return
        if (painter := self.painters.of(name)) is not None:
            painter.send(camera.order())
        for output in camera.outputs:
            output.join()
        # A reader goes on whatever becomes of the painter: its camera stays open.
        camera.join()

    def _waiting(self) -> dict[str, Standby]:
        """Who waits for each role."""
        if not self.config.standby:
            return {}

        def engines() -> dict[str, Any]:
            cameras = [
                {"engine": order["engine"], "form": order["form"]}
                for order in (camera.order() for camera in self.cameras.values())
            ]
            return {**self._task()[0], "cameras": cameras}

        painter = Standby(("painter",), engines, self.hidden)
        light = Standby(("reader", "writer"), dict, self.hidden, LIGHT_PAUSE)
        return {"painter": painter, "reader": light, "writer": light}

    @property
    def _waiters(self) -> set[Standby]:
        return set(self.standby.values())
