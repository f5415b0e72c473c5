"""A detector for plain arrays: where a face lies in the aligned face space, and how large it may
be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig
from stream_anon.detection.registry import make_detector
from stream_anon.detection.types import Face
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]

CANVAS = 256
"""Side of the grey canvas on which aligned face images are shown to a detector."""

FACE_SIDE = 92.0
"""Side in aligned units of the box a detector draws around an aligned face (YuNet, median)."""


class View:
    """An RGB array as a detector wants to see an image.

    Args:
        pixels: (height, width, 3) uint8 RGB.
    """

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole image scaled to (height, width, 3) uint8 BGR."""
        image = self._pixels
        if (width, height) != (self.width, self.height):
            how = cv2.INTER_AREA if width < self.width else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
        return np.ascontiguousarray(image[..., ::-1])


class Finder:
    """Finds faces in arrays.

    Args:
        name: of the detector, as in the configuration.
        models: folder with its weights.
        threshold: score from which a face counts as found.

    Raises:
        ModelError: the weights are missing.
    """

    def __init__(
        self, name: str = "yunet", models: Path | None = None, threshold: float = 0.5
    ) -> None:
        values = {"name": name, "precision": "f32", "threads": 1}
        self._detector = make_detector(DetectorConfig.model_validate(values), models)
        self.name = name
        self.threshold = threshold

    def all(self, image: Pixels) -> list[Face]:
        """Faces of a (height, width, 3) uint8 RGB image above the threshold, best first."""
        return [f for f in self._detector.detect(View(image)) if f.score >= self.threshold]

    def aligned(self, image: Pixels, side: float = FACE_SIDE) -> Face | None:
        """The face of an aligned face image that is shown with its face at about ``side`` px.

        Args:
            image: (128, 128, 3) uint8 RGB.
            side: of the face's box in pixels, at most 184.

        Returns:
            Box and landmarks in aligned units, or None if nothing is found near the middle.
        """
        scale = side / FACE_SIDE
        pixels = max(2, round(ALIGNED_SIDE * scale))
        how = cv2.INTER_AREA if pixels < ALIGNED_SIDE else cv2.INTER_LINEAR
        small = cv2.resize(image, (pixels, pixels), interpolation=how)
        canvas = np.full((CANVAS, CANVAS, 3), 127, np.uint8)
        corner = (CANVAS - pixels) // 2
        canvas[corner : corner + pixels, corner : corner + pixels] = small
        back = ALIGNED_SIDE / pixels
        best: Face | None = None
        for face in self.all(canvas):
            # Pixel centres lie at integers in both systems.
            box = (face.box - corner + 0.5) * back - 0.5
            centre = (box[:2] + box[2:]) / 2.0
            if np.abs(centre - np.array([64.0, 70.0])).max() > 28.0:
                continue
            points = face.landmarks
            if points is not None:
                points = (points - corner + 0.5) * back - 0.5
            found = Face(box, points, face.score)
            if best is None or found.size > best.size:
                best = found
        return best


def landmarks_of(finder: Finder, images: Pixels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Five landmarks of aligned face images.

    Returns:
        (n, 5, 2) aligned units, NaN where no face or no landmarks were found; (n,) found.
    """
    points = np.full((len(images), 5, 2), np.nan)
    for i, image in enumerate(images):
        face = finder.aligned(image)
        if face is not None and face.landmarks is not None:
            points[i] = face.landmarks
    return points, np.isfinite(points).all(axis=(1, 2))
