"""The sink of a camera: cleared frames go out, and while there are none, a slate does.

A thread of its own, so that the stream goes on whatever analysis is busy with. It decides by the
clock and by what analysis still holds: a slate never takes the place of a frame that is to come.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from stream_anon.config import FaultConfig
from stream_anon.errors import GateError, OutputError
from stream_anon.live.clock import TICKS, TIME_BASE
from stream_anon.live.config import EncoderConfig
from stream_anon.live.latency import BUCKETS
from stream_anon.live.painting.encoder import EncodedPacket, Encoder
from stream_anon.live.painting.feed import Feed
from stream_anon.live.painting.slate import Slate
from stream_anon.live.wire import Wire
from stream_anon.media.cleared import Cleared
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.output.sink import Sink
from stream_anon.media.packets import Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.regions import Regions

log = logging.getLogger(__name__)

SLACK = TICKS * 3 // 10
"""Ticks beyond the look-back after which a frame that did not come is missed."""
HOLE = 2 * TICKS
"""Ticks without a frame, before one that waits, that are filled."""
STUCK = 4 * TICKS
"""Ticks beyond look-back and slack after which analysis is no longer waited for."""
MOST_WAITING = 4


class _Stream:
    """What is known once the camera has told its size.

    Attributes:
        form: width, height, rate.
        step: ticks from frame to frame.
        slate: makes frames that show nothing.
        last: ticks of the last frame that went out.
    """

    def __init__(self, form: dict[str, Any], last: int) -> None:
        self.form = form
        self.step = max(1, round(TICKS / form["rate"]))
        self.slate = Slate(form["width"], form["height"])
        self.last = last


class LiveSink(Sink):
    """Encodes one camera's cleared frames and hands them to its outputs.

    Args:
        name: of the camera.
        options: of the encoder.
        look_back: seconds that frames wait in the tracker.
        now: ticks on the camera's time line.
        preview: called with the JPEG of a cleared frame, where one was asked for.
        later: ticks by which ``now`` lags, for the measured latency.

    Attributes:
        counters: what came out, for the metrics.
    """

    def __init__(
        self,
        name: str,
        options: EncoderConfig,
        look_back: float,
        now: Callable[[], int],
        preview: Callable[[bytes], None],
        later: int = 0,
    ) -> None:
        self._later = later
        self._name, self._options, self._now, self._preview = name, options, now, preview
        self._delay = round(look_back * TICKS)
        self._stream: _Stream | None = None
        self._encoder: Encoder | None = None
        # A gate of its own: nothing of the slate touches what is kept for faces.
        self._gate = Compositor(Fill(), FaultConfig(policy="step-down"))
        self._cleared: deque[Cleared] = deque()
        self._changed = threading.Condition()
        self._feeds: dict[str, Feed] = {}
        self._wires: dict[str, Wire] = {}
        self._oldest: int | None = None
        self._index = 0
        self._ending = self._bridging = False
        self._thread: threading.Thread | None = None
        self.progress = time.monotonic()
        self.counters: dict[str, Any] = {
            "frames_out": 0, "slates": 0, "late": 0, "bytes": 0, "encoder_faults": 0,
            "latency": [0] * (len(BUCKETS) + 1), "latency_sum": 0.0,
        }  # fmt: skip

    def start(self, form: dict[str, Any]) -> None:
        """Size and rate are known: the stream begins, with a slate until the first frame."""
        with self._changed:
            if self._stream is not None:
                return
            stream = self._stream = _Stream(form, self._now() - self._delay - SLACK)
            wires, self._wires = self._wires, {}
        self._thread = threading.Thread(
            target=self._run, args=(stream,), name=f"sink-{self._name}", daemon=True
        )
        self._thread.start()
        for name, wire in wires.items():
            self.output(name, wire)

    def output(self, name: str, wire: Wire | None) -> None:
        """Send to another writer under this name, or to none any more."""
        with self._changed:
            waiting = self._wires.pop(name, None)
            if waiting is not None:
                waiting.close()
            before = self._feeds.pop(name, None)
            if wire is not None and self._stream is None:
                # Until the camera has told its size there is nothing to say to a writer.
                self._wires[name] = wire
            elif wire is not None and self._stream is not None:
                self._feeds[name] = Feed(wire, f"{self._name}-{name}", self._stream.form)
            if self._encoder is not None:
                self._encoder.want_key()
        if before is not None:
            before.drop()

    def holds(self, oldest: int | None) -> None:
        """Analysis says what the oldest frame is that it still holds, in ticks."""
        self._oldest = oldest

    def want_preview(self) -> None:
        """Hand the next frame to ``preview``."""
        with self._changed:
            if self._encoder is not None:
                self._encoder.want_preview()

    def write(self, cleared: Cleared) -> None:
        """Take a frame; waits while the encoder is behind. See ``Sink.write``."""
        if type(cleared) is not Cleared:
            raise GateError(f"a {type(cleared).__name__} is not a cleared frame")
        with self._changed:
            while len(self._cleared) >= MOST_WAITING and not self._ending:
                self._changed.wait(1.0)
            if self._ending:
                return
            self._cleared.append(cleared)
            self._changed.notify_all()

    @property
    def beat(self) -> float:
        """Monotonic seconds at which this sink's thread last came round; now before it begins."""
        return self.progress if self._stream is not None else time.monotonic()

    def copy(self, item: Packet) -> None:
        """Nothing is copied live.

        Raises:
            GateError: always.
        """
        raise GateError("a live stream copies nothing")

    def finish(self, timeout: float = 5.0) -> None:
        """Encode what waits, and hang up on all writers."""
        self.end()
        if self._thread is not None:
            self._thread.join(timeout)
        for feed in list(self._feeds.values()):
            feed.finish(timeout)
        for wire in self._wires.values():
            wire.close()

    def end(self) -> None:
        """No more slates; what waits is still encoded."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def abort(self, hard: bool = False) -> None:
        """Hang up at once."""
        self.end()
        for feed in list(self._feeds.values()):
            feed.drop()

    def state(self) -> dict[str, Any]:
        """Counters, and those of the outputs."""
        feeds = dict(self._feeds)
        return {
            **self.counters,
            "waiting": len(self._cleared),
            "feeds": {
                name: {"sent": feed.sent, "dropped": feed.dropped, "waiting": feed.depth}
                for name, feed in feeds.items()
            },
        }

    def _run(self, stream: _Stream) -> None:
        while True:
            self.progress = time.monotonic()
            with self._changed:
                if not self._cleared and not self._ending:
                    self._changed.wait(stream.step / TICKS / 2)
                taken = self._cleared.popleft() if self._cleared else None
                self._changed.notify_all()
                if taken is None and self._ending:
                    break
            if taken is not None:
                self._bridge(stream, taken.pts)
                self._pass(stream, taken, camera=True)
            elif self._missed(stream):
                self._pass(stream, self._slated(stream), camera=False)
        if self._encoder is not None:
            self._send(self._encoder.finish())

    def _missed(self, stream: _Stream) -> bool:
        """Whether the next frame's time has passed and nobody holds a frame for it."""
        last, step = stream.last, stream.step
        due = self._now() - self._delay - SLACK
        if last + step > due:
            return False
        oldest = self._oldest
        if oldest is None or last + step <= due - STUCK:
            return True
        return oldest - last > HOLE and last + 2 * step <= oldest

    def _bridge(self, stream: _Stream, pts: int) -> None:
        """Fill what lies before a frame that comes after a hole, or after slates."""
        filling = self._bridging or pts - stream.last > HOLE
        while filling and pts - stream.last >= 2 * stream.step and not self._ending:
            self._pass(stream, self._slated(stream, pts - STUCK), camera=False)
        self._bridging = False

    def _slated(self, stream: _Stream, least: int | None = None) -> Cleared:
        # After a long pause of this very process, time is not made up for slate by slate.
        least = self._now() - self._delay - SLACK - STUCK if least is None else least
        pts = max(stream.last + stream.step, least)
        self._bridging = True
        self._index += 1
        frame = CpuFrame(
            stream.slate.frame(),
            index=self._index,
            pts=pts,
            time_base=TIME_BASE,
            rate=Fraction(stream.form["rate"]).limit_denominator(1001),
        )
        return self._gate.paint(frame, Regions(frame.key, ()))

    def _pass(self, stream: _Stream, cleared: Cleared, camera: bool) -> None:
        pts = cleared.pts
        if pts <= stream.last:
            self.counters["late"] += 1
            return
        stream.last = pts
        try:
            packets = self._encode(stream, cleared)
        except OutputError as error:
            # The encoder is made anew; the frame is lost, the time line goes on.
            self.counters["encoder_faults"] += 1
            log.error("%s: %s", self._name, error)
            self._encoder = None
            return
        self.counters["frames_out"] += 1
        self.counters["slates"] += not camera
        if camera:
            self._measure((self._now() + self._later - pts) / TICKS)
        self._send(packets)

    def _send(self, packets: list[EncodedPacket]) -> None:
        with self._changed:
            feeds = list(self._feeds.values())
        for packet in packets:
            self.counters["bytes"] += len(packet.data)
            for feed in feeds:
                feed.put(packet)

    def _encode(self, stream: _Stream, cleared: Cleared) -> list[EncodedPacket]:
        if self._encoder is None:
            form = stream.form
            self._encoder = Encoder(form["width"], form["height"], form["rate"], self._options)
        packets = self._encoder.write(cleared)
        if (shown := self._encoder.preview) is not None:
            self._encoder.preview = None
            self._preview(shown)
        return packets

    def _measure(self, latency: float) -> None:
        bucket = next((k for k, most in enumerate(BUCKETS) if latency <= most), len(BUCKETS))
        self.counters["latency"][bucket] += 1
        self.counters["latency_sum"] += latency
