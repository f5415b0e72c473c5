"""Threads joined by bounded queues, stopped together: the plumbing under a pipeline.

Three things go wrong with hand-made stages, and all three leave a program that waits for
ever: an exception in one worker that the others never hear of, a full queue whose reader has
died, and a call into a library that does not return. Here the first error stops every worker,
no wait on a queue outlasts a stop, and a worker that is busy with one item for too long is
reported as stalled.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, Literal, TypeVar

from stream_anon.errors import Cancelled, StallFault

T = TypeVar("T")

Policy = Literal["block", "drop-oldest", "drop-newest"]
"""What a full queue does: its writer waits (files), or something is dropped and counted (live)."""

POLL_SECONDS: Final = 0.05
JOIN_SECONDS: Final = 5.0
GAP_SECONDS: Final = 2.0


class _Stopped(Exception):
    """Unwinds a worker after a stop; never leaves this module."""


class Channel(Generic[T]):
    """A bounded first-in first-out queue that can be closed and that a stop wakes.

    Args:
        capacity: items it holds before it is full.
        policy: what happens then. ``drop-oldest`` drops the one that waits longest,
            ``drop-newest`` the one that comes.
        droppable: which items may be dropped; where none may, ``put`` waits under every policy.

    Attributes:
        dropped: items that were.
    """

    def __init__(
        self,
        capacity: int,
        policy: Policy = "block",
        droppable: Callable[[T], bool] | None = None,
    ) -> None:
        self.dropped = 0
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._policy = policy
        self._droppable = droppable or (lambda item: True)
        self._changed = threading.Condition()
        self._closed = False
        self._stopped = False

    def put(self, item: T) -> None:
        """Append; a full queue does as its policy says."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._stopped:
                if self._policy != "block" and self._drop(item):
                    self.dropped += 1
                    if self._policy == "drop-newest":
                        return
                    break
                self._changed.wait()
            if self._stopped:
                raise _Stopped
            self._items.append(item)
            self._changed.notify_all()

    def _drop(self, item: T) -> bool:
        """Make room, or find that the new item itself can go."""
        if self._policy == "drop-newest":
            return self._droppable(item)
        for index, waiting in enumerate(self._items):
            if self._droppable(waiting):
                del self._items[index]
                return True
        return False

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drop what is held and wake everybody."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items in order until the channel is closed and empty."""
        while True:
            with self._changed:
                while not self._items and not self._closed and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    raise _Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def waiting(self, most: int, whole: Callable[[T], bool]) -> list[T]:
        """Items that wait at this moment, in order, without waiting for more.

        Args:
            most: how many of them at most.
            whole: the last one of those that are taken is the first for which this holds.
        """
        with self._changed:
            found: list[T] = []
            while self._items and len(found) < most:
                found.append(self._items.popleft())
                if whole(found[-1]):
                    break
            if found:
                self._changed.notify_all()
            return found


class Flow:
    """Workers that run together and stop together.

    Args:
        stall_seconds: how long a worker may be busy with one item.
        cancel: set from outside to stop the run.
    """

    def __init__(self, stall_seconds: float, cancel: threading.Event | None = None) -> None:
        self._stall_seconds = stall_seconds
        self._cancel = cancel or threading.Event()
        self._channels: list[Channel[object]] = []
        self._workers: list[Worker] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._looked = self._awake = time.monotonic()

    def channel(
        self,
        capacity: int,
        policy: Policy = "block",
        droppable: Callable[[T], bool] | None = None,
    ) -> Channel[T]:
        """A queue that this flow stops; see ``Channel``."""
        made: Channel[T] = Channel(capacity, policy, droppable)
        self._channels.append(made)  # type: ignore[arg-type]
        return made

    def worker(self, name: str, body: Callable[[Worker], None]) -> None:
        """Add a thread; ``body`` calls ``Worker.busy`` around every piece of work."""
        self._workers.append(Worker(name, body, self._fail, self._ended.set))

    def run(self, tick: Callable[[], None]) -> None:
        """Start all workers, call ``tick`` now and then, and return when all have ended.

        Raises:
            StallFault: a worker was busy with one item for too long.
            Cancelled: ``cancel`` was set.
            BaseException: the first error of a worker, or of ``tick`` itself.
        """
        self._looked = time.monotonic()
        for worker in self._workers:
            worker.start()
        try:
            while any(worker.is_alive() for worker in self._workers) and self._error is None:
                self._ended.wait(POLL_SECONDS)
                self._ended.clear()
                self._watch()
                tick()
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt must stop the workers too
            self._fail(error)
        self._stop()
        if self._error is not None:
            raise self._error

    @property
    def stuck(self) -> tuple[str, ...]:
        """Names of workers that did not end after a stop; their threads are daemons."""
        return tuple(worker.name for worker in self._workers if worker.is_alive())

    def _watch(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("stopped before it was whole")
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        if gap > GAP_SECONDS:
            # This thread stood still as well: the process was stopped, or the machine slept.
            self._awake = now
        for worker in self._workers:
            doing = worker.doing
            if doing is not None and now - max(doing[1], self._awake) > self._stall_seconds:
                raise StallFault(f"{doing[0]} gave no answer for {self._stall_seconds:g} s")

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        for channel in self._channels:
            channel.stop()
        self._ended.set()

    def _stop(self) -> None:
        if self._error is not None:
            for channel in self._channels:
                channel.stop()
        stalled = isinstance(self._error, StallFault)
        deadline = time.monotonic() + (0.5 if stalled else JOIN_SECONDS)
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))


class Worker(threading.Thread):
    """One thread of a flow, with a note of what it is doing and how long everything took."""

    def __init__(
        self,
        name: str,
        body: Callable[[Worker], None],
        failed: Callable[[BaseException], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(name=f"stream-anon-{name}", daemon=True)
        self.doing: tuple[str, float] | None = None
        self._body = body
        self._failed = failed
        self._notify = ended

    def run(self) -> None:
        """Run the body; its error becomes the flow's."""
        try:
            self._body(self)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failed(error)
        finally:
            self.doing = None
            self._notify()

    def busy(
        self, what: str, clock: Clock, watched: bool = True, allowance: float = 0.0
    ) -> _Busy:
        """A context in which the worker's time is counted under ``what``.

        Args:
            what: the stage.
            clock: counts it.
            watched: being busy for too long is a stall.
            allowance: seconds more than usual that this may take, for what is more than one item.
        """
        return _Busy(self, what, clock, watched, allowance)


class Clock:
    """Seconds spent by stage, wall and processor time of the stage's own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def add(self, what: str, wall: float, cpu: float) -> None:
        """Count time under a stage."""
        with self._lock:
            self.wall[what] = self.wall.get(what, 0.0) + wall
            self.cpu[what] = self.cpu.get(what, 0.0) + cpu


class _Busy:
    __slots__ = ("_allowance", "_clock", "_cpu", "_outer", "_wall", "_watched", "_what", "_worker")

    def __init__(
        self, worker: Worker, what: str, clock: Clock, watched: bool, allowance: float
    ) -> None:
        self._worker, self._what, self._clock, self._watched = worker, what, clock, watched
        self._allowance = allowance

    def __enter__(self) -> None:
        self._outer = self._worker.doing
        self._wall, self._cpu = time.monotonic(), time.thread_time()
        since = self._wall + self._allowance
        self._worker.doing = (self._what, since) if self._watched else None

    def __exit__(self, *_: object) -> None:
        self._worker.doing = self._outer
        self._clock.add(
            self._what, time.monotonic() - self._wall, time.thread_time() - self._cpu
        )
