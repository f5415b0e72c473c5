"""One video stream on its way through detection and tracking."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stream_anon.config import Config
from stream_anon.errors import DetectorFault, Fault, GateError, TrackerFault
from stream_anon.faces.detector import Detector
from stream_anon.faces.face import Face, TrackedFace
from stream_anon.faces.tracker import Decided, Tracker
from stream_anon.video.picture import Picture


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
        self._last_seen = -1
        self.looked_at = 0

    def push(self, picture: Picture) -> Iterator[Judged]:
        """Take the next picture and yield those that are decided.

        Raises:
            Fault: detection or tracking failed and the policy is to stop.
        """
        if picture.index == 0:
            self._tracker.limit(max(1, math.floor(self._budget / max(picture.nbytes, 1))))
        self._waiting.append(picture)
        try:
            luma = picture.luma(self._tracker.luma_step)
            due = self._tracker.due(picture.index, picture.seconds, luma)
            faces = self._detect(picture) if due or self._doubt is not None else None
            decided = self._tracker.push(picture.index, picture.seconds, luma, faces=faces)
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        if self._doubt is not None:
            self._doubts[picture.index] = self._doubt
        yield from map(self._pair, decided)

    def flush(self) -> Iterator[Judged]:
        """Yield what is left at the end of the stream.

        Raises:
            GateError: the tracker did not decide about every picture.
        """
        try:
            decided = self._tracker.flush()
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        yield from map(self._pair, decided)
        if self._waiting:
            raise GateError(f"{len(self._waiting)} pictures were never decided")

    def _detect(self, picture: Picture) -> list[Face] | None:
        self.looked_at += 1
        try:
            faces = self._detector.detect(picture, self._turns)
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
        return faces

    def _doubt_since_last_look(self, fault: DetectorFault) -> None:
        if self._stops:
            raise fault
        # Whoever came into the picture since the last good look is not known either.
        self._doubt = fault
        for waiting in self._waiting:
            if waiting.index > self._last_seen:
                self._doubts[waiting.index] = fault

    def _pair(self, decided: Decided) -> Judged:
        if not self._waiting or self._waiting[0].index != decided.index:
            raise GateError(f"the tracker decided about picture {decided.index} out of turn")
        picture = self._waiting.popleft()
        return Judged(picture, decided.faces, decided.ended, self._doubts.pop(decided.index, None))
