"""Where heads are: above the shoulders of a body, from whichever side, or around a face.

Bodies are found by BlazePose's detector (Bazarevsky et al. 2020, arXiv 2006.10204; MediaPipe's
``pose_detection.tflite``, Apache-2.0): an SSD over 224 x 224 pixels whose keypoints are the middle
of the hips and that of the shoulders, from the back as from the front. It wants a person to fill
a good part of what it sees, so a frame is looked at in squares of its shorter side and of half of
that. It was made for one person before a camera: in a crowd it sees those in front and some of
those who turn their backs. It is the second source of heads beside the face's own track.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.suppression import overlaps
from stream_anon.detection.types import Face
from stream_anon.errors import DetectorFault
from stream_anon.models import registry
from stream_anon.models.backend import OPENVINO, Backend

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

NAME = "body_pose"

SIDE = 224
"""Side in pixels of what the network is shown."""

PARTS = (1, 2)
"""Squares of the frame's shorter side, divided by these."""

STRIDE = 2.0 / 3.0
"""Distance of neighbouring squares, in their sides."""

FIRM, FAINT = 0.6, 0.4
"""Score from which a body begins a head's track, and from which it continues one."""

ABOVE = 0.55
"""From the shoulders to the head's middle, in lengths of the trunk (hips to shoulders)."""

RADIUS = 0.38
"""Half sides of a head's box, likewise; with hair, and for what the keypoints are off by."""

SHORTEST = 0.06
"""Trunk's length in sides of its square below which a find is none."""

HEAD_UP, HEAD_HALF = 0.22, 0.85
"""Around a face: how far the head's middle lies above the face's, and half its side, in the longer
side of the face's box. A profile has its hair behind it, hence as wide as high."""

SAME = 0.2
"""Overlap (intersection over union) from which a body's head is a face's."""


def head_of(face: Face, quarter_turns: int = 0) -> Face:
    """The whole head around a face.

    Args:
        face: as detected.
        quarter_turns: quarter turns, counter-clockwise, that make the frame upright; which way is
            up, where landmarks do not tell.
    """
    centre = (face.box[:2] + face.box[2:]) / 2
    side = float((face.box[2:] - face.box[:2]).max())
    up = _up(face, quarter_turns)
    centre = centre + HEAD_UP * side * up
    half = HEAD_HALF * side
    return Face(np.concatenate([centre - half, centre + half]), None, face.score)


def around(faces: Sequence[Face], bodies: Sequence[Face], quarter_turns: int = 0) -> list[Face]:
    """Heads of one frame: around each face, and above bodies that show none."""
    heads = [head_of(face, quarter_turns) for face in faces]
    if not heads:
        return list(bodies)
    known = np.array([head.box for head in heads])
    for body in bodies:
        centre = (body.box[:2] + body.box[2:]) / 2
        inside = ((known[:, :2] < centre) & (centre < known[:, 2:])).all(axis=1)
        if not inside.any() and overlaps(body.box[None], known).max() < SAME:
            heads.append(body)
    return heads


class BodyHeads:
    """Heads above bodies.

    Args:
        models_dir: looked in before the other folders of the registry.
        threads: CPU threads.
        backend: runs the network.

    Raises:
        ModelError: the network is missing, cannot be fetched or cannot be loaded.
    """

    def __init__(
        self,
        models_dir: str | Path | None = None,
        threads: int = 1,
        backend: Backend = OPENVINO,
    ) -> None:
        path = registry.path(NAME, models_dir)
        self._net = backend.rows(path, (SIDE, SIDE, 3), 2, threads)
        self._anchors = anchors()

    def detect(self, upright: Pixels, scale: float) -> list[Face]:
        """Heads of an upright frame, best first.

        Args:
            upright: (h, w, 3) uint8 BGR.
            scale: pixels of the frame for one of these.

        Returns:
            Heads in pixels of the upright frame, without landmarks.

        Raises:
            DetectorFault: the network answered with values that are not finite.
        """
        height, width = upright.shape[:2]
        squares = [
            square for part in PARTS for square in tiles(width, height, min(width, height) // part)
        ]
        shown = np.stack([_shown(upright, square) for square in squares])
        boxes: list[Array] = []
        scores: list[float] = []
        for (x, y, side), one in zip(squares, shown, strict=True):
            # One at a time: the graph puts the cells of several images in a row of its own.
            for box, score in _heads(*self._run(one[None]), self._anchors):
                boxes.append((box * side + [x, y, x, y]) * scale)
                scores.append(score)
        return _suppressed(boxes, scores)

    def _run(self, shown: NDArray[np.float32]) -> tuple[Array, Array]:
        answers = self._net(shown)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise DetectorFault(f"{NAME} answered with values that are not finite")
        values = next(answer for answer in answers if answer.shape[-1] == 12)
        logits = next(answer for answer in answers if answer.shape[-1] == 1)
        return values[0].astype(np.float64), logits[0, :, 0].astype(np.float64)


def anchors() -> Array:
    """Centres (2254, 2) of the network's cells in sides of its input: two at stride 8, two at 16,
    six at 32."""
    found = []
    for cells, each in ((28, 2), (14, 2), (7, 6)):
        at = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(at, at)
        found.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(found)


def tiles(width: int, height: int, side: int) -> list[tuple[int, int, int]]:
    """Squares x, y, side that cover a frame and overlap."""

    def along(length: int) -> list[int]:
        count = 1 + max(0, math.ceil((length - side) / (STRIDE * side)))
        return [int(v) for v in np.linspace(0, max(0, length - side), count)]

    return [(x, y, side) for y in along(height) for x in along(width)]


def _shown(pixels: Pixels, square: tuple[int, int, int]) -> NDArray[np.float32]:
    x, y, side = square
    part = pixels[y : y + side, x : x + side, ::-1]
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(part), (SIDE, SIDE), interpolation=how)
    return small.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1.0)


def _heads(values: Array, logits: Array, centres: Array) -> list[tuple[Array, float]]:
    """Boxes in sides of the square, and scores."""
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0)))
    found = []
    for k in np.flatnonzero(scores >= FAINT):
        points = centres[k] + values[k, 4:].reshape(4, 2) / SIDE
        hips, shoulders = points[0], points[2]
        trunk = shoulders - hips
        length = float(np.hypot(*trunk))
        if not SHORTEST <= length <= 2.0:
            continue
        centre = shoulders + ABOVE * trunk
        half = RADIUS * length
        found.append((np.concatenate([centre - half, centre + half]), float(scores[k])))
    return found


def _suppressed(boxes: list[Array], scores: list[float]) -> list[Face]:
    """One head of each that overlap, best first."""
    kept: list[Face] = []
    for k in np.argsort(-np.array(scores)):
        box = boxes[k]
        centre = (box[:2] + box[2:]) / 2
        taken = [
            head
            for head in kept
            if ((head.box[:2] < centre) & (centre < head.box[2:])).all()
            or overlaps(box[None], head.box[None])[0, 0] >= SAME
        ]
        if not taken:
            kept.append(Face(box, None, scores[k]))
    return kept


def _up(face: Face, quarter_turns: int) -> Array:
    """Unit vector from a face's mouth to its eyes; or what is up in the frame."""
    if face.landmarks is not None:
        way = face.landmarks[:2].mean(axis=0) - face.landmarks[3:].mean(axis=0)
        length = float(np.hypot(*way))
        # In profile or by a bad guess they fall together, and tell nothing.
        if length > 0.15 * face.size:
            return np.asarray(way / length)
    # Turned counter-clockwise by so many quarters, (0, -1) of the upright frame came from here.
    ways = ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
    return np.array(ways[quarter_turns % 4])
