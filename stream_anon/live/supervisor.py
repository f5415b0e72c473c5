"""The supervisor: starts readers, painters and writers, joins them, and starts them again.

It opens no camera and holds no picture, so that nothing of what they may do can reach it. Each
pair of processes is joined by a socket pair of its own, made anew whenever either begins anew:
nothing of a process that died can be mistaken for its successor's.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from stream_anon.live.clock import LiveClock
from stream_anon.live.config import CameraConfig, LiveConfig, OutputConfig
from stream_anon.live.decoding import decoder_of
from stream_anon.live.operation.status import Status
from stream_anon.live.secret import SecretUrl, resolve, tls_options
from stream_anon.live.spawn import Process
from stream_anon.live.standby import Standby
from stream_anon.live.wire import Message

TICK = 0.1
PREVIEW_SECONDS = 1.0
LIGHT_PAUSE = 1.0
"""Seconds until the next reader or writer stands by: it costs half a second of the processor."""
Log = Callable[[str, str], None]


class _Output:
    """One output's process."""

    def __init__(self, owner: Supervisor, camera: _Camera, index: int, config: OutputConfig):
        self.config = config
        self.name = f"{index}-{config.kind}"
        self.url: SecretUrl | None = None
        if config.url is not None:
            self.url = resolve(
                config.url, username=config.username, password_file=config.password_file,
                environment=owner.environment,
            )  # fmt: skip
        self._owner, self._camera = owner, camera
        place = self.url.shown if self.url is not None else str(config.hls or config.record)
        self.shown = f"{camera.config.name}: {place}"
        self.process = Process(
            "writer", self.shown, self._task, self._begun, self._heard, owner.log,
            max(config.timeout, 1.0), owner.hidden, owner.standby.get("writer"),
        )  # fmt: skip

    def _task(self) -> tuple[dict[str, Any], list[int]]:
        config = self.config
        return {
            "kind": config.kind, "shown": self.shown, "camera": self._camera.config.name,
            "place": self.url.reveal() if self.url else str(config.hls or config.record),
            "secrets": list(self.url.secrets) if self.url else [],
            "transport": config.transport, "timeout": config.timeout, "segment": config.segment,
            "tls": tls_options(config.tls_verify, config.ca_file), "keep": config.keep,
            "keep_megabytes": config.keep_megabytes,
            "level": self._owner.level,
        }, []  # fmt: skip

    def _begun(self) -> None:
        self.join()

    def join(self) -> None:
        """Give both sides a new line to each other."""
        painter = self._owner.painter
        if not self.process.running or not painter.running:
            return
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with here, there:
            self.process.send({"type": "feed"}, [here.fileno()])
            named = {"type": "output", "camera": self._camera.config.name, "output": self.name}
            painter.send(named, [there.fileno()])

    def _heard(self, message: Message) -> None:
        if message.type == "status":
            self._owner.status.output(self._camera.config.name, self.name, self.process)
        elif message.type == "log":
            self._owner.relay(message)


class _Camera:
    """One camera's reader and outputs."""

    def __init__(self, owner: Supervisor, config: CameraConfig) -> None:
        self.config = config
        self.form: dict[str, Any] | None = None
        if config.size is not None and config.rate is not None:
            width, height = config.size
            self.form = {"width": width, "height": height, "rate": config.rate}
        self.url = resolve(
            config.source, username=config.username, password_file=config.password_file,
            environment=owner.environment,
        )  # fmt: skip
        self._owner = owner
        self.reader = Process(
            "reader", config.name, self._task, self.join, self._heard, owner.log,
            owner.config.stall + config.timeout, owner.hidden, owner.standby.get("reader"),
        )  # fmt: skip
        self.outputs = [_Output(owner, self, n, one) for n, one in enumerate(config.outputs)]

    @property
    def decoder(self) -> str:
        """Who decodes: "cpu" is the reader."""
        config = self.config
        device = self._owner.config.device
        return decoder_of(device, config.decoder, config.source, config.transport)

    @property
    def processes(self) -> list[Process]:
        """The reader's and the writers'."""
        return [self.reader, *(output.process for output in self.outputs)]

    def same(self, other: _Camera) -> bool:
        """Whether another camera is told the same, credentials included."""
        urls = [output.url for output in self.outputs]
        return (
            self.config == other.config
            and self.url == other.url
            and urls == [output.url for output in other.outputs]
        )

    def order(self) -> dict[str, Any]:
        """What the painter is told of this camera."""
        config = self._owner.config
        return {
            "type": "camera", "camera": self.config.name, "latency": self.config.latency,
            "engine": config.engine(self.config).model_dump(mode="json"),
            "encoder": config.encoder.model_dump(mode="json"),
            "overload": config.overload.model_dump(mode="json"),
            "epoch": self._owner.clock.epoch, "form": self.form, "decoder": self.decoder,
        }  # fmt: skip

    def _task(self) -> tuple[dict[str, Any], list[int]]:
        config = self.config
        size = config.size
        if self.form is not None:
            size = self.form["width"], self.form["height"]
        return {
            "url": self.url.reveal(), "shown": f"{config.name}: {self.url.shown}",
            "secrets": list(self.url.secrets), "transport": config.transport,
            "tls": tls_options(config.tls_verify, config.ca_file),
            "timeout": config.timeout, "retry": config.retry,
            "retry_longest": config.retry_longest, "size": size,
            "rate": config.rate or (self.form or {}).get("rate"), "latency": config.latency,
            "epoch": self._owner.clock.epoch, "level": self._owner.level,
            "decoder": self.decoder,
        }, []  # fmt: skip

    def join(self) -> None:
        """Give reader and painter a new line to each other."""
        painter = self._owner.painter
        if not self.reader.running or not painter.running:
            return
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with here, there:
            self.reader.send({"type": "feed"}, [here.fileno()])
            named = {"type": "feed", "camera": self.config.name}
            painter.send(named, [there.fileno()])

    def _heard(self, message: Message) -> None:
        if message.type == "status":
            self._owner.status.reader(self.config.name, self.reader)
        elif message.type == "log":
            self._owner.relay(message)
        elif message.type == "format" and self.form is None:
            data = message.data
            width, height, rate = data.get("width"), data.get("height"), data.get("rate")
            if isinstance(width, int) and isinstance(height, int) and isinstance(rate, int | float):
                self.form = {"width": width, "height": height, "rate": float(rate)}


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
        self.painter = Process(
            "painter", "painter", self._task, self._begun, self._heard, log, config.stall,
            self.hidden, self.standby.get("painter"),
        )  # fmt: skip
        self.cameras = {camera.name: _Camera(self, camera) for camera in config.cameras}
        self.status.cameras(list(self.cameras))
        self._ending: list[_Camera] = []
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
        return [self.painter, *(one for camera in cameras for one in camera.processes)]

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
        # The painter first: a reader that begins is joined with it.
        for process in self.processes:
            if process.running or process.role != "reader" or self.painter.alive:
                process.tick(now)
        if self.painter.alive:
            for standby in self._waiters:
                standby.tick(now)
        if self._previewed < now - PREVIEW_SECONDS and self.status.watched(now):
            self._previewed = now
            self.painter.send({"type": "preview"})

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
        self._end([self.painter], until)
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
            "page", "pipeline", "device", "models_dir", "log", "stall", "drain", "standby",
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
                known, fresh = old.get(one.name), _Camera(self, one)
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
        begun = [camera for name, camera in cameras.items() if old.get(name) is not camera]
        self.cameras = cameras
        self.status.cameras(list(cameras))
        for camera in begun:
            self.painter.send(camera.order())
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

    def _retire(self, camera: _Camera) -> None:
        """A camera that is no longer wanted: its reader goes, then its files are finished."""
        for process in camera.processes:
            process.end()
        camera.reader.kill("")
        self.painter.send({"type": "remove", "camera": camera.config.name})
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

    def _begun(self) -> None:
        for camera in self.cameras.values():
            self.painter.send(camera.order())
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

    def _heard(self, message: Message) -> None:
        if message.type == "status":
            self.status.painter(self.painter)
        elif message.type == "preview":
            self.status.preview(str(message.data.get("camera")), message.blob)
        elif message.type == "log":
            self.relay(message)
