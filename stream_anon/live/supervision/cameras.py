"""One camera's reader and writers, as the supervisor keeps them.

Each pair of processes is joined by a socket pair of its own, made anew whenever either begins anew:
nothing of a process that died can be mistaken for its successor's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from stream_anon.live.clock import LiveClock
from stream_anon.live.config import CameraConfig, LiveConfig, OutputConfig
from stream_anon.live.decoding import decoder_of
from stream_anon.live.operation.status import Status
from stream_anon.live.secret import SecretUrl, resolve, tls_options
from stream_anon.live.spawn import Process
from stream_anon.live.standby import Standby
from stream_anon.live.supervision.painters import Painters
from stream_anon.live.wire import Message


class Owner(Protocol):
    """What a camera takes from the supervisor; see ``Supervisor``."""

    config: LiveConfig
    environment: dict[str, str]
    hidden: set[str]
    level: str
    clock: LiveClock
    log: Callable[[str, str], None]
    status: Status
    standby: dict[str, Standby]
    painters: Painters

    def relay(self, message: Message) -> None:
        """Write a process's log line."""


class OutputProcess:
    """One output's process."""

    def __init__(self, owner: Owner, camera: CameraProcesses, index: int, config: OutputConfig):
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
        painter = self._owner.painters.of(self._camera.config.name)
        if painter is None or not self.process.running or not painter.running:
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


class CameraProcesses:
    """One camera's reader and outputs."""

    def __init__(self, owner: Owner, config: CameraConfig) -> None:
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
        self.outputs = [OutputProcess(owner, self, n, one) for n, one in enumerate(config.outputs)]

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

    def same(self, other: CameraProcesses) -> bool:
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
        painter = self._owner.painters.of(self.config.name)
        if painter is None or not self.reader.running or not painter.running:
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
