"""What edits make of what was analysed: pure functions from regions to regions.

Edits count in the order in which they were appended, each on what those before it left. So a track
that is kept visible and then split stays visible under both numbers, while one that is merged into
it afterwards does not become visible with it. What was drawn by hand is painted whatever a zone
says; only an edit that names its track can keep it visible.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stream_anon.errors import TracksError
from stream_anon.regions import DRAWN_METHODS, FACE, REGION, Region, Regions, bounds, holds, meets
from stream_anon.tracks.lines import (
    Add,
    EditLine,
    Header,
    Keep,
    Merge,
    SetMethod,
    Split,
    StreamLine,
    Undo,
    Zone,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What edits may refer to.

    Attributes:
        stream: of the track.
        label: likewise.
    """

    stream: str
    label: str


def active(edits: Iterable[EditLine]) -> tuple[EditLine, ...]:
    """The edits that count, without undos: the last word about an edit is the latest undo's.

    Raises:
        TracksError: an undo names no earlier edit.
    """
    counted = {edit.number: edit for edit in edits}
    # The latest first: an undo that was itself undone changes nothing.
    for number in sorted(counted, reverse=True):
        edit = counted.get(number)
        if edit is None or not isinstance(edit.change, Undo):
            continue
        if not 1 <= edit.change.edit < number:
            raise TracksError(f"edit {number} undoes edit {edit.change.edit}, no earlier one")
        counted.pop(edit.change.edit, None)
    return tuple(edit for edit in counted.values() if not isinstance(edit.change, Undo))


def check(
    edits: Sequence[EditLine], tracks: Mapping[str, Known], header: Header
) -> dict[str, Known]:
    """Hold edits against what they refer to.

    Args:
        edits: all of them, in their order.
        tracks: what analysis found.
        header: of the file.

    Returns:
        All tracks, those included that edits make.

    Raises:
        TracksError: an edit names a track, stream or edit that is not there, gives a number that
            is taken, or lies outside of the frame.
    """
    known = dict(tracks)
    streams = {line.stream: line for line in header.streams}
    for edit in active(edits):
        try:
            _check_one(edit, known, streams)
        except ValueError as error:
            raise TracksError(f"edit {edit.number}: {error}") from error
    return known


def _check_one(
    edit: EditLine, known: dict[str, Known], streams: Mapping[str, StreamLine]
) -> None:
    change = edit.change

    def there(track: str) -> Known:
        if track not in known:
            raise ValueError(f"there is no track {track}")
        return known[track]

    def free(track: str) -> None:
        if track in known:
            raise ValueError(f"track {track} is there already")

    def in_frame(boxes: Iterable[tuple[float, float, float, float]], stream: str) -> None:
        if stream not in streams:
            raise ValueError(f"there is no video stream {stream}")
        size = streams[stream].width, streams[stream].height
        for box in boxes:
            if not meets(box, *size):
                raise ValueError(f"{box} lies outside of the frame of {size[0]}x{size[1]}")

    def can_paint(method: str) -> None:
        if method not in DRAWN_METHODS:
            raise ValueError(f"{method} paints faces only; regions take {', '.join(DRAWN_METHODS)}")

    match change:
        case Add():
            free(change.track)
            in_frame((box for _, box in change.keyframes), change.stream)
            can_paint(change.method)
            known[change.track] = Known(change.stream, REGION)
        case Zone():
            free(change.track)
            in_frame([bounds(change.polygon)], change.stream)
            can_paint(change.method)
            known[change.track] = Known(change.stream, REGION)
        case Split():
            free(change.into)
            known[change.into] = there(change.track)
        case Merge():
            into = there(change.into)
            for track in change.tracks:
                if there(track) != into:
                    raise ValueError(f"tracks {track} and {change.into} are not of one kind")
        case SetMethod():
            if there(change.track).label != FACE:
                can_paint(change.method)
        case Keep():
            there(change.track)
        case _:
            raise ValueError("an undo cannot count by itself")


def resolve(regions: Regions, seconds: float, edits: Sequence[EditLine]) -> Regions:
    """One frame as it is to be painted.

    Args:
        regions: as analysed.
        seconds: the frame's presentation time.
        edits: those that count (``active``), checked.

    Returns:
        The same frame, edited; ``ended`` is left as it was.
    """
    items = list(regions.items)
    for edit in edits:
        change = edit.change
        match change:
            case Add():
                if change.stream == regions.key.stream and _within(seconds, change):
                    items.append(_drawn(change.track, at(change, seconds), change.method))
            case Zone(mode="always"):
                if change.stream == regions.key.stream and _within(seconds, change):
                    drawn = _drawn(change.track, bounds(change.polygon), change.method)
                    items.append(replace(drawn, polygon=change.polygon))
            case Zone():
                if change.stream == regions.key.stream and _within(seconds, change):
                    items = [_unless_inside(item, change) for item in items]
            case Keep():
                if _within(seconds, change):
                    items = [
                        replace(item, kept=change.reason) if item.track == change.track else item
                        for item in items
                    ]
            case SetMethod():
                items = [
                    replace(item, method=change.method) if item.track == change.track else item
                    for item in items
                ]
            case Split():
                if seconds >= change.at:
                    items = [
                        replace(item, track=change.into) if item.track == change.track else item
                        for item in items
                    ]
            case Merge():
                items = _merged(items, change)
    return replace(regions, items=tuple(items))


def at(added: Add, seconds: float) -> tuple[float, float, float, float]:
    """The box of a region that was drawn by hand: between keyframes in straight lines."""
    times = [time for time, _ in added.keyframes]
    k = bisect_right(times, seconds)
    if k == 0:
        return added.keyframes[0][1]
    (before, a) = added.keyframes[k - 1]
    if k == len(times) or before == seconds:
        return a
    after, b = added.keyframes[k]
    share = (seconds - before) / (after - before)
    x0, y0, x1, y1 = (p + share * (q - p) for p, q in zip(a, b, strict=True))
    return x0, y0, x1, y1


def next_track(tracks: Iterable[str], edits: Iterable[EditLine]) -> int:
    """The lowest number above all that were ever given, undone edits included."""
    taken = [int(track) for track in tracks]
    for edit in edits:
        match edit.change:
            case Add() | Zone():
                taken.append(int(edit.change.track))
            case Split():
                taken.append(int(edit.change.into))
    return max(taken, default=0) + 1


def _merged(items: list[Region], change: Merge) -> list[Region]:
    """A frame that holds several of the tracks keeps all but one under their own numbers: two
    places are two places, and none of them is given up."""
    taken = any(item.track == change.into for item in items)
    merged = []
    for item in items:
        if item.track in change.tracks and not taken:
            item, taken = replace(item, track=change.into), True
        merged.append(item)
    return merged


def _drawn(track: str, box: tuple[float, float, float, float], method: str) -> Region:
    return Region(track, REGION, box, None, 1.0, "edited", method=method)


def _unless_inside(item: Region, zone: Zone) -> Region:
    """What was detected and lies wholly in a zone that is never painted is left visible."""
    if item.label == REGION or item.kept is not None or not holds(zone.polygon, item.box):
        return item
    return replace(item, kept=zone.reason)


def _within(seconds: float, change: Add | Keep | Zone) -> bool:
    return (change.start is None or seconds >= change.start) and (
        change.end is None or seconds <= change.end
    )
