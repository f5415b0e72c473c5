"""Following what is no face of a frame's faces: heads, and what plug-ins find.

It has no eyes of its own for what is new and holds no frame back: frames wait for the tracker of
faces (``tracking.tracker``), and here it is remembered where a thing was in each of them until that
one has decided. What is followed turns, so the template is renewed while it is still believed, and
what is lost is painted on, growing, for ``hold`` seconds: a head that was a face stays covered
while it turns away. What turns carries its texture elsewhere than it goes itself, so that a
template is not believed alone: everything between the place where it leads and the one where the
thing's own speed leads is painted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import TrackerConfig
from stream_anon.detection.types import Face
from stream_anon.regions import Region
from stream_anon.tracking import association, template_matching
from stream_anon.tracking.attention import LOOK_RATE
from stream_anon.tracking.clock import StreamClock
from stream_anon.tracking.shot_boundary import CutDetector
from stream_anon.tracking.trajectory import BufferedFrame, Trajectory, observation_of

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

RENEW = 0.9
"""Correlation below which the template of a thing that turns is cut anew, while it is believed."""


TENTATIVE_SCORE = 0.4
"""As ``tracker.TENTATIVE_SCORE``: below it a thing that was found once is painted for
``interval`` about that find only."""

GROWTH = 0.3
"""Sizes a second by which the box of what is not found any more grows."""

GOES_ON = 1.0
"""Seconds for which a thing that is not found any more is feared to keep its speed."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What is to be painted in one frame.

    Attributes:
        regions: in order of their tracks.
        ended: tracks that no later frame carries.
    """

    regions: tuple[Region, ...]
    ended: tuple[str, ...]


class TurningTrajectory(Trajectory):
    """A trajectory whose template keeps up with what turns."""

    def follow(self, frame: BufferedFrame) -> None:
        """See ``Trajectory.follow``."""
        super().follow(frame)
        score = self._ahead[frame.index].score
        if template_matching.GOOD <= score < RENEW:
            renewed = template_matching.cut(frame.luma, frame.step, self.box)
            self._template = renewed or self._template


class Follower:
    """The tracks of one label in one stream.

    Args:
        label: of the regions.
        config: spans and margin.
        size: width and height of the frames in pixels.
        rate: frames per second, nominal.
        track_ids: gives each new track its number; shared with the tracker of faces.
        threshold: score from which a detection starts a track; lower ones only continue.
        hold: seconds for which a thing is painted after it was last found.
    """

    def __init__(
        self,
        label: str,
        config: TrackerConfig,
        size: tuple[int, int],
        rate: float,
        track_ids: Iterator[int],
        threshold: float,
        hold: float,
    ) -> None:
        self._label, self._config, self._size = label, config, size
        self._track_ids, self._threshold, self._hold = track_ids, threshold, hold
        self._clock, self._cuts = StreamClock(rate), CutDetector()
        self._tracks: list[Trajectory] = []
        self._closed: list[Trajectory] = []
        self._seen: deque[BufferedFrame] = deque()
        self._seconds: dict[int, float] = {}

    def push(
        self, index: int, seconds: float, luma: Luma, step: int, found: Sequence[Face] | None
    ) -> None:
        """The next frame.

        Args:
            index: of the frame; larger than all before.
            seconds: its time stamp; any number.
            luma: (h, w) uint8, every ``step``-th sample; it is copied.
            step: frame pixels per sample.
            found: what was found, or None where nobody looked.
        """
        now = BufferedFrame(index, self._clock.push(seconds), luma.copy(), step)
        self._seconds[index] = now.seconds
        if self._cuts.push(luma):
            self._closed += self._tracks
            self._tracks = []
            self._seen.clear()
        for track in self._tracks:
            track.follow(now)
        if found is not None:
            self._take(now, list(found))
        for track in list(self._tracks):
            lost = now.seconds - track.last.seconds > self._hold + 1e-6
            lost = lost and index - track.last.index > self._frames(self._hold)
            if lost or (track.last.index != index and self._outside(track.box)):
                self._tracks.remove(track)
                self._closed.append(track)
        self._seen.append(now)

    def decide(self, index: int) -> Followed:
        """What is to be painted in a frame that was pushed; frames are decided in order."""
        # A frame in which looking failed was never pushed; it is covered whole.
        seconds = self._seconds.pop(index, self._clock.seconds)
        regions, painted = [], set()
        for track in (*self._tracks, *self._closed):
            # As of faces: what was found once and not surely may be nothing.
            tentative = track.detections_run == 1 and track.best < TENTATIVE_SCORE
            most = self._config.interval if tentative else 10.0
            back, hold = min(self._config.backfill, most), min(self._hold, most)
            place = track.estimate(index, self._span(back), self._span(hold), (0.0, 0))
            if place is None:
                continue
            half = place.half * (1.0 + self._config.margin) + place.uncertainty
            low, high = place.centre - half, place.centre + half
            if place.origin == "held":
                there, grown = _gone_on(track, seconds)
                half = half + grown
                low = np.minimum(place.centre, there) - half
                high = np.maximum(place.centre, there) + half
            if not ((high > 0).all() and (low < self._size).all()):
                continue
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            regions.append(
                Region(str(track.number), self._label, box, None, place.score, place.origin)
            )
            painted.add(track.number)
        ended = [t for t in self._closed if t.last.index < index and t.number not in painted]
        self._closed = [track for track in self._closed if track not in ended]
        for track in self._tracks:
            track.forget(index)
        while self._seen and self._seen[0].index <= index:
            self._seen.popleft()
        regions.sort(key=lambda region: int(region.track))
        return Followed(tuple(regions), tuple(str(track.number) for track in ended))

    def flush(self) -> tuple[str, ...]:
        """The stream is over and all its frames are decided: the tracks that end with it."""
        ended = tuple(str(track.number) for track in (*self._tracks, *self._closed))
        self._tracks, self._closed = [], []
        return ended

    def _take(self, now: BufferedFrame, found: list[Face]) -> None:
        strong = [face for face in found if face.score >= self._threshold]
        free, strong = self._match(now, list(self._tracks), strong, 1.0)
        self._match(now, free, [face for face in found if face.score < self._threshold], 0.7)
        for face in strong:
            first = observation_of(face, now.index, now.seconds)
            track = TurningTrajectory(next(self._track_ids), first, now)
            track.backfill(reversed(self._seen))
            self._tracks.append(track)

    def _match(
        self, now: BufferedFrame, tracks: list[Trajectory], found: list[Face], tightness: float
    ) -> tuple[list[Trajectory], list[Face]]:
        """Match and update; returns the tracks and finds that are left."""
        if not tracks or not found:
            return tracks, found
        predicted = np.array([track.box for track in tracks])
        radii = np.array([track.gating_radius for track in tracks]) * tightness
        boxes = np.array([face.box for face in found])
        pairs = association.assign(association.costs(predicted, radii, boxes))
        for row, column in pairs:
            track = tracks[row]
            last = track.last.index
            since = [seen for seen in reversed(self._seen) if seen.index > last]
            track.update(observation_of(found[column], now.index, now.seconds), now, since)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for k, track in enumerate(tracks) if k not in rows],
            [face for k, face in enumerate(found) if k not in columns],
        )

    def _span(self, seconds: float) -> tuple[float, int]:
        """In seconds and in frames; whichever covers more counts."""
        return seconds, self._frames(seconds)

    def _frames(self, span: float) -> int:
        return max(2, round(span * min(LOOK_RATE, 1.0 / self._clock.usual)))

    def _outside(self, box: Array) -> bool:
        width, height = self._size
        return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height)


def _gone_on(track: Trajectory, seconds: float) -> tuple[Array, float]:
    """Where a track's own speed has led by now, (2,) pixels, and pixels by which it has grown."""
    last, first = track.last, track.observations[max(0, len(track.observations) - 3)]
    away = max(0.0, seconds - last.seconds)
    span = last.seconds - first.seconds
    speed = (last.centre - first.centre) / span if span > 0 else np.zeros(2)
    return last.centre + speed * min(away, GOES_ON), GROWTH * away * last.size
