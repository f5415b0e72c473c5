"""Queues on which nothing happens before somebody waits for it: what a GPU may do at its slowest.

Work that is asked for is put aside, and what it will fill is poisoned. Whoever waits for an event
gets that event's queue done up to it, and what that queue waits for, and nothing else. Queues named
``eager`` are done as soon as they are given something, as fast as a GPU may be. So whoever uses
something before it is ready, or overwrites what is still to be read, gets other pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_anon.kernels.streams import Streams
from stream_anon.media.device.kernels import DeviceKernels

POISON = 0xA5


@dataclass(frozen=True)
class Event:
    queue: str
    behind: int


class LazyStreams(Streams):
    """Args:
    eager: names of queues that never wait to be asked.
    """

    def __init__(self, eager: Collection[str] = ()) -> None:
        self.asked: list[str] = []
        self._eager = set(eager)
        self._queues: dict[str, list[Callable[[], None]]] = {}
        self._done: dict[str, int] = {}
        self._own = threading.local()
        self._lock = threading.RLock()

    @property
    def current(self) -> str:
        return getattr(self._own, "name", "default")

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        before, self._own.name = self.current, name
        try:
            yield
        finally:
            self._own.name = before

    def ask(self, work: Callable[[], None]) -> None:
        with self._lock:
            self.asked.append(self.current)
            queue = self._queues.setdefault(self.current, [])
            queue.append(work)
            if self.current in self._eager:
                self._run(self.current, len(queue))

    def record(self) -> Event:
        with self._lock:
            return Event(self.current, len(self._queues.get(self.current, ())))

    def wait(self, event: Event | None) -> None:
        if event is not None and event.queue != self.current:
            self.ask(lambda: self._run(event.queue, event.behind))

    def finish(self, event: Event | None) -> None:
        if event is not None:
            with self._lock:
                self._run(event.queue, event.behind)

    def _run(self, name: str, behind: int) -> None:
        queue = self._queues.get(name, [])
        while self._done.get(name, 0) < behind:
            at = self._done.get(name, 0)
            self._done[name] = at + 1
            work, queue[at] = queue[at], _nothing
            work()


def _nothing() -> None:
    raise AssertionError("done twice")


class LazyFetch:
    def __init__(self, streams: LazyStreams, array: np.ndarray) -> None:
        self._streams, self._to = streams, poisoned(array.shape, array.dtype)
        to = self._to
        streams.ask(lambda: np.copyto(to, array))
        self._event = streams.record()

    def wait(self) -> np.ndarray:
        self._streams.finish(self._event)
        return self._to


def poisoned(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    out = np.empty(shape, kind)
    out.reshape(-1).view(np.uint8)[...] = POISON
    return out


class LazyModule:
    """Before a module of the CPU's."""

    def __init__(self, module: Any, streams: LazyStreams) -> None:
        self._module, self._streams = module, streams

    def put(self, array: np.ndarray) -> np.ndarray:
        held = np.array(array, order="C", copy=True)
        out = poisoned(held.shape, held.dtype)
        self._streams.ask(lambda: np.copyto(out, held))
        return out

    def zeros(self, shape: tuple[int, ...], kind: Any) -> np.ndarray:
        out = poisoned(shape, kind)
        self._streams.ask(lambda: out.fill(0))
        return out

    def host(self, shape: tuple[int, ...], kind: Any) -> np.ndarray:
        return np.zeros(shape, kind)

    def write(self, target: np.ndarray, host: np.ndarray) -> None:
        # Read when the copy is made, as from pinned memory.
        self._streams.ask(lambda: np.copyto(target, host))

    def fetch(self, array: np.ndarray) -> LazyFetch:
        return LazyFetch(self._streams, array)

    def get(self, array: np.ndarray) -> np.ndarray:
        return self.fetch(array).wait()

    def shared(self, plane: Any) -> np.ndarray:
        return np.from_dlpack(plane)

    def copy(self, target: np.ndarray, array: np.ndarray) -> None:
        # Read when the copy is made: a decoder may have taken its memory back by then.
        self._streams.ask(lambda: np.copyto(target, array))

    def take(self, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        out = poisoned((len(rows), *array.shape[1:]), array.dtype)
        self._streams.ask(lambda: np.copyto(out, array[rows]))
        return out

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def trim(self) -> None:
        pass

    def address(self, array: np.ndarray) -> int:
        return int(array.ctypes.data)

    def launch(self, kernel: str, threads: int, *args: Any) -> None:
        self._streams.ask(lambda: self._module.launch(kernel, threads, *args))


def lazy_kernels(shim: DeviceKernels, streams: LazyStreams) -> DeviceKernels:
    """The same kernels on such queues."""
    made: dict[str, LazyModule] = {}

    def load(name: str) -> LazyModule:
        return made.setdefault(name, LazyModule(shim[name], streams))

    return DeviceKernels("cpu", load, streams=streams)
