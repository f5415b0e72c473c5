"""One video stream on its way through detection and tracking."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stream_anon.config import Config
from stream_anon.errors import DetectorFault, Fault, GateError, TrackerFault
from stream_anon.faces.attention import Attention
from stream_anon.faces.detector import Detector, Look
from stream_anon.faces.face import TrackedFace
from stream_anon.faces.tracker import Decided, Tracker
from stream_anon.video.picture import Picture

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Judged:
    """A picture whose faces are known, or known not to be known.

    Attributes:
        picture: as decoded.
        faces: to be painted.
        ended: tracks that will not come again.
        doubt: why the faces are not known, if they are not.
    """

    picture: Picture
    faces: tuple[TrackedFace, ...]
    ended: tuple[int, ...]
    doubt: Fault | None


class Lane:
    """Holds the pictures of one stream until the tracker has decided about them.

    Attributes:
        looked_at: pictures that the detector saw whole.
        looked_at_parts: likewise in part.
        notes: what the report should say.

    Args:
        detector: shared between lanes, used by one thread.
        tracker: of this stream alone.
        config: memory limit and fault policy.
        turns: quarter turns, counter-clockwise, that make the pictures upright.
    """

    def __init__(
        self, detector: Detector, tracker: Tracker, config: Config, turns: int = 0
    ) -> None:
        self._detector = detector
        self._tracker = tracker
        self._turns = turns
        self._stops = config.fault.policy == "stop"
        self._budget = config.tracker.window_megabytes << 20
        self._waiting: deque[Picture] = deque()
        self._doubts: dict[int, Fault] = {}
        self._doubt: Fault | None = None
        self._last_seen = self._last_whole = -1
        self.looked_at = 0
        self.looked_at_parts = 0
        self.notes: list[str] = []

    def push(self, picture: Picture) -> Iterator[Judged]:
        """Take the next picture and yield those that are decided.

        Raises:
            Fault: detection or tracking failed and the policy is to stop.
        """
        if picture.index == 0:
            self._limit(picture)
        try:
            luma = picture.luma(self._tracker.luma_step)
            self._look_back_once(self._tracker.ending(picture.seconds, luma))
            self._waiting.append(picture)
            attention = self._tracker.due(picture.index, picture.seconds, luma)
            if self._doubt is not None:
                attention = Attention(None)
            look = None if attention is None else self._detect(picture, attention)
            faces, areas = (None, None) if look is None else (look.faces, look.areas)
            decided = self._tracker.push(picture.index, picture.seconds, luma, faces, areas)
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        if self._doubt is not None:
            self._doubts[picture.index] = self._doubt
        yield from map(self._pair, decided)

    def _limit(self, picture: Picture) -> None:
        """Bound the pictures that wait by memory, but never below what looking back needs."""
        size, least = max(picture.nbytes, 1), self._tracker.least_waiting
        affordable = self._budget // size
        if affordable < least:
            self.notes.append(
                f"pictures of {size >> 20} MiB: {least} of them wait and take "
                f"{least * size >> 20} MiB, more than window_megabytes ({self._budget >> 20})"
            )
            log.warning("%s", self.notes[-1])
            if least * size > _memory() // 2:
                raise TrackerFault(
                    f"pictures of {size >> 20} MiB: there is no memory for the {least} that must "
                    f"wait; shorten tracker.look_back or tracker.interval"
                )
        self._tracker.limit(max(least, affordable))

    def _look_back_once(self, attention: Attention | None) -> None:
        """Look at the last picture before what comes after it makes it the past."""
        if attention is None or not self._waiting:
            return
        look = self._detect(self._waiting[-1], attention)
        if look is not None:
            self._tracker.look_again(look.faces, look.areas)

    def flush(self) -> Iterator[Judged]:
        """Yield what is left at the end of the stream.

        Raises:
            GateError: the tracker did not decide about every picture.
        """
        try:
            self._look_back_once(self._tracker.ending())
            decided = self._tracker.flush()
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        yield from map(self._pair, decided)
        if self._waiting:
            raise GateError(f"{len(self._waiting)} pictures were never decided")

    def _detect(self, picture: Picture, attention: Attention) -> Look | None:
        try:
            look = self._detector.look(picture, self._turns, attention.regions)
        except DetectorFault as fault:
            self._doubt_since_last_look(fault)
            return None
        except Exception as error:  # noqa: BLE001 - raised again, or every picture is covered whole
            failed = DetectorFault(f"the detector failed: {type(error).__name__}: {error}")
            failed.__cause__ = error
            self._doubt_since_last_look(failed)
            return None
        self._doubt = None
        self._last_seen = picture.index
        if look.areas is None:
            self.looked_at += 1
            self._last_whole = picture.index
        else:
            self.looked_at_parts += 1
        return look

    def _doubt_since_last_look(self, fault: DetectorFault) -> None:
        if self._stops:
            raise fault
        # Whoever came into the picture since the last good look is not known either, nor who was
        # to be looked at soon after it.
        self._doubt = fault
        soon = self._last_seen - self._tracker.look_pictures + 1
        since = max(self._last_whole, soon)
        for waiting in self._waiting:
            if waiting.index > since:
                self._doubts[waiting.index] = fault

    def _pair(self, decided: Decided) -> Judged:
        if not self._waiting or self._waiting[0].index != decided.index:
            raise GateError(f"the tracker decided about picture {decided.index} out of turn")
        picture = self._waiting.popleft()
        return Judged(picture, decided.faces, decided.ended, self._doubts.pop(decided.index, None))


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
