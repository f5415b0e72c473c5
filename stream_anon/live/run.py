"""``live`` from beginning to end: configuration in, an exit code out."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from stream_anon.device import Choice, choose
from stream_anon.errors import StreamAnonError, UsageError
from stream_anon.live.config import LiveConfig
from stream_anon.live.operation.lines import Lines
from stream_anon.live.operation.status import Status
from stream_anon.live.secret import read_secret, wipe_environment
from stream_anon.live.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from stream_anon.live.operation.page import Page


CHECK_SECONDS = 300.0
"""For compiling the kernels on a card that has never run them."""


class Run:
    """A run that goes on until it is told to stop.

    Args:
        config: what to do.
        reread: gives the configuration anew, for SIGHUP; None where there is no file.
        stream: where log lines go; None is standard error.

    Raises:
        StreamAnonError: something is wrong with the configuration; nothing was started.
    """

    def __init__(
        self,
        config: LiveConfig,
        reread: Callable[[], LiveConfig] | None = None,
        stream: Any = None,
    ) -> None:
        self.status = Status()
        chosen = check_device(config)
        self._config, self._reread = config, reread
        self._stop, self._again = threading.Event(), threading.Event()
        # A copy: the variables that hold credentials are taken out of the process's own.
        environment = dict(os.environ)
        token = None
        if config.page.token is not None:
            token = read_secret(config.page.token, environment)
        hidden = (token.reveal(),) if token is not None else ()
        known: list[Supervisor] = []

        def secrets() -> tuple[str, ...]:
            return tuple(text for one in known for text in one.secrets) + hidden

        self.log = Lines(config.log.format, config.log.level, secrets, stream)
        self.supervisor = Supervisor(
            config, self.log, self.status, environment, config.log.level
        )
        known.append(self.supervisor)
        self.log("info", f"device {chosen.name}: {chosen.why}")
        self.page: Page | None = None
        if config.page.listen is not None:
            self.page = _page(config, self.status, token)
        wipe_environment(config.variables())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def stop(self) -> None:
        """End, from any thread or a signal's handler."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again, likewise."""
        self._again.set()

    def run(self) -> None:
        """Until ``stop``."""
        if self.page is not None:
            self.page.start()
            self.log("info", f"the page is at port {self.page.port}")
        try:
            while not self._stop.is_set():
                self.supervisor.step()
                if self._again.is_set():
                    self._again.clear()
                    self._reload()
        finally:
            self.status.stopping = True
            self.log("info", "ending")
            self.supervisor.stop(self._config.drain)
            if self.page is not None:
                self.page.stop()
            self.log("info", "ended")

    def _reload(self) -> None:
        if self._reread is None:
            self.log("warning", "there is no file to read the configuration from again")
            return
        try:
            late = self.supervisor.reload(self._reread())
        except StreamAnonError as error:
            self.log("error", f"the configuration stays as it was: {error}")
            return
        self.log("info", "the configuration was read again")
        if late:
            names = ", ".join(late)
            self.log("warning", f"needs a new start of the program: {names}")


def check_device(config: LiveConfig) -> Choice:
    """Which device paints, tried in a process of its own: this one holds no card's memory.

    Raises:
        UsageError: a GPU, or a decoder on it, is asked for by name and cannot be used.
    """
    chosen = choose(config.device)
    named = sorted({one.decoder for one in config.cameras} & {"nvdec", "dali"})
    if named and config.device != "cuda":
        raise UsageError(f"decoder '{named[0]}' decodes on a GPU: device: cuda")
    if chosen.name == "cpu":
        return chosen
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "stream_anon.pipeline.painting.places", *named],
            capture_output=True, text=True, check=False, timeout=CHECK_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"device 'cuda' cannot be tried ({type(error).__name__})") from error
    if tried.returncode:
        said = [line for line in tried.stderr.splitlines() if line.strip()]
        raise UsageError(said[-1][:300] if said else "device 'cuda' cannot be used")
    return chosen


def _page(config: LiveConfig, status: Status, token: Any) -> Page:
    try:
        from stream_anon.live.operation.page import Page
    except ImportError as error:
        raise UsageError(
            "page.listen needs the [live] extra: pip install 'stream-anon[live]'"
        ) from error
    folders: dict[str, Path] = {}
    for camera in config.cameras:
        for output in camera.outputs:
            if output.hls is not None:
                folders.setdefault(camera.name, output.hls)
    listen = config.page.listen or ""
    return Page(status, listen, token, config.page.preview, folders)


@contextlib.contextmanager
def signals(run: Run) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run in order, SIGHUP reads the configuration again."""

    def end(number: int, frame: FrameType | None) -> None:
        run.stop()

    def again(number: int, frame: FrameType | None) -> None:
        run.reload()

    before = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGTERM, end), (signal.SIGINT, end), (signal.SIGHUP, again),
        )
    }  # fmt: skip
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
