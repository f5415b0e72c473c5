"""What a Tracks file says, track by track: what a person who reviews it looks at first."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from stream_anon.regions import Box, Region
from stream_anon.tracks.reader import TracksFile


@dataclass(slots=True)
class Summary:
    """One track, edits included. Sizes are geometric means of a box's sides in pixels.

    Attributes:
        track, label, stream: as in the file.
        first, last: seconds of its first and last frame.
        frames: in how many it is.
        kept: in how many of them it is left visible.
        smallest, largest: sizes.
        score: the best.
        methods: that paint it in the place of the run's method.
        reasons: why it is left visible.
    """

    track: str
    label: str
    stream: str
    first: float
    last: float
    frames: int = 0
    kept: int = 0
    smallest: float = math.inf
    largest: float = 0.0
    score: float = 0.0
    methods: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def see(self, seconds: float, item: Region) -> None:
        """One frame more."""
        self.first, self.last = min(self.first, seconds), max(self.last, seconds)
        self.frames += 1
        size = size_of(item.box)
        self.smallest, self.largest = min(self.smallest, size), max(self.largest, size)
        self.score = max(self.score, item.score)
        if item.method is not None and item.method not in self.methods:
            self.methods.append(item.method)
        if item.kept is not None:
            self.kept += 1
            if item.kept not in self.reasons:
                self.reasons.append(item.kept)


def summaries(file: TracksFile) -> list[Summary]:
    """All tracks as they are to be painted, by number; goes through the whole file.

    Raises:
        TracksError: the file was changed since it was opened.
    """
    found: dict[str, Summary] = {}
    for seconds, regions in file.each():
        for item in regions.items:
            one = found.get(item.track)
            if one is None:
                stream = regions.key.stream
                one = found[item.track] = Summary(item.track, item.label, stream, seconds, seconds)
            one.see(seconds, item)
    return sorted(found.values(), key=lambda one: int(one.track))


def together(file: TracksFile, tracks: Collection[str]) -> float | None:
    """Seconds of the first frame in which more than one of some tracks is, or None.

    Raises:
        TracksError: the file was changed since it was opened.
    """
    for seconds, regions in file.each():
        if sum(item.track in tracks for item in regions.items) > 1:
            return seconds
    return None


def size_of(box: Box) -> float:
    """Geometric mean of a box's sides."""
    return math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
