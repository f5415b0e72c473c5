"""Memory of frames that have gone, for frames that come: nothing is allocated while a run goes on.

A block is handed out again before the queues that last used it are through with it, for the host
waits for nobody: whoever gets it waits in his queue, for their events.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from stream_anon.kernels.cuda import MemoryModule
from stream_anon.kernels.streams import Streams

SPARE = 4
"""Blocks of one size that are kept for the next frames; what is beyond them is let go of."""


class SurfacePool:
    """Planes by their shapes; safe to share between threads.

    Args:
        module: that allocates.
        streams: in which events wait.
    """

    def __init__(self, module: MemoryModule, streams: Streams) -> None:
        self._module, self._streams = module, streams
        self._spare: dict[tuple[int, ...], list[tuple[Any, tuple[Any, ...], Any]]] = {}
        self._lock = threading.RLock()

    def plane(self, rows: int, pitch: int) -> Any:
        """(rows, pitch) uint8 of whatever was there before, to be written in the current queue.

        Raises:
            MemoryError: the device has none.
        """
        with self._lock:
            waiting = self._spare.get((rows, pitch))
            found = waiting.pop() if waiting else None
        if found is None:
            try:
                return self._module.zeros((rows, pitch), np.uint8)
            except MemoryError:
                # What is kept for other sizes is of no use now.
                self.trim()
                return self._module.zeros((rows, pitch), np.uint8)
        plane, events, _ = found
        for event in events:
            self._streams.wait(event)
        return plane

    def give(self, planes: Iterable[Any], events: Iterable[Any], tables: Any = None) -> None:
        """Take planes back that nobody holds any more.

        Args:
            planes: all of one frame.
            events: behind everything that was asked for on them.
            tables: what kernels read beside them; kept as long.
        """
        behind = tuple(events)
        with self._lock:
            for plane in planes:
                waiting = self._spare.setdefault(tuple(plane.shape), [])
                if len(waiting) < SPARE:
                    waiting.append((plane, behind, tables))
                    continue
                # The device's own allocator knows nothing of our queues.
                for event in behind:
                    self._streams.finish(event)

    def trim(self) -> None:
        """Let go of all that is kept."""
        with self._lock:
            for waiting in self._spare.values():
                for _, events, _ in waiting:
                    for event in events:
                        self._streams.finish(event)
            self._spare.clear()
        self._module.trim()
