"""One detector for several cameras: what their threads ask of its network at the same time is run
in one batch.

Nobody waits for a batch to fill. While the network runs, requests gather; whoever comes next
takes those of the same size along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.base import Array, Detector, Look, View
from stream_anon.detection.network import BATCHES, NetworkDetector
from stream_anon.detection.types import Face

Pixels = NDArray[np.uint8]
Given = TypeVar("Given")

LARGEST: Final = 256 * 384
"""Network pixels of a tile above which a batch costs more than its tiles one after the other
(``python -m tests.live.costs.batch``)."""


class _Request:
    """What one thread asks.

    Attributes:
        images: (n, height, width, 3) uint8.
        answers: one for each image, or what was raised.
    """

    def __init__(self, images: Pixels) -> None:
        self.images = images
        self.answers: list[Any] | BaseException | None = None

    def take(self) -> list[Any]:
        """The answers.

        Raises:
            BaseException: as it was raised by the run.
        """
        if isinstance(self.answers, BaseException):
            raise self.answers
        return self.answers or []


class Together:
    """Runs what several threads ask for at the same time as one batch; one batch at a time.

    Attributes:
        runs, requests: how often the network was asked, and by how many.

    Args:
        run: (n, height, width, 3) uint8 to n answers.
        most: images at once.
    """

    def __init__(self, run: Callable[[Pixels], list[Any]], most: int = BATCHES[0]) -> None:
        self.runs = self.requests = 0
        self._run, self._most = run, most
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._busy = False

    def __call__(self, images: Pixels) -> list[Any]:
        """Answers for these images; what a run of others raises is not raised here."""
        own = _Request(images)
        with self._changed:
            self._waiting.append(own)
            while self._busy and own.answers is None:
                self._changed.wait()
            if own.answers is not None:
                return own.take()
            self._busy = True
            group = self._alike(own)
            self._waiting = [one for one in self._waiting if one not in group]
        try:
            self._answer(group)
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
        return own.take()

    def _alike(self, own: _Request) -> list[_Request]:
        """Those that can be run with ``own``, and itself."""
        group, count = [own], len(own.images)
        shape = own.images.shape[1:]
        if shape[0] * shape[1] > LARGEST:
            return group
        for one in self._waiting:
            fits = count + len(one.images) <= self._most
            fits &= type(one.images) is type(own.images)
            if one is not own and one.images.shape[1:] == shape and fits:
                group.append(one)
                count += len(one.images)
        return group

    def _answer(self, group: list[_Request]) -> None:
        self.runs += 1
        self.requests += len(group)
        if len(group) > 1:
            try:
                answers = self._run(_joined([one.images for one in group]))
            except Exception:  # noqa: BLE001 - found out below whose it is
                answers = []
            if len(answers) == sum(len(one.images) for one in group):
                for one in group:
                    one.answers, answers = answers[: len(one.images)], answers[len(one.images) :]
                return
        for one in group:
            # Each on its own: what fails for one camera is no doubt about the others.
            try:
                one.answers = self._run(one.images)
            except BaseException as error:  # noqa: BLE001 - raised where it was asked
                one.answers = error


def _joined(parts: list[Any]) -> Any:
    """Images of one kind as one array, where they lie: NumPy's, or tensors on a device."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


class SharedDetector(Detector):
    """One detector for the threads of several cameras.

    A network of ours is asked by all of them at once and runs batches; whatever else it is works
    for one at a time.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._lock: threading.Lock | None = threading.Lock()
        self.name = detector.name  # type: ignore[misc]
        if isinstance(detector, NetworkDetector):
            if not isinstance(detector.run, Together):
                detector.run = Together(detector.run)
            self._lock = None

    def detect(self, view: View, quarter_turns: int = 0) -> list[Face]:
        """See ``Detector.detect``."""
        return self._alone(self._detector.detect, view, quarter_turns)

    def look(self, view: View, quarter_turns: int = 0, regions: Array | None = None) -> Look:
        """See ``Detector.look``."""
        return self._alone(self._detector.look, view, quarter_turns, regions)

    def glance(self, view: View, quarter_turns: int, regions: Array, smallest: float) -> Look:
        """See ``Detector.glance``."""
        return self._alone(self._detector.glance, view, quarter_turns, regions, smallest)

    def _alone(self, action: Callable[..., Given], *given: Any) -> Given:
        if self._lock is None:
            return action(*given)
        with self._lock:
            return action(*given)
