"""New faces that neither flicker nor cost more than they must.

In a crop that is locked to the landmarks a face hardly moves, while a generator answers small
changes of its input with small changes everywhere. So a face is drawn again only when its
landmarks have moved against each other or a few frames have passed. In between the last drawing
is carried along with the surface of the face, and a new drawing is averaged with it: the less the
face moves, the more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.geometry import ALIGNED_SIDE, FACE_BOX, MASK_SEMI_AXES, mask_radius
from stream_anon.methods.base import Pixels, Subject
from stream_anon.track_state import Part

Field = NDArray[np.float32]

MIN_BLEND = 0.15
"""Share of the new drawing while nothing moves."""

CORE = 0.7
"""Radius in minimum ellipses up to which a drawing is averaged as one face."""

REDRAW_THRESHOLD = 2.5
"""Movement of the landmarks in aligned units up to which the last drawing still serves: it is
carried along with the surface, so a small one needs no new drawing."""

RESHAPED = 1.5
"""Likewise of a mesh's points: a mouth that opens shows what was not there to be carried."""

FULLY_RESHAPED = 3.0
"""Movement of a mesh's points from which nothing of the old drawing is left."""

POINTS = 0.02
"""Share of a mesh's points that are left out of that, as those that tremble."""

UNSEEN = 1.0
"""Likewise in pixels of the frame: what nobody sees in a small face."""

FULL_REDRAW_MOTION = 8.0
"""Movement from which nothing of the old drawing is left."""

MAX_CACHED_FRAMES = 8
"""Frames after which a face is drawn again in any case."""

LONGEST = 0.25
"""Seconds after which the face before no longer counts."""

MAX_MEAN_DISPLACEMENT = 4.0
"""Aligned units by which the inside of a drawing is carried along, on average, before it must
be drawn again."""


@dataclass(slots=True, eq=False)
class _Last:
    """What is remembered of a track: drawn pixels, never the frame's own.

    Attributes:
        face: (s, s, 3) float32.
        landmarks: (5, 2) at the time of drawing.
        mesh: (468, 2) at that time, or None.
        seconds: of the last frame it was used for.
        age: frames since the drawing.
        flow: (g, g, 2) how far from each cell the drawing's own point lies; None: nowhere.
    """

    face: NDArray[np.float32]
    landmarks: NDArray[np.float64]
    seconds: float
    mesh: NDArray[np.float32] | None = None
    age: int = 0
    flow: Field | None = field(default=None)


class TemporalBlender:
    """Remembers the last face of each track."""

    def __init__(self) -> None:
        self._last: Part[_Last] = Part()

    def needs_redraw(self, subjects: Sequence[Subject]) -> NDArray[np.bool_]:
        """Carry the faces along to this frame; which of them must be drawn now: (n,) bool."""
        return np.array([self._needs_redraw(subject) for subject in subjects], np.bool_)

    def _needs_redraw(self, subject: Subject) -> bool:
        last = self._known(subject)
        if last is None:
            return True
        if subject.motion is not None:
            last.flow = compose_flows(last.flow, subject.motion)
            inside = minimum_interior(len(last.flow))
            if float(np.hypot(*last.flow[inside].T).mean()) > MAX_MEAN_DISPLACEMENT:
                return True
        if last.age + 1 >= MAX_CACHED_FRAMES:
            return True
        unseen = UNSEEN * FACE_BOX / max(subject.size, 1.0)
        if _reshaped(last, subject) > max(RESHAPED, unseen):
            return True
        return _moved(last, subject) > max(REDRAW_THRESHOLD, unseen)

    def _known(self, subject: Subject) -> _Last | None:
        last = self._last.get(subject.state)
        if last is None or subject.seconds is None or subject.landmarks is None:
            return None
        return last if 0.0 <= subject.seconds - last.seconds <= LONGEST else None

    def __call__(
        self,
        generated: Pixels,
        valid: NDArray[np.bool_],
        needs_redraw: NDArray[np.bool_],
        subjects: Sequence[Subject],
    ) -> Pixels:
        """The faces to show.

        Args:
            generated: (m, s, s, 3) uint8, new drawings of those that were due.
            valid: (m,) bool; a drawing that is not is handed on as it is, and forgotten.
            needs_redraw: (n,) bool with m True, from ``needs_redraw``.
            subjects: n of them.

        Returns:
            (n, s, s, 3) uint8.
        """
        out = np.empty((len(subjects), *generated.shape[1:]), np.uint8)
        fresh = zip(generated, valid, strict=True)
        for i, (subject, new) in enumerate(zip(subjects, needs_redraw, strict=True)):
            last = self._known(subject)
            if last is not None and not new:
                last.age += 1
                last.seconds = subject.seconds or 0.0
                out[i] = np.rint(warp_by_flow(last.face, last.flow)).clip(0, 255)
                continue
            image, good = next(fresh)
            if not good:
                self._last.drop(subject.state)
                out[i] = image
                continue
            face = image.astype(np.float32)
            if last is not None:
                new_share = max(
                    _moved(last, subject) / FULL_REDRAW_MOTION,
                    _reshaped(last, subject) / FULLY_RESHAPED,
                )
                share = MIN_BLEND + (1.0 - MIN_BLEND) * min(1.0, new_share)
                before = warp_by_flow(last.face, last.flow)
                face = before + shares(len(face), share) * (face - before)
            if subject.landmarks is not None and subject.seconds is not None:
                mesh = None if subject.mesh is None else subject.mesh[:, :2].copy()
                last = _Last(face, subject.landmarks, subject.seconds, mesh)
                self._last.put(subject.state, last)
            out[i] = np.rint(face).clip(0, 255)
        return out


@lru_cache(maxsize=4)
def _outward(side: int) -> NDArray[np.float32]:
    """0 over the face itself, rising to 1 at the minimum ellipse: (s, s, 1)."""
    step = ALIGNED_SIDE / side
    place = (np.arange(side) + 0.5) * step - 0.5
    x, y = np.meshgrid(place, place)
    radius = mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(side, side, 1)
    way = np.clip((radius - CORE) / (1.0 - CORE), 0.0, 1.0)
    return np.asarray(way * way * (3.0 - 2.0 * way), np.float32)


def shares(side: int, share: float) -> NDArray[np.float32]:
    """Share of a new drawing at each of its pixels, (s, s, 1): ``share`` over the face, 1 at the
    edge. There lies what the head moves against; averaged, it would trail behind."""
    return np.asarray(share + (1.0 - share) * _outward(side), np.float32)


def compose_flows(flow: Field | None, motion: Field) -> Field:
    """Two motions (g, g, 2) in a row: from here to the frame before, from there to the drawing.

    Args:
        flow: the second, or None where the frame before was the drawing's own.
        motion: the first.
    """
    if flow is None:
        return motion
    cell = 128.0 / len(motion)
    place = np.arange(len(motion), dtype=np.float32)
    x = place[None, :] + motion[..., 0] / cell
    y = place[:, None] + motion[..., 1] / cell
    there = cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(motion + there, np.float32)


@lru_cache(maxsize=4)
def _max_displacement(grid: int) -> NDArray[np.float32]:
    """How far each cell's content may come from, so that it came from inside the ellipse: (g, g).

    Per unit of way the mask's radius changes by at most 1 / (the shorter semi-axis). Between cells
    the way is interpolated, and a pixel is made from its neighbours: hence the slack.
    """
    cell = ALIGNED_SIDE / grid
    place = (np.arange(grid) + 0.5) * cell - 0.5
    x, y = np.meshgrid(place, place)
    radius = mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(grid, grid)
    slack = cell * np.sqrt(2.0) + 2.0
    max_displacement = np.maximum(0.0, (1.0 - radius) * min(MASK_SEMI_AXES) - slack)
    return np.asarray(max_displacement, np.float32)


def warp_by_flow(face: NDArray[np.float32], flow: Field | None) -> NDArray[np.float32]:
    """A drawing (s, s, 3), moved along by (g, g, 2) aligned units.

    Around the ellipse a drawing repeats what it saw there, another face perhaps: none of that is
    carried inside.
    """
    if flow is None:
        return face
    length = np.maximum(np.hypot(flow[..., 0], flow[..., 1]), np.float32(1e-6))
    flow = flow * np.minimum(1.0, _max_displacement(len(flow)) / length)[..., None]
    side = len(face)
    scale = side / 128.0
    way = cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR)
    place = np.arange(side, dtype=np.float32)
    x, y = place[None, :] + way[..., 0] * scale, place[:, None] + way[..., 1] * scale
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(face, x, y, cv2.INTER_CUBIC, borderMode=border), np.float32)


def _moved(last: _Last, subject: Subject) -> float:
    if subject.landmarks is None:
        return FULL_REDRAW_MOTION
    return float(np.hypot(*(subject.landmarks - last.landmarks).T).max())


def _reshaped(last: _Last, subject: Subject) -> float:
    """How far the points of a mesh have moved in aligned units, but for a few of them."""
    if last.mesh is None or subject.mesh is None:
        return 0.0
    away = np.hypot(*(subject.mesh[:, :2] - last.mesh).T)
    return float(np.quantile(away, 1.0 - POINTS))
