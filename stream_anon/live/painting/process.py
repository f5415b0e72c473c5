"""The painting process: all cameras of a group, one detector for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from stream_anon.config import Config, parse
from stream_anon.detection.base import Detector
from stream_anon.errors import StreamAnonError
from stream_anon.live.child import Child
from stream_anon.live.clock import TICKS, LiveClock
from stream_anon.live.config import EncoderConfig, OverloadConfig
from stream_anon.live.decoding import delay_of
from stream_anon.live.latency import BUDGETS
from stream_anon.live.painting.batching import SharedDetector
from stream_anon.live.painting.camera import Camera
from stream_anon.live.painting.coded import MakeDecoder
from stream_anon.live.painting.rehearsal import Prepared, rehearse
from stream_anon.live.painting.sink import LiveSink
from stream_anon.live.painting.source import RingSource
from stream_anon.live.wire import Message, Wire
from stream_anon.media.device.choose import live_decoders
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.source import uploader

log = logging.getLogger(__name__)


class Painter:
    """The cameras of this process, as the supervisor orders them."""

    def __init__(self, child: Child, prepared: Prepared) -> None:
        self._child, self._prepared = child, prepared
        self._cameras: dict[str, Camera] = {}
        self._detectors: dict[str, SharedDetector] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._going: list[Camera] = []
        child.status = self.status
        child.handle = self.handle
        child.idle = self.idle

    def wait(self) -> None:
        """Until the supervisor has ordered the end and all cameras have come to theirs."""
        self._ended.wait()

    def status(self) -> dict[str, Any]:
        """Counters by camera."""
        return {"cameras": {name: camera.state() for name, camera in self._cameras.items()}}

    def idle(self) -> float:
        """Seconds for which the slowest camera's thread has not come round."""
        now = time.monotonic()
        beats = [now]
        for camera in list(self._cameras.values()):
            beats += [camera.beat, camera.sink.beat]
        return now - min(beats)

    def handle(self, message: Message) -> None:
        """Do what the supervisor says."""
        data = message.data
        name = str(data.get("camera", ""))
        camera = self._cameras.get(name)
        if message.type == "camera":
            self._add(name, data)
        elif message.type == "feed" and camera is not None:
            camera.source.attach(Wire.of(message.fds[0]))
        elif message.type == "output" and camera is not None:
            wire = Wire.of(message.fds[0]) if message.fds else None
            camera.sink.output(str(data["output"]), wire)
        elif message.type == "remove" and camera is not None:
            # Its last frames are still on their way.
            self._going = [one for one in self._going if one.alive] + [self._cameras.pop(name)]
            self._end([camera])
        elif message.type == "preview":
            for one in list(self._cameras.values()):
                one.sink.want_preview()
        elif message.type == "stop":
            cameras = [*self._cameras.values(), *self._going]
            threading.Thread(target=self._stop, args=(cameras,), daemon=True).start()

    def _add(self, name: str, data: dict[str, Any]) -> None:
        config = parse(data["engine"], name)
        # Where a group of pictures is waited for, everything here happens that much later.
        delay = round(delay_of(str(data.get("decoder", "cpu"))) * TICKS)
        if delay:
            log.info("%s: whole groups of pictures, up to %.1f s later", name, delay / TICKS)
        clock = LiveClock(int(data["epoch"]))

        def now() -> int:
            return clock.now() - delay

        def preview(jpeg: bytes) -> None:
            self._child.tell({"type": "preview", "camera": name}, jpeg)

        kernels = self._kernels(config)
        lift = make = None
        if kernels is not None:
            lift, make = uploader(kernels), self._decoders(kernels, data)
        source = RingSource(name, now, lift, make)
        source.form = data.get("form")
        look_back = BUDGETS[data["latency"]].look_back
        encoder = EncoderConfig.model_validate(data["encoder"])
        sink = LiveSink(name, encoder, look_back, now, preview, delay)
        overload = OverloadConfig.model_validate(data["overload"])
        parts = self._prepared.parts
        camera = Camera(name, config, parts, self._detector, overload, source, sink, now)
        self._cameras[name] = camera
        camera.start()

    def _kernels(self, config: Config) -> DeviceKernels | None:
        """Of the device that a camera's frames are painted on; None where that is the host."""
        place = getattr(self._prepared.parts, "place", None)
        try:
            kernels = place(config).kernels if place is not None else None
        except StreamAnonError as error:
            # Who paints will find the same, and a slate is shown meanwhile.
            log.error("%s", error)
            return None
        return kernels if isinstance(kernels, DeviceKernels) else None

    def _decoders(self, kernels: DeviceKernels, data: dict[str, Any]) -> MakeDecoder | None:
        """What makes decoders of packets that a reader hands on; None where the readers decode."""
        wanted = str(data.get("decoder", "cpu"))
        if wanted == "cpu":
            return None
        make = getattr(self._prepared.parts, "decoders", live_decoders)
        try:
            found: MakeDecoder = make(kernels, wanted, BUDGETS[data["latency"]].low_delay)
        except StreamAnonError as error:
            log.error("%s", error)
            return None
        return found

    def _detector(self, config: Config) -> Detector:
        key = config.detector.model_dump_json()
        with self._lock:
            found = self._detectors.get(key)
            if found is None:
                found = self._detectors[key] = SharedDetector(self._prepared.detector(config))
        return found

    def _end(self, cameras: list[Camera]) -> None:
        for camera in cameras:
            camera.source.end()

    def _stop(self, cameras: list[Camera]) -> None:
        self._end(cameras)
        for camera in cameras:
            camera.join(3600.0)
        self._ended.set()


def warm(data: dict[str, Any]) -> Prepared:
    """Prepare for cameras that others paint; see ``child.ROLES``."""
    return rehearse(data)


def run(
    child: Child, task: Message, ready: Callable[[], None], warmed: Prepared | None = None
) -> None:
    """The role; see ``child.ROLES``."""
    if warmed is None:
        warmed = rehearse({"pipeline": task.data["pipeline"], "cameras": []})
    painter = Painter(child, warmed)
    ready()
    painter.wait()
