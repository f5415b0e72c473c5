"""Following people through a video: detections in, what to paint in each frame out.

Frames are decided in order and each exactly once, after a bounded delay: what the
detector finds later may still change the past. At a shot cut every track ends, and
nothing is followed, held or looked back across it.

The tracker also says where the detector must look, and when: at once where something is new,
soon where something moves or somebody is followed, now and then everywhere. Time stamps are
not believed for that (``StreamClock``), and every span is counted in frames as well.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import TrackerConfig
from stream_anon.detection.types import Face
from stream_anon.errors import TrackerFault
from stream_anon.tracking import association, template_matching
from stream_anon.tracking.attention import DOUBTFUL, LOOK_RATE, Attention, Schedule
from stream_anon.tracking.clock import StreamClock
from stream_anon.tracking.over_cover import CONFIRMED_SCORE, TrackingResult, over_cover
from stream_anon.tracking.shot_boundary import CutDetector
from stream_anon.tracking.trajectory import BufferedFrame, Trajectory, observation_of

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

TENTATIVE_SCORE = 0.4
"""A face that was seen once only, with less than this score, may be a trick of the light: it
is painted for ``interval`` about that detection, not for the whole of ``backfill`` and
``max_age``."""

PART_GROWTH = 0.06
"""Share by which a box is grown that was found in a part of a frame: with less around it, the
detector draws it less exactly."""

FEWEST = 2
"""Frames that every span covers at least, however slow the camera."""


class Tracker:
    """One video stream's tracks.

    For each frame in presentation order: ask ``ending``, and where it says so run the detector
    on the frame before and ``look_again``; then ask ``needs_detection``, run the detector if it is,
    then ``push``. At the end ask ``ending`` once more, then ``flush``. Not to be shared between
    threads.

    Attributes:
        delay: seconds of video that a frame waits for what comes after it.
        luma_step: distance of the luma samples that should be given.
        least_waiting: frames that must be able to wait, for ``limit``.
    """

    def __init__(
        self,
        config: TrackerConfig,
        width: int,
        height: int,
        rate: float,
        track_ids: Iterator[int],
        threshold: float = 0.2,
        quarter_turns: int = 0,
        smallest: float = 20.0,
    ) -> None:
        """Set up for one stream.

        Args:
            config: spans of time, margin.
            width: of the frames, in pixels.
            height: likewise.
            rate: frames per second, nominal; real times come with the frames.
            track_ids: gives each new track its number.
            threshold: score from which a detection starts a track; lower ones only continue.
            quarter_turns: quarter turns, counter-clockwise, that make the frames upright.
            smallest: side in pixels of the smallest face that matters.

        Raises:
            ValueError: a size or the rate is not positive.
        """
        if width <= 0 or height <= 0 or not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"no such video: {width}x{height} at {rate} a second")
        self.config, self.width, self.height = config, width, height
        self._clock = StreamClock(rate)
        # A face may vanish just after one detector run and be back just before another.
        self._max_gap = config.max_gap + config.interval
        self.delay = max(config.backfill, self._max_gap)
        if config.latency is not None:
            self.delay = min(self.delay, config.latency)
        self.luma_step = template_matching.luma_step(width, height)
        self._track_ids, self._threshold, self._quarter_turns = track_ids, threshold, quarter_turns
        self._schedule = Schedule(
            config, self.delay, self._clock.usual, (width, height), self.luma_step, smallest
        )
        self.least_waiting = self.look_frames + self._frames(min(config.backfill, self.delay))
        self._most_waiting: int | None = None
        self._short = self.delay < self._max_gap - 1e-6
        self._cuts = CutDetector()
        self._tracks: list[Trajectory] = []
        self._closed: list[Trajectory] = []
        self._waiting: deque[tuple[int, float]] = deque()
        self._seen: deque[BufferedFrame] = deque()
        self._now: BufferedFrame | None = None
        self._next_cut: bool | None = None
        self._pushed = -1

    @property
    def look_frames(self) -> int:
        """Frames within which whatever moves is looked at."""
        return self._schedule.frames

    def pace(self, interval: float) -> None:
        """Let the detector look within another interval from now on.

        Args:
            interval: seconds; never longer than frames wait for what comes after them.

        Raises:
            ValueError: it is not positive.
        """
        if not interval > 0:
            raise ValueError(f"there is no interval of {interval} s")
        self._schedule.pace(interval)

    def limit(self, frames: int) -> None:
        """Never keep more than this many frames waiting, whatever ``delay`` says.

        The detector then looks at least as often as that, and gaps that can no longer be
        bridged in hindsight are painted ahead of it.

        Raises:
            ValueError: the number is negative.
        """
        if frames < 0:
            raise ValueError(f"{frames} frames cannot wait")
        self._most_waiting = frames
        self._schedule.limit(frames)
        self._short = self._short or frames < self._frames(self._max_gap)

    def ending(self, seconds: float | None = None, luma: Luma | None = None) -> Attention | None:
        """Whether the last frame must be looked at (again) before the next one comes.

        Whoever came into it since the last detector run would never be looked for: after a cut, a
        jump of the time stamps, or the end, nobody looks back.

        Args:
            seconds: the next frame's time stamp; None at the end of the stream.
            luma: of the next frame, as for ``needs_detection``.

        Returns:
            Where in the last frame the detector must look before anything else is done.
        """
        if self._now is None or self._now.index != self._pushed:
            return None
        if seconds is not None and luma is not None:
            self._next_cut = self._cuts.push(luma)
            if not self._next_cut and not self._clock.jumps(seconds):
                return None
        return self._schedule.unseen(self._tracks)

    def look_again(self, faces: Sequence[Face], areas: Array | None = None) -> None:
        """Take what the detector found in the last frame, after ``ending``.

        Args:
            faces: what it found.
            areas: as for ``push``.
        """
        if self._now is not None:
            self._take(self._now, faces, areas, None)

    def needs_detection(self, index: int, seconds: float, luma: Luma) -> Attention | None:
        """Where the detector must look in this frame, or None where it need not.

        Args:
            index: of the frame; larger than all before.
            seconds: its time stamp; any number.
            luma: (h, w) uint8, every ``luma_step``-th sample of it.

        Raises:
            TrackerFault: the frames do not come in order, or the luma is no such.
        """
        self._advance(index, seconds, luma)
        return self._schedule.needs_detection(self._tracks)

    def push(
        self,
        index: int,
        seconds: float,
        luma: Luma,
        faces: Sequence[Face] | None = None,
        areas: Array | None = None,
        glance: tuple[Sequence[Face], Array] | None = None,
    ) -> list[TrackingResult]:
        """Take the next frame and give out those that are now decided.

        Args:
            index: as for ``needs_detection``.
            seconds: as for ``needs_detection``.
            luma: as for ``needs_detection``; it is copied.
            faces: what the detector found, or None where it did not look.
            areas: (n, 4) float64 pixels, the parts of the frame in which it looked; None for all.
            glance: faces and areas of a look for large faces, beside the other.

        Raises:
            TrackerFault: as from ``needs_detection``, or a frame is pushed twice.
        """
        if index <= self._pushed:
            raise TrackerFault(f"frame {index} came after frame {self._pushed}")
        now = self._advance(index, seconds, luma)
        self._pushed = index
        if faces is not None:
            self._take(now, faces, areas, glance)
        self._close(now)
        self._seen.append(now)
        self._waiting.append((index, now.seconds))
        return self._release(now.seconds)

    def flush(self) -> list[TrackingResult]:
        """The stream is over: decide all frames that wait and end all tracks."""
        self._closed.extend(self._tracks)
        self._tracks = []
        decided = [self._decide(*self._waiting.popleft()) for _ in range(len(self._waiting))]
        if decided:
            last = decided[-1]
            rest = tuple(track.number for track in self._closed)
            decided[-1] = TrackingResult(
                last.index, last.faces, tuple(sorted({*last.ended, *rest}))
            )
        self._closed = []
        self._seen.clear()
        return decided

    def _advance(self, index: int, seconds: float, luma: Luma) -> BufferedFrame:
        """Move all tracks on to this frame, once."""
        if self._now is not None and self._now.index == index:
            return self._now
        if self._now is not None and index < self._now.index:
            raise TrackerFault(f"frame {index} came after frame {self._now.index}")
        if luma.ndim != 2 or luma.dtype != np.uint8 or not luma.size:
            raise TrackerFault(f"frame {index} has no luma")
        cut = self._cuts.push(luma) if self._next_cut is None else self._next_cut
        self._next_cut = None
        # A jump in time is a cut to the detector. The tracks go on: they can only cover more.
        begins = self._now is None or cut or self._clock.jumps(seconds)
        step = max(1, round(self.width / luma.shape[1]))
        now = BufferedFrame(index, self._clock.push(seconds), luma.copy(), step)
        self._schedule.push(index, now.seconds, now.luma, begins)
        if cut:
            self._closed.extend(self._tracks)
            self._tracks = []
            self._seen.clear()
        for track in self._tracks:
            track.follow(now)
        self._now = now
        return now

    def _take(
        self,
        now: BufferedFrame,
        faces: Sequence[Face],
        areas: Array | None,
        glance: tuple[Sequence[Face], Array] | None,
    ) -> None:
        """What the detector found in ``now``, and where it looked.

        The strong faces are given to tracks first, the faint ones to what is left.
        """
        self._schedule.looked(areas, self._tracks)
        growth = 1.0 if areas is None else 1.0 + PART_GROWTH
        glimpsed: list[Face] = []
        if glance is not None:
            self._schedule.glanced(glance[1])
            # It sees them less well: those that are followed or found by the look stay as they are.
            known = [t.box for t in self._tracks if t.followed and t.detections_run > 1]
            seen = np.array(known + [face.box for face in faces]).reshape(-1, 4)
            boxes = np.array([face.box for face in glance[0]]).reshape(-1, 4)
            glimpsed = list(itertools.compress(glance[0], association.unknown(boxes, seen)))
        strong = [face for face in (*faces, *glimpsed) if face.score >= self._threshold]
        tentative = [face for face in faces if face.score < self._threshold]
        free, strong = self._match(now, list(self._tracks), strong, 1.0, growth)
        _, tentative = self._match(now, free, tentative, 0.7, growth)
        for face in strong:
            first = observation_of(face, now.index, now.seconds, growth)
            track = Trajectory(next(self._track_ids), first, now)
            track.backfill(reversed(self._seen))
            self._tracks.append(track)
        doubtful = [face.box for face in tentative if face.score >= DOUBTFUL]
        unsure = [face.box for face in glimpsed if DOUBTFUL <= face.score < self._threshold]
        self._schedule.found(self._tracks, [*doubtful, *unsure], unsure)

    def _match(
        self,
        now: BufferedFrame,
        tracks: list[Trajectory],
        faces: list[Face],
        tightness: float,
        growth: float,
    ) -> tuple[list[Trajectory], list[Face]]:
        """Match and update; returns the tracks and faces that are left."""
        if not tracks or not faces:
            return tracks, faces
        predicted = np.array([track.box for track in tracks])
        gating_radii = np.array([track.gating_radius for track in tracks]) * tightness
        pairs = association.assign(
            association.costs(predicted, gating_radii, np.array([face.box for face in faces]))
        )
        for row, column in pairs:
            track = tracks[row]
            since = self._since(track.last.index)
            observation = observation_of(faces[column], now.index, now.seconds, growth)
            track.update(observation, now, since)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for k, track in enumerate(tracks) if k not in rows],
            [face for k, face in enumerate(faces) if k not in columns],
        )

    def _since(self, index: int) -> Iterator[BufferedFrame]:
        """The frames after this one that are still known, latest first."""
        return itertools.takewhile(lambda seen: seen.index > index, reversed(self._seen))

    def _frames(self, span: float) -> int:
        """Frames that a span covers at least, whatever the time stamps say."""
        rate = min(LOOK_RATE, 1.0 / self._clock.usual)
        return max(FEWEST, round(span * rate))

    def _close(self, now: BufferedFrame) -> None:
        """End tracks that were not seen for longer than ``max_gap`` or have left the frame."""
        for track in list(self._tracks):
            lost = now.seconds - track.last.seconds > self._max_gap + 1e-6
            lost = lost and now.index - track.last.index > self._frames(self._max_gap)
            if lost or (track.last.index != self._pushed and self._outside(track.box)):
                self._tracks.remove(track)
                self._closed.append(track)

    def _release(self, seconds: float) -> list[TrackingResult]:
        decided = []
        least = FEWEST if self._most_waiting is None else min(FEWEST, self._most_waiting)
        while self._waiting and (
            (seconds - self._waiting[0][1] >= self.delay - 1e-6 and len(self._waiting) > least)
            or (self._most_waiting is not None and len(self._waiting) > self._most_waiting)
        ):
            decided.append(self._decide(*self._waiting.popleft()))
        # Tracks are followed back only into frames that are not out yet.
        first = self._waiting[0][0] if self._waiting else self._pushed
        while self._seen and self._seen[0].index < first:
            self._seen.popleft()
        return decided

    def _decide(self, index: int, seconds: float) -> TrackingResult:
        estimates = []
        for track in (*self._tracks, *self._closed):
            confirmed = track.detections_run > 1 and track.best >= CONFIRMED_SCORE
            tentative = track.detections_run == 1 and track.best < TENTATIVE_SCORE
            spans = (self.config.backfill, self.config.max_age)
            back, max_age = (
                min(span, self.config.interval) if tentative else span for span in spans
            )
            if self._short and track.detections_run > 1:
                # No time to see whether somebody comes back: painted on until nobody can.
                max_age = max(max_age, self._max_gap)
            estimate = track.estimate(
                index,
                self._span(back),
                self._span(max_age),
                self._span(self.delay if confirmed else 0.0),
            )
            if estimate is not None:
                estimates.append((track.number, estimate))
        faces = over_cover(
            estimates, self.config.margin, (self.width, self.height), self._quarter_turns
        )
        painted = {face.track for face in faces}
        ended = [
            track
            for track in self._closed
            if track.last.index < index and track.number not in painted
        ]
        for track in ended:
            self._closed.remove(track)
        for track in self._tracks:
            track.forget(index)
        return TrackingResult(index, tuple(faces), tuple(sorted(track.number for track in ended)))

    def _span(self, seconds: float) -> tuple[float, int]:
        """A span in seconds and in frames; whichever covers more counts."""
        return seconds, self._frames(seconds) if seconds > 0 else 0

    def _outside(self, box: Array) -> bool:
        return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= self.width or box[1] >= self.height)
