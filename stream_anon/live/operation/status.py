"""What is known of a run: counters that go on when a process begins anew, states, previews.

Filled by the supervisor's thread, read by the page's. It holds nothing about who was seen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from stream_anon.live.spawn import Process

GAUGES = frozenset({"lateness", "level", "waiting", "held", "state", "steps", "form"})
"""What is as it was last told; everything else is counted on."""
WATCHED = 10.0
"""Seconds for which somebody who asked for a preview is taken to look on."""
FRESH = 3.0
"""Seconds after which a camera without new frames is not running."""
LARGEST_PREVIEW = 4 << 20


def added(before: Any, now: Any) -> Any:
    """Counters of a process and of those before it, together."""
    if isinstance(now, dict):
        old = before if isinstance(before, dict) else {}
        names = [*now, *(name for name in old if name not in now)]
        return {
            name: now.get(name, old.get(name))
            if name in GAUGES
            else added(old.get(name), now.get(name))
            for name in names
        }
    if isinstance(now, list):
        counts = before if isinstance(before, list) else []
        return [one + (counts[k] if k < len(counts) else 0) for k, one in enumerate(now)]
    if isinstance(now, bool) or not isinstance(now, int | float | None):
        return now
    if now is None:
        return before
    return now + (before if isinstance(before, int | float) else 0)


@dataclass(slots=True)
class _Total:
    """Counters over all processes that have had one place."""

    starts: tuple[str, int] = ("", 0)
    base: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def take(self, process: Process, counters: dict[str, Any]) -> None:
        # A camera may have come to another painter.
        starts = process.name, process.starts
        if starts != self.starts:
            self.base = added(self.base, self.last)
            self.starts = starts
        self.last = counters

    @property
    def sum(self) -> dict[str, Any]:
        found = added(self.base, self.last)
        return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class CameraStatus:
    """One camera.

    Attributes:
        reader, painter: counters.
        outputs: counters by the output's name.
        restarts, kills: of its reader.
        out_since: monotonic seconds at which the last new frame of the camera came out.
        preview: the last anonymized picture as JPEG.
    """

    reader: _Total = field(default_factory=_Total)
    painter: _Total = field(default_factory=_Total)
    outputs: dict[str, _Total] = field(default_factory=dict)
    restarts: int = 0
    kills: int = 0
    output_restarts: dict[str, int] = field(default_factory=dict)
    out_since: float = -1e9
    preview: bytes | None = None
    _seen: float = 0.0


class Status:
    """Everything that the page and the metrics show."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraStatus] = {}
        self._painters: dict[str, tuple[int, int, float]] = {}
        self._ended = (0, 0)
        self._asked = -1e9
        self.began = time.monotonic()
        self.stopping = False

    def cameras(self, names: list[str]) -> None:
        """These are the cameras now."""
        with self._lock:
            old = self._cameras
            self._cameras = {name: old.get(name) or CameraStatus() for name in names}

    def reader(self, camera: str, process: Process) -> None:
        """A reader gave a sign."""
        with self._lock:
            if (found := self._cameras.get(camera)) is not None:
                found.reader.take(process, process.counters)
                found.restarts, found.kills = process.starts - 1, process.kills

    def output(self, camera: str, output: str, process: Process) -> None:
        """A writer gave a sign."""
        with self._lock:
            if (found := self._cameras.get(camera)) is not None:
                total = found.outputs.setdefault(output, _Total())
                total.take(process, process.counters)
                found.output_restarts[output] = process.starts - 1

    def painting(self, names: list[str]) -> None:
        """These are the painters now; of one that ends, its counts alone are kept."""
        with self._lock:
            for name in [name for name in self._painters if name not in names]:
                starts, kills, _ = self._painters.pop(name)
                self._ended = self._ended[0] + starts, self._ended[1] + kills
            for name in names:
                self._painters.setdefault(name, (0, 0, -1e9))

    def painter(self, process: Process) -> None:
        """A painter gave a sign."""
        now = time.monotonic()
        with self._lock:
            if process.name not in self._painters:
                return
            self._painters[process.name] = (process.starts - 1, process.kills, now)
            for name, counters in dict(process.counters.get("cameras", {})).items():
                found = self._cameras.get(name)
                if found is None:
                    continue
                found.painter.take(process, counters)
                total = found.painter.sum
                real = total.get("frames_out", 0) - total.get("slates", 0)
                if real > found._seen:
                    found._seen, found.out_since = real, now

    def preview(self, camera: str, jpeg: bytes) -> None:
        """An anonymized picture came."""
        with self._lock:
            found = self._cameras.get(camera)
            if found is not None and jpeg.startswith(b"\xff\xd8") and len(jpeg) < LARGEST_PREVIEW:
                found.preview = jpeg

    def picture(self, camera: str) -> bytes | None:
        """The last anonymized picture; asking for it keeps more of them coming."""
        self._asked = time.monotonic()
        with self._lock:
            found = self._cameras.get(camera)
            return None if found is None else found.preview

    def watched(self, now: float) -> bool:
        """Whether somebody looks at the previews."""
        return now - self._asked < WATCHED

    def alive(self) -> bool:
        """Whether the supervisor has heard of every painter lately."""
        with self._lock:
            heard = [when for _, _, when in self._painters.values()]
        return bool(heard) and time.monotonic() - min(heard) < 10 * FRESH

    def ready(self) -> bool:
        """Whether every camera's frames come out."""
        return not self.stopping and all(one["running"] for one in self.snapshot().values())

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Plain data by camera."""
        now = time.monotonic()
        with self._lock:
            return {
                name: {
                    "running": now - one.out_since < FRESH,
                    "reader": one.reader.sum,
                    "painter": one.painter.sum,
                    "outputs": {key: total.sum for key, total in one.outputs.items()},
                    "restarts": one.restarts,
                    "kills": one.kills,
                    "output_restarts": dict(one.output_restarts),
                    "preview": one.preview is not None,
                }
                for name, one in self._cameras.items()
            }

    @property
    def painters(self) -> tuple[int, int]:
        """How often painters were started anew, and how often ended for being stuck."""
        with self._lock:
            counts = [self._ended, *(one[:2] for one in self._painters.values())]
        return sum(starts for starts, _ in counts), sum(kills for _, kills in counts)
