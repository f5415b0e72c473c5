"""The reader: one process for one camera, that opens, decodes, and opens again.

Where a card decodes, it hands on packets (``forward.py``): ``coded`` with their memory, ``packet``;
``done`` comes back for each, and ``host`` where the reader is to decode after all.

Frames go to the painting process through shared memory, by messages on a wire of their own:
``format`` with the memory, ``frame`` with slot, sequence number and time, ``gap`` where what
follows has nothing to do with what was before. ``free`` comes back for every frame. Where no slot
is free the newest frame is left out and counted: whoever is behind gets no more to do.

The camera stays open while the painting process dies: its successor gets a wire of its own and
the same memory, in which every slot is free then.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

from stream_anon.errors import FrameFault, InputError
from stream_anon.live.backoff import Backoff
from stream_anon.live.child import GRACE, Child
from stream_anon.live.clock import TICKS, LiveClock
from stream_anon.live.decoding import CHANGED
from stream_anon.live.input.asking import wait
from stream_anon.live.input.connect import connect
from stream_anon.live.input.decode import Fit, LiveDecoder
from stream_anon.live.input.forward import Forwarder
from stream_anon.live.input.timeline import LiveTimeline
from stream_anon.live.latency import BUDGETS
from stream_anon.live.ring import Ring
from stream_anon.live.secret import redacted, scheme_of
from stream_anon.live.wire import Message, Wire, WireError
from stream_anon.media.input.probe import reason

log = logging.getLogger(__name__)

SLOTS = 8
LONGEST_REORDERING = 2 * TICKS
REFUSALS = 3
"""Times that the card's decoder had to be left before it is not asked again."""
FASTEST = 120.0
"""Frames a second that are believed."""


class Reader:
    """Reads one camera for ever.

    Args:
        child: this process.
        task: what the supervisor said.
    """

    def __init__(self, child: Child, task: dict[str, Any]) -> None:
        self._child, self._task = child, task
        self._feed: Wire | None = None
        self._feeds: deque[Wire] = deque()
        self._form: dict[str, Any] = {}
        self._shown: str = task["shown"]
        self._size: tuple[int, int] | None = tuple(task["size"]) if task["size"] else None
        self._ring: Ring | None = None
        self._fit: Fit | None = None
        self._free: list[int] = []
        self._sequence = 0
        self._now = LiveClock(task["epoch"]).now
        self._timeline = LiveTimeline()
        self._changes = 0
        self._worked = False
        self._forward: Forwarder | None = None
        self._refused = 0
        self.counters = child.counters
        self.counters |= {
            "state": "connecting", "connects": 0, "failures": 0, "frames": 0, "skipped": 0,
            "unanswered": 0, "lost": 0, "damaged": 0, "changes": 0, "anchored": 0,
            "forwarded": 0,
        }  # fmt: skip

    def attach(self, feed: Wire) -> None:
        """Another painting process is there; from any thread."""
        self._feeds.append(feed)

    def run(self) -> None:
        """Until the process is to end."""
        backoff = Backoff(self._task["retry"], self._task["retry_longest"])
        again, began = False, time.monotonic()
        while not self._child.stopping.is_set():
            self._child.beat()
            if again:
                self.counters["state"] = "reconnecting"
                # A file that is played in real time begins anew at once.
                if not (self._is_file() and self._worked):
                    self._wait(backoff.wait() - (time.monotonic() - began))
                if self._child.stopping.is_set():
                    break
            again, began = True, time.monotonic()
            self._worked = False
            try:
                self._read(backoff)
                why = "the stream has ended"
            except (InputError, FrameFault) as error:
                why = str(error)
            except (av.FFmpegError, OSError, ValueError) as error:
                why = f"{self._shown}: {redacted(reason(error), self._child.secrets)}"
            if self._child.stopping.is_set():
                break
            self.counters["failures"] += 1
            if not (self._is_file() and self._worked) and backoff.worth_telling:
                more = f" (for the {backoff.tries + 1}th time)" if backoff.tries > 2 else ""
                log.warning("%s%s", why, more)
            self._gap("reconnect")
        if self._feed is not None:
            self._feed.close()

    def _wait(self, seconds: float) -> None:
        """Until the next try: so long, or until a camera that was away answers."""
        stopping, url = self._child.stopping, self._task["url"]
        self.counters["unanswered"] += wait(url, seconds, stopping, self._child.beat)

    def _is_file(self) -> bool:
        return scheme_of(self._task["url"]) == "file"

    def _read(self, backoff: Backoff) -> None:
        timeout: float = self._task["timeout"]
        container = connect(
            self._task["url"],
            self._shown,
            self._task["transport"],
            timeout,
            self._child.secrets,
            self._task["tls"],
        )
        decoder = None
        try:
            stream = container.streams.video[0]
            low_delay = BUDGETS[self._task["latency"]].low_delay
            decoder = LiveDecoder(stream, self._shown, low_delay)
            self._changes = 0
            self._begin_forward(stream)
            self.counters["connects"] += 1
            self._timeline.restart()
            pace = _Pace() if self._is_file() else None
            last = time.monotonic()
            for packet in container.demux(stream):
                self._child.beat()
                if self._child.stopping.is_set():
                    return
                if not packet.size:
                    continue
                if pace is not None:
                    self._child.stopping.wait(pace.until(packet))
                self._stamp(packet)
                for one in self._here(packet, decoder.rate):
                    for frame in decoder.feed(one):
                        self._works(backoff)
                        last = time.monotonic()
                        self._pass(frame, decoder)
                if self._forward is not None and self._forward.begun:
                    self._works(backoff)
                    # Of what gives no frame there the painting process tells.
                    last = time.monotonic()
                if time.monotonic() - last > timeout:
                    raise InputError(f"{self._shown}: packets, but no frame for {timeout:g} s")
        finally:
            if decoder is not None:
                self.counters["lost"] += decoder.lost
                decoder.close()
            self._end_forward()
            container.close()

    def _works(self, backoff: Backoff) -> None:
        if not self._worked:
            self._worked = True
            backoff.reset()
            self.counters["state"] = "running"
            log.info("%s: running", self._shown)

    def _begin_forward(self, stream: Any) -> None:
        """Another connection: its packets are for the card, unless they were refused too often."""
        decoder = self._task.get("decoder", "cpu")
        if decoder == "cpu" or self._refused >= REFUSALS:
            return
        forward = Forwarder(stream, decoder, self._size, self._send)
        if forward.why is not None:
            log.warning("%s: decoded on the CPU: %s", self._shown, forward.why)
            return
        self._forward = forward

    def _end_forward(self) -> None:
        if self._forward is not None:
            self.counters["skipped"] += self._forward.skipped
            self._forward.close()
            self._forward = None

    def _here(self, packet: Any, rate: Fraction) -> list[Any]:
        """The packets that are to be decoded in this process; the others were handed on."""
        forward = self._forward
        if forward is None:
            return [packet]
        if forward.begun:
            self._collect()
            if forward.switching is None or not packet.is_keyframe:
                forward.pass_on(packet)
                return []
            self._refused += 1
            self.counters["changes"] += forward.switching.startswith(CHANGED)
            log.warning("%s: decoded on the CPU: %s", self._shown, forward.switching)
            self._end_forward()
            return [packet]
        first = forward.peek(packet)
        if first is None:
            return []
        if first.why is not None:
            log.warning("%s: decoded on the CPU: %s", self._shown, first.why)
            held = forward.take_held()
            self._end_forward()
            return held
        form = self._formed(first.width, first.height, rate)
        forward.begin(form)
        return []

    def _stamp(self, packet: Any) -> None:
        """Put a packet on our time line."""
        base = packet.time_base or Fraction(1, TICKS)
        stamp = packet.dts if packet.dts is not None else packet.pts
        ahead = 0
        if packet.pts is not None and packet.dts is not None:
            ahead = round((packet.pts - packet.dts) * base * TICKS)
            ahead = max(0, min(ahead, LONGEST_REORDERING))
        place = self._timeline.next(None if stamp is None else float(stamp * base), self._now())
        packet.time_base = Fraction(1, TICKS)
        packet.pts, packet.dts = place + ahead, place
        self.counters["anchored"] = self._timeline.anchored

    def _pass(self, frame: Any, decoder: LiveDecoder) -> None:
        if decoder.changes != self._changes:
            self._changes = decoder.changes
            self.counters["changes"] += 1
            log.warning("%s: the camera's picture has changed its form", self._shown)
            self._gap("change of form")
        av_frame = frame.to_av()
        if self._ring is None:
            self._begin(av_frame.width, av_frame.height, decoder.rate)
        self._collect()
        self.counters["frames"] += 1
        self.counters["damaged"] += bool(frame.corrupt)
        # Who paints sees by the numbers that frames are missing.
        self._sequence += 1
        if not self._free or self._ring is None or self._fit is None:
            self.counters["skipped"] += 1
            return
        slot = self._free.pop()
        self._ring.write(slot, self._sequence, self._fit.planes(av_frame))
        self._send(
            {
                "type": "frame", "slot": slot, "sequence": self._sequence, "pts": frame.pts,
                "corrupt": bool(frame.corrupt), "matrix": int(av_frame.colorspace),
            }
        )  # fmt: skip

    def _begin(self, width: int, height: int, rate: Fraction) -> None:
        """Memory for frames, of the output's size."""
        form = self._formed(width, height, rate)
        size = form["width"], form["height"]
        self._fit = Fit(*size)
        self._form = {**form, "slots": SLOTS}
        self._ring = Ring.create(*size, SLOTS)
        self._introduce(self._ring)

    def _formed(self, width: int, height: int, rate: Fraction) -> dict[str, Any]:
        """The first frame decides what the output looks like."""
        if self._size is None:
            self._size = max(64, width // 2 * 2), max(64, height // 2 * 2)
        shown = float(self._task["rate"] or min(max(float(rate), 1.0), FASTEST))
        form = {"width": self._size[0], "height": self._size[1], "rate": shown}
        self._child.tell({"type": "format", **form})
        return form

    def _introduce(self, ring: Ring) -> None:
        """Tell the painting process of the memory, all of which is free."""
        self._free = list(range(SLOTS))
        self._send({"type": "format", **self._form}, (ring.descriptor,))

    def _gap(self, why: str) -> None:
        self._send({"type": "gap", "reason": why})

    def _collect(self) -> None:
        """What the painting process has done with, and whoever comes after it."""
        if self._feeds:
            self._lose()
            self._feed = self._feeds.popleft()
            if self._ring is not None:
                self._introduce(self._ring)
            if self._forward is not None:
                self._forward.begin_anew()
        while (message := self._received()) is not None:
            data = message.data
            slot = data.get("slot")
            if message.type == "free" and isinstance(slot, int) and slot not in self._free:
                self._free.append(slot)
            elif message.type == "done" and self._forward is not None:
                self._forward.done(data.get("memory"))
                self.counters["forwarded"] += 1
                for name in ("frames", "damaged", "lost"):
                    self.counters[name] += int(data.get(name, 0))
            elif message.type == "host" and self._forward is not None:
                self._forward.switching = str(data.get("why"))

    def _send(self, data: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        try:
            if self._feed is not None and not self._feed.send(data, fds=fds, timeout=5.0):
                self._lose()
        except WireError:
            self._lose()

    def _received(self) -> Message | None:
        try:
            return None if self._feed is None else self._feed.receive(0.0)
        except WireError:
            self._lose()
            return None

    def _lose(self) -> None:
        """The painting process has gone; frames are left out until another is there."""
        self._free = []
        if self._feed is not None:
            self._feed.close()
            self._feed = None


class _Pace:
    """How long to wait until a file's packet is due, as if a camera sent it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None

    def until(self, packet: Any) -> float:
        """Seconds."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return 0.0
        seconds = float(stamp * packet.time_base)
        if self._first is None:
            self._first = seconds
        return max(0.0, self._began + seconds - self._first - time.monotonic())


def warm(data: dict[str, Any]) -> None:
    """Everything is imported already; see ``child.ROLES``."""


def run(child: Child, task: Message, ready: Callable[[], None], warmed: None = None) -> None:
    """The role; see ``child.ROLES``."""
    reader = Reader(child, task.data)

    def hear(message: Message) -> None:
        if message.type == "feed":
            reader.attach(Wire.of(message.fds[0]))
        if message.type == "stop":
            # FFmpeg may be waiting for a camera that says nothing.
            timer = threading.Timer(GRACE, os._exit, (0,))
            timer.daemon = True
            timer.start()

    child.handle = hear
    ready()
    reader.run()
