"""A run inside the test's process, and how to wait for what it does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_anon.live.config import LiveConfig, parse
from stream_anon.live.run import Run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
"""Seconds that anything may take: the machine may be busy, and nothing here measures speed."""

PIPELINE = '''
from stream_anon import recipes
from tests.live.scene import Finder

usual = recipes.pipeline("live")
build, compositor = usual.build, usual.compositor

def detector(config):
    return Finder()
'''


class Lines:
    """Log lines."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


def config(folder: Path, cameras: list[dict[str, Any]], **more: Any) -> LiveConfig:
    """A configuration whose detector finds the scene's pattern."""
    path = folder / "finder.py"
    path.write_text(PIPELINE)
    data = {
        "pipeline": str(path), "method": {"name": "pixelate"}, "stall": 30.0, "drain": 60.0,
        # A second painter costs seconds of the processor; who wants one says so.
        "standby": False, "encoder": {"preset": "ultrafast", "keyframe": 1.0}, **more,
        "cameras": cameras,
    }  # fmt: skip
    return parse(data)


class Live:
    """A run in a thread."""

    def __init__(self, chosen: LiveConfig, reread: Callable[[], LiveConfig] | None = None) -> None:
        os.environ.setdefault("PYTHONPATH", str(ROOT))
        self.lines = Lines()
        self.run = Run(chosen, reread, self.lines)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._body, daemon=True)

    def _body(self) -> None:
        try:
            self.run.run()
        except BaseException as error:  # noqa: BLE001 - raised at the end
            self._error = error

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), self.lines.text
        if self._error is not None:
            raise self._error

    def state(self, camera: str) -> dict[str, Any]:
        return self.run.status.snapshot()[camera]

    def painter(self, camera: str, name: str) -> int:
        return int(self.state(camera)["painter"].get(name) or 0)

    def reader(self, camera: str, name: str) -> int:
        return int(self.state(camera)["reader"].get(name) or 0)

    def shown(self, camera: str) -> int:
        """Frames of the camera that came out, without slates."""
        return self.painter(camera, "frames_out") - self.painter(camera, "slates")

    def until(self, what: Callable[[], bool], words: str = "") -> None:
        """Wait for it."""
        until = time.monotonic() + PATIENCE
        while not what():
            assert self._error is None, self._error
            told = f"{words}\n{self.lines.text}\n{self.run.status.snapshot()}"
            assert time.monotonic() < until, told
            time.sleep(0.05)

    def more(self, camera: str, frames: int = 20) -> None:
        """Wait until so many more frames of the camera have come out."""
        before = self.shown(camera)
        self.until(lambda: self.shown(camera) >= before + frames, f"{camera}: no frames")
