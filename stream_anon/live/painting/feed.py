"""Packets on their way to one output: bounded, and no output can hold up another."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from stream_anon.live.painting.encoder import EncodedPacket
from stream_anon.live.wire import Wire, WireError

LARGEST = 8 << 20
"""Bytes that wait for an output, at most; then all of them are dropped up to a keyframe."""
STUCK = 3600.0


class Feed:
    """A thread that sends what it is given to a writer.

    Args:
        wire: to the writer; closed with this.
        name: of the output.
        form: of the stream: width, height, rate.
    """

    def __init__(self, wire: Wire, name: str, form: dict[str, Any]) -> None:
        self._wire = wire
        self._items: deque[EncodedPacket] = deque()
        self._changed = threading.Condition()
        self._bytes = 0
        self._waits_for_key = True
        self._ended = False
        self._form = form
        self.dropped = 0
        self.sent = 0
        self._thread = threading.Thread(target=self._run, name=f"feed-{name}", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Packets that wait."""
        return len(self._items)

    def put(self, packet: EncodedPacket) -> None:
        """Take a packet; never waits."""
        with self._changed:
            if self._ended:
                return
            if self._bytes + len(packet.data) > LARGEST:
                self.dropped += len(self._items)
                self._items.clear()
                self._bytes = 0
                self._waits_for_key = True
            if self._waits_for_key and not packet.key:
                self.dropped += 1
                return
            self._waits_for_key = False
            self._items.append(packet)
            self._bytes += len(packet.data)
            self._changed.notify()

    def finish(self, timeout: float) -> None:
        """Send what waits, and hang up."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout)
        self._wire.close()
        self._thread.join(1.0)

    def drop(self) -> None:
        """Hang up at once."""
        with self._changed:
            self._ended = True
            self._items.clear()
            self._changed.notify()
        self._wire.close()

    def _run(self) -> None:
        try:
            if not self._wire.send({"type": "format", **self._form}, timeout=STUCK):
                return
            while True:
                with self._changed:
                    while not self._items and not self._ended:
                        self._changed.wait()
                    if not self._items:
                        return
                    packet = self._items.popleft()
                    self._bytes -= len(packet.data)
                head = {
                    "type": "packet", "pts": packet.pts, "duration": packet.duration,
                    "key": packet.key,
                }  # fmt: skip
                if not self._wire.send(head, packet.data, timeout=STUCK):
                    return
                self.sent += 1
        except (WireError, OSError, ValueError):
            # Hung up meanwhile.
            return
        finally:
            with self._changed:
                self._ended = True
