"""What analysis hands to painting: plain, serialisable data about one frame.

No arrays and no references to frames, so that it can be written to a file, edited by a person and
read by another machine. Coordinates are pixels of the decoded frame, before rotation; pixel centres
lie at integers. Floats survive ``repr`` and back, so what is painted from a file is what would
have been painted at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
Point = tuple[float, float]

FACE = "face"
HEAD = "head"
"""A whole head, from whichever side it is seen."""

REGION = "region"
"""The label of what was drawn by hand: a rectangle, or a polygon of a zone."""

DRAWN_METHODS = ("fill", "pixelate", "blur")
"""Methods that can paint what is no face."""

LABEL = re.compile(r"[a-z][a-z0-9-]{0,31}")
TRACK = re.compile(r"[1-9][0-9]{0,8}")
"""A track's name: a number, as text, since other analyzers may name theirs otherwise one day."""

MOST_ITEMS = 4096
"""Regions in one frame, at most."""

MOST_POINTS = 256
"""Corners of a polygon, at most."""

LEAST_SIDE = 0.5
"""Sides of a box in pixels, at least."""

FARTHEST = 65536.0
"""No coordinate is further than this from the frame's origin: four times the largest frame that
common codecs hold, and small enough that arithmetic on it stays exact to a thousandth."""

ORIGINS = ("detected", "interpolated", "held", "look-back", "edited")


@dataclass(frozen=True, slots=True)
class FrameKey:
    """Which frame: the same over runs, machines and parts of a file.

    Attributes:
        stream: name of the video stream; for files its index in the container.
        index: position in presentation order within the stream, from 0.
        pts: presentation time in units of the stream's time base.
    """

    stream: str
    index: int
    pts: int


@dataclass(frozen=True, slots=True)
class Region:
    """One thing in one frame that is to be painted, or was named to be left visible.

    Attributes:
        track: number of the track, as text; unique within a run.
        label: what it is: ``face``, or ``region`` for what was drawn by hand.
        box: x0 y0 x1 y1 pixels, x0 < x1 and y0 < y1; it may reach over the frame's border.
        keypoints: five points in pixels (left eye, right eye, nose, left and right mouth corner,
            left in the image), or None where they are not known.
        score: confidence, 0 to 1.
        origin: how the place is known: one of ``ORIGINS``.
        polygon: corners in pixels of what is painted instead of the whole box, for ``region``.
        method: paints this region in the place of the run's method, or None.
        kept: the reason why it is left visible, or None: then it is painted.

    Raises:
        ValueError: a value is not finite, too far away or out of its range.
    """

    track: str
    label: str
    box: Box
    keypoints: tuple[Point, ...] | None
    score: float
    origin: str
    polygon: tuple[Point, ...] | None = None
    method: str | None = None
    kept: str | None = None

    def __post_init__(self) -> None:
        if not TRACK.fullmatch(self.track):
            raise ValueError(f"'{self.track}' is no track's number")
        if not LABEL.fullmatch(self.label):
            raise ValueError(f"'{self.label}' is no label")
        check_box(self.box)
        if self.keypoints is not None:
            if len(self.keypoints) != 5:
                raise ValueError(f"there must be five keypoints, not {len(self.keypoints)}")
            _near(self.keypoints)
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score must lie in 0..1, is {self.score!r}")
        if self.origin not in ORIGINS:
            raise ValueError(f"'{self.origin}' is no origin of a region")
        if self.polygon is not None:
            if self.label != REGION:
                raise ValueError(f"a {self.label} has no polygon")
            check_polygon(self.polygon)
        if self.kept is not None and not self.kept.strip():
            raise ValueError("what is kept visible needs a reason")


@dataclass(frozen=True, slots=True)
class Regions:
    """All that is known of one frame.

    Attributes:
        key: of the frame.
        items: what is in it, in order of their tracks as the analyzer gave them.
        ended: tracks that no later frame carries.
        unknown: why it is not known what is in the frame, or None where it is known. Such a
            frame fails closed, whatever ``items`` says.

    Raises:
        ValueError: a track stands there twice, or there are more than ``MOST_ITEMS``.
    """

    key: FrameKey
    items: tuple[Region, ...]
    ended: tuple[str, ...] = ()
    unknown: str | None = None

    def __post_init__(self) -> None:
        if len(self.items) > MOST_ITEMS:
            raise ValueError(f"{len(self.items)} regions in one frame; {MOST_ITEMS} are believed")
        tracks = [item.track for item in self.items]
        if len(set(tracks)) < len(tracks):
            twice = next(track for track in tracks if tracks.count(track) > 1)
            raise ValueError(f"track {twice} stands twice in one frame")


def check_box(box: Box) -> None:
    """Hold a box against what a box is.

    Raises:
        ValueError: it is not finite, too far away, or has no area.
    """
    if len(box) != 4:
        raise ValueError(f"a box has four numbers, not {len(box)}")
    _near(((box[0], box[1]), (box[2], box[3])))
    if not (box[2] - box[0] >= LEAST_SIDE and box[3] - box[1] >= LEAST_SIDE):
        raise ValueError(f"a box needs an area, x0 < x1 and y0 < y1, is {box}")


def check_polygon(corners: Sequence[Point]) -> None:
    """Hold a polygon against what a polygon is.

    Raises:
        ValueError: it has too few or too many corners, one of them is not finite or too far away,
            its sides cross, or it has no area.
    """
    if not 3 <= len(corners) <= MOST_POINTS:
        raise ValueError(f"a polygon has 3 to {MOST_POINTS} corners, not {len(corners)}")
    _near(corners)
    count = len(corners)
    sides = [(corners[k], corners[(k + 1) % count]) for k in range(count)]
    # What lies inside of sides that cross is a matter of opinion, and one opinion leaves it open.
    for k in range(count):
        for m in range(k + 2, count):
            if (k, m) != (0, count - 1) and _cross(*sides[k], *sides[m]):
                raise ValueError("the sides of a polygon must not cross or touch")
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in sides) / 2
    if abs(area) < 1e-3:
        raise ValueError("a polygon needs an area")


def bounds(corners: Sequence[Point]) -> Box:
    """The box around points."""
    across, down = [x for x, _ in corners], [y for _, y in corners]
    return min(across), min(down), max(across), max(down)


def meets(box: Box, width: int, height: int) -> bool:
    """Whether a box shares an area with a frame of this size."""
    return box[2] > 0 and box[3] > 0 and box[0] < width and box[1] < height


def holds(corners: Sequence[Point], box: Box) -> bool:
    """Whether the whole of a box lies inside a polygon."""
    x0, y0, x1, y1 = box
    outline = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    if not all(_inside(corners, point) for point in outline):
        return False
    count = len(corners)
    return not any(
        _cross(outline[k], outline[(k + 1) % 4], corners[m], corners[(m + 1) % count])
        for k in range(4)
        for m in range(count)
    )


def _near(points: Sequence[Point]) -> None:
    for x, y in points:
        # NaN fails every comparison, so it fails this one.
        if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
            raise ValueError(f"the point ({x!r}, {y!r}) is not finite or lies far outside")


def _inside(corners: Sequence[Point], point: Point) -> bool:
    """Even-odd rule."""
    x, y = point
    inside = False
    for k, (ax, ay) in enumerate(corners):
        bx, by = corners[k - 1]
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
    return inside


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two line segments share a point."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    def between(p: Point, q: Point, r: Point) -> bool:
        return min(p[0], q[0]) <= r[0] <= max(p[0], q[0]) and (
            min(p[1], q[1]) <= r[1] <= max(p[1], q[1])
        )

    one, two, three, four = side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)
    if one * two < 0 and three * four < 0:
        return True
    return (
        (one == 0 and between(a, b, c))
        or (two == 0 and between(a, b, d))
        or (three == 0 and between(c, d, a))
        or (four == 0 and between(c, d, b))
    )
