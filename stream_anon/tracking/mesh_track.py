"""Meshes that move as the face moves, and how surely there is a face, along each track.

A mesh is found anew in each frame and trembles a little. It is held against the one before,
carried along by the locked landmarks: small differences are mostly noise and are taken slowly,
large ones (a mouth that opens) at once (the idea of the one-euro filter, Casiez et al. 2012).
Meshes stay in here and reach a method only in its own frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.mesh import PRESENT, SIDE, FaceMesh
from stream_anon.alignment.mesh_measures import mean_mesh
from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from stream_anon.geometry import ALIGNED_SIDE, apply, invert, scale_of, similarity
from stream_anon.track_state import Part, TrackState

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SMALLEST = 24.0
"""Side of a face's box in pixels below which no mesh is looked for."""

EVERY = 2
"""A track that has a mesh is looked at in every so manieth frame; in between its mesh is carried
along with the face's surface."""

CLOSE = 96.0
"""Side of a face's box in pixels from which it is looked at in every frame: there a mouth that
lags behind its words is seen."""

NEAR = 7.0
"""Aligned units about lips and lids within which differences are taken faster."""

HASTE = 0.7
"""Least share of a difference that is taken there: what moves little there is seen all the same."""

REST = 6
"""A track that showed none is looked at again after so many frames."""

SOON = 2
"""Likewise where the detector is sure of a face: something passes before it, or it turns."""

SURE = 0.5
"""Score from which it is."""

MIN_BLEND = 0.15
"""Share of a point's difference that is taken while it is small."""

FULL_REDRAW_MOTION = (2.0, 4.0)
"""Difference in aligned units, and in pixels of the frame, from which all of it is taken: in a
small face a mesh trembles by pixels."""

FINE = 0.5
"""Aligned units for a pixel of the frame up to which lips and lids are taken as fast; of a smaller
face, where nobody sees how they move, slower by as much as it is smaller."""

LONGEST = 0.25
"""Seconds between two frames beyond which a track begins anew."""

HABIT = 0.5
"""Share of a new presence in a track's."""


@dataclass(slots=True, eq=False)
class _State:
    points: Array
    landmarks: Array | None
    seconds: float
    frame: Array


@dataclass(slots=True, eq=False)
class _Track:
    """Attributes:
    last: the mesh of the frame before, or None.
    presence: None where it was never looked at.
    wait: frames until it is looked at again.
    close: whether it is looked at in every frame.
    rest: frames until it is looked at again if it shows none.
    """

    last: _State | None = None
    presence: float | None = None
    wait: int = 0
    close: bool = False
    rest: int = REST


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What is known of a face in one frame.

    Attributes:
        mesh: (468, 3) float64 frame pixels, z in the same unit; None where there is none.
        presence: of the track, 0 to 1.
    """

    mesh: Array | None
    presence: float


class MeshTracks:
    """Per track, the last mesh and its presence.

    Args:
        finder: the network.
    """

    def __init__(self, finder: FaceMesh) -> None:
        self._finder = finder
        self._known: Part[_Track] = Part()

    def wants(self, state: TrackState, size: float, score: float = 0.0) -> bool:
        """Whether a crop of this face, of this score, should be looked at in this frame."""
        if size < SMALLEST:
            return False
        known = self._known.of(state, _Track)
        known.close, known.rest = size >= CLOSE, SOON if score >= SURE else REST
        waiting = known.wait
        known.wait = max(0, waiting - 1)
        return waiting <= 0

    def carried(
        self,
        state: TrackState,
        frame: Array,
        motion: Floats | None,
        landmarks: Array | None,
        seconds: float,
    ) -> Found | None:
        """What is known of a face that is not looked at now.

        Args:
            state: of the track.
            frame: (2, 3), frame pixels to the units that ``motion`` is in.
            motion: (g, g, 2), how far from each cell its surface lay (`alignment.non_rigid_flow`),
                or None.
            landmarks: (5, 2) frame pixels of now, or None.
            seconds: of the frame.

        Returns:
            None where the track was never looked at.
        """
        known = self._known.get(state)
        if known is None or known.presence is None:
            return None
        presence, last = known.presence, known.last
        if last is None or not 0.0 < seconds - last.seconds <= LONGEST:
            known.wait = 0 if presence >= PRESENT else known.wait
            return Found(None, presence)
        points = _followed(last, landmarks) if motion is None else carried(last, frame, motion)
        known.last = _State(points, landmarks, seconds, frame)
        return Found(points, presence)

    def __call__(
        self,
        states: Sequence[TrackState],
        crops: Pixels,
        transforms: Array,
        frames: Array,
        landmarks: Sequence[Array | None],
        seconds: float,
    ) -> list[Found]:
        """Find and steady.

        Args:
            states: n, of the tracks.
            crops: (n, 192, 192, 3) uint8 RGB over the aligned face space of ``transforms``.
            transforms: (n, 2, 3), frame pixels to aligned units.
            frames: (n, 2, 3), likewise, to the units that motion will be told in.
            landmarks: n of (5, 2) frame pixels, locked to the face's motion, or None.
            seconds: of the frame; they rise.
        """
        meshes, presences = self._finder(crops)
        out = []
        for i, state in enumerate(states):
            known = self._known.of(state, _Track)
            before, now = known.presence, float(presences[i])
            presence = now if before is None else before + HABIT * (now - before)
            known.presence = presence
            if now < PRESENT:
                known.wait = known.rest if presence < PRESENT else 0
                known.last = None
                out.append(Found(None, presence))
                continue
            seen = placed(meshes[i], transforms[i])
            points = self._steadied(known.last, seen, landmarks[i], transforms[i], seconds)
            known.last = _State(points, landmarks[i], seconds, frames[i])
            known.wait = 0 if known.close else EVERY - 1
            out.append(Found(points, presence))
        return out

    @staticmethod
    def _steadied(
        last: _State | None,
        seen: Array,
        landmarks: Array | None,
        transform: Array,
        seconds: float,
    ) -> Array:
        if last is None or not 0.0 < seconds - last.seconds <= LONGEST:
            return seen
        expected = _followed(last, landmarks)
        scale = scale_of(transform)
        apart = np.linalg.norm(seen - expected, axis=1) * scale
        full = max(FULL_REDRAW_MOTION[0], FULL_REDRAW_MOTION[1] * scale)
        share = MIN_BLEND + (1.0 - MIN_BLEND) * np.clip(apart / full, 0.0, 1.0)
        share = np.maximum(share, _quick() * min(1.0, FINE / scale))
        return np.asarray(expected + share[:, None] * (seen - expected))


@lru_cache(maxsize=1)
def _quick() -> Array:
    """``HASTE`` for points (468,) near lips and lids, running out to 0."""
    mean = mean_mesh()
    named = [k for pair in (RIGHT_EYE, LEFT_EYE, INNER_LIPS) for side in pair for k in side]
    away = np.linalg.norm(mean[:, None] - mean[None, named], axis=2).min(axis=1)
    return np.asarray(HASTE * np.clip(2.0 - away / NEAR, 0.0, 1.0))


def _followed(last: _State, landmarks: Array | None) -> Array:
    """The mesh of the frame before where the landmarks say that the face is now."""
    points = last.points.copy()
    if landmarks is not None and last.landmarks is not None:
        try:
            way = similarity(last.landmarks, landmarks)
        except ValueError:
            return points
        points[:, :2] = apply(way, points[:, :2])
        points[:, 2] *= scale_of(way)
    return points


def carried(last: _State, frame: Array, motion: Floats) -> Array:
    """The mesh (468, 3) of the frame before, carried along with the surface, in frame pixels."""
    before = apply(last.frame, last.points[:, :2])
    cells = len(motion)
    places = (before + 0.5) * (cells / ALIGNED_SIDE) - 0.5
    x, y = np.ascontiguousarray(places.T, np.float32)
    border = cv2.BORDER_REPLICATE
    moved = cv2.remap(motion, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=border)
    # Motion says for a place of now where it was; over so short a way the two places agree.
    now = before - moved.reshape(-1, 2).astype(np.float64)
    scale = scale_of(last.frame) / max(scale_of(frame), 1e-9)
    return np.hstack([apply(invert(frame), now), last.points[:, 2:] * scale])


def placed(mesh: Floats, transform: Array) -> Array:
    """A mesh (468, 3) in pixels of a (192, 192) crop of ``transform``, in frame pixels."""
    unit = ALIGNED_SIDE / SIDE
    flat = (mesh[:, :2].astype(np.float64) + 0.5) * unit - 0.5
    scale = scale_of(transform)
    return np.hstack([apply(invert(transform), flat), mesh[:, 2:] * unit / max(scale, 1e-9)])


def told(mesh: Array, frame: Array) -> Floats:
    """A mesh in frame pixels as a method is told it: (468, 3) float32 units of ``frame``."""
    points = np.hstack([apply(frame, mesh[:, :2]), mesh[:, 2:] * scale_of(frame)])
    return points.astype(np.float32)
