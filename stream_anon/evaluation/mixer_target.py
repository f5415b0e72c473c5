"""Whether pictures reach their target VFE: stills, whole pictures, faces in video."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.evaluation.clips import cut as face_crop
from stream_anon.evaluation.clips import overlap, pictures_of
from stream_anon.evaluation.finder import Finder
from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.kernels.visual_mixer import TOLERANCE, mix, vfe

Pixels = NDArray[np.uint8]

WHOLE = 224
"""Side of whole pictures in pixels."""

SAME = 0.4
"""Overlap from which two faces of pictures that follow each other are one track."""

INNER = slice(8, 120)
"""The 112 px of the face frame that the video method shuffles."""

WEAKEST = 0.01
"""A target below any shuffle."""


def reached(pictures: Iterable[Pixels], target: float) -> dict[str, Any]:
    """Mix every picture and compare with the target.

    Args:
        pictures: (h, w, 3) uint8 RGB.
        target: VFE.

    Returns:
        ``count``, ``reachable``, ``met`` within 2 %, and the mean and largest error of the
        reachable ones as shares of the target.
    """
    errors, count = [], 0
    for picture in pictures:
        count += 1
        key = os.urandom(KEY_BYTES)
        if within_reach(picture, target, key):
            errors.append(abs(mix(picture, key, target).vfe / target - 1.0))
    return summary(errors, count)


def within_reach(picture: Pixels, target: float, key: bytes) -> bool:
    """Whether the target lies between the weakest and the full shuffle with this key."""
    return mix(picture, key, WEAKEST).vfe <= target <= mix(picture, key, None).vfe


def summary(errors: list[float], count: int) -> dict[str, Any]:
    """See ``reached``."""
    values = np.array(errors or [0.0])
    return {
        "count": count,
        "reachable": len(errors),
        "met": int(sum(e * TOLERANCE <= 1.0 for e in errors)),
        "mean error": float(values.mean()),
        "largest error": float(values.max()),
    }


def whole_pictures(clips: Iterable[Path], each: int) -> Iterator[Pixels]:
    """Some pictures of each clip, their middle square at 224 px."""
    for clip in clips:
        frames = list(_some(clip, each))
        for frame in frames:
            side = min(frame.shape[:2])
            top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
            square = np.ascontiguousarray(frame[top : top + side, left : left + side])
            way = cv2.INTER_AREA if side >= WHOLE else cv2.INTER_CUBIC
            yield np.asarray(cv2.resize(square, (WHOLE, WHOLE), interpolation=way), np.uint8)


def _some(clip: Path, each: int) -> Iterator[Pixels]:
    for number, frame in enumerate(pictures_of(clip)):
        if number % 25 == 0:
            yield frame
        if number >= 25 * (each - 1):
            return


@dataclass(slots=True)
class Track:
    """The face crops of one track, in order.

    Attributes:
        box: of its last face.
        crops: (112, 112, 3) uint8 RGB.
    """

    box: NDArray[np.float64]
    crops: list[Pixels] = field(default_factory=list)


def tracks(clip: Path, finder: Finder, most: int, smallest: float = 60.0) -> list[Track]:
    """Faces of a clip's first pictures, in the face frame at 112 px.

    Args:
        clip: the video.
        finder: a detector.
        most: pictures looked at.
        smallest: faces narrower than so many pixels are left out: ``visual-mixer`` shuffles
            them on a coarser grid.
    """
    found: list[Track] = []
    for number, frame in enumerate(pictures_of(clip)):
        if number >= most:
            break
        for face in finder.all(frame):
            if face.landmarks is None or face.size < smallest:
                continue
            crop = face_crop(frame, geometry.similarity(face.landmarks))
            known = [t for t in found if overlap(t.box, face.box) >= SAME]
            track = known[0] if known else Track(face.box)
            if not known:
                found.append(track)
            track.box = face.box
            track.crops.append(np.ascontiguousarray(crop[INNER, INNER]))
    return found


def in_video(found: list[Track], target: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first face of each track, and the later ones with the first one's permutation."""
    first, later = [], []
    for track in found:
        key = os.urandom(KEY_BYTES)
        if not within_reach(track.crops[0], target, key):
            continue
        mixed = mix(track.crops[0], key, target)
        first.append(abs(mixed.vfe / target - 1.0))
        index = mixed.index
        for crop in track.crops[1:]:
            shuffled = np.take(crop.ravel(), index).reshape(crop.shape)
            later.append(abs(vfe(shuffled) / target - 1.0))
    return summary(first, len(found)), summary(later, len(later))
