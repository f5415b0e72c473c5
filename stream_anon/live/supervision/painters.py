"""The painting processes, and which cameras each of them has.

Python runs one thread of a process at a time, so that one process uses little more than one
processor, however many cameras it has: several share them (docs/results/live.md says what that
gives). One that dies takes its own cameras alone with it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Literal

from stream_anon.live.spawn import Process


def most(wanted: int | Literal["auto"], device: str) -> int:
    """How many painting processes there may be.

    Args:
        wanted: ``painters`` of the configuration. "auto" is one a processor that this process
            may use; one alone where an accelerator paints, which several would only divide.
        device: where frames are painted: "auto", "cpu" or "cuda".
    """
    if wanted != "auto":
        return wanted
    return 1 if device == "cuda" else len(os.sched_getaffinity(0))


class Painters:
    """At most so many painting processes, each with a camera at least.

    Args:
        most: processes.
        make: a process of this name, which calls what it is given after each start.
    """

    def __init__(self, most: int, make: Callable[[str, Callable[[], None]], Process]) -> None:
        self._most, self._make = most, make
        self._cameras: dict[str, Process] = {}
        self._ending: list[Process] = []
        self.begun: Callable[[str], None] = lambda camera: None
        """Called with each of its cameras when a painter has begun, anew or not."""

    @property
    def processes(self) -> list[Process]:
        """Those that have cameras, in the order in which they got them, then those that end."""
        self._ending = [one for one in self._ending if one.running]
        return [*self._active, *self._ending]

    @property
    def names(self) -> list[str]:
        """Of those that have cameras."""
        return [one.name for one in self._active]

    @property
    def _active(self) -> list[Process]:
        return list(dict.fromkeys(self._cameras.values()))

    @property
    def alive(self) -> bool:
        """Whether all that have cameras live."""
        return all(one.alive for one in self._active)

    def of(self, camera: str) -> Process | None:
        """Who paints this camera; None where nobody does."""
        return self._cameras.get(camera)

    def add(self, camera: str) -> Process:
        """Give a camera to whoever has fewest of them; one that has a painter keeps it."""
        if camera not in self._cameras:
            active = self._active
            if len(active) < self._most:
                taken = {one.name for one in self.processes}
                free = (f"painter {number}" for number in itertools.count(1))
                name = next(name for name in free if name not in taken)
                self._cameras[camera] = self._make(name, lambda: self._tell(name))
            else:
                load = list(self._cameras.values())
                self._cameras[camera] = min(active, key=load.count)
        return self._cameras[camera]

    def remove(self, camera: str) -> None:
        """Nobody paints this camera any more; who has no other one ends."""
        process = self._cameras.pop(camera, None)
        if process is not None and process not in self._cameras.values():
            process.end()
            process.send({"type": "stop"})
            self._ending.append(process)

    def _tell(self, name: str) -> None:
        for camera, process in list(self._cameras.items()):
            if process.name == name:
                self.begun(camera)
