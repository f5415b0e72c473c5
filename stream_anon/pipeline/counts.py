"""What a run counts while it paints, in memory that does not grow with its length."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.packets import Gap
from stream_anon.pipeline.analysis import Analyzed
from stream_anon.pipeline.report import FoldedPart, FramesPart, KeptPart, TrackPart
from stream_anon.regions import Region

MOST_TRACKS = 20_000
"""Tracks that the report tells one by one. A camera sees more in a month; then those that were
not seen for longest are folded into one sum."""

MOST_REASONS = 100
"""Different reasons that are counted by name."""

OTHER = "other reasons"


class _Span:
    """A track as it is counted: plain, since every face of every frame comes by here.

    Args:
        stream: of the track.
        label: likewise.
        here: time stamp and seconds of its first frame.
    """

    __slots__ = ("first", "frames", "label", "last", "stream")

    def __init__(self, stream: int, label: str, here: tuple[int, float]) -> None:
        self.stream, self.label, self.frames = stream, label, 0
        self.first = self.last = here


class Spans:
    """From when to when each track was seen, and in how many frames.

    Args:
        most: tracks that are told apart.
    """

    def __init__(self, most: int = MOST_TRACKS) -> None:
        self._most = most
        self._spans: OrderedDict[tuple[int, str], _Span] = OrderedDict()
        self.folded: FoldedPart | None = None

    def __len__(self) -> int:
        return len(self._spans)

    def see(self, item: Analyzed, region: Region) -> None:
        """One frame more of a track, or of one reason for which it is left visible."""
        key = int(region.track), region.kept or ""
        here = item.frame.pts, item.frame.seconds
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = _Span(item.frame.stream, region.label, here)
            if len(self._spans) > self._most:
                self._fold()
        else:
            self._spans.move_to_end(key)
        span.last = here
        span.frames += 1

    def _fold(self) -> None:
        _, span = self._spans.popitem(last=False)
        first, last = span.first[1], span.last[1]
        if self.folded is None:
            self.folded = FoldedPart(first_seconds=first, last_seconds=last)
        folded = self.folded
        folded.tracks += 1
        folded.frames += span.frames
        folded.first_seconds = min(folded.first_seconds, first)
        folded.last_seconds = max(folded.last_seconds, last)

    def painted(self) -> list[TrackPart]:
        """By number."""
        return [
            TrackPart(
                track=track,
                stream=span.stream,
                label=span.label,
                first_pts=span.first[0],
                last_pts=span.last[0],
                first_seconds=span.first[1],
                last_seconds=span.last[1],
                frames=span.frames,
            )
            for (track, _), span in self._sorted()
        ]

    def visible(self) -> list[KeptPart]:
        """By number, each with its reason."""
        return [
            KeptPart(
                track=track,
                stream=span.stream,
                reason=reason,
                first_seconds=span.first[1],
                last_seconds=span.last[1],
                frames=span.frames,
            )
            for (track, reason), span in self._sorted()
        ]

    def _sorted(self) -> Iterator[tuple[tuple[int, str], _Span]]:
        return iter(sorted(self._spans.items(), key=lambda item: item[0][0]))


class Tally:
    """The counts of one run; used by the thread that paints, but for ``frames.input``.

    Attributes:
        frames: counts of frames.
        faces: painted, over all frames.
        seconds: presentation time that is reached.
        painted, kept: spans of tracks, painted and left visible.
    """

    def __init__(self) -> None:
        self.frames = FramesPart()
        self.faces = 0
        self.seconds = 0.0
        self.painted, self.kept = Spans(), Spans()
        self._open: dict[int, set[int]] = {}

    def count(self, item: Analyzed, level: FallbackLevel) -> list[Region]:
        """A frame was written.

        Returns:
            What was left visible in it on purpose.
        """
        frame, regions = item.frame, item.regions
        painted = [region for region in regions.items if region.kept is None]
        shown = [region for region in regions.items if region.kept is not None]
        shown = shown if level < FallbackLevel.PIXELATED else []
        self.frames.output += 1
        self.frames.with_faces += bool(painted) or level > 0
        self.faces += len(painted)
        self.seconds = frame.seconds
        for region in painted:
            self.painted.see(item, region)
        for region in shown:
            self.kept.see(item, region)
        if regions.items or regions.ended:
            live = self._open.setdefault(frame.stream, set())
            live.update(int(region.track) for region in regions.items)
            live.difference_update(map(int, regions.ended))
        return shown

    def gap(self, gap: Gap) -> list[int]:
        """A stream broke off.

        Returns:
            Its tracks that have not ended yet.
        """
        add(self.frames.gaps, gap.reason)
        return sorted(self._open.pop(gap.stream, ()))


def add(counts: dict[str, int], reason: str, number: int = 1) -> None:
    """Count under a reason; under ``OTHER`` where too many are known."""
    if reason not in counts and len(counts) >= MOST_REASONS:
        reason = OTHER
    counts[reason] = counts.get(reason, 0) + number
