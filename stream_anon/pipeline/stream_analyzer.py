"""One video stream on its way through detection and tracking."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stream_anon.config import Config
from stream_anon.detection.base import Detector, Look
from stream_anon.detection.checks import check_look
from stream_anon.detection.types import Face, TrackedFace
from stream_anon.errors import DetectorFault, Fault, FrameFault, GateError, TrackerFault
from stream_anon.media.frame import Frame, Pixels
from stream_anon.pipeline.labels import OtherLabels
from stream_anon.regions import Region
from stream_anon.tracking.attention import Attention
from stream_anon.tracking.over_cover import TrackingResult
from stream_anon.tracking.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AnalyzedFrame:
    """A frame whose faces are known, or known not to be known.

    Attributes:
        frame: as decoded.
        faces: to be painted.
        ended: tracks that will not come again, as text.
        analysis_error: why the faces are not known, if they are not.
        others: what else is to be painted.
    """

    frame: Frame
    faces: tuple[TrackedFace, ...]
    ended: tuple[str, ...]
    analysis_error: Fault | None
    others: tuple[Region, ...] = ()


class StreamAnalyzer:
    """Holds the frames of one stream until the tracker has decided about them.

    Attributes:
        detections_run: frames that the detector saw whole.
        partial_detections_run: likewise in part.
        notes: what the report should say.

    Args:
        detector: shared between analyzers, used by one thread.
        tracker: of this stream alone.
        config: memory limit and fault policy.
        others: what is looked for beside faces, of this stream alone; None: nothing.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: Tracker,
        config: Config,
        others: OtherLabels | None = None,
    ) -> None:
        self._others = others
        self._detector = detector
        self._tracker = tracker
        self._form: tuple[int, int, int] | None = None
        self._stops = config.fault.policy == "stop"
        self._budget = config.tracker.window_megabytes << 20
        self._waiting: deque[Frame] = deque()
        self._analysis_errors: dict[int, Fault] = {}
        self._analysis_error: Fault | None = None
        self._last_seen = self._last_whole = -1
        self.detections_run = 0
        self.partial_detections_run = 0
        self.notes: list[str] = []

    def push(self, frame: Frame) -> Iterator[AnalyzedFrame]:
        """Take the next frame and yield those that are decided.

        Raises:
            Fault: detection or tracking failed and the policy is to stop, or, under either
                policy, the frame has another size than those before it.
        """
        form = frame.width, frame.height, frame.quarter_turns
        if self._form is None:
            self._form = form
            self._limit(frame)
        elif form != self._form:
            # Boxes of one size mean nothing in another; a source says so by a gap.
            raise FrameFault(f"frame {frame.index} of stream {frame.stream} has changed its size")
        try:
            frame = frame.detach()
            luma = frame.luma(self._tracker.luma_step)
            self._look_back_once(self._tracker.ending(frame.seconds, luma))
            self._waiting.append(frame)
            attention = self._tracker.needs_detection(frame.index, frame.seconds, luma)
            if self._analysis_error is not None:
                attention = Attention(None)
            look = None if attention is None else self._detect(frame, attention)
            seen = (None, None, None) if look is None else (look.faces, look.areas, look.glance)
            self._look_for_others(frame, luma, None if look is None else look.all_faces)
            decided = self._tracker.push(frame.index, frame.seconds, luma, *seen)
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        if self._analysis_error is not None:
            self._analysis_errors[frame.index] = self._analysis_error
        yield from map(self._pair, decided)

    def pace(self, interval: float) -> None:
        """Let the detector look within another interval, in seconds; see ``Tracker.pace``."""
        self._tracker.pace(interval)

    def _limit(self, frame: Frame) -> None:
        """Bound the frames that wait by memory, but never below what looking back needs."""
        size, least = max(frame.nbytes, 1), self._tracker.least_waiting
        affordable = self._budget // size
        if affordable < least:
            self.notes.append(
                f"frames of {size >> 20} MiB: {least} of them wait and take "
                f"{least * size >> 20} MiB, more than window_megabytes ({self._budget >> 20})"
            )
            log.warning("%s", self.notes[-1])
            if least * size > _memory() // 2:
                raise TrackerFault(
                    f"frames of {size >> 20} MiB: there is no memory for the {least} that must "
                    f"wait; shorten tracker.backfill or tracker.interval"
                )
        self._tracker.limit(max(least, affordable))

    def _look_back_once(self, attention: Attention | None) -> None:
        """Look at the last frame before what comes after it makes it the past."""
        if attention is None or not self._waiting:
            return
        look = self._detect(self._waiting[-1], attention)
        if look is not None:
            self._tracker.look_again(look.faces, look.areas)

    def flush(self) -> Iterator[AnalyzedFrame]:
        """Yield what is left at the end of the stream.

        Raises:
            GateError: the tracker did not decide about every frame.
        """
        try:
            self._look_back_once(self._tracker.ending())
            decided = self._tracker.flush()
            last = decided[-1].index if decided else None
        except Fault:
            raise
        except Exception as error:
            raise TrackerFault(f"the tracker failed: {type(error).__name__}: {error}") from error
        for one in decided:
            made = self._pair(one)
            if one.index == last and self._others is not None:
                made.ended += self._others.flush()
            yield made
        if self._waiting:
            raise GateError(f"{len(self._waiting)} frames were never decided")

    def _detect(self, frame: Frame, attention: Attention) -> Look | None:
        try:
            look = self._look(frame, attention)
        except DetectorFault as fault:
            self._fail_since_last_detection(fault)
            return None
        except Exception as error:  # noqa: BLE001 - raised again, or every frame is covered whole
            failed = DetectorFault(f"the detector failed: {type(error).__name__}: {error}")
            failed.__cause__ = error
            self._fail_since_last_detection(failed)
            return None
        self._analysis_error = None
        self._last_seen = frame.index
        if look.areas is None:
            self.detections_run += 1
            self._last_whole = frame.index
        else:
            self.partial_detections_run += 1
        return look

    def _look(self, frame: Frame, attention: Attention) -> Look:
        """Look closely where that is asked for, and have a glance at what came at once."""
        detector, turns = self._detector, frame.quarter_turns
        form = frame.width, frame.height, detector.name
        look = Look([], np.zeros((0, 4)))
        if attention.regions is None or len(attention.regions):
            look = detector.look(frame, turns, attention.regions)
            check_look(look, *form)
        if not len(attention.sudden) or look.areas is None:
            return look
        glance = detector.glance(frame, turns, attention.sudden, attention.smallest)
        check_look(glance, *form)
        if glance.areas is None:
            # All of the frame after all, and as closely as ever.
            return glance
        return replace(look, glance=(glance.faces, glance.areas))

    def _look_for_others(self, frame: Frame, luma: Pixels, faces: list[Face] | None) -> None:
        if self._others is None:
            return
        try:
            self._others.push(frame, luma, self._tracker.luma_step, faces)
        except DetectorFault as fault:
            self._fail_since_last_detection(fault, self._others.last_looked)
        except Exception as error:  # noqa: BLE001 - as of the detector of faces
            failed = DetectorFault(
                f"the detector of other labels failed: {type(error).__name__}: {error}"
            )
            failed.__cause__ = error
            self._fail_since_last_detection(failed, self._others.last_looked)

    def _fail_since_last_detection(
        self, fault: DetectorFault, last_looked: int | None = None
    ) -> None:
        if self._stops:
            raise fault
        # Whoever came into the frame since the last successful detector run is not known either,
        # nor who was to be looked at soon after it.
        self._analysis_error = fault
        soon = self._last_seen - self._tracker.look_frames + 1
        since = max(self._last_whole, soon)
        if last_looked is not None:
            since = min(since, last_looked)
        for waiting in self._waiting:
            if waiting.index > since:
                self._analysis_errors[waiting.index] = fault

    def _pair(self, decided: TrackingResult) -> AnalyzedFrame:
        if not self._waiting or self._waiting[0].index != decided.index:
            raise GateError(f"the tracker decided about frame {decided.index} out of turn")
        frame = self._waiting.popleft()
        error = self._analysis_errors.pop(decided.index, None)
        if self._others is None:
            return AnalyzedFrame(frame, decided.faces, tuple(map(str, decided.ended)), error)
        try:
            faces, others, ended = self._others.decide(decided.index, decided.faces, decided.ended)
        except Exception as problem:
            why = f"{type(problem).__name__}: {problem}"
            raise TrackerFault(f"the tracker of other labels failed: {why}") from problem
        return AnalyzedFrame(frame, faces, ended, error, others)


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
