"""One camera in the painting process: analysis and gate, from source to sink.

The parts are those of a file's run (`pipelines/live.py`); what is added here is what a file does
not have: interruptions, overload, and an end that never comes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from stream_anon.config import Config, MethodConfig
from stream_anon.detection.base import Detector
from stream_anon.errors import StreamAnonError
from stream_anon.live.clock import TICKS
from stream_anon.live.config import OverloadConfig
from stream_anon.live.painting.overload import Overload, ladder
from stream_anon.live.painting.sink import LiveSink
from stream_anon.live.painting.source import RingSource
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.frame import Frame
from stream_anon.media.packets import Gap
from stream_anon.pipeline.analysis import Analyzed, Analyzer
from stream_anon.pipeline.painting.gate import Compositor

log = logging.getLogger(__name__)

BUILDING = 90.0
"""Seconds from the first frame on in which a camera's thread is not taken to be stuck."""
SILENCE = 0.5
"""Seconds without a frame after which those that wait are decided: nobody will come after them."""


class Camera:
    """Analyses and paints one camera's frames, in a thread of its own.

    Args:
        name: of the camera.
        config: of analysis and painting.
        parts: a pipeline like ``pipelines/live.py``.
        detector: gives the detector that all cameras share; called in this camera's thread.
        overload: what is given up when.
        source: frames and gaps.
        sink: takes cleared frames.
        now: ticks on the camera's time line.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        parts: Any,
        detector: Callable[[Config], Detector],
        overload: OverloadConfig,
        source: RingSource,
        sink: LiveSink,
        now: Callable[[], int],
    ) -> None:
        self.name, self.source, self.sink = name, source, sink
        self._config, self._parts, self._detector, self._now = config, parts, detector, now
        self._steps = ladder(
            config.tracker.interval,
            min(overload.longest_interval, config.tracker.latency or overload.longest_interval),
            overload.methods,
            config.method.name,
        )
        self._overload = Overload(self._steps, overload.backlog, overload.patience)
        self._analyzer: Analyzer | None = None
        self._compositors: dict[str, Compositor] = {}
        self._held: deque[int] = deque()
        self._open: set[int] = set()
        self._silent = True
        self._odd = False
        self._missed = 0
        self._thread = threading.Thread(target=self._run, name=f"camera-{name}", daemon=True)
        self.progress = time.monotonic()
        self._patient_until = 0.0
        self.counters: dict[str, Any] = {
            "frames_in": 0, "painted": 0, "faults": 0, "gaps": 0, "overload_dropped": 0,
            "stepped_down": {}, "faces_stepped_down": 0, "level": 0, "levels": 0, "lateness": 0.0,
        }  # fmt: skip

    @property
    def beat(self) -> float:
        """Monotonic seconds at which this camera's thread last came round; now while it builds."""
        now = time.monotonic()
        return now if now < self._patient_until else self.progress

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the end of a source that was told to end."""
        self._thread.join(timeout)

    def state(self) -> dict[str, Any]:
        """Counters of this camera, its sink and its outputs."""
        return {
            **self.counters,
            "torn": self.source.torn,
            "left_out": self.source.left_out,
            "missed": self.source.missed,
            "hosted": self.source.hosted,
            "decoder": self.source.decoder,
            "held": len(self._held),
            "steps": len(self._steps) - 1,
            "form": self.source.form,
            **self.sink.state(),
        }

    def _run(self) -> None:
        last = time.monotonic()
        while not self.source.over:
            self.progress = time.monotonic()
            item = self.source.next(SILENCE / 4)
            if self.source.form is not None:
                self.sink.start(self.source.form)
            now = time.monotonic()
            if isinstance(item, Frame):
                last = now
                self._silent = False
                self._guarded(self._take, item)
            elif isinstance(item, Gap):
                self.counters["gaps"] += 1
                self._guarded(self._pause, item)
            elif not self._silent and now - last > self._patience():
                self._guarded(self._pause, Gap(0, "silence"))
        self._guarded(self._pause, Gap(0, "end"))
        self.sink.finish()
        self.source.close()
        self._close()

    def _patience(self) -> float:
        rate = self.source.form["rate"] if self.source.form is not None else 25.0
        return max(SILENCE, 3.0 / float(rate))

    def _guarded(self, action: Callable[[Any], None], item: Any) -> None:
        """Do it; what fails takes the frames that were held with it, and never lets one out."""
        try:
            action(item)
        except Exception as error:  # noqa: BLE001 - the stream goes on; the frames are dropped
            self.counters["faults"] += 1
            log.error(
                "%s: analysis failed and begins anew: %s: %s",
                self.name, type(error).__name__, error,
            )  # fmt: skip
            self._close()

    def _take(self, frame: Frame) -> None:
        self.counters["frames_in"] += 1
        lateness = (self._now() - frame.pts) / TICKS
        self.counters["lateness"] = lateness
        analyzer = self._analyzer
        if analyzer is None:
            analyzer = self._build()
        elif self._overload.observe(lateness, time.monotonic(), self._missing()):
            self._stepped()
        if self._overload.step.drop:
            self._odd = not self._odd
            if self._odd:
                self.counters["overload_dropped"] += 1
                return
        self._held.append(frame.pts)
        self.sink.holds(self._held[0])
        for one in analyzer.push(frame):
            self._paint(one)

    def _missing(self) -> int:
        """Frames that were left out since this was asked last, as the machine was behind."""
        before, self._missed = self._missed, self.source.missed + self.source.left_out
        return int(self._missed - before)

    def _build(self) -> Analyzer:
        config = self._config
        analyzer: Analyzer
        compositor: Compositor
        # Networks are compiled here and at the first frame: seconds, on a busy machine many.
        self._patient_until = time.monotonic() + BUILDING
        detector = self._detector(config)
        analyzer, compositor = self._parts.build(config, detector, self.source.info)
        self._analyzer = analyzer
        self._compositors[config.method.name] = compositor
        self._pace()
        return analyzer

    def _pause(self, gap: Gap) -> None:
        """All tracks end here; what waits is decided without what would have come."""
        self._silent = True
        if self._analyzer is not None:
            for one in self._analyzer.push(gap):
                self._paint(one)
        self._ended(set(self._open))
        self._held.clear()
        self.sink.holds(None)
        self.sink.gap(gap)

    def _ended(self, tracks: set[int]) -> None:
        """Nothing is kept of these tracks any more."""
        self._open -= tracks
        for compositor in self._compositors.values():
            compositor.end(sorted(tracks))

    def _paint(self, one: Analyzed) -> None:
        name = self._overload.step.method or self._config.method.name
        cleared = self._compositor(name).paint(one.frame, one.regions)
        self._open |= {int(region.track) for region in one.regions.items}
        self._ended({int(track) for track in one.regions.ended})
        self.counters["painted"] += bool(cleared.painted)
        if cleared.level > FallbackLevel.METHOD:
            down = self.counters["stepped_down"]
            level = cleared.level.name.lower()
            down[level] = down.get(level, 0) + 1
        self.sink.write(cleared)
        if self._held:
            self._held.popleft()
        self.sink.holds(self._held[0] if self._held else None)
        self.counters["faces_stepped_down"] = sum(
            compositor.fallbacks.faces for compositor in self._compositors.values()
        )

    def _compositor(self, name: str) -> Compositor:
        """The gate with this method; all of a camera's are told when a track ends."""
        found = self._compositors.get(name)
        if found is None:
            config = self._config
            if name != config.method.name:
                # By this method, whatever it is: there is no time for more.
                cheap: dict[str, Any] = {"method": MethodConfig(name=name)}
                cheap["targets"] = dict.fromkeys(config.targets)
                config = config.model_copy(update=cheap)
            found = self._compositors[name] = self._parts.compositor(config)
        return found

    def _stepped(self) -> None:
        self.counters["level"] = self._overload.level
        self.counters["levels"] += 1
        step = self._overload.step
        log.warning(
            "%s: %s, step %d of %d: detector every %s s, method %s%s",
            self.name,
            "frames are late" if self._overload.level else "frames are in time again",
            self._overload.level,
            len(self._steps) - 1,
            f"{step.interval or self._config.tracker.interval:.2f}",
            step.method or self._config.method.name,
            ", every second frame left out" if step.drop else "",
        )
        self._pace()

    def _pace(self) -> None:
        pace = getattr(self._analyzer, "pace", None)
        if pace is not None:
            pace(self._overload.step.interval or self._config.tracker.interval)

    def _close(self) -> None:
        """Let go of everything that knows a track."""
        compositors, self._compositors = self._compositors, {}
        analyzer, self._analyzer = self._analyzer, None
        self._held.clear()
        self.sink.holds(None)
        self._open.clear()
        for compositor in compositors.values():
            try:
                compositor.close()
            except StreamAnonError as error:
                log.error("%s: %s", self.name, error)
        if analyzer is not None:
            analyzer.close()
