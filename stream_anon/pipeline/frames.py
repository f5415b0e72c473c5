"""In which frame a method sees and paints each face.

Most methods take the tracker's frames as they are. One that asks for more (``Method.reach``)
gets frames about the landmarks, locked to the face's own motion, whose masks cover the
tracker's, and is told how the surface of the face moved within its frame.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError
from stream_anon.faces import lock
from stream_anon.faces.align import widen_all
from stream_anon.faces.face import TrackedFace
from stream_anon.faces.landmarks import NAME, LandmarkFinder, believed
from stream_anon.faces.lock import LandmarkLock
from stream_anon.faces.mesh import NAME as MESH
from stream_anon.faces.mesh import SIDE as MESH_SIDE
from stream_anon.faces.mesh import FaceMesh
from stream_anon.faces.mesh_track import Found, MeshTracks, told
from stream_anon.faces.surface import Field, Surface
from stream_anon.geometry import FACE_FRAME, apply, invert
from stream_anon.methods.base import Method, Subject
from stream_anon.video.picture import Picture

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

LEAST_SIZE = 40.0
"""Side of a face's box in pixels below which nobody sees it swim."""

EVERY = 3
"""A track is shown to the landmark net in every so manieth picture; in between it is followed."""

IN_VAIN = 4
"""Likewise a track of which it was not sure the last time."""

CALMING = 0.985
"""Factor by which a frame may become narrower from one picture to the next."""


class Frames:
    """Keeps per track what the next picture's frame needs; raw crops stay in here.

    Args:
        method: that paints.
        models_dir: where the mesh network is looked for first, if the method wants meshes.

    Raises:
        ModelError: a network is missing.
    """

    def __init__(self, method: Method, models_dir: Path | None = None) -> None:
        self._reach = method.reach
        self._lock = LandmarkLock()
        self._surface = Surface(lock.EXTENT)
        self._finder = None if method.reach is None else LandmarkFinder()
        self._meshes = _meshes(method, models_dir)
        self._wide: dict[int, float] = {}
        self._wait: dict[int, int] = {}
        self._sure: set[int] = set()

    def forget(self, track: int) -> None:
        """The track has ended."""
        self._lock.forget(track)
        self._surface.forget(track)
        if self._meshes is not None:
            self._meshes.forget(track)
        self._wide.pop(track, None)
        self._wait.pop(track, None)
        self._sure.discard(track)

    def of(
        self,
        picture: Picture,
        faces: Sequence[TrackedFace],
        covered: Collection[int] = (),
    ) -> tuple[Array, list[Subject]]:
        """The frames of a picture's faces, before any of them is painted.

        Args:
            picture: as decoded.
            faces: n of them.
            covered: tracks that the method declined in the picture before: a cover need not
                follow its face's every motion.

        Returns:
            Transforms (n, 2, 3), and what the method may know of each face.
        """
        transforms = np.stack([face.transform for face in faces])
        landmarks = [face.landmarks for face in faces]
        motions: list[Field | None] = [None] * len(faces)
        if self._reach is not None:
            seen = self._look(picture, faces, transforms, covered)
            late = self._refine(seen, faces, transforms, landmarks)
            for i, luma in seen.items():
                points = landmarks[i]
                if points is not None:
                    landmarks[i] = self._lock(
                        faces[i].track,
                        luma,
                        transforms[i],
                        points,
                        picture.seconds,
                        sure=i not in late,
                    )
            wide = self._widened(faces, transforms, landmarks, self._reach)
            for i, luma in seen.items():
                motions[i] = self._surface(
                    faces[i].track, luma, transforms[i], wide[i], picture.seconds
                )
            meshes = self._mesh(picture, faces, transforms, wide, landmarks, motions)
            transforms = wide
        else:
            meshes = [None] * len(faces)
        return transforms, [
            subject_of(face, picture.seconds, transform, points, motion, mesh)
            for face, transform, points, motion, mesh in zip(
                faces, transforms, landmarks, motions, meshes, strict=True
            )
        ]

    def _mesh(
        self,
        picture: Picture,
        faces: Sequence[TrackedFace],
        transforms: Array,
        wide: Array,
        landmarks: Sequence[Array | None],
        motions: Sequence[Field | None],
    ) -> list[Found | None]:
        """What the mesh network says of each face; None where it was never asked."""
        found: list[Found | None] = [None] * len(faces)
        if self._meshes is None:
            return found
        chosen = []
        for i, face in enumerate(faces):
            if self._meshes.wants(face.track, face.size):
                chosen.append(i)
            else:
                found[i] = self._meshes.carried(
                    face.track, wide[i], motions[i], landmarks[i], picture.seconds
                )
        if chosen:
            crops = picture.crops(transforms[chosen], MESH_SIDE, FACE_FRAME)
            tracks = [faces[i].track for i in chosen]
            points = [landmarks[i] for i in chosen]
            answers = self._meshes(
                tracks, crops, transforms[chosen], wide[chosen], points, picture.seconds
            )
            for i, answer in zip(chosen, answers, strict=True):
                found[i] = answer
        return found

    @staticmethod
    def _look(
        picture: Picture,
        faces: Sequence[TrackedFace],
        transforms: Array,
        covered: Collection[int],
    ) -> dict[int, NDArray[np.uint8]]:
        """Grey crops of the faces whose motion is worth following, by their number."""
        chosen = [
            i
            for i, face in enumerate(faces)
            if face.landmarks is not None
            and face.size >= LEAST_SIZE
            and face.track not in covered
        ]
        if not chosen:
            return {}
        crops = picture.crops(transforms[chosen], lock.SIDE, lock.EXTENT)
        return {
            i: np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
            for i, crop in zip(chosen, crops, strict=True)
        }

    def _refine(
        self,
        seen: dict[int, NDArray[np.uint8]],
        faces: Sequence[TrackedFace],
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
        turn = [i for i in seen if self._wait.get(faces[i].track, 0) <= 0]
        late = set(seen) - set(turn)
        for i in late:
            self._wait[faces[i].track] -= 1
        found, errors = self._finder([seen[i] for i in turn])
        for i, points, error in zip(turn, found, errors, strict=True):
            known = landmarks[i]
            if known is not None and believed(points, error, apply(transforms[i], known)):
                landmarks[i] = apply(invert(transforms[i]), points)
                self._sure.add(faces[i].track)
                self._wait[faces[i].track] = EVERY - 1
            else:
                self._sure.discard(faces[i].track)
                self._wait[faces[i].track] = IN_VAIN - 1
        return {i for i in late if faces[i].track in self._sure}

    def _widened(
        self,
        faces: Sequence[TrackedFace],
        transforms: Array,
        landmarks: list[Array | None],
        reach: float,
    ) -> Array:
        unknown = np.full((5, 2), np.nan)
        points = np.stack([unknown if p is None else p for p in landmarks])
        least = np.array([self._wide.get(face.track, reach) for face in faces])
        frames, factors = widen_all(transforms, points, least)
        for face, factor in zip(faces, factors, strict=True):
            self._wide[face.track] = max(reach, CALMING * float(factor))
        return frames


def _meshes(method: Method, models_dir: Path | None) -> MeshTracks | None:
    """The mesh network where the method wants it; without it faces are drawn less well, not less
    safely, so that only who asked for it must have it."""
    if not method.meshed:
        return None
    try:
        return MeshTracks(FaceMesh(models_dir))
    except ModelError as error:
        if method.needs_mesh:
            raise
        log.warning("%s; faces are drawn without it", error)
        # The report names the networks that ran.
        method.meshed = False
        return None


def networks(method: Method) -> tuple[str, ...]:
    """Names of the networks that a method's frames need."""
    used = () if method.reach is None else (NAME,)
    return (*used, MESH) if method.meshed else used


def subject_of(
    face: TrackedFace,
    seconds: float,
    transform: Array,
    landmarks: Array | None,
    motion: Field | None = None,
    found: Found | None = None,
) -> Subject:
    """What a method may know of a face.

    Args:
        face: from the tracker.
        seconds: of the picture.
        transform: (2, 3), by which it is cut.
        landmarks: (5, 2) pixels, or None.
        motion: of its surface within its frame, or None.
        found: by the mesh network, or None.
    """
    points = None if landmarks is None else apply(transform, landmarks)
    mesh, presence = None, None
    if found is not None:
        mesh = None if found.mesh is None else told(found.mesh, transform)
        presence = found.presence
    return Subject(face.track, points, face.size, face.score, seconds, motion, mesh, presence)
