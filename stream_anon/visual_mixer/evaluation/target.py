"""Whether images reach their target VFE: stills, whole images, faces in video."""

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
from stream_anon.evaluation.data.clips import cut as face_crop
from stream_anon.evaluation.data.clips import frames_of, overlap
from stream_anon.evaluation.data.finder import Finder
from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer.mix import TOLERANCE, mix, vfe

Pixels = NDArray[np.uint8]

WHOLE = 224
"""Side of whole images in pixels."""

SAME = 0.4
"""Overlap from which two faces of images that follow each other are one track."""

INNER = slice(8, 120)
"""The 112 px of the aligned face space that the video method shuffles."""

WEAKEST = 0.01
"""A target below any shuffle."""


def reached(images: Iterable[Pixels], target: float) -> dict[str, Any]:
    """Mix every image and compare with the target.

    Args:
        images: (h, w, 3) uint8 RGB.
        target: VFE.

    Returns:
        ``count``, ``reachable``, ``met`` within 2 %, and the mean and largest error of the
        reachable ones as shares of the target.
    """
    errors, count = [], 0
    for image in images:
        count += 1
        key = os.urandom(KEY_BYTES)
        if is_reachable(image, target, key):
            errors.append(abs(mix(image, key, target).vfe / target - 1.0))
    return summary(errors, count)


def is_reachable(image: Pixels, target: float, key: bytes) -> bool:
    """Whether the target lies between the weakest and the full shuffle with this key."""
    return mix(image, key, WEAKEST).vfe <= target <= mix(image, key, None).vfe


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


def whole_images(clips: Iterable[Path], each: int) -> Iterator[Pixels]:
    """Some images of each clip, their middle square at 224 px."""
    for clip in clips:
        frames = list(_some(clip, each))
        for frame in frames:
            side = min(frame.shape[:2])
            top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
            square = np.ascontiguousarray(frame[top : top + side, left : left + side])
            way = cv2.INTER_AREA if side >= WHOLE else cv2.INTER_CUBIC
            yield np.asarray(cv2.resize(square, (WHOLE, WHOLE), interpolation=way), np.uint8)


def _some(clip: Path, each: int) -> Iterator[Pixels]:
    for number, frame in enumerate(frames_of(clip)):
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
    """Faces of a clip's first images, in the aligned face space at 112 px.

    Args:
        clip: the video.
        finder: a detector.
        most: images looked at.
        smallest: faces narrower than so many pixels are left out: ``visual-mixer`` shuffles
            them on a coarser grid.
    """
    found: list[Track] = []
    for number, frame in enumerate(frames_of(clip)):
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
        if not is_reachable(track.crops[0], target, key):
            continue
        mixed = mix(track.crops[0], key, target)
        first.append(abs(mixed.vfe / target - 1.0))
        index = mixed.index
        for crop in track.crops[1:]:
            shuffled = np.take(crop.ravel(), index).reshape(crop.shape)
            later.append(abs(vfe(shuffled) / target - 1.0))
    return summary(first, len(found)), summary(later, len(later))
