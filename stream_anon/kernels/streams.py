"""Queues of work on a device, and events by which one waits for another.

Each kind of work has a queue of its own, so that a copy, a kernel and a network run at the same
time. Nothing waits for the host: a queue that reads what another one writes waits for an event
in that other one. The host waits where it reads, for one event that has mostly come long ago.

``Streams`` is all of the contract and what it is on the CPU, where everything is done when it is
asked for. ``tests/media/device/lazy.py`` is the other end: nothing is done before somebody waits
for it, so that whoever forgets to wait reads what is not there yet.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

Name = Literal["upload", "look", "paint", "copy"]
"""From the host to the device; what detector and tracker read; faces; back to the host."""


class Streams:
    """The CPU's: no queues at all."""

    def on(self, name: Name) -> AbstractContextManager[Any]:
        """What this thread asks for inside goes to that queue."""
        return nullcontext()

    def record(self) -> Any:
        """An event behind everything that this thread's queue was given so far."""
        return None

    def wait(self, event: Any) -> None:
        """This thread's queue goes on only behind the event. The host does not wait."""

    def finish(self, event: Any) -> None:
        """The host waits for the event."""


class CupyStreams(Streams):
    """A GPU's, by CuPy: one stream for each name, for all threads and all frames.

    They do not wait for CUDA's default stream, nor it for them. Networks have streams of their own
    (``models.torch_engine``).
    """

    def __init__(self) -> None:
        self._streams: dict[str, Any] = {}
        self._lock = threading.Lock()

    def on(self, name: Name) -> AbstractContextManager[Any]:
        """See ``Streams.on``."""
        return self._on(name)

    @contextmanager
    def _on(self, name: str) -> Iterator[None]:
        import cupy

        with self._lock:
            stream = self._streams.get(name)
            if stream is None:
                stream = self._streams[name] = cupy.cuda.Stream(non_blocking=True)
        with stream:
            yield

    def record(self) -> Any:
        """See ``Streams.record``."""
        import cupy

        event = cupy.cuda.Event(block=True, disable_timing=True)
        event.record(cupy.cuda.get_current_stream())
        return event

    def wait(self, event: Any) -> None:
        """See ``Streams.wait``."""
        import cupy

        if event is not None:
            cupy.cuda.get_current_stream().wait_event(event)

    def finish(self, event: Any) -> None:
        """See ``Streams.finish``."""
        if event is not None:
            event.synchronize()
