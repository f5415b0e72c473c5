"""A real face, an image to look at, and people who exist only as numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stream_anon.errors import ModelError
from stream_anon.models import registry

Pixels = NDArray[np.uint8]


class Still:
    """A frame as a detector wants it."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def thumbnail(self, width: int, height: int) -> Pixels:
        shrinks = width < self.width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(self.pixels, (width, height), interpolation=how)


def fetched(name: str) -> Path:
    try:
        return registry.path(name)
    except ModelError as error:
        pytest.skip(f"not here, and no index to ask: {error}")


@pytest.fixture(scope="session")
def portrait() -> Pixels:
    """512x512 BGR: one frontal face of about 105 px."""
    return cv2.imread(str(fetched("astronaut")))


FACE = np.array([179.0, 57.0, 272.0, 178.0])
"""Where it is: both detectors agree within a few pixels, and so does the eye."""

EYES = ((203.0, 102.0), (248.0, 102.0))


def placed(portrait: Pixels, size: float, width: int, height: int, x: float, y: float) -> Pixels:
    """A frame with the portrait's face of this size (geometric mean) centred on (x, y)."""
    scale = size / float(np.sqrt((FACE[2] - FACE[0]) * (FACE[3] - FACE[1])))
    centre = (FACE[:2] + FACE[2:]) / 2
    matrix = np.array([[scale, 0, x - scale * centre[0]], [0, scale, y - scale * centre[1]]])
    if scale < 1:
        portrait = cv2.GaussianBlur(portrait, (0, 0), 0.4 / scale)
    return cv2.warpAffine(portrait, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
