"""The contract that every detector keeps, what they share, and the one place that makes them."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig
from stream_anon.errors import DetectorFault, ModelError
from stream_anon.faces.face import Face
from stream_anon.networks import registry
from stream_anon.networks.engine import Engine

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

MOST_FACES = 500
"""Candidates kept in one picture, the best by score: a bound on work, far above any crowd."""

OVERLAP = 0.35
"""Intersection over union from which two candidates are the same face."""

CONTAINED = 0.7
"""Share of a weaker candidate's area inside a stronger one's from which it is a part of it: an
eye, a beard. Painting the stronger one covers it."""

FINEST_AREA = 640 * 384
"""Network pixels that are always affordable: pictures up to that size are not shrunk."""

COARSE_SIDE = 320
"""Longer side of the second, coarse look, which finds the faces that fill the picture."""

COARSE_FACE = 28.0
"""Side in pixels of the smallest face that is taken from the coarse look: the fine look finds
it better, and what else the coarse one sees is mostly texture."""

Candidates = tuple[Array, Array, Array]
"""boxes (n, 4), landmarks (n, 5, 2), scores (n,), in network pixels."""


class View(Protocol):
    """What a detector needs of a picture."""

    @property
    def width(self) -> int:
        """Luma samples per row."""

    @property
    def height(self) -> int:
        """Luma rows."""

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole picture scaled to (height, width, 3) uint8 BGR."""


class Detector(ABC):
    """Finds faces in one picture. Keeps no state between pictures.

    Every picture is looked at in up to two sizes: one in which the smallest wanted face has
    ``smallest_input`` pixels, and a coarse one for faces too large for the first.
    """

    name: ClassVar[str]
    smallest_input: ClassVar[float]
    """Side in network pixels at which a face is still found at the default threshold."""

    def __init__(self, config: DetectorConfig, models_dir: Path | None = None) -> None:
        """Find the weights; engines are built at the first picture, when its size is known.

        Raises:
            ModelError: the weights are missing or wrong.
        """
        self.config = config
        self.path = registry.path(self.name, models_dir)
        self._engines: dict[tuple[int, int], Engine] = {}

    def sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Network inputs (width, height), finest first, for a picture of this size."""
        area = width * height
        scale = max(self.smallest_input / self.config.smallest_face, math.sqrt(FINEST_AREA / area))
        scale = min(scale, max(1.0, self.smallest_input / self.config.smallest_face))
        fine = _size(width * scale, height * scale)
        coarse_scale = COARSE_SIDE / max(width, height)
        coarse = _size(width * coarse_scale, height * coarse_scale)
        return [fine] if 2 * coarse_scale > scale else [fine, coarse]

    def detect(self, view: View, turns: int = 0) -> list[Face]:
        """All faces of a picture with a score of at least the lower threshold, best first.

        Args:
            view: the picture.
            turns: quarter turns, counter-clockwise, that make the picture upright for a viewer.

        Returns:
            Faces in pixels of the picture as it is stored, whatever ``turns`` is.

        Raises:
            DetectorFault: the network answered with something that describes no face.
            ModelError: the network cannot be run.
        """
        turns %= 4
        upright = (view.width, view.height) if turns % 2 == 0 else (view.height, view.width)
        found: list[Candidates] = []
        pixels: Pixels | None = None
        for width, height in self.sizes(*upright):
            if pixels is None:
                stored = (width, height) if turns % 2 == 0 else (height, width)
                pixels = view.thumbnail(*stored)
                if turns:
                    pixels = np.ascontiguousarray(np.rot90(pixels, turns))
                if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
                    raise DetectorFault(f"a thumbnail came as {pixels.shape} {pixels.dtype}")
            else:
                # From the fine one, which has more than enough detail: the picture is large.
                small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
                pixels = np.asarray(small, np.uint8)
            candidates = self._candidates(pixels)
            if found:
                boxes = candidates[0]
                large = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= COARSE_FACE**2
                candidates = (boxes[large], candidates[1][large], candidates[2][large])
            found.append(_scaled(candidates, upright[0] / width, upright[1] / height))
        parts = [np.concatenate(part) for part in zip(*found, strict=True)]
        boxes, landmarks, scores = merge(*parts)
        _check(boxes, landmarks, scores, *upright)
        boxes, landmarks = _turned(boxes, landmarks, turns, *upright)
        return [
            Face(box=box, landmarks=points, score=float(score))
            for box, points, score in zip(boxes, landmarks, scores, strict=True)
        ]

    def _candidates(self, pixels: Pixels) -> Candidates:
        """Run the network on a (height, width, 3) uint8 BGR picture."""
        height, width = pixels.shape[:2]
        engine = self._engines.get((width, height))
        if engine is None:
            engine = self._engines[width, height] = self._engine(width, height)
        outputs = engine([pixels[None]])
        if not all(np.isfinite(output).all() for output in outputs):
            raise DetectorFault(f"{self.name} answered with values that are not finite")
        named = dict(zip(engine.outputs, outputs, strict=True))
        boxes, landmarks, scores = self._decode(named, width, height)
        best = np.argsort(-scores, kind="stable")[:MOST_FACES]
        return boxes[best], landmarks[best], scores[best]

    @property
    def threads(self) -> int:
        """Of the network. By default half of the processor's: decoding and encoding want theirs."""
        return self.config.threads or max(1, len(os.sched_getaffinity(0)) // 2)

    @abstractmethod
    def _engine(self, width: int, height: int) -> Engine:
        """The network at this input size."""

    @abstractmethod
    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], width: int, height: int
    ) -> Candidates:
        """Candidates with at least ``keep_threshold``, in network pixels."""


def make_detector(config: DetectorConfig, models_dir: Path | None = None) -> Detector:
    """The detector that the configuration names.

    Raises:
        ModelError: its weights are missing, or there is no such detector.
    """
    from stream_anon.faces.centerface import CenterFace
    from stream_anon.faces.yunet import YuNet

    known: dict[str, type[Detector]] = {kind.name: kind for kind in (CenterFace, YuNet)}
    if config.name not in known:
        raise ModelError(f"there is no detector '{config.name}'; there are {', '.join(known)}")
    return known[config.name](config, models_dir)


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union of (n, 4) with (m, 4) boxes; shape (n, m)."""
    # A column for each coordinate: pairs in the last axis would cost NumPy several times more.
    x0, y0, x1, y1 = boxes.T[:, :, None]
    u0, v0, u1, v1 = others.T[:, None]
    wide = np.maximum(np.minimum(x1, u1) - np.maximum(x0, u0), 0.0)
    shared = wide * np.maximum(np.minimum(y1, v1) - np.maximum(y0, v0), 0.0)
    areas = np.maximum(x1 - x0, 0.0) * np.maximum(y1 - y0, 0.0)
    other_areas = np.maximum(u1 - u0, 0.0) * np.maximum(v1 - v0, 0.0)
    return np.asarray(shared / np.maximum(areas + other_areas - shared, 1e-9))


def merge(boxes: Array, landmarks: Array, scores: Array) -> Candidates:
    """One candidate for each face, best first.

    Candidates that overlap the best one are dropped; those that nearly coincide with it are
    averaged into it by their scores, which steadies the box from picture to picture.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_FACES]
    boxes, landmarks, scores = boxes[order], landmarks[order], scores[order]
    shared = overlaps(boxes, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    # From the union: shared area = iou (a + b) / (1 + iou).
    inside = shared / (1 + shared) * (areas[:, None] + areas[None]) / np.maximum(areas[None], 1e-9)
    alike = (shared >= 0.6) & (scores[None] >= 0.5 * scores[:, None])
    np.fill_diagonal(alike, True)
    apart = (shared < OVERLAP) & (inside < CONTAINED)
    np.fill_diagonal(apart, False)
    free = np.ones(len(scores), bool)
    kept: list[int] = []
    merged_boxes, merged_landmarks = boxes.copy(), landmarks.copy()
    for i in range(len(scores)):
        if not free[i]:
            continue
        same = np.flatnonzero(free & alike[i])
        if len(same) > 1:
            weight = scores[same] / scores[same].sum()
            merged_boxes[i] = weight @ boxes[same]
            merged_landmarks[i] = np.tensordot(weight, landmarks[same], axes=1)
        free &= apart[i]
        kept.append(i)
    return merged_boxes[kept], merged_landmarks[kept], scores[kept]


def _size(width: float, height: float) -> tuple[int, int]:
    return max(64, 32 * round(width / 32)), max(64, 32 * round(height / 32))


def _scaled(candidates: Candidates, x: float, y: float) -> Candidates:
    boxes, landmarks, scores = candidates
    return boxes * (x, y, x, y), landmarks * (x, y), scores


def _check(boxes: Array, landmarks: Array, scores: Array, width: int, height: int) -> None:
    """Refuse what is no face of this picture."""
    finite = np.isfinite(boxes).all() and np.isfinite(landmarks).all() and np.isfinite(scores).all()
    if not finite or (scores < 0).any() or (scores > 1).any():
        raise DetectorFault("the detector's answer is not finite or a score is not in 0..1")
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    longest = 4 * max(width, height)
    if (sides <= 0).any() or (sides > longest).any() or (np.abs(centres) > longest).any():
        raise DetectorFault("the detector's answer lies far outside the picture or has no area")


def _turned(
    boxes: Array, landmarks: Array, turns: int, width: int, height: int
) -> tuple[Array, Array]:
    """Undo counter-clockwise quarter turns; ``width`` and ``height`` are the upright picture's."""
    for _ in range(turns):
        # numpy.rot90 moved (x, y) to (y, W - x), W the width before it, now the height.
        boxes = np.stack(
            [height - boxes[:, 3], boxes[:, 0], height - boxes[:, 1], boxes[:, 2]], axis=1
        )
        landmarks = np.stack([height - landmarks[..., 1], landmarks[..., 0]], axis=-1)
        width, height = height, width
    return boxes, landmarks
