"""Meshes that move as the face moves, and how surely there is a face, along each track.

A mesh is found anew in each frame and trembles a little. It is held against the one before,
carried along by the locked landmarks: small differences are mostly noise and are taken slowly,
large ones (a mouth that opens) at once (the idea of the one-euro filter, Casiez et al. 2012).
Meshes stay in here and reach a method only in its own frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.faces.mesh import PRESENT, SIDE, FaceMesh
from stream_anon.geometry import FACE_FRAME, apply, invert, scale_of, similarity

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SMALLEST = 24.0
"""Side of a face's box in pixels below which no mesh is looked for."""

REST = 6
"""A track that showed none is looked at again after so many frames."""

CALM = 0.4
"""Share of a point's difference that is taken while it is small."""

STIR = 1.6
"""Difference in face-frame units from which all of it is taken."""

LONGEST = 0.25
"""Seconds between two frames beyond which a track begins anew."""

HABIT = 0.5
"""Share of a new presence in a track's."""


@dataclass(slots=True, eq=False)
class _State:
    points: Array
    landmarks: Array | None
    seconds: float


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
        self._states: dict[int, _State] = {}
        self._presence: dict[int, float] = {}
        self._wait: dict[int, int] = {}

    def forget(self, track: int) -> None:
        """The track has ended."""
        self._states.pop(track, None)
        self._presence.pop(track, None)
        self._wait.pop(track, None)

    def wants(self, track: int, size: float) -> bool:
        """Whether a crop of this face should be looked at in this frame."""
        if size < SMALLEST:
            return False
        waiting = self._wait.get(track, 0)
        self._wait[track] = max(0, waiting - 1)
        return waiting <= 0

    def __call__(
        self,
        tracks: Sequence[int],
        crops: Pixels,
        transforms: Array,
        landmarks: Sequence[Array | None],
        seconds: float,
    ) -> list[Found]:
        """Find and steady.

        Args:
            tracks: n numbers.
            crops: (n, 192, 192, 3) uint8 RGB over the face frame of ``transforms``.
            transforms: (n, 2, 3), frame pixels to face-frame units.
            landmarks: n of (5, 2) frame pixels, locked to the face's motion, or None.
            seconds: of the frame; they rise.
        """
        meshes, presences = self._finder(crops)
        out = []
        for i, track in enumerate(tracks):
            before = self._presence.get(track)
            now = float(presences[i])
            presence = now if before is None else before + HABIT * (now - before)
            self._presence[track] = presence
            if now < PRESENT:
                self._wait[track] = REST if presence < PRESENT else 0
                self._states.pop(track, None)
                out.append(Found(None, presence))
                continue
            seen = placed(meshes[i], transforms[i])
            points = self._steadied(track, seen, landmarks[i], transforms[i], seconds)
            self._states[track] = _State(points, landmarks[i], seconds)
            out.append(Found(points, presence))
        return out

    def known(self, track: int) -> float | None:
        """The presence of a track that is not looked at now; None where it never was."""
        return self._presence.get(track)

    def _steadied(
        self, track: int, seen: Array, landmarks: Array | None, transform: Array, seconds: float
    ) -> Array:
        last = self._states.get(track)
        if last is None or not 0.0 < seconds - last.seconds <= LONGEST:
            return seen
        expected = last.points.copy()
        if landmarks is not None and last.landmarks is not None:
            try:
                way = similarity(last.landmarks, landmarks)
            except ValueError:
                return seen
            expected[:, :2] = apply(way, expected[:, :2])
            expected[:, 2] *= scale_of(way)
        apart = np.linalg.norm(seen - expected, axis=1) * scale_of(transform)
        share = CALM + (1.0 - CALM) * np.clip(apart / STIR, 0.0, 1.0)
        return np.asarray(expected + share[:, None] * (seen - expected))


def placed(mesh: Floats, transform: Array) -> Array:
    """A mesh (468, 3) in pixels of a (192, 192) crop of ``transform``, in frame pixels."""
    unit = FACE_FRAME / SIDE
    flat = (mesh[:, :2].astype(np.float64) + 0.5) * unit - 0.5
    scale = scale_of(transform)
    return np.hstack([apply(invert(transform), flat), mesh[:, 2:] * unit / max(scale, 1e-9)])


def told(mesh: Array, frame: Array) -> Floats:
    """A mesh in frame pixels as a method is told it: (468, 3) float32 units of ``frame``."""
    points = np.hstack([apply(frame, mesh[:, :2]), mesh[:, 2:] * scale_of(frame)])
    return points.astype(np.float32)


def shrunk(crop: Pixels, side: int) -> Pixels:
    """The luma of a crop at another side: what landmarks and motion are measured in."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
