"""In which order a frame is filled, read and changed, when every kind of work has its own queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stream_anon.kernels.streams import Name, Streams


class Order:
    """Events of one frame: who reads it waits for who changed it last, who changes it for both.

    Args:
        streams: the device's.

    Attributes:
        as_filled: nobody has changed the frame yet.
        behind: iterates over the events behind all that was asked for; it outlives the frame.
    """

    def __init__(self, streams: Streams) -> None:
        self.as_filled = True
        self.behind = _Behind()
        self._streams = streams

    def filled(self) -> None:
        """What fills the frame was asked for, in this thread's queue."""
        self.behind.changed = self._streams.record()

    @contextmanager
    def reading(self, queue: Name) -> Iterator[None]:
        """Work of this thread in a queue, which reads the frame."""
        with Order.together(queue, [self], writing=False):
            yield

    @staticmethod
    @contextmanager
    def together(queue: Name, orders: Sequence[Order], *, writing: bool) -> Iterator[None]:
        """Work of this thread in a queue, which reads or changes several frames of a device."""
        streams = orders[0]._streams
        with streams.on(queue):
            for one in orders:
                for event in one.behind if writing else (one.behind.changed,):
                    streams.wait(event)
            try:
                yield
            finally:
                # Also where it failed half way: what was asked for is on its way.
                event = streams.record()
                for one in orders:
                    if writing:
                        one.as_filled = False
                        one.behind.changed, one.behind.reads = event, {}
                    else:
                        one.behind.reads[queue] = event


class _Behind(Iterable[Any]):
    """The last change, and the last reading in each queue."""

    def __init__(self) -> None:
        self.changed: Any = None
        self.reads: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        return iter((self.changed, *self.reads.values()))
