"""Following people through a video: detections in, what to paint in each picture out.

Pictures are decided in order and each exactly once, after a bounded delay: what the
detector finds later may still change the past. At a shot cut every track ends, and
nothing is followed, held or looked back across it.

The tracker also says where the detector must look, and when: at once where something is new,
soon where something moves or somebody is followed, now and then everywhere. Time stamps are
not believed for that (``StreamClock``), and every span is counted in pictures as well.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import TrackerConfig
from stream_anon.errors import TrackerFault
from stream_anon.faces import association, motion
from stream_anon.faces.align import align_all
from stream_anon.faces.attention import LOOK_RATE, Attention, Schedule
from stream_anon.faces.clock import StreamClock
from stream_anon.faces.cuts import CutDetector
from stream_anon.faces.face import Face, TrackedFace
from stream_anon.faces.smoothing import Place, Seen, Trajectory, sight_of

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

FAINT = 0.4
"""A face that was seen once only, with less than this score, may be a trick of the light: it
is painted for ``interval`` about that look, not for the whole of ``look_back`` and ``hold``."""

SURE = 0.5
"""A face that was seen twice, and once with this score, is painted beyond ``look_back`` and
``hold`` for as long as it can be followed."""

UNSURE = 0.15
"""Share of its size by which a face of score 0 is grown beyond the margin, one of ``SURE`` not at
all: boxes of profiles and half-hidden faces are off by about that much."""

FEWEST = 2
"""Pictures that every span covers at least, however slow the camera."""

_UNKNOWN: Array = np.full((5, 2), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What is to be painted in one picture.

    Attributes:
        index: of the picture, as it was pushed.
        faces: all of them, in order of their tracks' numbers.
        ended: tracks that no later picture carries.
    """

    index: int
    faces: tuple[TrackedFace, ...]
    ended: tuple[int, ...]


class Tracker:
    """One video stream's tracks.

    For each picture in presentation order: ask ``ending``, and where it says so run the detector
    on the picture before and ``look_again``; then ask ``due``, run the detector if it is, then
    ``push``. At the end ask ``ending`` once more, then ``flush``. Not to be shared between
    threads.

    Attributes:
        delay: seconds of video that a picture waits for what comes after it.
        luma_step: distance of the luma samples that should be given.
        least_waiting: pictures that must be able to wait, for ``limit``.
    """

    def __init__(
        self,
        config: TrackerConfig,
        width: int,
        height: int,
        rate: float,
        numbers: Iterator[int],
        threshold: float = 0.2,
        turns: int = 0,
        smallest: float = 20.0,
    ) -> None:
        """Set up for one stream.

        Args:
            config: spans of time, margin.
            width: of the pictures, in pixels.
            height: likewise.
            rate: pictures per second, nominal; real times come with the pictures.
            numbers: gives each new track its number.
            threshold: score from which a detection starts a track; lower ones only continue.
            turns: quarter turns, counter-clockwise, that make the pictures upright.
            smallest: side in pixels of the smallest face that matters.

        Raises:
            ValueError: a size or the rate is not positive.
        """
        if width <= 0 or height <= 0 or not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"no such video: {width}x{height} at {rate} a second")
        self.config, self.width, self.height = config, width, height
        self._clock = StreamClock(rate)
        # A face may vanish just after one look and be back just before another.
        self._bridge = config.bridge + config.interval
        self.delay = max(config.look_back, self._bridge)
        if config.latency is not None:
            self.delay = min(self.delay, config.latency)
        self.luma_step = motion.luma_step(width, height)
        self._numbers, self._threshold, self._turns = numbers, threshold, turns
        self._schedule = Schedule(
            config, self.delay, self._clock.usual, (width, height), self.luma_step, smallest
        )
        self.least_waiting = self.look_pictures + self._pictures(
            min(config.look_back, self.delay)
        )
        self._most_waiting: int | None = None
        self._short = self.delay < self._bridge - 1e-6
        self._cuts = CutDetector()
        self._tracks: list[Trajectory] = []
        self._closed: list[Trajectory] = []
        self._waiting: deque[tuple[int, float]] = deque()
        self._seen: deque[Seen] = deque()
        self._now: Seen | None = None
        self._next_cut: bool | None = None
        self._pushed = -1

    @property
    def look_pictures(self) -> int:
        """Pictures within which whatever moves is looked at."""
        return self._schedule.pictures

    def limit(self, pictures: int) -> None:
        """Never keep more than this many pictures waiting, whatever ``delay`` says.

        The detector then looks at least as often as that, and gaps that can no longer be
        bridged in hindsight are painted ahead of it.

        Raises:
            ValueError: the number is negative.
        """
        if pictures < 0:
            raise ValueError(f"{pictures} pictures cannot wait")
        self._most_waiting = pictures
        self._schedule.limit(pictures)
        self._short = self._short or pictures < self._pictures(self._bridge)

    def ending(self, seconds: float | None = None, luma: Luma | None = None) -> Attention | None:
        """Whether the last picture must be looked at (again) before the next one comes.

        Whoever came into it since the last look would never be looked for: after a cut, a jump
        of the time stamps, or the end, nobody looks back.

        Args:
            seconds: the next picture's time stamp; None at the end of the stream.
            luma: of the next picture, as for ``due``.

        Returns:
            Where in the last picture the detector must look before anything else is done.
        """
        if self._now is None or self._now.index != self._pushed:
            return None
        if seconds is not None and luma is not None:
            self._next_cut = self._cuts.push(luma)
            if not self._next_cut and not self._clock.jumps(seconds):
                return None
        return self._schedule.unseen(self._tracks)

    def look_again(self, faces: Sequence[Face], areas: Array | None = None) -> None:
        """Take what the detector found in the last picture, after ``ending``.

        Args:
            faces: what it found.
            areas: as for ``push``.
        """
        if self._now is not None:
            self._take(self._now, faces, areas)

    def due(self, index: int, seconds: float, luma: Luma) -> Attention | None:
        """Where the detector must look in this picture, or None where it need not.

        Args:
            index: of the picture; larger than all before.
            seconds: its time stamp; any number.
            luma: (h, w) uint8, every ``luma_step``-th sample of it.

        Raises:
            TrackerFault: the pictures do not come in order, or the luma is no such.
        """
        self._advance(index, seconds, luma)
        return self._schedule.due(self._tracks)

    def push(
        self,
        index: int,
        seconds: float,
        luma: Luma,
        faces: Sequence[Face] | None = None,
        areas: Array | None = None,
    ) -> list[Decided]:
        """Take the next picture and give out those that are now decided.

        Args:
            index: as for ``due``.
            seconds: as for ``due``.
            luma: as for ``due``; it is copied.
            faces: what the detector found, or None where it did not look.
            areas: (n, 4) float64 pixels, the parts of the picture in which it looked; None for all.

        Raises:
            TrackerFault: as from ``due``, or a picture is pushed twice.
        """
        if index <= self._pushed:
            raise TrackerFault(f"picture {index} came after picture {self._pushed}")
        now = self._advance(index, seconds, luma)
        self._pushed = index
        if faces is not None:
            self._take(now, faces, areas)
        self._close(now)
        self._seen.append(now)
        self._waiting.append((index, now.seconds))
        return self._release(now.seconds)

    def flush(self) -> list[Decided]:
        """The stream is over: decide all pictures that wait and end all tracks."""
        self._closed.extend(self._tracks)
        self._tracks = []
        decided = [self._decide(*self._waiting.popleft()) for _ in range(len(self._waiting))]
        if decided:
            last = decided[-1]
            rest = tuple(track.number for track in self._closed)
            decided[-1] = Decided(last.index, last.faces, tuple(sorted({*last.ended, *rest})))
        self._closed = []
        self._seen.clear()
        return decided

    def _advance(self, index: int, seconds: float, luma: Luma) -> Seen:
        """Move all tracks on to this picture, once."""
        if self._now is not None and self._now.index == index:
            return self._now
        if self._now is not None and index < self._now.index:
            raise TrackerFault(f"picture {index} came after picture {self._now.index}")
        if luma.ndim != 2 or luma.dtype != np.uint8 or not luma.size:
            raise TrackerFault(f"picture {index} has no luma")
        cut = self._cuts.push(luma) if self._next_cut is None else self._next_cut
        self._next_cut = None
        # A jump in time is a cut to the detector. The tracks go on: they can only cover more.
        begins = self._now is None or cut or self._clock.jumps(seconds)
        step = max(1, round(self.width / luma.shape[1]))
        now = Seen(index, self._clock.push(seconds), luma.copy(), step)
        self._schedule.push(index, now.seconds, now.luma, begins)
        if cut:
            self._closed.extend(self._tracks)
            self._tracks = []
            self._seen.clear()
        for track in self._tracks:
            track.follow(now)
        self._now = now
        return now

    def _take(self, now: Seen, faces: Sequence[Face], areas: Array | None) -> None:
        """What the detector found in ``now``, and where it looked."""
        self._schedule.looked(areas, self._tracks)
        self._look(now, list(faces))

    def _look(self, now: Seen, faces: list[Face]) -> None:
        """Give the detector's faces to tracks: the strong first, the faint to what is left."""
        strong = [face for face in faces if face.score >= self._threshold]
        faint = [face for face in faces if face.score < self._threshold]
        free, strong = self._match(now, list(self._tracks), strong, 1.0)
        self._match(now, free, faint, 0.7)
        for face in strong:
            track = Trajectory(next(self._numbers), sight_of(face, now.index, now.seconds), now)
            track.look_back(reversed(self._seen))
            self._tracks.append(track)

    def _match(
        self, now: Seen, tracks: list[Trajectory], faces: list[Face], tightness: float
    ) -> tuple[list[Trajectory], list[Face]]:
        """Match and update; returns the tracks and faces that are left."""
        if not tracks or not faces:
            return tracks, faces
        predicted = np.array([track.box for track in tracks])
        gates = np.array([track.gate for track in tracks]) * tightness
        pairs = association.assign(
            association.costs(predicted, gates, np.array([face.box for face in faces]))
        )
        for row, column in pairs:
            track = tracks[row]
            since = self._since(track.last.index)
            track.see(sight_of(faces[column], now.index, now.seconds), now, since)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for k, track in enumerate(tracks) if k not in rows],
            [face for k, face in enumerate(faces) if k not in columns],
        )

    def _since(self, index: int) -> Iterator[Seen]:
        """The pictures after this one that are still known, latest first."""
        return itertools.takewhile(lambda seen: seen.index > index, reversed(self._seen))

    def _pictures(self, span: float) -> int:
        """Pictures that a span covers at least, whatever the time stamps say."""
        rate = min(LOOK_RATE, 1.0 / self._clock.usual)
        return max(FEWEST, round(span * rate))

    def _close(self, now: Seen) -> None:
        """End tracks that were not seen for longer than ``bridge`` or have left the picture."""
        for track in list(self._tracks):
            lost = now.seconds - track.last.seconds > self._bridge + 1e-6
            lost = lost and now.index - track.last.index > self._pictures(self._bridge)
            if lost or (track.last.index != self._pushed and self._outside(track.box)):
                self._tracks.remove(track)
                self._closed.append(track)

    def _release(self, seconds: float) -> list[Decided]:
        decided = []
        least = FEWEST if self._most_waiting is None else min(FEWEST, self._most_waiting)
        while self._waiting and (
            (seconds - self._waiting[0][1] >= self.delay - 1e-6 and len(self._waiting) > least)
            or (self._most_waiting is not None and len(self._waiting) > self._most_waiting)
        ):
            decided.append(self._decide(*self._waiting.popleft()))
        # Tracks are followed back only into pictures that are not out yet.
        first = self._waiting[0][0] if self._waiting else self._pushed
        while self._seen and self._seen[0].index < first:
            self._seen.popleft()
        return decided

    def _decide(self, index: int, seconds: float) -> Decided:
        places = []
        for track in (*self._tracks, *self._closed):
            sure = track.looks > 1 and track.best >= SURE
            faint = track.looks == 1 and track.best < FAINT
            spans = (self.config.look_back, self.config.hold)
            back, hold = (min(span, self.config.interval) if faint else span for span in spans)
            if self._short and track.looks > 1:
                # No time to see whether somebody comes back: painted on until nobody can.
                hold = max(hold, self._bridge)
            place = track.place(
                index, self._span(back), self._span(hold), self._span(self.delay if sure else 0.0)
            )
            if place is not None:
                places.append((track.number, place))
        faces = self._paint(places)
        painted = {face.track for face in faces}
        ended = [
            track for track in self._closed
            if track.last.index < index and track.number not in painted
        ]
        for track in ended:
            self._closed.remove(track)
        for track in self._tracks:
            track.forget(index)
        return Decided(index, tuple(faces), tuple(sorted(track.number for track in ended)))

    def _paint(self, places: list[tuple[int, Place]]) -> list[TrackedFace]:
        """Grow the places and find their transforms; none for those outside the picture."""
        if not places:
            return []
        places.sort(key=lambda one: one[0])
        known = [place for _, place in places]
        centres = np.array([place.centre for place in known])
        halves = np.array([place.half for place in known])
        scores = np.array([place.score for place in known])
        doubts = np.array([place.doubt for place in known])
        points = np.array([_UNKNOWN if p.points is None else p.points for p in known])
        points = centres[:, None] + points * halves[:, None]
        unsure = UNSURE * np.maximum(0.0, 1.0 - scores / SURE)
        halves = halves * (1.0 + self.config.margin + unsure)[:, None] + doubts[:, None]
        boxes = np.concatenate([centres - halves, centres + halves], axis=1)
        inside = (boxes[:, 2:] > 0).all(axis=1)
        inside &= (boxes[:, :2] < (self.width, self.height)).all(axis=1)
        kept = np.flatnonzero(inside)
        if not len(kept):
            return []
        transforms = align_all(boxes[kept], points[kept], self._turns)
        return [
            TrackedFace(
                places[k][0],
                transform,
                boxes[k],
                None if known[k].points is None else points[k],
                known[k].origin,
                known[k].score,
            )
            for k, transform in zip(kept.tolist(), transforms, strict=True)
        ]

    def _span(self, seconds: float) -> tuple[float, int]:
        """A span in seconds and in pictures; whichever covers more counts."""
        return seconds, self._pictures(seconds) if seconds > 0 else 0

    def _outside(self, box: Array) -> bool:
        return bool(
            box[2] <= 0 or box[3] <= 0 or box[0] >= self.width or box[1] >= self.height
        )
