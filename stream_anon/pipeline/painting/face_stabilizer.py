"""In which crop a method sees and paints each face.

Most methods take the tracker's crops as they are. One that asks for more (``Method.crop_scale``)
gets crops about the landmarks, locked to the face's own motion, whose masks cover the
tracker's, and is told how the surface of the face moved within its crop.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment import landmark_filter
from stream_anon.alignment.align import locked_all, widen_all
from stream_anon.alignment.landmark_filter import LandmarkFilter
from stream_anon.alignment.landmark_net import NAME, LandmarkFinder, believed
from stream_anon.alignment.mesh import NAME as MESH
from stream_anon.alignment.mesh import SIDE as MESH_SIDE
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.alignment.non_rigid_flow import Field, NonRigidFlow
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import ModelError
from stream_anon.geometry import ALIGNED_SIDE, apply, invert
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Method, Subject
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.pipeline.painting.shapes import grown
from stream_anon.track_state import Part, TrackState
from stream_anon.tracking.mesh_track import Found, MeshTracks, told

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

SMALLEST_STABILIZED = 40.0
"""Side of a face's box in pixels below which nobody sees it swim."""

EVERY = 3
"""A track is shown to the landmark net in every so manieth frame; in between it is followed."""

IN_VAIN = 4
"""Likewise a track of which it was not sure the last time."""

NARROWING = 0.985
"""Factor by which a crop may become narrower from one frame to the next."""


MOST_MISFIT = (2.05, 2.4)
"""How much wider than the plain alignment a crop would have to be to cover all that a tracker asks
for, beyond which landmarks do not tell where its face is; the second where there are meshes."""

MESH_SCALE = 1.12
"""Likewise of the crops that the mesh network is shown: it wants a square of about one and a half
face boxes."""

HELD = 0.4
"""Seconds, at least, for which a crop stays as wide as it had to be: a detector's boxes tremble,
and a crop that follows them breathes."""


class CropWidth:
    """How wide a track's crops are at least, against the plain alignment.

    Args:
        narrowest: the least of all.

    Attributes:
        least: for the next frame.
    """

    def __init__(self, narrowest: float) -> None:
        self.least = narrowest
        self._narrowest = narrowest
        self._began = -np.inf
        self._peaks = (narrowest, narrowest)

    def add(self, needed: float, seconds: float) -> None:
        """What a frame's crop had to be."""
        used = max(self.least, needed)
        before, now = self._peaks
        if not 0.0 <= seconds - self._began < HELD:
            self._began, before, now = seconds, now, needed
        self._peaks = (before, max(now, needed))
        self.least = max(self._narrowest, *self._peaks, NARROWING * used)


@dataclass(slots=True)
class _Known:
    """Of a track.

    Attributes:
        wide: how wide its crops are; None before the first.
        wait: frames until it is shown to the landmark net again.
        confident: whether the net was sure of it the last time.
    """

    wide: CropWidth | None = None
    wait: int = 0
    confident: bool = False


class FaceStabilizer:
    """Keeps in each track's state what the next frame's crop needs.

    Args:
        method: that paints.
        models_dir: where the mesh network is looked for first, if the method wants meshes.
        backend: runs the networks.

    Raises:
        ModelError: a network is missing.
    """

    def __init__(
        self, method: Method, models_dir: Path | None = None, backend: Backend = OPENVINO
    ) -> None:
        self._crop_scale = method.crop_scale
        self._locked = method.opaque
        self._landmark_filter = LandmarkFilter()
        self._flow = NonRigidFlow(landmark_filter.EXTENT)
        self._finder = None if method.crop_scale is None else LandmarkFinder(backend=backend)
        self._meshes = _meshes(method, models_dir, backend)
        self._known: Part[_Known] = Part()

    def of(
        self,
        frame: Frame,
        faces: Sequence[TrackedFace],
        states: Sequence[TrackState],
        declined: Collection[int] = (),
    ) -> tuple[Array, list[Subject]]:
        """The crops of a frame's faces, before any of them is painted.

        Args:
            frame: as decoded.
            faces: n of them.
            states: n, of their tracks.
            declined: tracks that the method declined in the frame before: a cover need not
                follow its face's every motion.

        Returns:
            Transforms (n, 2, 3), and what the method may know of each face.
        """
        transforms = np.stack([face.transform for face in faces])
        landmarks = [face.landmarks for face in faces]
        motions: list[Field | None] = [None] * len(faces)
        if self._crop_scale is not None:
            seen = self._look(frame, faces, transforms, declined)
            late = self._refine(seen, states, transforms, landmarks)
            for i, luma in seen.items():
                points = landmarks[i]
                if points is not None:
                    landmarks[i] = self._landmark_filter(
                        states[i],
                        luma,
                        transforms[i],
                        points,
                        frame.seconds,
                        observed=i not in late,
                    )
            wide, located = self._widened(
                states, transforms, landmarks, self._crop_scale, frame.seconds
            )
            for i, luma in seen.items():
                motions[i] = self._flow(
                    states[i], luma, transforms[i], wide[i], frame.seconds
                )
            meshes = self._mesh(
                frame, faces, states, transforms, wide, located, landmarks, motions
            )
            transforms = wide
        else:
            meshes = [None] * len(faces)
        return transforms, [
            subject_of(face, frame.seconds, transform, points, motion, mesh, state)
            for face, transform, points, motion, mesh, state in zip(
                faces, transforms, landmarks, motions, meshes, states, strict=True
            )
        ]

    def _mesh(
        self,
        frame: Frame,
        faces: Sequence[TrackedFace],
        states: Sequence[TrackState],
        transforms: Array,
        wide: Array,
        located: NDArray[np.bool_],
        landmarks: Sequence[Array | None],
        motions: Sequence[Field | None],
    ) -> list[Found | None]:
        """What the mesh network says of each face; None where it was never asked."""
        found: list[Found | None] = [None] * len(faces)
        if self._meshes is None:
            return found
        chosen = []
        for i, face in enumerate(faces):
            if self._meshes.wants(states[i], face.size, face.score):
                chosen.append(i)
            else:
                found[i] = self._meshes.carried(
                    states[i], wide[i], motions[i], landmarks[i], frame.seconds
                )
        if chosen:
            shown = self._mesh_frames(transforms[chosen], wide[chosen], located[chosen])
            crops = frame.crops(shown, MESH_SIDE, ALIGNED_SIDE)
            looked = [states[i] for i in chosen]
            points = [landmarks[i] for i in chosen]
            answers = self._meshes(looked, crops, shown, wide[chosen], points, frame.seconds)
            for i, answer in zip(chosen, answers, strict=True):
                found[i] = answer
        return found

    def _mesh_frames(self, transforms: Array, wide: Array, located: NDArray[np.bool_]) -> Array:
        """What the mesh network is shown: (n, 2, 3) of the crops that it is best at, where
        landmarks tell where the face is; else the tracker's, which grow with what is not known."""
        if self._crop_scale is None or not located.any():
            return transforms
        narrow = np.stack([grown(one, MESH_SCALE / self._crop_scale) for one in wide])
        return np.where(located[:, None, None], narrow, transforms)

    @staticmethod
    def _look(
        frame: Frame,
        faces: Sequence[TrackedFace],
        transforms: Array,
        declined: Collection[int],
    ) -> dict[int, NDArray[np.uint8]]:
        """Grey crops of the faces whose motion is worth following, by their number."""
        chosen = [
            i
            for i, face in enumerate(faces)
            if face.landmarks is not None
            and face.size >= SMALLEST_STABILIZED
            and face.track not in declined
        ]
        if not chosen:
            return {}
        crops = frame.crops(transforms[chosen], landmark_filter.SIDE, landmark_filter.EXTENT)
        return {
            i: np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
            for i, crop in zip(chosen, crops, strict=True)
        }

    def _refine(
        self,
        seen: dict[int, NDArray[np.uint8]],
        states: Sequence[TrackState],
        transforms: Array,
        landmarks: list[Array | None],
    ) -> set[int]:
        """Put what the landmark net finds in the place of the tracker's, where it is sure.

        A track is looked at now and then.

        Returns:
            Numbers of the faces whose turn it is not, though the net knew them last time.
        """
        if self._finder is None:
            return set()
        known_of = {i: self._known.of(states[i], _Known) for i in seen}
        turn = [i for i in seen if known_of[i].wait <= 0]
        late = set(seen) - set(turn)
        for i in late:
            known_of[i].wait -= 1
        found, errors = self._finder([seen[i] for i in turn])
        for i, points, error in zip(turn, found, errors, strict=True):
            known = landmarks[i]
            if known is not None and believed(points, error, apply(transforms[i], known)):
                landmarks[i] = apply(invert(transforms[i]), points)
                known_of[i].confident, known_of[i].wait = True, EVERY - 1
            else:
                known_of[i].confident, known_of[i].wait = False, IN_VAIN - 1
        return {i for i in late if known_of[i].confident}

    def _widened(
        self,
        states: Sequence[TrackState],
        transforms: Array,
        landmarks: list[Array | None],
        crop_scale: float,
        seconds: float,
    ) -> tuple[Array, NDArray[np.bool_]]:
        """The crops, and which of them are locked to landmarks alone."""
        unknown = np.full((5, 2), np.nan)
        points = np.stack([unknown if p is None else p for p in landmarks])
        if self._locked:
            most = MOST_MISFIT[self._meshes is not None]
            crops, needed = locked_all(transforms, points, crop_scale, most)
            return crops, (needed <= most) & (crops != transforms).any(axis=(1, 2))
        known = [self._known.of(state, _Known) for state in states]
        widths = [one.wide or CropWidth(crop_scale) for one in known]
        least = np.array([width.least for width in widths])
        alignments, needed = widen_all(transforms, points, least)
        for one, width, factor in zip(known, widths, needed, strict=True):
            width.add(float(factor), seconds)
            one.wide = width
        return alignments, np.zeros(len(states), np.bool_)


def _meshes(method: Method, models_dir: Path | None, backend: Backend) -> MeshTracks | None:
    """The mesh network where the method wants it; without it faces are drawn less well, not less
    safely, so that only who asked for it must have it."""
    if not method.meshed:
        return None
    try:
        finder = FaceMesh(models_dir, backend=backend)
        method.judge_with(finder)
        return MeshTracks(finder)
    except ModelError as error:
        if method.needs_mesh:
            raise
        log.warning("%s; faces are drawn without it", error)
        # The report names the networks that ran.
        method.meshed = False
        return None


def networks(method: Method) -> tuple[str, ...]:
    """Names of the networks that a method's crops need."""
    used = () if method.crop_scale is None else (NAME,)
    return (*used, MESH) if method.meshed else used


def subject_of(
    face: TrackedFace,
    seconds: float,
    transform: Array,
    landmarks: Array | None,
    motion: Field | None = None,
    found: Found | None = None,
    state: TrackState | None = None,
) -> Subject:
    """What a method may know of a face.

    Args:
        face: from the tracker.
        seconds: of the frame.
        transform: (2, 3), by which it is cut.
        landmarks: (5, 2) pixels, or None.
        motion: of its surface within its crop, or None.
        found: by the mesh network, or None.
        state: of its track; None for covers, which remember nothing.
    """
    points = None if landmarks is None else apply(transform, landmarks)
    mesh, presence = None, None
    if found is not None:
        mesh = None if found.mesh is None else told(found.mesh, transform)
        presence = found.presence
    state = TrackState(face.track) if state is None else state
    return Subject(state, points, face.size, face.score, seconds, motion, mesh, presence)
