"""Where the detector must look, and when.

At once where something is new, soon where something moves or somebody is followed, now and
then everywhere. Every period is counted in frames as well as in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import TrackerConfig
from stream_anon.detection import tiles
from stream_anon.tracking.changes import CELL, ChangeMap, Periods

Array = NDArray[np.float64]
Luma = NDArray[np.uint8]

LOOK_RATE = 30.0
"""Frames a second by which the detector's interval is counted in frames, at least: a clock
that runs too slow must not make looks rare."""

SECOND = 2
"""Frame of a shot that is looked at whole again: what the first look missed, a second one in other
noise may find."""

FIRST_IDLE = 2.5
"""Intervals after which what stands still is looked at early in a shot; the longer it has lasted,
the longer it can wait: half as long as the shot, up to the idle interval."""

AFTER_CUT = 25
"""Frames into a shot in which it is looked at whole again when it has become sharper."""

SHARPER = 1.1
"""By this factor."""

DOUBTFUL = 0.1
"""Score of a candidate that is no face yet, from which its place is looked at as often as if
somebody moved there; and once in the next frame, in a tile, where it scores otherwise."""

MOST_RARELY = 2.0
"""Factor on the interval, at most, where something moves and nothing was found several times."""

CARRIED = 2.5
"""Likewise where only the camera moves."""

AROUND = (0.25, 0.5)
"""Share of its size by which a tracked face's box is grown to where it is looked for again, as long
as it is followed and if not."""


def _nowhere() -> Array:
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Where the detector must look.

    Attributes:
        regions: (n, 4) float64, x0 y0 x1 y1 pixels of the frame, the largest first; None for
            all of it.
        sudden: (n, 4), likewise, in which only faces of ``smallest`` pixels and more need to be
            found in this frame.
        smallest: see ``sudden``.
    """

    regions: Array | None
    sudden: Array = field(default_factory=_nowhere)
    smallest: float = 0.0


class Followed(Protocol):
    """What is to be known of a track.

    Attributes:
        looked: index and seconds of the frame in which it was last looked for.
        missed: looks since it was last found.
        detections_run: looks in which it was found.
        followed: it was followed without a break since it was last found.
    """

    looked: tuple[int, float]
    missed: int
    detections_run: int
    followed: bool

    @property
    def box(self) -> Array:
        """Where it should be now, (4,) pixels."""


class Schedule:
    """One stream's looks.

    Args:
        config: intervals.
        delay: seconds that a frame waits; nobody may come and go unseen for longer.
        usual: seconds from frame to frame.
        size: width and height of the frames.
        luma_step: distance of the luma samples that are given.
        smallest: side in pixels of the smallest face that matters.
    """

    def __init__(
        self,
        config: TrackerConfig,
        delay: float,
        usual: float,
        size: tuple[int, int],
        luma_step: int,
        smallest: float,
    ) -> None:
        self._usual, self._delay = usual, delay
        self._most = 1 << 30
        interval = min(config.interval, delay)
        longest = max(1.0, min(config.backfill, delay) / interval)
        # Half a frame early rather than half a frame late, whatever the rounding of times.
        self._periods = Periods(
            interval - 0.5 * usual,
            max(1, round(interval * LOOK_RATE)),
            max(1.0, config.idle_interval / config.interval),
            # Who turns round slowly is found that much later, and painted from before that.
            min(MOST_RARELY, longest),
            min(CARRIED, longest),
        )
        self._changes = ChangeMap(smallest / luma_step)
        self._luma_step = luma_step
        self._cell = float(CELL * self._changes.step * luma_step)
        self._border = np.array([*size, *size], np.float64)
        self._whole = True
        self._shot = -1
        self._began = 0.0
        self._detail = 0.0
        self._doubtful: list[Array] = []
        self._all = False
        self._index, self._seconds = -1, 0.0

    def pace(self, interval: float) -> None:
        """Look within another interval from now on; never less often than frames wait.

        Args:
            interval: seconds.
        """
        interval = min(interval, self._delay)
        self._periods = replace(
            self._periods,
            seconds=interval - 0.5 * self._usual,
            frames=max(1, min(round(interval * LOOK_RATE), self._most)),
        )

    @property
    def frames(self) -> int:
        """Frames within which whatever moves is looked at."""
        return self._periods.frames

    def limit(self, frames: int) -> None:
        """Look at least once in so many frames."""
        self._most = max(1, min(self._most, frames))
        frame_count = max(1, min(self._periods.frames, frames))
        self._periods = replace(self._periods, frames=frame_count)

    def push(self, index: int, seconds: float, luma: Luma, begins: bool) -> None:
        """The next frame.

        Args:
            index: of the frame.
            seconds: by a clock that rises.
            luma: (h, w) uint8.
            begins: it has nothing to do with the one before: a shot cut, a jump in time.
        """
        self._index, self._seconds = index, seconds
        self._shot = 0 if begins else self._shot + 1
        if self._shot == 0:
            self._began = seconds
        self._changes.push(luma, seconds)
        self._whole = self._whole or begins or self._shot == SECOND
        if not self._whole and self._shot <= AFTER_CUT:
            self._whole = self._changes.detail() > SHARPER * self._detail

    def needs_detection(self, tracks: Sequence[Followed]) -> Attention | None:
        """Where the detector must look in the latest frame, or None."""
        if self._whole:
            return Attention(None)
        known = [track.box for track in tracks if track.followed and track.detections_run > 1]
        shape = self._changes.shape
        lasted = (self._seconds - self._began) / max(self._periods.seconds, 1e-6)
        idle = min(self._periods.idle, max(FIRST_IDLE, 0.5 * lasted))
        known_cells = tiles.cells_in(np.array(known).reshape(-1, 4), self._cell, shape)
        cells = self._changes.needs_detection(replace(self._periods, idle=idle), known_cells)
        sudden = self._changes.sudden(known_cells)
        if self._doubtful:
            cells |= tiles.cells_touched(np.array(self._doubtful), self._cell, shape)
        late = any(self._due(track, 1.0) for track in tracks)
        wanted = [
            track for track in tracks if self._lost(track) or (late and self._due(track, 0.5))
        ]
        if not wanted and not cells.any() and not sudden.any():
            return None
        return self._attention(cells, wanted, tracks, sudden)

    def unseen(self, tracks: Sequence[Followed]) -> Attention | None:
        """Where in the latest frame something has changed since the detector looked, or None."""
        if self._whole:
            return Attention(None)
        cells = self._changes.unseen()
        wanted = [track for track in tracks if not track.followed]
        return self._attention(cells, wanted, tracks) if wanted or cells.any() else None

    def glanced(self, areas: Array) -> None:
        """The detector has looked for large faces in parts (n, 4) of the latest frame."""
        self._changes.glanced(tiles.cells_in(areas, self._cell, self._changes.shape))

    def looked(self, areas: Array | None, tracks: Sequence[Followed]) -> None:
        """The detector has seen parts of the latest frame, (n, 4) pixels, or all of it."""
        self._doubtful = []
        self._all = areas is None
        if areas is None:
            self._whole = False
            self._changes.looked()
            if self._shot <= AFTER_CUT:
                self._detail = self._changes.detail()
        else:
            shape = self._changes.shape
            self._changes.looked(tiles.cells_in(areas, self._cell, shape))
        for track in tracks:
            if areas is None or _within(track.box, areas):
                track.looked = (self._index, self._seconds)
                track.missed += 1

    def found(
        self, tracks: Sequence[Followed], doubtful: Sequence[Array], glimpsed: Sequence[Array] = ()
    ) -> None:
        """What came of the latest look.

        Args:
            tracks: all, with what was found.
            doubtful: boxes (4,) of candidates that are no face yet.
            glimpsed: those of them that only a glance has seen.
        """
        self._doubtful = list(doubtful) if self._all else list(glimpsed)
        shape = self._changes.shape
        near = np.array([track.box for track in tracks]).reshape(-1, 4)
        sides = near[:, 2:] - near[:, :2]
        near = np.concatenate([near[:, :2] - sides, near[:, 2:] + sides], axis=1)
        self._changes.found(
            tiles.cells_touched(near, self._cell, shape),
            tiles.cells_touched(np.array(list(doubtful)).reshape(-1, 4), self._cell, shape),
        )

    def _lost(self, track: Followed) -> bool:
        """Who has just been lost is looked for at once, and from then on like everybody."""
        unseen = not track.followed and track.missed == 0 and track.detections_run > 1
        return unseen and self._index > track.looked[0]

    def _due(self, track: Followed, share: float) -> bool:
        """Whether so much of the period has passed since the detector looked for a track."""
        frames, since = self._index - track.looked[0], self._seconds - track.looked[1]
        if frames >= share * self._periods.frames:
            return True
        return since + 1e-6 >= share * self._periods.seconds

    def _attention(
        self,
        cells: NDArray[np.bool_],
        wanted: Sequence[Followed],
        tracks: Sequence[Followed],
        sudden: NDArray[np.bool_] | None = None,
    ) -> Attention:
        """Cells and the surroundings of wanted faces as regions."""
        if cells.mean() > tiles.WORTHWHILE:
            return Attention(None)
        boxes = np.array([track.box for track in wanted]).reshape(-1, 4)
        shares = np.array([AROUND[not track.followed] for track in wanted]).reshape(-1, 1)
        search_radius = shares * (boxes[:, 2:] - boxes[:, :2])
        boxes = np.concatenate([boxes[:, :2] - search_radius, boxes[:, 2:] + search_radius], axis=1)
        touched = cells | tiles.cells_touched(boxes, self._cell, cells.shape)
        # A face of which a part is due is looked at whole.
        for track in tracks:
            own = tiles.cells_touched(track.box[None], self._cell, cells.shape)
            if (own & touched).any():
                touched |= own
        regions = np.minimum(tiles.boxes_of(touched, self._cell), self._border)
        if sudden is None or not (sudden & ~touched).any():
            return Attention(regions)
        return Attention(
            regions,
            np.minimum(tiles.boxes_of(sudden & ~touched, self._cell), self._border),
            self._changes.sudden_face * self._luma_step,
        )


def _within(box: Array, areas: Array) -> bool:
    """Whether the middle of a box lies in one of the areas."""
    centre = (box[:2] + box[2:]) / 2
    return bool(((areas[:, :2] <= centre) & (centre <= areas[:, 2:])).all(axis=1).any())
